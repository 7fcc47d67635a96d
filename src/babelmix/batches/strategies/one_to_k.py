"""`one_to_k`: each passage once, with its queries in K languages (CCRK, arXiv 2406.18254).

The queries are the captions of a picture, or the translations of a question. A text passage is in one language, drawn by weight.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Self

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.base import Strategy
from babelmix.errors import ConfigError, PlanError


@dataclass(frozen=True)
class OneToK(Strategy):
    """A batch of B rows has B / K passages, each with K queries.

    Args:
        k: the number of query languages of each item. They are drawn one after another, by weight, from those that the item has.
            None: all languages of the corpus, in the corpus's order. Items with fewer languages are left out.

    Raises:
        PlanError: k is less than 1.

    """

    name: ClassVar[str] = "one_to_k"
    k: int | None = None

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise PlanError(f"one_to_k takes at least one language for each item, not {self.k}")

    @classmethod
    def parse(cls, arguments: str | None) -> Self:
        """See `Strategy.parse`."""
        if arguments is None:
            return cls()
        try:
            k = int(arguments)
        except ValueError:
            raise ConfigError(
                f"the strategy 'one_to_k' does not take {arguments!r}; it takes a whole number, as in one_to_k(4)"
            ) from None
        return cls(k)

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}({self.k})"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        most = facts.max_renderings
        if most is None:
            raise PlanError(
                f"batches of the strategy {self} are of one corpus; use mono, cross or hybrid for several sources, "
                "ready pairs or a RegularIndex"
            )
        if (self.k or 1) > most:
            raise PlanError(
                f"{self}: an item has queries in {most} languages at most; use a smaller K, or another strategy"
            )
        yield self.request(facts, 0)

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        return _request(self.k, facts.clusters_per_batch(self.k or facts.max_renderings or 1))

    @property
    def several_queries(self) -> bool:
        """See `Strategy.several_queries`."""
        return True


@lru_cache(maxsize=256)
def _request(k: int | None, size: int) -> DrawRequest:
    languages = "all languages" if k is None else f"{k} languages"
    return DrawRequest("one_to_k", "renderings", f"batches of items with queries in {languages}", k=k, size=size)


__all__ = ["OneToK"]
