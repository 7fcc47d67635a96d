"""`cross`: each row its own ordered pair of different languages (X-Y of arXiv 2408.10536 and LAReQA)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class Cross(Strategy):
    """Query and passage of a row are in different languages, drawn per row among those the item has."""

    name: ClassVar[str] = "cross"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        if len(plan.index.langs) < 2:
            raise PlanError(
                f"cross-lingual batches need two languages, but the corpus has only {plan.index.langs[0]}; "
                "add translations or use the strategy 'mono'"
            )
        plan.require(plan.pool("different"), "cross-lingual batches")

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        return plan.fill("cross", step, plan.pool("different"))
