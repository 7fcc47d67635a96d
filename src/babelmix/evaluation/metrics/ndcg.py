"""Normalised discounted cumulative gain."""

from __future__ import annotations

import numpy as np

from babelmix.evaluation.metrics.base import Floats, RankedLists


def ndcg(lists: RankedLists, k: int | None = None) -> Floats:
    """NDCG: the sum of grade / log2(rank + 1) over relevant ranks up to k, divided by the same sum for the best order.

    Ranks are from 1. Järvelin & Kekäläinen 2002 with linear gains, as in trec_eval's `ndcg_cut`, BEIR and MIRACL.

    Returns:
        float64, shape (lists,).

    """
    limit = np.inf if k is None else k
    gain = lists.sum(np.where(lists.ranks < limit, lists.grades / np.log2(lists.ranks + 2), 0.0))
    ideal = lists.sum(np.where(lists.position < limit, lists.best_grades() / np.log2(lists.position + 2), 0.0))
    return gain / ideal
