"""`paired`: two captions of a picture in different languages, with the picture (C2; CCLM, Zeng et al., ACL 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy, items_in

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class Paired(Strategy):
    """Half as many pictures as a batch has rows, so that it has as many captions as any other batch."""

    name: ClassVar[str] = "paired"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        plan.require(plan.pool("paired"), "batches of pictures with two captions", size=half(plan))

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        return plan.fill("paired", step, plan.pool("paired"), size=half(plan))


def half(plan: BatchPlan) -> int:
    """Items of a batch with two captions each."""
    return items_in(plan, 2)
