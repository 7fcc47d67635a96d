"""`text_text`: two captions of a picture in different languages, without it (C3; MURAL, Jain et al., EMNLP 2021)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.base import Strategy
from babelmix.errors import PlanError


@dataclass(frozen=True)
class TextText(Strategy):
    """A batch of B rows has B / 2 pairs of captions, so it has as many captions as any other batch."""

    name: ClassVar[str] = "text_text"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        yield self.request(facts, 0)

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        return _request(facts.clusters_per_batch(2))

    @property
    def draws_text_only(self) -> bool:
        """See `Strategy.draws_text_only`."""
        return True


@lru_cache(maxsize=256)
def _request(size: int) -> DrawRequest:
    return DrawRequest("text_text", "translations", "batches of captions without pictures", size=size)


@dataclass(frozen=True)
class WithTextText(Strategy):
    """Another strategy, with a random share of its steps replaced by `text_text`.

    Args:
        other: the strategy of the other steps.
        share: the probability of a `text_text` step. Which steps these are does not depend on the other strategy.

    Raises:
        PlanError: the share is not in [0, 1).

    """

    name: ClassVar[str] = "with text_text"
    other: Strategy
    share: float

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise PlanError(f"the share of steps without pictures is at least 0 and less than 1, not {self.share}")

    def __str__(self) -> str:
        return f"{self.other} with {self.share:g} text_text"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        yield from self.other.requests(facts)
        if self.share:
            yield from TextText().requests(facts)

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        chosen = TextText() if facts.chance(step, "without pictures") < self.share else self.other
        return chosen.request(facts, step)

    @property
    def several_queries(self) -> bool:
        """See `Strategy.several_queries`."""
        return self.other.several_queries

    @property
    def draws_text_only(self) -> bool:
        """See `Strategy.draws_text_only`."""
        return self.share > 0 or self.other.draws_text_only


__all__ = ["TextText", "WithTextText"]
