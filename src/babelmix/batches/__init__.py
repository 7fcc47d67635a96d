"""Batch plans: which training pairs are in one batch, as a pure function of (seed, step)."""

from __future__ import annotations

import importlib
import warnings
from typing import TYPE_CHECKING, Any

from babelmix.batches.batch import Batch
from babelmix.batches.mixture import Mixture
from babelmix.batches.plan import BatchPlan, largest_batch
from babelmix.batches.pool import PairIndex
from babelmix.batches.regular import RegularIndex
from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies import STRATEGIES, Strategy, strategy

if TYPE_CHECKING:
    from babelmix.batches.clusters import clusters_of
    from babelmix.batches.index import CorpusIndex
    from babelmix.batches.row_index import RowIndex
    from babelmix.batches.sampler import PlanBatchSampler, batch_sampler

__all__ = [
    "STRATEGIES",
    "Batch",
    "BatchPlan",
    "CorpusIndex",
    "DrawRequest",
    "Mixture",
    "PairIndex",
    "PlanBatchSampler",
    "PlanFacts",
    "RegularIndex",
    "RowIndex",
    "Strategy",
    "batch_sampler",
    "clusters_of",
    "largest_batch",
    "strategy",
]

# Loaded at first use: these need torch or polars, and a plan over a `RegularIndex` needs numpy only.
_HOMES = {
    "CorpusIndex": "index", "RowIndex": "row_index", "clusters_of": "clusters",
    "PlanBatchSampler": "sampler", "batch_sampler": "sampler",
}  # fmt: skip


_RENAMED = {"classes_of": "clusters_of"}


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(f"babelmix.batches.{name} is now called {new}", DeprecationWarning, stacklevel=2)
        name = new
    if name in _HOMES:
        return getattr(importlib.import_module(f"babelmix.batches.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
