"""`english`: English only (the zero-shot baseline)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.mono import mono_request
from babelmix.errors import PlanError


@dataclass(frozen=True)
class English(Strategy):
    """Monolingual batches in English: `en` and every `en-...`. Each batch draws one of them by weight, as in `mono`."""

    name: ClassVar[str] = "english"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        for lang in _englishes(facts):
            yield mono_request(lang)

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        return mono_request(facts.draw_language(step, _englishes(facts)))


def _englishes(facts: PlanFacts) -> list[str]:
    # Imported here: a plan over a `RegularIndex` needs none of the libraries that a corpus needs.
    from babelmix.corpus.languages import in_range

    found = [lang for lang in facts.langs if in_range(lang, "en")]
    if not found:
        raise PlanError(f"the corpus has no English; its languages are {', '.join(facts.langs)}")
    # A variety of English without same-language pairs is left out if another variety has some, as in `mono`.
    return [lang for lang in found if lang in facts.mono_langs] or found


__all__ = ["English"]
