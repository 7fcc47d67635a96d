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
