"""The languages of the first answers, and of the passages that outrank a relevant one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from babelmix.errors import AuditError
from babelmix.evaluation.bias_metric import BiasValues, Floats
from babelmix.evaluation.ranks import RankTable


def own_language(table: RankTable) -> npt.NDArray[np.int64]:
    """The index of each query language among the passage languages, -1 if it is none; shape (query languages,)."""
    index = {lang: i for i, lang in enumerate(table.passage_langs)}
    return np.array([index.get(lang, -1) for lang in table.query_langs], dtype=np.int64)


def same_language_share(table: RankTable, k: int) -> BiasValues:
    """The share of the first k answers that are in the query's language."""
    own = own_language(table)[table.query_lang]
    # A query whose whole pool is excluded has no first answers.
    present = np.flatnonzero((own >= 0) & (table.top[:, 0].sum(axis=1) > 0))
    counted = table.top[present, _position(table, k)]
    return BiasValues(present, counted[np.arange(len(present)), own[present]] / counted.sum(axis=1))


def same_language_excess(table: RankTable, k: int) -> BiasValues:
    """The share of the first k answers in the query's language, over the language's share of the pool."""
    query, share, _ = same_language_share(table, k)
    pools = table.pools(query)
    own = own_language(table)[table.query_lang[query]]
    in_pool_share = pools[np.arange(len(query)), own] / pools.sum(axis=1)
    known = in_pool_share > 0
    return BiasValues(query[known], share[known] / in_pool_share[known])


def languages_of_first(table: RankTable, k: int) -> BiasValues:
    """The number of languages among the first k answers; no value for k = 1, or in a pool of one language."""
    # One answer is in one language, and so is every answer of a pool in one language.
    if k == 1 or len(table.passage_langs) == 1:
        return BiasValues(np.zeros(0, dtype=np.int64), np.zeros(0))
    present = np.flatnonzero(table.top[:, 0].sum(axis=1) > 0)
    return BiasValues(present, (table.top[present, _position(table, k)] > 0).sum(axis=1).astype(np.float64))


def share_of_pool(table: RankTable, k: int) -> Floats:
    """The share of the query's language in its pool, for any k; NaN if it is not among the passages; shape (queries,)."""
    pools, own = table.pools(np.arange(len(table.query_lang))), own_language(table)[table.query_lang]
    with np.errstate(invalid="ignore"):
        share = pools[np.arange(len(own)), own] / pools.sum(axis=1)
    return np.where(own >= 0, share, np.nan)


def language_shares(table: RankTable, k: int) -> npt.NDArray[np.float64]:
    """The share of each passage language in the first k answers, by query language.

    Args:
        table: the rank table.
        k: one of the table's `cutoffs`.

    Returns:
        float64, shape (query languages, passage languages); rows sum to 1, or to 0 if no query has an answer.

    """
    counts = np.zeros((len(table.query_langs), len(table.passage_langs)))
    np.add.at(counts, table.query_lang, table.top[:, table.cutoffs.index(k)])
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def crowding(table: RankTable) -> npt.NDArray[np.float64]:
    """The crowding matrix: the mean number of passages of a language that outrank a relevant passage.

    Args:
        table: the rank table.

    Returns:
        float64, shape (query languages, relevant languages, crowding languages). Entry `[a, b, c]` is for queries in a and
        relevant passages in b: the mean number of passages in c that rank before the relevant passage. NaN if no query in a
        has a relevant passage in b.

    """
    shape = (len(table.query_langs), len(table.passage_langs), len(table.passage_langs))
    sums, counts = np.zeros(shape), np.zeros(shape[:2])
    at = (table.query_lang[table.pair_query], table.pair_lang)
    np.add.at(sums, at, table.outranking_counts)
    np.add.at(counts, at, 1)
    with np.errstate(invalid="ignore"):
        return sums / counts[:, :, None]


def _position(table: RankTable, k: int) -> int:
    """The position of a cut-off in `RankTable.top`.

    Raises:
        AuditError: the table has no such cut-off.

    """
    if k not in table.cutoffs:
        there = ", ".join(map(str, table.cutoffs))
        raise AuditError(f"the languages of the first {k} answers were not counted; name one of the cut-offs {there}")
    return table.cutoffs.index(k)


__all__ = [
    "crowding", "language_shares", "languages_of_first", "own_language", "same_language_excess", "same_language_share",
    "share_of_pool",
]  # fmt: skip
