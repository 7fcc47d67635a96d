"""The recipes: the strategy and the terms that a run has unless they are given. Where they come from: docs/recipes.md."""

from __future__ import annotations

from typing import Any

from babelmix.batches import largest_batch, strategy
from babelmix.errors import PlanError
from babelmix.training.data import TrainingData

BEST: dict[str, Any] = {"strategy": "hybrid", "consistency": 0.3, "start_share": 0.15}
"""What did best in our tests."""

PAPER: dict[str, Any] = {"strategy": "hybrid"}
"""Hybrid batches with alpha 0.5, as in arXiv 2408.10536."""


def recipe_settings(
    name: str, data: TrainingData, *, pretrained: bool = True, teacher: bool = False
) -> dict[str, Any]:
    """The settings of a recipe, as far as they apply to the data.

    Args:
        name: `"best"` or `"paper"`.
        data: the training data. With pictures both recipes have hybrid batches and nothing else. Texts in one language, or in
            languages of which no two are translations of each other, have monolingual batches.
        pretrained: whether the starting weights are worth keeping a share of.
        teacher: whether the loss leaves no place for the consistency term: there is a teacher, or another loss.

    """
    if data.has_images:
        return dict(PAPER)
    if len(data.langs) < 2 or not _fills(data, "cross"):
        return {"strategy": "mono"}
    settings = dict(PAPER if name == "paper" else BEST)
    if not pretrained:
        settings.pop("start_share", None)
    if teacher:
        settings.pop("consistency", None)
    return settings


def _fills(data: TrainingData, spec: str) -> bool:
    try:
        largest_batch(data.index, strategy(spec), limit=2)
    except PlanError:
        return False
    return True


__all__ = ["BEST", "PAPER", "recipe_settings"]
