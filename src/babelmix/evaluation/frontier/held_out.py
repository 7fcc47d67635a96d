"""Two parts of the queries of a corpus, by group: one to choose on, one to test on. The pool of passages stays whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from babelmix.corpus import Corpus
from babelmix.corpus.model import COPIES_KEY
from babelmix.corpus.splitting import group_leaders, unit_hash
from babelmix.errors import AuditError, ConfigError

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Part:
    """Some queries of a corpus, with all of its passages.

    Args:
        corpus: the corpus of these queries.
        rows: their rows in the whole corpus, ascending, int64, shape (queries,).
        groups: the number of their groups. Groups that a qrel connects count as one.
        of: the number of queries that this part would have if none were left out.

    """

    corpus: Corpus
    rows: IntArray
    groups: int
    of: int

    @property
    def questions(self) -> int:
        """The number of query items: a question in ten languages is one."""
        return len(pc.unique(self.corpus.queries["item"]))


def held_out(corpus: Corpus, *, validation: float = 0.5, seed: int = 0, limit: int | None = None) -> tuple[Part, Part]:
    """Divide the queries of a corpus into a validation and a test part; no group is in both.

    Groups that a qrel connects stay together. They are put in the order of a hash of the seed and their name, and the first ones,
    up to the share of queries that comes nearest to `validation`, are the validation part. All passages stay in both pools: a
    collection that is searched does not shrink.

    Args:
        corpus: the corpus, with qrels.
        validation: the share of the queries in the validation part, above 0 and below 1.
        seed: another seed gives another division.
        limit: the most queries of the validation part; whole groups are left out, the last ones in the order of the hash. None:
            all. The test part has no limit.

    Raises:
        ConfigError: the share is not between 0 and 1, or there are fewer than two groups.
        AuditError: the corpus has no qrels, or a part has no query with a relevant passage.

    Examples:
        >>> rows = [{"item": str(i), "lang": "en", "text": f"text {i}"} for i in range(10)]
        >>> parts = held_out(Corpus.from_rows(rows, rows, [(str(i), str(i)) for i in range(10)]))
        >>> [(part.corpus.queries.num_rows, part.corpus.passages.num_rows) for part in parts]
        [(5, 10), (5, 10)]

    """
    if not 0 < validation < 1:
        raise ConfigError(f"the share of the validation part is {validation:g}; it must be between 0 and 1")
    if not corpus.qrels.num_rows:
        raise AuditError(
            f"{corpus.name}: has no qrels, so nothing can be chosen on it; give a corpus with right answers"
        )
    leader = group_leaders(corpus)
    of_query = [leader[group] for group in corpus.queries["group"].to_pylist()]
    counts = dict(pl.Series(of_query, dtype=pl.String).value_counts().iter_rows())
    order = sorted(counts, key=lambda name: (unit_hash(name, seed), name))
    if len(order) < 2:
        raise ConfigError(
            f"{corpus.name}: all queries are in one group, or qrels connect their groups, so they cannot be divided; give them "
            "groups, or a corpus with more questions"
        )
    reached = np.cumsum([counts[name] for name in order])
    # At least one group on each side.
    cut = int(np.argmin(np.abs(reached[:-1] - validation * reached[-1]))) + 1
    first, second = order[:cut], order[cut:]
    whole = int(reached[cut - 1])
    if limit is not None:
        within = int(np.searchsorted(reached[:cut], limit, side="right"))
        first = first[: max(within, 1)]
    rows = np.array(of_query, dtype=object)
    return (
        _part(corpus, rows, first, "validation", whole),
        _part(corpus, rows, second, "test", int(reached[-1]) - whole),
    )


def _part(corpus: Corpus, of_query: npt.NDArray[np.object_], groups: Sequence[str], name: str, whole: int) -> Part:
    chosen = set(groups)
    mask = np.array([group in chosen for group in of_query.tolist()], dtype=bool)
    queries = corpus.queries.filter(pa.array(mask))
    items = pc.unique(queries["item"])

    def kept(pairs: pa.Table) -> pa.Table:
        return pairs.filter(pc.is_in(pairs["query_item"], items))

    qrels = kept(corpus.qrels)
    if not qrels.num_rows:
        raise AuditError(
            f"{corpus.name}: no query of the {name} part has a relevant passage; give a corpus with more right answers"
        )
    meta = {key: value for key, value in corpus.meta.items() if key != COPIES_KEY}
    cut = Corpus(
        queries, corpus.passages, qrels, f"{corpus.name}/{name}", meta, kept(corpus.negatives), kept(corpus.excluded)
    )
    return Part(cut, np.flatnonzero(mask), len(chosen), whole)


__all__ = ["Part", "held_out"]
