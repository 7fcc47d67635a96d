"""Whether a question in another language finds the same items, for which no labels are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.ranks import IntArray, RankTable, numbered

PERSISTENCE = 0.9
"""The p of rank-biased overlap. The first ten answers have about 86 % of the weight."""

_BLOCK = 1 << 15
"""Pairs of queries that are compared at once: this bounds the memory."""

Floats = npt.NDArray[np.float64]
Items = npt.NDArray[np.int32]


def answer_overlap(table: RankTable, k: int) -> tuple[IntArray, Floats]:
    """The share of items that a question finds in two languages.

    Take a query q of item i, and the queries q' of the same item in other languages. The value of q is the mean over q' of the
    Jaccard index of the items among the first k answers: those that both find, over those that either finds. An answer in any
    language counts as its item. 1: the language of the question does not matter for what is found.

    An item with queries in one language only has no value.

    Args:
        table: the rank table, with `first_item`.
        k: the number of answers; at most the depth of `first_item`.

    Returns:
        Query rows, int64, shape (values,), and values from 0 to 1, float64, shape (values,).

    """
    if table.first_item is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    return overlap_of_items(table.first_item, numbered(table.query_item), table.query_lang, k)


def overlap_of_items(first: Items, item: IntArray, lang: IntArray, k: int) -> tuple[IntArray, Floats]:
    """`answer_overlap` of lists of items.

    Args:
        first: a number for the item of each of the first answers, -1 for none, int32, shape (queries, depth).
        item: the item of each query, int64, shape (queries,).
        lang: the language of each query, int64, shape (queries,).
        k: the number of answers.

    Returns:
        See `answer_overlap`.

    """
    return _over_translations(first, item, lang, lambda pair: _jaccard(pair, k))


def rank_biased_overlap(table: RankTable) -> tuple[IntArray, Floats]:
    """The agreement of the order of items that a question finds in two languages: rank-biased overlap.

    As `answer_overlap`, with the extrapolated rank-biased overlap of the two lists of items (Webber, Moffat and Zobel 2010,
    equation 32, p = 0.9): first answers count most. An item counts at its first answer in any language.

    Args:
        table: the rank table, with `first_item`.

    Returns:
        Query rows, int64, shape (values,), and values from 0 to 1, float64, shape (values,).

    """
    if table.first_item is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    return _over_translations(table.first_item, numbered(table.query_item), table.query_lang, _overlap)


class _Pair(NamedTuple):
    """Two lists of items for each row, int32, shape (rows, depth), -1 for none, and where each item occurs first."""

    one: Items
    other: Items
    is_first: npt.NDArray[np.bool_]
    other_is_first: npt.NDArray[np.bool_]


def _over_translations(
    first: Items, item: IntArray, lang: IntArray, similarity: Callable[[_Pair], Floats]
) -> tuple[IntArray, Floats]:
    """The mean similarity of each query's answers with those of its translations."""
    sums, counts = np.zeros(len(lang)), np.zeros(len(lang), dtype=np.int64)
    is_first = _is_first(first)
    for one, other in _pairs_of_translations(item, lang):
        found = similarity(_Pair(first[one], first[other], is_first[one], is_first[other]))
        for side in (one, other):
            sums += np.bincount(side, found, minlength=len(sums))
            counts += np.bincount(side, minlength=len(sums))
    known = np.flatnonzero(counts)
    return known, sums[known] / counts[known]


def _pairs_of_translations(item: IntArray, lang: IntArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Pairs of query rows with the same item and different languages, each pair once, in blocks."""
    order = np.argsort(item, kind="stable")
    for distance in range(1, int(np.bincount(item).max(initial=0))):
        one, other = order[:-distance], order[distance:]
        same = (item[one] == item[other]) & (lang[one] != lang[other])
        one, other = one[same], other[same]
        for start in range(0, len(one), _BLOCK):
            yield one[start : start + _BLOCK], other[start : start + _BLOCK]


def _is_first(items: Items) -> npt.NDArray[np.bool_]:
    """Whether an item occurs for the first time in its row, shape (queries, depth)."""
    result = items >= 0
    for place in range(1, items.shape[1]):
        result[:, place] &= (items[:, :place] != items[:, place : place + 1]).all(axis=1)
    return result


def _jaccard(pair: _Pair, k: int) -> Floats:
    one, other = pair.one[:, :k], pair.other[:, :k]
    both = np.zeros(len(one), dtype=np.int64)
    # Pairs are the last axis, which is the longest: so numpy compares many numbers at once.
    turned = np.ascontiguousarray(other.T)
    for place in range(one.shape[1]):
        both += pair.is_first[:, place] & (np.ascontiguousarray(one[:, place]) == turned).any(axis=0)
    either = pair.is_first[:, :k].sum(axis=1) + pair.other_is_first[:, :k].sum(axis=1) - both
    # Two queries without any answer agree.
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)


def _overlap(pair: _Pair) -> Floats:
    # The place of each item in the list without repeats, from 1 on.
    place, other_place = pair.is_first.cumsum(axis=1), pair.other_is_first.cumsum(axis=1)
    size, other_size = place[:, -1], other_place[:, -1]
    long, short = np.maximum(size, other_size), np.minimum(size, other_size)
    depth = pair.one.shape[1]
    # How many items stand in both lists at a depth, shape (rows, depth).
    met: list[IntArray] = []
    # Pairs are the last axis, which is the longest: so numpy compares many numbers at once.
    other, firsts = np.ascontiguousarray(pair.other.T), np.ascontiguousarray(pair.other_is_first.T)
    for at in range(depth):
        same = firsts & pair.is_first[:, at] & (np.ascontiguousarray(pair.one[:, at]) == other)
        there, row = np.divmod(np.flatnonzero(same), same.shape[1])
        met.append(row * (depth + 1) + np.maximum(place[row, at], other_place[row, there]))
    counts = np.bincount(np.concatenate(met), minlength=len(size) * (depth + 1)).astype(np.float64)
    shared = counts.reshape(len(size), depth + 1).cumsum(axis=1)[:, 1:]
    depths, rows = np.arange(1, depth + 1), np.arange(len(size))
    weight = PERSISTENCE**depths / depths
    of_short, of_long = shared[rows, np.maximum(short, 1) - 1], shared[rows, np.maximum(long, 1) - 1]
    seen = np.where(depths <= long[:, None], shared * weight, 0.0).sum(axis=1)
    beyond = (depths > short[:, None]) & (depths <= long[:, None])
    safe = np.maximum(short, 1)
    guessed = np.where(beyond, of_short[:, None] * (depths - short[:, None]) / safe[:, None] * weight, 0.0).sum(axis=1)
    tail = ((of_long - of_short) / np.maximum(long, 1) + of_short / safe) * PERSISTENCE**long
    found = (1 - PERSISTENCE) / PERSISTENCE * (seen + guessed) + tail
    return np.where(long == 0, 1.0, np.where(short == 0, 0.0, found))


__all__ = ["PERSISTENCE", "answer_overlap", "overlap_of_items", "rank_biased_overlap"]
