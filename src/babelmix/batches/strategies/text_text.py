"""`text_text`: two captions of a picture in different languages, without it (C3; MURAL, Jain et al., EMNLP 2021)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.paired import half
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class TextText(Strategy):
    """Half as many pairs as a batch has rows, so that it has as many captions as any other batch."""

    name: ClassVar[str] = "text_text"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        plan.require(plan.pool("translations"), "batches of captions without pictures", size=half(plan))

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        return plan.fill("text_text", step, plan.pool("translations"), size=half(plan))


class WithTextText(Strategy):
    """Another strategy in which a share of the steps is `text_text`.

    Args:
        other: the strategy.
        share: probability of a `text_text` step; which steps they are does not depend on the strategy.

    Raises:
        PlanError: the share is not in [0, 1).

    """

    name: ClassVar[str] = "with text_text"

    def __init__(self, other: Strategy, share: float) -> None:
        if not 0 <= share < 1:
            raise PlanError(f"the share of steps without pictures is at least 0 and less than 1, not {share}")
        self.other, self.share = other, share
        self._text_text = TextText()

    def __str__(self) -> str:
        return f"{self.other} with {self.share:g} text_text"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        self.other.check(plan)
        if self.share:
            self._text_text.check(plan)

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        chosen = self._text_text if plan.chance(step, "without pictures") < self.share else self.other
        return chosen.draw(plan, step)
