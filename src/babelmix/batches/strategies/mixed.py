"""`mixed`: each row its own language, the same on both sides (LAReQA's X-X, the known-bad baseline)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class Mixed(Strategy):
    """In-batch negatives are mostly in another language than their query, so language alone tells them from positives."""

    name: ClassVar[str] = "mixed"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        plan.require(plan.pool("same"), "batches of same-language rows")

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        return plan.fill("mixed", step, plan.pool("same"))
