"""Average precision."""

from __future__ import annotations

import numpy as np

from babelmix.evaluation.metrics.base import Floats, RankedLists


def average_precision(lists: RankedLists, k: int | None = None) -> Floats:
    """AP = (1 / R) sum_i i / rank_i over the relevant passages i = 1..R in rank order (ranks from 1).

    With a cut-off k, only ranks up to k count, and the divisor is min(R, k): XTREME-R's mAP@20 for LAReQA
    (google-research/xtreme, `utils_lareqa.py`).

    Returns:
        float64, shape (lists,).

    """
    precision = (lists.position + 1) / (lists.ranks + 1)
    if k is None:
        return lists.sum(precision) / lists.sizes
    return lists.sum(np.where(lists.ranks < k, precision, 0.0)) / np.minimum(lists.sizes, k)
