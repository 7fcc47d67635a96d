"""Batch plans: which training pairs stand together, as a pure function of (seed, step)."""

from __future__ import annotations

from babelmix.batches.index import CorpusIndex, PairIndex, RowIndex, classes_of
from babelmix.batches.plan import Batch, BatchPlan, largest_batch
from babelmix.batches.sampler import PlanBatchSampler, batch_sampler
from babelmix.batches.strategies import STRATEGIES, Strategy, strategy

__all__ = [
    "STRATEGIES",
    "Batch",
    "BatchPlan",
    "CorpusIndex",
    "PairIndex",
    "PlanBatchSampler",
    "RowIndex",
    "Strategy",
    "batch_sampler",
    "classes_of",
    "largest_batch",
    "strategy",
]
