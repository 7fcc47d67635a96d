"""What a batch strategy is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class Strategy(ABC):
    """Decides the kind of each batch and draws it; pure in (plan's seed, step)."""

    name: ClassVar[str]

    @abstractmethod
    def check(self, plan: BatchPlan) -> None:
        """Raise `PlanError` unless every batch this strategy may draw can be filled."""

    @abstractmethod
    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """The global batch of a step."""

    def __str__(self) -> str:
        return self.name


def items_in(plan: BatchPlan, texts: int) -> int:
    """How many items of so many texts a batch has, a multiple of its ranks: two at least, as one has nothing to be told from."""
    least = 2 if plan.world_size == 1 else 1
    return max(plan.batch_size // (texts * plan.world_size), least) * plan.world_size
