"""Group-wise splits: nothing of one group is on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import polars as pl
import pyarrow as pa

from babelmix._components import components
from babelmix.corpus.model import Corpus
from babelmix.errors import ConfigError


def split(corpus: Corpus, parts: Mapping[str, float], *, seed: int = 0) -> dict[str, Corpus]:
    """Cut a corpus into parts by group.

    Groups that a qrel joins stay together. Where a group falls depends on the seed and on the smallest name it is joined
    with, by itself usually its own: a corpus that grows by new groups moves none from one part to another, and two
    readings of one source (pages, and pages with their parameter rows) are cut alike. Shares are therefore met in
    expectation, not exactly.

    Args:
        corpus: what to cut.
        parts: name and share of each part; the shares sum to 1.
        seed: another seed gives another cut.

    Returns:
        The parts in the order given, each with its name and seed in `meta`.

    Raises:
        ConfigError: shares are not positive or do not sum to 1, or a part came out empty.

    """
    shares = np.array(list(parts.values()), dtype=np.float64)
    if len(shares) == 0 or (shares <= 0).any() or not np.isclose(shares.sum(), 1.0):
        raise ConfigError(f"the shares of a split must be positive and sum to 1, not {dict(parts)}")
    leader = _group_leaders(corpus)
    edges = np.cumsum(shares)
    edges[-1] = 1.0
    place = {name: int(np.searchsorted(edges, _unit_hash(name, seed), side="right")) for name in set(leader.values())}
    result: dict[str, Corpus] = {}
    for number, part in enumerate(parts):
        groups = [group for group, name in leader.items() if place[name] == number]
        cut = corpus.only_groups(groups, f"{corpus.name}/{part}")
        if cut.queries.num_rows == 0 or cut.qrels.num_rows == 0:
            raise ConfigError(
                f"the part {part!r} of {corpus.name} came out empty: {len(leader)} groups are too few for {dict(parts)}"
            )
        result[part] = cut.named(cut.name, split=part, split_seed=seed, split_shares=dict(parts))
    return result


def _unit_hash(text: str, seed: int) -> float:
    digest = hashlib.blake2b(text.encode(), digest_size=8, key=f"split {seed}".encode()).digest()
    return int.from_bytes(digest, "little") / 2**64


def _group_leaders(corpus: Corpus) -> dict[str, str]:
    """For every group the smallest group name it is joined to through qrels."""

    def groups_of(table: pa.Table, item: str) -> pl.DataFrame:
        frame = pl.DataFrame(pl.from_arrow(table.select(["item", "group"]))).unique()
        return frame.rename({"item": item, "group": f"{item}_group"})

    qrels = pl.DataFrame(pl.from_arrow(corpus.qrels))
    joined = qrels.join(groups_of(corpus.queries, "query_item"), on="query_item").join(
        groups_of(corpus.passages, "passage_item"), on="passage_item"
    )
    tables = (corpus.queries, corpus.passages)
    names = sorted({name for table in tables for name in table["group"].unique().to_pylist()})
    number = {name: i for i, name in enumerate(names)}
    left = [number[name] for name in joined["query_item_group"]]
    right = [number[name] for name in joined["passage_item_group"]]
    # An item may itself have rows in several groups.
    for table in tables:
        frame = pl.DataFrame(pl.from_arrow(table.select(["item", "group"]))).unique(maintain_order=True)
        first = frame.group_by("item").agg(pl.col("group").min().alias("first"))
        spread = frame.join(first, on="item").filter(pl.col("group") != pl.col("first"))
        left += [number[name] for name in spread["group"]]
        right += [number[name] for name in spread["first"]]
    labels = components(left, right, len(names)).tolist()
    leader: dict[int, str] = {}
    for name, label in zip(names, labels, strict=True):
        leader.setdefault(label, name)
    return {name: leader[label] for name, label in zip(names, labels, strict=True)}
