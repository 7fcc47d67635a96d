"""Recall in the pool of all languages, split by whether an answer is in the query's language; TLR@k is one half of it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.relevant_ranks import Mask, RelevantRanks

Floats = npt.NDArray[np.float64]


def same_language_recall(found: RelevantRanks, k: int) -> Floats:
    """The share of the relevant passages in the query's language that are among the first k of all languages.

    Args:
        found: the relevant passages.
        k: the cut-off.

    Returns:
        float64, shape (queries,); NaN for a query without a relevant passage in its own language.

    Source:
        Qdrant's report on SHIFT, which splits recall@10 into all, same and cross.

    Examples:
        >>> import numpy as np
        >>> two, one = np.array([0, 0]), np.array([1, 1])
        >>> own = np.array([True, False])
        >>> same_language_recall(RelevantRanks(1, two, np.array([0, 30]), np.array([0, 1]), one, own, ~own), 10).tolist()
        [1.0]

    """
    return _recall(found, found.same, k)


def cross_language_recall(found: RelevantRanks, k: int) -> Floats:
    """The share of the relevant passages in other languages than the query's that are among the first k of all languages.

    With a language for each query this is TLR@k (target-language recall) of SHIFT. The divisor is the number of these passages,
    not the smaller of it and k: with more than k of them, no system reaches 1. A query without any of them is left out. A
    passage or a query of an unknown language (`und`, `mul`, `mis`, pictures) counts as neither same nor other.

    SHIFT's program takes one query language per call and averages over queries; an audit averages over the queries of each
    language, and then over query languages. With queries in one language this is the same.

    Args:
        found: the relevant passages.
        k: the cut-off; 20 in the publication.

    Returns:
        float64, shape (queries,); NaN for a query without a relevant passage in another language.

    Source:
        SHIFT, arXiv 2606.18801; the same split in Qdrant's report.

    Examples:
        >>> import numpy as np
        >>> two, one = np.array([0, 0, 0]), np.array([1, 1, 1])
        >>> own = np.array([True, False, False])
        >>> cross_language_recall(RelevantRanks(1, two, np.array([0, 3, 30]), np.arange(3), one, own, ~own), 10).tolist()
        [0.5]

    """
    return _recall(found, found.other, k)


def best_recall(found: RelevantRanks, k: int, *, same: bool) -> Floats:
    """The largest recall that any ranking has: 1, or k over the number of passages if that is more than k."""
    some = found.total(found.same if same else found.other)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(some > 0, np.minimum(some, k) / some, np.nan)


def _recall(found: RelevantRanks, chosen: Mask, k: int) -> Floats:
    with np.errstate(invalid="ignore"):
        return found.total(chosen & (found.rank < k)) / found.total(chosen)


__all__ = ["best_recall", "cross_language_recall", "same_language_recall"]
