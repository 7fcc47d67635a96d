"""`english`: English only (the zero-shot baseline)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class English(Strategy):
    """Monolingual batches in English (`en`, or the corpus's only `en-...`)."""

    name: ClassVar[str] = "english"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        plan.require(plan.pool("same", self._lang(plan)), "monolingual batches", ["en"])

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        lang = self._lang(plan)
        return plan.fill("mono", step, plan.pool("same", lang), lang)

    def _lang(self, plan: BatchPlan) -> int:
        # Here, as a corpus's libraries are many, and a plan over other indexes does without them.
        from babelmix.corpus import find_language

        tag = find_language("en", plan.index.langs)
        if tag is None:
            raise PlanError(f"the corpus has no English; its languages are {', '.join(plan.index.langs)}")
        return plan.index.langs.index(tag)
