"""Places for the query's language: at least so many of the first 10 answers are in it, whatever the scores say.

The best answers in the query's language that are not among the first 10 replace the last of the others there. All other answers
keep their order. So ranks within a language do not change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.frontier.applied import own_languages
from babelmix.evaluation.scoring import ScoreChange

Floats = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

FIRST = 10
"""The number of first answers in which places are kept."""

_ABOVE = np.float32(1e6)
"""The score of the first answer of a query with moved answers. No score of a search is near it, and whole numbers around it are
exact."""

_NEVER = np.float32(-1e6)
"""A score below all others."""


@dataclass(frozen=True, eq=False)
class OwnPlaces:
    """The first answers of each query, and the first ones in its language, from which the places are filled.

    Args:
        lang: the number of each passage's language, int64, shape (passages,).
        own: whether each language is that of each query, bool; see `babelmix.evaluation.frontier.applied.own_languages`.
        first: passage rows of the first 10 answers, -1 for none, int64, shape (queries, 10).
        first_own: the same of the answers in the query's language.

    """

    lang: IntArray
    own: npt.NDArray[np.bool_]
    first: IntArray
    first_own: IntArray

    def change(self, before: ScoreChange | None, places: int) -> ScoreChange:
        """What a search does to scores: what it did `before`, then at least `places` of the first 10 in the query's language."""
        filled = [self.filled(query, places) for query in range(len(self.own))]

        def change(scores: Floats, query: IntArray, passage: IntArray) -> Floats:
            found = scores if before is None else before(scores, query, passage)
            column = np.full(len(self.lang) + 1, -1, dtype=np.int64)
            column[passage] = np.arange(len(passage))
            # Padding is -1, the last place.
            column[-1] = -1
            changed = np.array(found, dtype=np.float32)
            for row, one in enumerate(query.tolist()):
                answers = filled[one]
                at = column[answers]
                there = at >= 0
                changed[row, at[there]] = _ABOVE - np.flatnonzero(there).astype(np.float32)
            return changed

        return change

    def filled(self, query: int, places: int) -> IntArray:
        """The first answers of a query after its places are filled; empty if they stay as they are."""
        first = self.first[query][self.first[query] >= 0]
        is_own = self.own[query][self.lang[first]]
        there = int(is_own.sum())
        wanted = self.first_own[query][self.first_own[query] >= 0][:places]
        more = len(wanted) - there
        if more <= 0:
            return np.zeros(0, dtype=np.int64)
        others = first[~is_own]
        dropped = others[max(len(others) - more, 0) :]
        kept = first[~np.isin(first, dropped)]
        return np.concatenate([kept, wanted[there:]])


def own_places(
    query_langs: npt.NDArray[np.object_],
    passage_langs: npt.NDArray[np.object_],
    first_of: Callable[[ScoreChange | None], IntArray],
    before: ScoreChange | None,
) -> OwnPlaces:
    """Find the first answers of each query, and the first ones in its language.

    Args:
        query_langs: the language of each query, None where it is unknown, shape (queries,).
        passage_langs: the same for the passages.
        first_of: ranks all passages with a change of scores, and returns the passage rows of the first answers, -1 for none,
            int64, shape (queries, 10 or more).
        before: what the search does to scores before places are filled.

    """
    own, lang = own_languages(query_langs, passage_langs)

    def only_own(scores: Floats, query: IntArray, passage: IntArray) -> Floats:
        found = scores if before is None else before(scores, query, passage)
        only: Floats = np.where(own[query][:, lang[passage]], found, _NEVER)
        return only

    first = first_of(before)
    of_own = first_of(only_own)
    # A query with fewer answers in its language gets others last; they are none.
    is_own = own[np.arange(len(own))[:, None], lang[of_own]]
    of_own = np.where((of_own >= 0) & is_own, of_own, -1)
    return OwnPlaces(lang, own, first[:, :FIRST], of_own[:, :FIRST])


__all__ = ["FIRST", "OwnPlaces", "own_places"]
