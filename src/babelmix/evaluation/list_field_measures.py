"""The field's measures of ranked lists, where a list of k answers defines them. docs/measures.md has the formulas."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.judged_lists import JudgedLists
from babelmix.evaluation.language_gain import GAIN, language_aware_ndcg
from babelmix.evaluation.list_measure import Bounded, ListMeasure, floats
from babelmix.evaluation.peer import official_peer, untold_by_peer
from babelmix.evaluation.relevant_ranks import UNKNOWN_LANGUAGES, RelevantRanks
from babelmix.evaluation.who_wins import first_answer, own_version_wins

Mask = npt.NDArray[np.bool_]

MISSING = np.iinfo(np.int64).max // 2
"""The rank of a passage that is in no list: behind every cut-off."""

_OURS = "ours, after arXiv 2605.07249"


def in_lists(lists: JudgedLists) -> RelevantRanks:
    """The relevant passages of lists. A passage that is not in its list has a rank behind every cut-off."""
    same, other = _languages(lists)
    at = (lists.pair_query, lists.pair_lang)
    rank = np.where(lists.pair_rank < 0, MISSING, lists.pair_rank)
    return RelevantRanks(lists.queries, lists.pair_query, rank, lists.pair_lang, lists.pair_grade, same[at], other[at])


def recall_by_language(lists: JudgedLists, k: int, *, which: Literal["same", "other"]) -> Bounded:
    """The share of the relevant passages in the query's language, or in all others, that are among the first k."""
    chosen = _languages(lists)[0 if which == "same" else 1] & _several(lists)
    wanted = (lists.wanted * chosen).sum(axis=1)
    rows = np.flatnonzero(wanted)
    found, missing = ((counts * chosen).sum(axis=1)[rows] for counts in (lists.found(k), lists.missing))
    most = found + np.minimum(lists.unknown(k)[rows], missing)
    return floats(rows, found / wanted[rows], found / wanted[rows], most / wanted[rows])


def complete(lists: JudgedLists, k: int) -> Bounded:
    """Comp@k: 1 if all relevant passages are among the first k; no value for a query with more than k of them."""
    wanted = lists.wanted.sum(axis=1)
    rows = np.flatnonzero((wanted > 0) & (wanted <= k) & (wanted < lists.sizes) & _several(lists))
    lacking = (wanted - lists.found(k).sum(axis=1))[rows]
    return floats(rows, lacking == 0, lacking == 0, lacking <= lists.unknown(k)[rows])


def wins(lists: JudgedLists, k: int) -> Bounded:
    """Whether the version in the query's language ranks above all others; 1 / languages if no version is in the list."""
    found = in_lists(lists)
    value = own_version_wins(found)
    rows = np.flatnonzero(~np.isnan(value))
    none = (found.best(np.ones(len(found.query), dtype=bool)) == MISSING)[rows]
    by_chance = np.where(none, 1 / np.maximum(found.languages()[rows], 1), value[rows])
    return floats(rows, by_chance, value[rows], np.where(none, 1, value[rows]))


def first_is(lists: JudgedLists, k: int, *, right: bool, language: Literal["same", "other"]) -> Bounded:
    """Whether the first answer is in one of four cells. All are 0 for a query without an answer; any of them may be 1."""
    first = lists.rank == 0
    own = np.zeros(lists.queries, dtype=bool)
    own[lists.query[first]] = lists.lang[first] == lists.own[lists.query[first]]
    known = np.array([lang not in UNKNOWN_LANGUAGES for lang in lists.query_lang], dtype=bool) & _several(lists)
    value = first_answer(in_lists(lists), own, known, right, language)
    rows = np.flatnonzero(~np.isnan(value))
    shown = lists.depth[rows] > 0
    return floats(
        rows, np.where(shown, value[rows], 0.0), np.where(shown, value[rows], 0.0), np.where(shown, value[rows], 1.0)
    )


def gained(lists: JudgedLists, k: int, *, gain: float = GAIN) -> Bounded:
    """nDCG@k with gain 1 for the query's language and `gain` for others."""
    found = in_lists(lists)
    low = language_aware_ndcg(found, k, gain=gain)
    gone = np.flatnonzero(lists.pair_rank < 0)
    gains = found.grade[gone] * np.where(found.same[gone], 1.0, gain)
    gone = gone[np.lexsort((-gains, found.query[gone]))]
    query = found.query[gone]
    # At best, the missing passages come right after the list, those with the largest gain first.
    rank = found.rank.copy()
    rank[gone] = lists.depth[query] + np.arange(len(query)) - np.searchsorted(query, query)
    high = np.where(lists.unknown(k) > 0, language_aware_ndcg(replace(found, rank=rank), k, gain=gain), low)
    rows = np.flatnonzero(~np.isnan(low) & _several(lists))
    return floats(rows, low[rows], low[rows], high[rows])


def peer_of_lists(lists: JudgedLists, k: int) -> Bounded:
    """PEER@k of the package `peer_measure`: what a list does not show is unretrieved, so nothing is unknown."""
    found = in_lists(lists)
    usable = _several(lists) and len(found.query) > 0 and not untold_by_peer(found)
    value = official_peer(found, k) if usable else np.full(lists.queries, np.nan)
    rows = np.flatnonzero(~np.isnan(value))
    return Bounded.exact(rows, value[rows])


def _several(lists: JudgedLists) -> bool:
    return int((lists.pool.sum(axis=0) > 0).sum()) > 1


def _languages(lists: JudgedLists) -> tuple[Mask, Mask]:
    """Whether each language is that of the query, and whether it is another known one, bool, shape (queries, languages)."""
    known = np.array([lang not in UNKNOWN_LANGUAGES for lang in lists.langs], dtype=bool)
    asked = np.array([lang not in UNKNOWN_LANGUAGES for lang in lists.query_lang], dtype=bool)[:, None]
    equal = np.arange(len(lists.langs)) == lists.own[:, None]
    return equal & known & asked, ~equal & known & asked


def _cell(right: bool, language: Literal["same", "other"]) -> ListMeasure:
    function = partial(first_is, right=right, language=language)
    return ListMeasure(function, 0, None if right else "lower", source=_OURS)


_SHIFT, _QDRANT = "SHIFT, arXiv 2606.18801", "Qdrant on SHIFT"
_SAME, _OTHER = partial(recall_by_language, which="same"), partial(recall_by_language, which="other")

FIELD_MEASURES = {
    "TLR": ListMeasure(_OTHER, (10, 20), "higher", source=_SHIFT),
    "same-language recall": ListMeasure(_SAME, better="higher", source=_QDRANT),
    "cross-language recall": ListMeasure(_OTHER, better="higher", source=_QDRANT),
    "Comp": ListMeasure(complete, (10, 20), "higher", source="arXiv 2604.05684"),
    "own version wins": ListMeasure(wins, at=None, source=_OURS),
    "first answer right same-language": _cell(right=True, language="same"),
    "first answer right other-language": _cell(right=True, language="other"),
    "first answer wrong same-language": _cell(right=False, language="same"),
    "first answer wrong other-language": _cell(right=False, language="other"),
    "language-aware nDCG": ListMeasure(gained, better="higher", source=_OURS),
    "official PEER": ListMeasure(peer_of_lists, (20, 100), "higher", source="peer_measure, arXiv 2405.00978"),
}
"""The field's measures of ranked lists, for `babelmix.evaluation.list_measures.LIST_MEASURES`."""

__all__ = ["FIELD_MEASURES", "in_lists"]
