"""`mono`: one language for the whole batch (X-X-mono of arXiv 2408.10536)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.alpha import Alpha
from babelmix.batches.strategies.base import Strategy
from babelmix.errors import PlanError


@dataclass(frozen=True)
class Mono(Strategy):
    """All queries and passages of a batch are in one language. Each batch draws its language."""

    name: ClassVar[str] = "mono"
    alpha = Alpha(1.0, 1.0)

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        if not facts.mono_langs:
            raise PlanError("no item has a query and a passage in one language, so there are no monolingual batches")
        for lang in facts.mono_langs:
            yield mono_request(lang)

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        return mono_request(facts.draw_language(step, facts.mono_langs))


@lru_cache(maxsize=256)
def mono_request(lang: str) -> DrawRequest:
    """The request for a batch in one language."""
    return DrawRequest("mono", "same", "monolingual batches", lang=lang)


__all__ = ["Mono", "mono_request"]
