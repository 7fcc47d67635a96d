"""Measures for a searcher who reads some languages: only these languages count, and an item counts once.

An item is relevant if one of its relevant passages is in a language that the searcher reads. Its rank is that of the first answer
that is such a passage. Answers in other languages, and further answers of an item, take up places and count for nothing. Queries
without a relevant item have no value. Lists without a reader have none of these measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from babelmix.corpus.languages import readable_languages
from babelmix.evaluation.judged_lists import JudgedLists
from babelmix.evaluation.list_measure import Bounded, ListMeasure, clipped, floats
from babelmix.evaluation.metrics import parse_metric

OWN = "own"
"""Among the languages of a reader: that of the query."""

_NONE = np.zeros(0, dtype=np.int64)
_NO_VALUES = Bounded.exact(_NONE, np.zeros(0))


def readable(lists: JudgedLists, reads: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Whether the searcher of each query reads each language, bool, shape (queries, languages).

    Args:
        lists: the lists.
        reads: the languages of the searcher, as ranges, or `own`.

    """
    masks = {}
    for lang in set(lists.query_lang.tolist()):
        mine = readable_languages([lang if one == OWN else one for one in reads], lists.langs)
        masks[lang] = np.isin(lists.langs, mine)
    shape = (lists.queries, len(lists.langs))
    return np.array([masks[lang] for lang in lists.query_lang.tolist()], dtype=bool).reshape(shape)


def by_item(lists: JudgedLists) -> JudgedLists:
    """The same lists, with one relevant pair for each query and item that its searcher can read: the first in the list.

    Requires: the lists have a reader.

    """
    assert lists.reads is not None
    assert lists.pair_item is not None
    rows = np.flatnonzero(lists.reads[lists.pair_query, lists.pair_lang])
    query, item, rank = lists.pair_query[rows], lists.pair_item[rows], lists.pair_rank[rows]
    # The passages of an item one after the other, those that are in the list first.
    order = np.lexsort((np.where(rank < 0, np.iinfo(np.int64).max, rank), item, query))
    query, item = query[order], item[order]
    first = np.flatnonzero((np.diff(query, prepend=-1) != 0) | (np.diff(item, prepend=-1) != 0))
    kept = rows[order[first]]
    grade = np.maximum.reduceat(lists.pair_grade[rows[order]], first) if len(first) else _NONE
    return replace(
        lists, pair_query=lists.pair_query[kept], pair_passage=lists.pair_passage[kept], pair_lang=lists.pair_lang[kept],
        pair_item=lists.pair_item[kept], pair_grade=grade, pair_rank=lists.pair_rank[kept],
    )  # fmt: skip


def of_items(lists: JudgedLists, k: int, *, metric: str) -> Bounded:
    """A ranking metric of the first k answers, over the items that the searcher can read."""
    if lists.reads is None or lists.pair_item is None:
        return _NO_VALUES
    items = by_item(lists)
    if not len(items.pair_query):
        return _NO_VALUES
    function, cutoff = parse_metric(f"{metric}@{k}")
    rows, worst = items.ranked(best=False)
    low = function(worst, cutoff)
    high = function(items.ranked(best=True)[1], cutoff) if (items.pair_rank < 0).any() else low
    return Bounded(rows, low, np.minimum(low, high), np.maximum(low, high))


def readable_share(lists: JudgedLists, k: int) -> Bounded:
    """The share of the first k answers in a language that the searcher reads; of those given, if there are fewer."""
    if lists.reads is None:
        return _NO_VALUES
    rows = np.flatnonzero(lists.reads.any(axis=1))
    reads, given, left = lists.reads[rows], lists.given(k)[rows], lists.left[rows]
    mine, total, unknown = (given * reads).sum(axis=1), given.sum(axis=1), lists.unknown(k)[rows]
    others_left, mine_left = (left * ~reads).sum(axis=1), (left * reads).sum(axis=1)
    places = np.maximum(total + unknown, 1)
    low = (mine + np.maximum(unknown - others_left, 0)) / places
    high = (mine + np.minimum(unknown, mine_left)) / places
    return clipped(rows, mine / np.maximum(total, 1), low, high)


def found_through_others(lists: JudgedLists, k: int) -> Bounded:
    """The share of the relevant items that are among the first k answers, but not if only the searcher's languages are searched.

    Lists that are not compared with a search in these languages alone (`JudgedLists.alone`) have no value.
    """
    if lists.reads is None or lists.alone is None or lists.pair_item is None:
        return _NO_VALUES
    ours, alone = by_item(lists), by_item(lists.alone)
    wanted = np.bincount(ours.pair_query, minlength=lists.queries)
    rows = np.flatnonzero(wanted)

    def there(items: JudgedLists) -> npt.NDArray[np.bool_]:
        return (items.pair_rank >= 0) & (items.pair_rank < k)

    # Both are of one corpus and one reader, so that they have the same pairs.
    only = there(ours) & ~there(alone)
    missing = (ours.pair_rank < 0) & ~there(alone)
    found = np.bincount(ours.pair_query[only], minlength=lists.queries)[rows]
    more = np.minimum(np.bincount(ours.pair_query[missing], minlength=lists.queries), lists.unknown(k))[rows]
    return floats(rows, found / wanted[rows], found / wanted[rows], (found + more) / wanted[rows])


READER_MEASURES = {
    "item recall": ListMeasure(partial(of_items, metric="R"), better="higher", source="recall, over items"),
    "item nDCG": ListMeasure(partial(of_items, metric="nDCG"), better="higher", source="nDCG, over items"),
    "item mAP": ListMeasure(partial(of_items, metric="mAP"), None, "higher", source="mAP, over items"),
    "readable share": ListMeasure(readable_share, better="higher", needs_qrels=False),
    "found through other languages": ListMeasure(found_through_others, better="higher"),
}
"""The measures of a reader, for `babelmix.evaluation.list_measures.LIST_MEASURES`."""

__all__ = ["READER_MEASURES", "by_item", "readable"]
