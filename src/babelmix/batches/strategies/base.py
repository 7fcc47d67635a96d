"""What a batch strategy is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Self

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.alpha import Alpha
from babelmix.errors import ConfigError


class Strategy(ABC):
    """Decides what each batch of a plan is made of.

    A strategy draws nothing itself. It says by a `DrawRequest` what it needs, and the plan draws that. Make a strategy a frozen
    dataclass, so that equal arguments make equal strategies.
    """

    name: ClassVar[str]

    alpha: Alpha | None = None
    """The probability of a monolingual batch, for strategies that are known by it; else None."""

    @classmethod
    def parse(cls, arguments: str | None) -> Self:
        """Make the strategy from the text between its parentheses.

        Args:
            arguments: `0.25` in `hybrid(0.25)`; None if there are no parentheses.

        Raises:
            ConfigError: the strategy does not take these arguments.

        """
        if arguments is not None:
            raise ConfigError(f"the strategy {cls.name!r} does not take {arguments!r}; write {cls.name} alone")
        return cls()

    @abstractmethod
    def requests(self, facts: PlanFacts) -> Iterable[DrawRequest]:
        """Every request that `request` may return, so that the plan can check its pools before the first step.

        Raises:
            PlanError: the index cannot have the batches at all.

        """

    @abstractmethod
    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """What a step needs; pure in (`facts.seed`, step), so draw chance from `facts.chance` only."""

    @property
    def several_queries(self) -> bool:
        """Whether some batches have several queries for each passage."""
        return False

    @property
    def draws_text_only(self) -> bool:
        """Whether some batches have captions without their pictures."""
        return False

    def __str__(self) -> str:
        """The one spelling that all equal strategies have."""
        return self.name


__all__ = ["Strategy"]
