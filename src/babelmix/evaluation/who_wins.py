"""Which of the translations of an answer wins, and what is at rank 1: right or wrong, in the query's language or not."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.relevant_ranks import RelevantRanks

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def own_version_wins(found: RelevantRanks, *, only_at_rank_1: bool = False) -> Floats:
    """Whether the relevant passage in the query's language ranks above all relevant passages in other languages.

    The definition is babelmix's. MLAIRE (arXiv 2605.07249) measures the same thing under the name LPR, but its formula is not
    public, so these numbers are not its LPR. Without a preference, each of L languages wins in 1 of L queries.

    Args:
        found: the relevant passages. Ranks are distinct; those of passages that were not found must be known too.
        only_at_rank_1: use only queries whose first answer is relevant.

    Returns:
        float64, 1 or 0, shape (queries,); NaN for a query without a relevant passage in its own language or without one in
        another language.

    Examples:
        >>> import numpy as np
        >>> zeros, one = np.array([0, 0]), np.array([1, 1])
        >>> own = np.array([False, True])
        >>> own_version_wins(RelevantRanks(1, zeros, np.array([2, 7]), np.arange(2), one, own, ~own)).tolist()
        [0.0]

    """
    own, others = found.best(found.same), found.best(~found.same)
    known = ~np.isnan(own) & ~np.isnan(others)
    if only_at_rank_1:
        known &= np.fmin(own, others) == 0
    return np.where(known, own < others, np.nan)


def first_answer(
    found: RelevantRanks, first_is_own: Mask, answered: Mask, right: bool, language: Literal["same", "other"]
) -> Floats:
    """Whether the answer at rank 1 is in one of four cells: right or wrong, in the query's language or in another.

    The four values of a query sum to 1. The cells are those of MLAIRE (arXiv 2605.07249).

    Args:
        found: the relevant passages.
        first_is_own: whether the first answer is in the query's language, bool, shape (queries,).
        answered: whether there is a first answer, bool, shape (queries,).
        right: the cell of relevant first answers; otherwise the cell of the others.
        language: the cell of answers in the query's language, `same`, or in any `other` language.

    Returns:
        float64, 1 or 0, shape (queries,); NaN for a query without a relevant passage or without an answer.

    """
    best = found.best(np.ones(len(found.query), dtype=bool))
    known = ~np.isnan(best) & answered
    return np.where(known, ((best == 0) == right) & (first_is_own == (language == "same")), np.nan)


__all__ = ["first_answer", "own_version_wins"]
