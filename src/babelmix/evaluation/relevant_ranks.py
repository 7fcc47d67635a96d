"""The ranks of relevant passages with their languages: what the field's bias measures are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from babelmix.corpus import IMAGE
from babelmix.evaluation.ranks import IntArray, RankTable

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

UNKNOWN_LANGUAGES = frozenset({"und", "mul", "mis", IMAGE})
"""Tags of BCP 47 that name no single language: undetermined, several, without a code, and pictures."""


@dataclass(frozen=True, eq=False)
class RelevantRanks:
    """The relevant passages of many queries: their ranks, and whether they are in the query's language.

    A rank table makes it with `relevant_ranks`. Ranked lists can make it too: a passage that is not in the list has a rank
    behind every cut-off.

    Args:
        queries: the number of queries.
        query: query row of each relevant passage, ascending, int64, shape (pairs,).
        rank: rank from 0 in the pool of all languages, int64, shape (pairs,).
        lang: the number of the passage's language, int64, shape (pairs,).
        grade: how relevant the passage is, from 1 on, int64, shape (pairs,).
        same: whether the passage is in the query's language, bool, shape (pairs,).
        other: whether the passage is in another language, and both languages are known, bool, shape (pairs,).

    """

    queries: int
    query: IntArray
    rank: IntArray
    lang: IntArray
    grade: IntArray
    same: Mask
    other: Mask

    def total(self, values: npt.NDArray[np.floating] | Mask) -> Floats:
        """The sum of a value per pair over each query, float64, shape (queries,)."""
        return np.bincount(self.query, values, minlength=self.queries).astype(np.float64)

    def best(self, chosen: Mask) -> Floats:
        """The smallest rank of the chosen pairs of each query, NaN for none, float64, shape (queries,)."""
        return _reduced(np.minimum, self.query[chosen], self.rank[chosen], self.queries)

    def worst(self) -> Floats:
        """The largest rank of each query, NaN for a query without a relevant passage, float64, shape (queries,)."""
        return _reduced(np.maximum, self.query, self.rank, self.queries)

    def languages(self) -> IntArray:
        """The number of languages of the relevant passages of each query, int64, shape (queries,)."""
        return self._languages

    @cached_property
    def _languages(self) -> IntArray:
        width = int(self.lang.max(initial=0)) + 1
        # Queries ascend, so that sorting is fast; `numpy.unique` is ten times slower here.
        ordered = np.sort(self.query * width + self.lang, kind="stable")
        distinct = ordered[np.diff(ordered, prepend=-1) > 0]
        return np.bincount(distinct // width, minlength=self.queries).astype(np.int64)


def _reduced(function: np.ufunc, query: IntArray, rank: IntArray, queries: int) -> Floats:
    found = np.full(queries, np.nan)
    if len(query):
        starts = np.flatnonzero(np.diff(query, prepend=-1))
        found[query[starts]] = function.reduceat(rank, starts)
    return found


_made: WeakKeyDictionary[RankTable, RelevantRanks] = WeakKeyDictionary()


def relevant_ranks(table: RankTable) -> RelevantRanks:
    """The relevant passages of a rank table. They are computed once per table."""
    if table not in _made:
        index = {lang: i for i, lang in enumerate(table.passage_langs)}
        own = np.array([index.get(lang, -1) for lang in table.query_langs], dtype=np.int64)
        unknown = [np.array([lang in UNKNOWN_LANGUAGES for lang in langs], dtype=bool) for langs in _langs(table)]
        query_lang = table.query_lang[table.pair_query]
        known = ~unknown[0][query_lang] & ~unknown[1][table.pair_lang]
        equal = own[query_lang] == table.pair_lang
        _made[table] = RelevantRanks(
            len(table.query_lang), table.pair_query, table.rank_in_all(), table.pair_lang, table.pair_grade,
            same=equal & known, other=~equal & known,
        )  # fmt: skip
    return _made[table]


def _langs(table: RankTable) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return table.query_langs, table.passage_langs


__all__ = ["UNKNOWN_LANGUAGES", "RelevantRanks", "relevant_ranks"]
