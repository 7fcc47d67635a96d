"""Language-aware nDCG: an answer in the query's language gains more than its translation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from babelmix.errors import ConfigError
from babelmix.evaluation.relevant_ranks import RelevantRanks

Floats = npt.NDArray[np.float64]

GAIN = 0.5
"""The gain of a relevant passage in another language than the query's; in its language the gain is 1."""


def language_aware_ndcg(found: RelevantRanks, k: int, *, gain: float = GAIN) -> Floats:
    """nDCG@k whose gains depend on the language: 1 for the query's language, `gain` for every other language.

    Grades multiply the gains. The ideal list has the same gains in descending order. With a gain of 1 this is nDCG@k, with a
    gain of 0 only passages in the query's language count.

    The definition is babelmix's. MLAIRE (arXiv 2605.07249) has a Lang-nDCG, but its gains are not public, so these numbers are
    not its Lang-nDCG.

    Args:
        found: the relevant passages.
        k: the cut-off.
        gain: the gain of a passage in another language, from 0 to 1.

    Returns:
        float64, shape (queries,); NaN for a query without a relevant passage that has a gain.

    Raises:
        ConfigError: the gain is not from 0 to 1.

    Examples:
        >>> import numpy as np
        >>> zeros, one = np.array([0, 0]), np.array([1, 1])
        >>> own = np.array([False, True])
        >>> found = RelevantRanks(1, zeros, np.array([0, 1]), np.arange(2), one, own, ~own)
        >>> language_aware_ndcg(found, 10, gain=0.5).round(4).tolist()
        [0.8597]

    """
    if not 0 <= gain <= 1:
        raise ConfigError(f"the gain of another language is {gain:g}; it is a number from 0 to 1")
    gains = found.grade * np.where(found.same, 1.0, gain)
    got = found.total(np.where(found.rank < k, gains / np.log2(found.rank + 2.0), 0.0))
    order = np.lexsort((-gains, found.query))
    place = np.arange(len(order)) - np.searchsorted(found.query, found.query)
    best = found.total(np.where(place < k, gains[order] / np.log2(place + 2.0), 0.0))
    with np.errstate(invalid="ignore"):
        return got / np.where(best > 0, best, np.nan)


__all__ = ["GAIN", "language_aware_ndcg"]
