"""`english`: English only (the zero-shot baseline)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.pool import Wheel
from babelmix.batches.strategies.base import Strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class English(Strategy):
    """Monolingual batches in English: `en` and every `en-...`, one of them a batch, drawn by weight as in `mono`."""

    name: ClassVar[str] = "english"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        for lang in self._langs(plan):
            plan.require(plan.pool("same", lang), "monolingual batches", [plan.index.langs[lang]])

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        langs = self._langs(plan)
        # One English needs no chance: its batches are those of a corpus where it is called `en`.
        place = 0 if len(langs) == 1 else Wheel(plan.language_weights[langs]).one(plan.chance(step, "language"))
        return plan.fill("mono", step, plan.pool("same", langs[place]), langs[place])

    def _langs(self, plan: BatchPlan) -> list[int]:
        # Here, as a corpus's libraries are many, and a plan over other indexes does without them.
        from babelmix.corpus.languages import in_range

        found = [number for number, tag in enumerate(plan.index.langs) if in_range(tag, "en")]
        if not found:
            raise PlanError(f"the corpus has no English; its languages are {', '.join(plan.index.langs)}")
        # What has no pairs is left out where another English has them, as in `mono`.
        return [number for number in found if plan.mono_sizes[number] > 0] or found
