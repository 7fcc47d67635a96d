"""`hybrid`: a batch is monolingual with probability alpha, else cross-lingual (arXiv 2408.10536).

Alpha may change over the run; see `alpha`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.alpha import Alpha
from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.cross import Cross
from babelmix.batches.strategies.mono import Mono

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class Hybrid(Strategy):
    """Monolingual batches with probability alpha, cross-lingual ones with 1 - alpha.

    Args:
        alpha: 0 is `cross`, 1 is `mono`; the paper found 0.5 best and 0.4 to 0.6 about as good. Or a schedule, for a plan
            that knows its steps.
        cross: the other batches, by default `Cross`; for pictures also `Paired` or `TextText`.

    Raises:
        PlanError: alpha is not between 0 and 1.

    """

    name: ClassVar[str] = "hybrid"

    def __init__(self, alpha: float | Alpha = 0.5, cross: Strategy | None = None) -> None:
        self.alpha = alpha if isinstance(alpha, Alpha) else Alpha(alpha, alpha)
        self._mono, self._cross = Mono(), cross or Cross()

    def __str__(self) -> str:
        other = "" if self._cross.name == Cross.name else f", {self._cross}"
        return f"hybrid({self.alpha}{other})"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        if not self.alpha.constant:
            plan.require_steps(f"the alpha of {self}")
        if self.alpha.start > 0 or self.alpha.end > 0:
            self._mono.check(plan)
        if self.alpha.start < 1 or self.alpha.end < 1:
            self._cross.check(plan)

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        alpha = self.alpha.of(step, plan.steps or 1)
        return (self._mono if plan.chance(step, "kind") < alpha else self._cross).draw(plan, step)
