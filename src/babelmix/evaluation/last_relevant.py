"""How far down the list a reader must go for all relevant passages: Max@R, its normalised form, and Comp@k."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.relevant_ranks import RelevantRanks

Floats = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def max_at_r(found: RelevantRanks) -> Floats:
    """Max@R: the largest rank, from 1, of any relevant passage in the pool of all languages.

    Args:
        found: the relevant passages; all their ranks are known.

    Returns:
        float64, shape (queries,); NaN for a query without a relevant passage. The best value is the number of relevant passages.

    Source:
        CLEAR-JSD, arXiv 2604.05684. Its pools hold English and one more language, so that there are two relevant passages.

    """
    return found.worst() + 1


def normalised_max_at_r(found: RelevantRanks, pool: IntArray) -> Floats:
    """Max@R on a logarithmic scale from 0 (a relevant passage is last) to 1 (all relevant passages are first).

    The value of a query is (log2 D - log2 Max@R) / (log2 D - log2 R), with D passages in its pool, R of them relevant. The
    publication multiplies it by 100.

    Args:
        found: the relevant passages; all their ranks are known.
        pool: passages in the pool of each query, int64, shape (queries,).

    Returns:
        float64, shape (queries,); NaN if no passage or every passage is relevant.

    Source:
        CLEAR-JSD, arXiv 2604.05684.

    """
    relevant = found.total(np.ones(len(found.query)))
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.log2(pool) - np.log2(relevant)
        value = (np.log2(pool) - np.log2(max_at_r(found))) / room
    return np.where((relevant > 0) & (relevant < pool), value, np.nan)


def complete(found: RelevantRanks, k: int, pool: IntArray | None = None) -> Floats:
    """Comp@k: 1 if all relevant passages are among the first k, otherwise 0.

    A query with more than k relevant passages has no value, as no ranking can reach 1. Neither has a query without a relevant
    passage, or one whose whole pool is relevant. The publication has two relevant passages for each query, so that these cases
    do not occur.

    Args:
        found: the relevant passages.
        k: the cut-off; 10 in the publication.
        pool: passages in the pool of each query, int64, shape (queries,); None: not known.

    Returns:
        float64, shape (queries,).

    Source:
        CLEAR-JSD, arXiv 2604.05684, as it is used there; its formula was not available.

    """
    relevant = found.total(np.ones(len(found.query)))
    inside = found.total(found.rank < k)
    known = (relevant > 0) & (relevant <= k)
    if pool is not None:
        known &= relevant < pool
    return np.where(known, inside == relevant, np.nan)


__all__ = ["complete", "max_at_r", "normalised_max_at_r"]
