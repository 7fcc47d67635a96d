"""Hit rate."""

from __future__ import annotations

import numpy as np

from babelmix.evaluation.metrics.base import Floats, RankedLists


def hit(lists: RankedLists, k: int | None = None) -> Floats:
    """hit@k: 1 if any relevant passage is among the first k, else 0.

    Papers on image-text retrieval call it R@k, even if a picture has five right captions (CLIP_benchmark, IGLUE).

    Returns:
        float64, shape (lists,).

    """
    if len(lists.starts) == 0:
        return np.zeros(0)
    return (np.minimum.reduceat(lists.ranks, lists.starts) < (np.inf if k is None else k)).astype(np.float64)
