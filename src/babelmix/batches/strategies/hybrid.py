"""`hybrid`: a batch is monolingual with probability alpha, else cross-lingual (arXiv 2408.10536)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.cross import Cross
from babelmix.batches.strategies.mono import Mono
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class Hybrid(Strategy):
    """Monolingual batches with probability alpha, cross-lingual ones with 1 - alpha.

    Args:
        alpha: 0 is `cross`, 1 is `mono`; the paper found 0.5 best and 0.4 to 0.6 about as good.
        cross: the other batches, by default `Cross`; for pictures also `Paired` or `TextText`.

    Raises:
        PlanError: alpha is not between 0 and 1.

    """

    name: ClassVar[str] = "hybrid"

    def __init__(self, alpha: float = 0.5, cross: Strategy | None = None) -> None:
        if not 0 <= alpha <= 1:
            raise PlanError(f"alpha is a probability between 0 and 1, not {alpha}")
        self.alpha = alpha
        self._mono, self._cross = Mono(), cross or Cross()

    def __str__(self) -> str:
        other = "" if self._cross.name == Cross.name else f", {self._cross}"
        return f"hybrid({self.alpha:g}{other})"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        if self.alpha > 0:
            self._mono.check(plan)
        if self.alpha < 1:
            self._cross.check(plan)

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        return (self._mono if plan.chance(step, "kind") < self.alpha else self._cross).draw(plan, step)
