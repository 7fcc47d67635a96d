"""`paired`: two captions of a picture in different languages, with the picture (C2; CCLM, Zeng et al., ACL 2023)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.base import Strategy


@dataclass(frozen=True)
class Paired(Strategy):
    """A batch of B rows has B / 2 pictures with two captions each, so it has as many captions as any other batch."""

    name: ClassVar[str] = "paired"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        yield self.request(facts, 0)

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        return _request(facts.clusters_per_batch(2))


@lru_cache(maxsize=256)
def _request(size: int) -> DrawRequest:
    return DrawRequest("paired", "paired", "batches of pictures with two captions", size=size)


__all__ = ["Paired"]
