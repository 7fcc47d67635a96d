"""Normalised discounted cumulative gain."""

from __future__ import annotations

import numpy as np

from babelmix.audit.metrics.base import Floats, RankedLists


def ndcg(lists: RankedLists, k: int | None = None) -> Floats:
    """NDCG with binary gains: sum over relevant ranks up to k of 1 / log2(rank + 1), over the best that R allow.

    Järvelin & Kekäläinen 2002; trec_eval's `ndcg_cut` (ranks from 1).

    Returns:
        float64, shape (lists,).

    """
    limit = np.inf if k is None else k
    gain = lists.sum(np.where(lists.ranks < limit, 1.0 / np.log2(lists.ranks + 2), 0.0))
    ideal = lists.sum(np.where(lists.position < limit, 1.0 / np.log2(lists.position + 2), 0.0))
    return gain / ideal
