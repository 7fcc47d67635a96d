"""Split a corpus by group: no group is in two parts."""

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
    """Split a corpus into parts by group.

    Groups that a qrel connects stay together. A hash of the seed and of the first name among the connected groups decides the
    part. So a group stays in its part when groups are added that no qrel connects with it, and two readings of one source are
    split alike. The shares are met on average, not exactly.

    Args:
        corpus: the corpus.
        parts: the name and the share of each part. The shares sum to 1.
        seed: another seed gives another split.

    Returns:
        The parts in the order of `parts`. `meta` of each says its name, the seed and the shares.

    Raises:
        ConfigError: shares are not positive or do not sum to 1, or a part is empty.

    Examples:
        >>> rows = [{"item": str(i), "lang": "en", "text": f"text {i}"} for i in range(100)]
        >>> corpus = Corpus.from_rows(rows, rows, [(str(i), str(i)) for i in range(100)])
        >>> parts = split(corpus, {"train": 0.8, "test": 0.2})
        >>> [(part.name, part.queries.num_rows) for part in parts.values()]
        [('corpus/train', 89), ('corpus/test', 11)]

    """
    shares = np.array(list(parts.values()), dtype=np.float64)
    if len(shares) == 0 or (shares <= 0).any() or not np.isclose(shares.sum(), 1.0):
        raise ConfigError(f"the shares of a split must be positive and sum to 1, not {dict(parts)}")
    leader = group_leaders(corpus)
    edges = np.cumsum(shares)
    edges[-1] = 1.0
    place = {name: int(np.searchsorted(edges, unit_hash(name, seed), side="right")) for name in set(leader.values())}
    result: dict[str, Corpus] = {}
    for number, part in enumerate(parts):
        groups = [group for group, name in leader.items() if place[name] == number]
        cut = corpus.only_groups(groups, f"{corpus.name}/{part}")
        if cut.queries.num_rows == 0 or (corpus.qrels.num_rows and cut.qrels.num_rows == 0):
            raise ConfigError(
                f"{corpus.name} cannot be split: its part {part!r} would be empty, because it has {len(leader)} groups "
                f"for the shares {dict(parts)}; add groups, or use the whole corpus"
            )
        result[part] = cut.named(cut.name, split=part, split_seed=seed, split_shares=dict(parts))
    return result


def unit_hash(text: str, seed: int) -> float:
    """A number from 0 to 1 that depends on a text and a seed alone."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, key=f"split {seed}".encode()).digest()
    return int.from_bytes(digest, "little") / 2**64


def group_leaders(corpus: Corpus) -> dict[str, str]:
    """For each group, the alphabetically first name of all groups that qrels connect it with."""

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
    # The rows of one item may be in several groups, which are connected too.
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
