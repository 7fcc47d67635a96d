"""The base class of batch strategies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Self

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.alpha import Alpha
from babelmix.errors import ConfigError


class Strategy(ABC):
    """Decides in which languages each batch of a plan is.

    A strategy draws no rows itself. It returns a `DrawRequest` for each step, and the plan draws the rows. Make a strategy a
    frozen dataclass, so that equal arguments make equal strategies.
    """

    name: ClassVar[str]

    alpha: Alpha | None = None
    """The probability of a monolingual batch, as in `mono`, `cross` and `hybrid`. None for strategies without an alpha."""

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
            PlanError: the index cannot provide such batches at all.

        """

    @abstractmethod
    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """The request of a step: a pure function of (`facts.seed`, step). Use no random numbers but those of `facts.chance`."""

    @property
    def several_queries(self) -> bool:
        """Whether some batches have several queries for each passage."""
        return False

    @property
    def draws_text_only(self) -> bool:
        """Whether some batches have captions without their pictures."""
        return False

    def __str__(self) -> str:
        """The canonical spelling. It is the same for all equal strategies."""
        return self.name


__all__ = ["Strategy"]
