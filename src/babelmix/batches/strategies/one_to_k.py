"""`one_to_k`: each item once, with its queries in all K languages (CCRK, arXiv 2406.18254).

The queries are the captions of a picture, or those that one text answers, which is in one language for each item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class OneToK(Strategy):
    """As many items as K queries each leave room for in a batch."""

    name: ClassVar[str] = "one_to_k"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        plan.require(plan.pool("renderings"), "batches of items with queries in all languages", size=_size(plan))

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        return plan.fill("one_to_k", step, plan.pool("renderings"), size=_size(plan))


def _size(plan: BatchPlan) -> int:
    # Two items at least: one alone has nothing to be told from.
    least = 2 if plan.world_size == 1 else 1
    return max(plan.batch_size // (plan.renderings.beside * plan.world_size), least) * plan.world_size
