"""Reciprocal rank."""

from __future__ import annotations

import numpy as np

from babelmix.evaluation.metrics.base import Floats, RankedLists


def reciprocal_rank(lists: RankedLists, k: int | None = None) -> Floats:
    """RR = 1 / rank of the first relevant passage (ranks from 1); 0 if that rank is larger than k.

    Returns:
        float64, shape (lists,).

    """
    first = lists.ranks[lists.starts]
    value = 1.0 / (first + 1)
    return value if k is None else np.where(first < k, value, 0.0)
