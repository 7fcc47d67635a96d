"""What `babelmix train` does unless told otherwise.

Each recipe is a few settings; whatever is given wins over it. Where they come from: docs/recipes.md.
"""

from __future__ import annotations

from typing import Any

from babelmix.batches import largest_batch, strategy
from babelmix.errors import PlanError
from babelmix.training.data import TrainingData

BEST: dict[str, Any] = {"strategy": "hybrid", "consistency": 0.3, "start_share": 0.15}

PAPER: dict[str, Any] = {"strategy": "hybrid"}
"""Hybrid batches with alpha 0.5, as in arXiv 2408.10536."""

RECIPES = ("best", "paper")


def recipe_settings(
    name: str, data: TrainingData, *, pretrained: bool = True, teacher: bool = False
) -> dict[str, Any]:
    """The settings of a recipe, as far as the data allow.

    Args:
        name: `"best"` or `"paper"`.
        data: what is trained on. Pictures have hybrid batches under either name; texts in one language, or in several without two
            whose translations are there, have monolingual ones.
        pretrained: whether the start has weights worth keeping a share of.
        teacher: whether there is one; its term and consistency exclude each other.

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


__all__ = ["BEST", "PAPER", "RECIPES", "recipe_settings"]
