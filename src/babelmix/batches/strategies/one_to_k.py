"""`one_to_k`: each item once, with its queries in K languages (CCRK, arXiv 2406.18254): all, or K drawn for each item.

The queries are the captions of a picture, or those that one text answers, which is in one language for each item.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from babelmix.batches.strategies.base import Strategy, items_in
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.batches.plan import Batch, BatchPlan


class OneToK(Strategy):
    """As many items as K queries each leave room for in a batch.

    Args:
        k: languages of each item: drawn one after another by weight among those that it has, and in that order; None: all of
            the corpus, in theirs. Items of fewer are left out.

    Raises:
        PlanError: k is not at least 1.

    """

    name: ClassVar[str] = "one_to_k"

    def __init__(self, k: int | None = None) -> None:
        if k is not None and k < 1:
            raise PlanError(f"one_to_k takes at least one language for each item, not {k}")
        self.k = k

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}({self.k})"

    def check(self, plan: BatchPlan) -> None:
        """See `Strategy.check`."""
        most = plan.renderings.beside
        if (self.k or 1) > most:
            raise PlanError(
                f"{self}: an item has queries in {most} languages at most; use a smaller K, or other strategies"
            )
        languages = "all languages" if self.k is None else f"{self.k} languages"
        pool = plan.pool("renderings", k=self.k)
        plan.require(pool, f"batches of items with queries in {languages}", size=self._size(plan))

    def draw(self, plan: BatchPlan, step: int) -> Batch:
        """See `Strategy.draw`."""
        return plan.fill("one_to_k", step, plan.pool("renderings", k=self.k), size=self._size(plan))

    def _size(self, plan: BatchPlan) -> int:
        return items_in(plan, self.k or plan.renderings.beside)
