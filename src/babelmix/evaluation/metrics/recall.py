"""Recall."""

from __future__ import annotations

import numpy as np

from babelmix.evaluation.metrics.base import Floats, RankedLists


def recall(lists: RankedLists, k: int | None = None) -> Floats:
    """R@k: the share of the relevant passages of a query that are among the first k.

    In the multilingual setting of XQuAD-R (eleven relevant passages) R@10 is at most 10/11 (arXiv 2408.10536).

    Returns:
        float64, shape (lists,).

    """
    return lists.sum((lists.ranks < (np.inf if k is None else k)).astype(np.float64)) / lists.sizes
