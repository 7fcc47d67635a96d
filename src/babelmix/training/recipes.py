"""The recipes: the default strategy and loss terms of a run. docs/results-recipes.md says how they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix.batches import largest_batch, strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.training.data import TrainingData

BEST: dict[str, Any] = {"strategy": "hybrid", "consistency": 0.3, "start_share": 0.15}
"""The settings with the best results in our tests."""

PAPER: dict[str, Any] = {"strategy": "hybrid"}
"""Hybrid batches with alpha 0.5, as in arXiv 2408.10536."""


def recipe_settings(
    name: str, data: TrainingData, *, pretrained: bool = True, teacher: bool = False
) -> dict[str, Any]:
    """The settings of a recipe, as far as they apply to the data.

    Args:
        name: `"best"` or `"paper"`.
        data: the training data. With pictures, both recipes have only hybrid batches. Texts without cross-lingual pairs have
            monolingual batches, and a bitext has cross-lingual ones.
        pretrained: whether the encoder has pretrained weights. If not, the recipe has no `start_share`.
        teacher: whether there is a teacher, or another loss than InfoNCE. If so, the recipe has no `consistency`.

    """
    if data.has_images:
        return dict(PAPER)
    if len(data.langs) < 2 or not _fills(data, "cross"):
        return {"strategy": "mono"}
    settings = dict(PAPER if name == "paper" else BEST)
    if not _fills(data, "mono"):
        settings["strategy"] = "cross"
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
