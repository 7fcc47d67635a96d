"""MRC over the union of two top-k lists: whether a question and its translation score the same passages in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.matrix import Matrix
from babelmix.evaluation.ranks import IntArray, RankTable, numbered

Floats = npt.NDArray[np.float64]

UNION_MRC = "union MRC"
"""The name of the bias metric, before `@k`."""

CUTOFFS = (5, 10, 20)
"""The k of MIMO."""

_QUERIES = 32
"""Queries whose scores are computed together; more if one item has more."""

_NOWHERE = 1 << 14
"""The place of an answer in a list that does not have it."""

_PAIRS = 4096
"""Pairs of queries that are correlated together."""


def union_correlation(
    table: RankTable,
    queries: Matrix,
    passages: Matrix,
    *,
    similarity: str = "cosine",
    cutoffs: Sequence[int] = CUTOFFS,
) -> Mapping[str, Floats]:
    """MRC@k by the rule of MIMO's program: Spearman's correlation over the union of two top-k lists.

    Take a query q of an item, and a query q' of the same item in another language. The passages that are among the first k of q
    or of q' are ordered by the scores of q, and by those of q'. Spearman's correlation of the two orders is the value of the
    pair. The value of q is its mean over all q'. An audit averages the values of a language, and then the languages, which is
    the definition of arXiv 2509.06195.

    Two lists without a common passage have a strongly negative correlation, so values depend on k. They cannot be compared with
    a correlation over a fixed list, such as `mean rank correlation`.

    Equal scores keep their order, as everywhere in a rank table; in MIMO's program they share a rank. MIMO multiplies by 100.

    Args:
        table: the rank table of the embeddings.
        queries: floating, shape (queries, dimension), in row order; may be memory-mapped.
        passages: floating, shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `"cosine"` or `"dot"`.
        cutoffs: the k.

    Returns:
        For each k, at `union MRC@k`: values from -1 to 1, float64, shape (queries,), NaN for a query without a translation, or
        if the union has one passage only. Empty if fewer than half of the queries have a translation, or if the table does not
        know its first answers.

    Source:
        MIMO, arXiv 2605.31171, after LaKDA, arXiv 2509.06195.

    """
    cutoffs = [k for k in cutoffs if k <= max(table.cutoffs)]
    item = numbered(table.query_item)
    several = _with_translation(item, table.query_lang)
    if table.first is None or not cutoffs or 2 * several.sum() < len(several) or not several.any():
        return {}
    sums = np.zeros((len(cutoffs), len(several)))
    counts = np.zeros_like(sums)
    first = table.first[:, : max(cutoffs)]
    rows = np.flatnonzero(several)
    rows = rows[np.argsort(item[rows], kind="stable")]
    for found in _scored_pairs(first, rows, item, table.query_lang, queries, passages, similarity):
        lists = _Lists.of(first[found.a], first[found.b], found.of_a, found.of_b)
        for c, k in enumerate(cutoffs):
            rho = lists.spearman(k)
            known = ~np.isnan(rho)
            for side in (found.a[known], found.b[known]):
                sums[c] += np.bincount(side, rho[known], minlength=sums.shape[1])
                counts[c] += np.bincount(side, minlength=sums.shape[1])
    with np.errstate(invalid="ignore"):
        means = sums / counts
    return {f"{UNION_MRC}@{k}": means[c] for c, k in enumerate(cutoffs)}


class _Pairs(NamedTuple):
    """Pairs of queries of one item in two languages, with scores.

    Args:
        a: query rows, int64, shape (pairs,).
        b: query rows, int64, shape (pairs,).
        of_a: the scores that `a` gives to the first answers of `b`, float32, shape (pairs, k).
        of_b: the scores that `b` gives to the first answers of `a`, float32, shape (pairs, k).

    """

    a: IntArray
    b: IntArray
    of_a: npt.NDArray[np.float32]
    of_b: npt.NDArray[np.float32]


def _with_translation(item: IntArray, lang: IntArray) -> npt.NDArray[np.bool_]:
    """Whether the item of each query has a query in another language, shape (queries,)."""
    width = int(lang.max(initial=0)) + 1
    langs = np.bincount(np.unique(item * width + lang) // width, minlength=int(item.max(initial=-1)) + 1)
    several: npt.NDArray[np.bool_] = langs[item] > 1
    return several


def _scored_pairs(
    first: npt.NDArray[np.int32],
    rows: IntArray,
    item: IntArray,
    lang: IntArray,
    queries: Matrix,
    passages: Matrix,
    similarity: str,
) -> Iterator[_Pairs]:
    """All pairs, in blocks of about `_PAIRS`; `rows` are the queries with a translation, ordered by item."""
    # Imported here: torch takes seconds to import, and reading a finished audit does not need it.
    from babelmix.evaluation.chunks import ReadRows, product

    starts = np.flatnonzero(np.diff(item[rows], prepend=-1))
    ends = np.append(starts[1:], len(rows))
    waiting: list[_Pairs] = []
    asked = ReadRows.of(queries, [rows], "query", similarity)
    # Row 0 stands for "no answer".
    answers = ReadRows.of(passages, [first[rows].reshape(-1), np.zeros(1, dtype=np.int64)], "passage", similarity)
    at = 0
    while at < len(starts):
        end = max(at + 1, int(np.searchsorted(ends, starts[at] + _QUERIES, side="right")))
        some = rows[starts[at] : ends[end - 1]]
        i, j = _in_one_item(item[some], lang[some])
        lists = first[some]
        wanted, place = np.unique(lists, return_inverse=True)
        found = np.maximum(wanted, 0)
        scores = product(asked[some], answers[found])
        place = place.reshape(lists.shape)
        waiting.append(_Pairs(some[i], some[j], scores[i[:, None], place[j]], scores[j[:, None], place[i]]))
        at = end
        if sum(len(one.a) for one in waiting) >= _PAIRS or at == len(starts):
            yield _Pairs(*(np.concatenate(parts) for parts in zip(*waiting, strict=True)))
            waiting = []


def _in_one_item(item: IntArray, lang: IntArray) -> tuple[IntArray, IntArray]:
    """The positions i < j of every two queries of one item in different languages."""
    alike = (item[:, None] == item[None, :]) & (lang[:, None] != lang[None, :])
    i, j = np.nonzero(np.triu(alike))
    return i, j


@dataclass(frozen=True, eq=False)
class _Lists:
    """The lists of pairs of queries, each compared with the other once for all cut-offs. Pairs are the last axis.

    Args:
        a: the first answers of one query, the best first, -1 for none, int32, shape (k, pairs).
        b: the first answers of the other query.
        a_in_b: the place of each answer of `a` in `b`, `_NOWHERE` if it is not there, int16, shape (k, pairs).
        b_in_a: the place of each answer of `b` in `a`.
        a_behind: whether the second answer scores higher for the other query than the first one, or as high and has a lower row,
            by first and second answer of `a`, bool, shape (k, k, pairs).
        b_behind: the same for the answers of `b`.

    """

    a: npt.NDArray[np.int32]
    b: npt.NDArray[np.int32]
    a_in_b: npt.NDArray[np.int16]
    b_in_a: npt.NDArray[np.int16]
    a_behind: npt.NDArray[np.bool_]
    b_behind: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        a: npt.NDArray[np.int32],
        b: npt.NDArray[np.int32],
        of_a: npt.NDArray[np.float32],
        of_b: npt.NDArray[np.float32],
    ) -> _Lists:
        """Compare lists.

        Args:
            a: the first answers of one query, int32, shape (pairs, k).
            b: the first answers of the other query.
            of_a: the scores of the first query for `b`, float32, shape (pairs, k).
            of_b: the scores of the second query for `a`.

        """
        a, b = np.ascontiguousarray(a.T), np.ascontiguousarray(b.T)
        of_a, of_b = np.ascontiguousarray(of_a.T), np.ascontiguousarray(of_b.T)
        a_in_b, b_in_a = (np.full(a.shape, _NOWHERE, dtype=np.int16) for _ in range(2))
        for i in range(len(a)):
            equal = (a[i] == b) & (a[i] >= 0)
            j, pair = np.divmod(np.flatnonzero(equal), equal.shape[1])
            a_in_b[i, pair], b_in_a[j, pair] = j, i
        return cls(a, b, a_in_b, b_in_a, _behind(a, of_b), _behind(b, of_a))

    def spearman(self, k: int) -> Floats:
        """Spearman's correlation over the union of the first k of both lists; NaN for a union of one passage, shape (pairs,)."""
        k = min(k, len(self.a))
        a, b, place = self.a[:k] >= 0, self.b[:k] >= 0, np.arange(k)[:, None]
        # Behind a list stand the answers that it does not have, by score.
        apart, extra = a & (self.a_in_b[:k] >= k), b & (self.b_in_a[:k] >= k)
        in_b = np.where(apart, _places(self.a_behind, apart, b), self.a_in_b[:k])
        in_a = _places(self.b_behind, extra, a)
        squares = np.where(a, (place - in_b) ** 2, 0).sum(axis=0) + np.where(extra, (in_a - place) ** 2, 0).sum(axis=0)
        size = (a.sum(axis=0) + extra.sum(axis=0)).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(size > 1, 1 - 6 * squares / (size * (size**2 - 1)), np.nan)


def _behind(answers: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Whether the second answer is before the first one, by score and then by row, shape (first, second, pairs)."""
    found = np.empty((len(answers), *answers.shape), dtype=bool)
    for i in range(len(answers)):
        np.logical_or(scores > scores[i], (scores == scores[i]) & (answers < answers[i]), out=found[i])
    return found


def _places(
    behind: npt.NDArray[np.bool_], extra: npt.NDArray[np.bool_], others: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """The places of the extra answers behind a list of other answers, int64, shape (k, pairs)."""
    k = len(extra)
    ahead = np.zeros(extra.shape, dtype=np.int16)
    for j in range(k):
        ahead += behind[:k, j] & extra[j]
    return others.sum(axis=0) + ahead.astype(np.int64)


__all__ = ["CUTOFFS", "UNION_MRC", "union_correlation"]
