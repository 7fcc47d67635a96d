"""Batch plans: which training pairs stand together, as a pure function of (seed, step)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from babelmix.batches.mixture import Mixture
from babelmix.batches.plan import Batch, BatchPlan, largest_batch
from babelmix.batches.pool import PairIndex
from babelmix.batches.regular import RegularIndex
from babelmix.batches.strategies import STRATEGIES, Strategy, strategy

if TYPE_CHECKING:
    from babelmix.batches.index import CorpusIndex, RowIndex, classes_of
    from babelmix.batches.sampler import PlanBatchSampler, batch_sampler

__all__ = [
    "STRATEGIES",
    "Batch",
    "BatchPlan",
    "CorpusIndex",
    "Mixture",
    "PairIndex",
    "PlanBatchSampler",
    "RegularIndex",
    "RowIndex",
    "Strategy",
    "batch_sampler",
    "classes_of",
    "largest_batch",
    "strategy",
]

# Loaded on first use: these need torch or the tables' libraries, and a plan over a `RegularIndex` only numpy.
_HOMES = {
    "CorpusIndex": "index", "RowIndex": "index", "classes_of": "index",
    "PlanBatchSampler": "sampler", "batch_sampler": "sampler",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"babelmix.batches.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
