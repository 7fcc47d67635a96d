"""`mixed`: each row draws its own language, the same for query and passage (LAReQA's X-X, a baseline with language bias)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.base import Strategy

_REQUEST = DrawRequest("mixed", "same", "batches of same-language rows")


@dataclass(frozen=True)
class Mixed(Strategy):
    """Query and passage of a row are in one language, and each row draws its own.

    Most in-batch negatives are in another language than their query. So an encoder can tell them from the positive by language
    alone, and learns language bias.
    """

    name: ClassVar[str] = "mixed"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        yield _REQUEST

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        return _REQUEST


__all__ = ["Mixed"]
