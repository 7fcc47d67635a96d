"""Bias measures of ranked lists, each with its bounds: what it can be at least and at most, as ranks beyond a list are unknown.

To add one, write a function from `JudgedLists` and k to `Bounded`, and add a line to `LIST_MEASURES`. Reports call it
`bias/NAME@k`. Systems are compared on the queries that have a value in both.
"""

from __future__ import annotations

import numpy as np

from babelmix._registry import Registry
from babelmix.evaluation.judged_lists import JudgedLists
from babelmix.evaluation.list_agreement import answer_overlap_of_lists
from babelmix.evaluation.list_field_measures import FIELD_MEASURES
from babelmix.evaluation.list_measure import AT, Bounded, ListMeasure, clipped, floats
from babelmix.evaluation.reader_measures import READER_MEASURES


def same_language_share(lists: JudgedLists, k: int) -> Bounded:
    """The share of the first k answers that are in the query's language; of those given, if there are fewer.

    Queries in a language that no passage has are left out, and those without answers.
    """
    given = lists.given(k)
    rows = np.flatnonzero((lists.own >= 0) & given.any(axis=1))
    own = lists.own[rows]
    given = given[rows]
    mine, total = given[np.arange(len(rows)), own], given.sum(axis=1)
    value = mine / total
    unknown, left = lists.unknown(k)[rows], lists.left[rows]
    mine_left = left[np.arange(len(rows)), own]
    places = np.maximum(total + unknown, 1)
    others_left = left.sum(axis=1) - mine_left
    low = (mine + np.maximum(unknown - others_left, 0)) / places
    high = (mine + np.minimum(unknown, mine_left)) / places
    return clipped(rows, value, low, high)


def same_language_preference(lists: JudgedLists, k: int) -> Bounded:
    """The mean over other languages l of 1 if r_own < r_l, 0 if r_l < r_own, and 1/2 if neither is among the first k.

    r_l is the rank of the best relevant passage in language l. Queries without a relevant passage in their own language and in
    another are left out. The bounds are those of the preference in the whole pool.
    """
    has = lists.wanted > 0
    rows = np.flatnonzero((lists.own >= 0) & (has.sum(axis=1) > 1))
    rows = rows[has[rows, lists.own[rows]]]
    own = lists.own[rows]
    best = np.where(lists.best >= 0, lists.best, k)[rows]
    mine = best[np.arange(len(rows)), own][:, None]
    others = has[rows]
    others[np.arange(len(rows)), own] = False
    several = others.sum(axis=1)
    unknown = ((best == k) & (mine == k) & others).sum(axis=1) / several / 2
    value = (np.where(others, 1 + np.sign(best - mine), 0) / 2).sum(axis=1) / several
    return Bounded(rows, value, value - unknown, value + unknown)


def rank_distance(lists: JudgedLists, k: int) -> Bounded:
    """The places between the best and the worst placed correct answer, over its languages.

    A language whose relevant passages are all missing counts as if it had rank k (from 0), within the bounds: at best its passage
    is right after the list, at worst at the end of the pool.
    """
    has = lists.wanted > 0
    rows = np.flatnonzero(has.sum(axis=1) > 1)
    best, has = lists.best[rows], has[rows]
    gone = has & (best < 0)
    number, depth = gone.sum(axis=1), lists.depth[rows]
    there = has & ~gone
    first = np.where(there, best, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    none = ~there.any(axis=1)
    first = np.where(none, depth, first)
    last = np.where(there, best, -1).max(axis=1, initial=-1)
    # The best of the n passages of a language is at the latest n places before the end of the pool.
    latest = np.where(gone, lists.sizes[rows][:, None] - lists.wanted[rows], -1).max(axis=1, initial=-1)
    low = np.where(number > 0, np.maximum(last, depth + number - 1), last) - first
    high = np.where(number > 0, np.maximum(last, latest), last) - first
    value = np.where(number > 0, k, last) - np.where(none, k, first)
    return clipped(rows, value, low, high)


def languages(lists: JudgedLists, k: int) -> Bounded:
    """The number of languages among the first k answers."""
    here = lists.given(k) > 0
    value = here.sum(axis=1)
    high = value + np.minimum(lists.unknown(k), ((lists.left > 0) & ~here).sum(axis=1))
    return floats(np.arange(lists.queries), value, value, high)


def right_languages(lists: JudgedLists, k: int) -> Bounded:
    """The number of languages among the relevant ones of the first k answers."""
    here = lists.found(k) > 0
    value = here.sum(axis=1)
    high = value + np.minimum(lists.unknown(k), ((lists.missing > 0) & ~here).sum(axis=1))
    return floats(np.arange(lists.queries), value, value, high)


LIST_MEASURES: Registry[ListMeasure] = Registry(
    "measure of ranked lists",
    {
        "same-language share": ListMeasure(same_language_share, needs_qrels=False),
        "same-language preference": ListMeasure(same_language_preference, at=None),
        "languages": ListMeasure(languages, better="higher", needs_qrels=False),
        "answer overlap": ListMeasure(answer_overlap_of_lists, better="higher", needs_qrels=False),
        "right languages": ListMeasure(right_languages, better="higher"),
        "rank distance": ListMeasure(rank_distance, at=None, better="lower", format="rank", source="arXiv 2408.10536"),
        **READER_MEASURES,
        **FIELD_MEASURES,
    },
)
"""The bias measures of ranked lists by name, without `@k`."""

__all__ = ["AT", "LIST_MEASURES", "Bounded", "ListMeasure"]
