"""`cross`: each row draws its own ordered pair of two different languages (X-Y of arXiv 2408.10536 and LAReQA)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.alpha import Alpha
from babelmix.batches.strategies.base import Strategy
from babelmix.errors import PlanError

_REQUEST = DrawRequest("cross", "different", "cross-lingual batches")


@dataclass(frozen=True)
class Cross(Strategy):
    """Query and passage of a row are in different languages. Each row draws a pair of languages that its items have."""

    name: ClassVar[str] = "cross"
    alpha = Alpha(0.0, 0.0)

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        if len(facts.langs) < 2:
            raise PlanError(
                f"cross-lingual batches need two languages, but the corpus has only {facts.langs[0]}; "
                "add translations or use the strategy 'mono'"
            )
        yield _REQUEST

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        return _REQUEST


__all__ = ["Cross"]
