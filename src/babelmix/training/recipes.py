"""The recipes: the default strategy and loss terms of a run. docs/results-recipes.md says how they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix.batches import largest_batch, strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.training.data import TrainingData

BEST: dict[str, Any] = {"strategy": "hybrid", "consistency": 0.3, "start_share": 0.15}
"""The settings with the best results in our tests on texts similar to the training texts."""

ZERO_SHOT: dict[str, Any] = {
    "strategy": "hybrid",
    "consistency": 1.0,
    "reverse": 0.4,
    "reverse_kl": 0.2,
    "start_share": 0.3,
}
"""The settings with the best results in our tests on other texts than the training texts."""

PAPER: dict[str, Any] = {"strategy": "hybrid"}
"""Hybrid batches with alpha 0.5, as in arXiv 2408.10536."""


TERMS = ("consistency", "reverse", "reverse_kl")
"""The terms of the loss that a recipe may have."""


def recipe_settings(
    name: str, data: TrainingData, *, pretrained: bool = True, teacher: bool = False
) -> dict[str, Any]:
    """The settings of a recipe, as far as they apply to the data.

    Args:
        name: `"best"`, `"paper"` or `"zero-shot"`.
        data: the training data. With pictures, all recipes have only hybrid batches. Texts without cross-lingual pairs have
            monolingual batches, and a bitext has cross-lingual ones.
        pretrained: whether the encoder has pretrained weights. If not, the recipe has no `start_share`.
        teacher: whether there is a teacher, or another loss than InfoNCE. If so, the recipe has no further terms.

    """
    if data.has_images:
        return dict(PAPER)
    if len(data.langs) < 2 or not _fills(data, "cross"):
        return {"strategy": "mono"}
    settings = dict({"paper": PAPER, "zero-shot": ZERO_SHOT}.get(name, BEST))
    if not _fills(data, "mono"):
        settings["strategy"] = "cross"
    if not pretrained:
        settings.pop("start_share", None)
    if teacher:
        for term in TERMS:
            settings.pop(term, None)
    return settings


def _fills(data: TrainingData, spec: str) -> bool:
    try:
        largest_batch(data.index, strategy(spec), limit=2)
    except PlanError:
        return False
    return True


__all__ = ["BEST", "PAPER", "TERMS", "ZERO_SHOT", "recipe_settings"]
