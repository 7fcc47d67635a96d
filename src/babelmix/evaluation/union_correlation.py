"""MRC over the union of two top-k lists: whether a question and its translation score the same passages in the same order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
        for c, k in enumerate(cutoffs):
            rho = _spearman(first[found.a, :k], first[found.b, :k], found.of_a[:, :k], found.of_b[:, :k])
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
    from babelmix.evaluation.chunks import product, read

    starts = np.flatnonzero(np.diff(item[rows], prepend=-1))
    ends = np.append(starts[1:], len(rows))
    waiting: list[_Pairs] = []
    at = 0
    while at < len(starts):
        end = max(at + 1, int(np.searchsorted(ends, starts[at] + _QUERIES, side="right")))
        some = rows[starts[at] : ends[end - 1]]
        i, j = _in_one_item(item[some], lang[some])
        lists = first[some]
        wanted, place = np.unique(lists, return_inverse=True)
        # Place 0 stands for "no answer", if there is any.
        found = np.maximum(wanted, 0)
        ascending = np.sort(some)
        mine = read(queries, ascending, "query", similarity)[np.searchsorted(ascending, some)]
        scores = product(mine, read(passages, found, "passage", similarity))
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


def _spearman(
    a: npt.NDArray[np.int32], b: npt.NDArray[np.int32], of_a: npt.NDArray[np.float32], of_b: npt.NDArray[np.float32]
) -> Floats:
    """Spearman's correlation over the union of two lists; NaN for a union of one passage, shape (pairs,).

    Args:
        a: the first answers of one query, the best first, -1 for none, int32, shape (pairs, k).
        b: the first answers of the other query.
        of_a: the scores of the first query for `b`, float32, shape (pairs, k).
        of_b: the scores of the second query for `a`.

    """
    equal = (a[:, :, None] == b[:, None, :]) & (a >= 0)[:, :, None]
    place = np.arange(a.shape[1])
    # The place of each answer of a list in the other list. Behind that list stand the answers that it does not have, by score.
    in_b = np.where(equal.any(axis=2), equal.argmax(axis=2), _behind(a, b, of_b, ~equal.any(axis=2)))
    extra = ~equal.any(axis=1) & (b >= 0)
    in_a = _behind(b, a, of_a, extra)
    squares = np.where(a >= 0, (place - in_b) ** 2, 0).sum(axis=1) + np.where(extra, (in_a - place) ** 2, 0).sum(
        axis=1
    )
    size = ((a >= 0).sum(axis=1) + extra.sum(axis=1)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(size > 1, 1 - 6 * squares / (size * (size**2 - 1)), np.nan)


def _behind(
    answers: npt.NDArray[np.int32],
    others: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    extra: npt.NDArray[np.bool_],
) -> IntArray:
    """The places of the extra answers, by score and then by row, behind a list of other answers, shape (pairs, k)."""
    extra = extra & (answers >= 0)
    score = np.where(extra, scores, -np.inf)
    ahead = (score[:, None, :] > score[:, :, None]) | (
        (score[:, None, :] == score[:, :, None]) & (answers[:, None, :] < answers[:, :, None]) & extra[:, None, :]
    )
    behind: IntArray = (others >= 0).sum(axis=1)[:, None] + ahead.sum(axis=2)
    return behind


__all__ = ["CUTOFFS", "UNION_MRC", "union_correlation"]
