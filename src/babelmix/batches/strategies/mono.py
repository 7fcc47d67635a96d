"""`mono`: one language for the whole batch (X-X-mono of arXiv 2408.10536)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from babelmix.batches.strategies.base import Strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class Mono(Strategy):
    """Every row's query and passage are in the batch's language; the language is drawn per batch."""

    name: ClassVar[str] = "mono"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        usable = np.flatnonzero(plan.mono_sizes > 0)
        if not len(usable):
            raise PlanError("no item has a query and a passage in one language, so there are no monolingual batches")
        for lang in usable:
            plan.require(plan.pool("same", int(lang)), "monolingual batches", [plan.index.langs[lang]])

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        lang = plan.language(step)
        return plan.fill("mono", step, plan.pool("same", lang), lang)
