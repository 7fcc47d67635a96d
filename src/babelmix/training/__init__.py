"""Training: sentence-transformers' trainer, fed by a batch plan."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from babelmix._lazy import imported_name

if TYPE_CHECKING:
    from babelmix.training.card import add_audit
    from babelmix.training.data import StepTexts, TrainingData, refuse_evaluation_only
    from babelmix.training.recipes import BEST, PAPER, ZERO_SHOT, recipe_settings
    from babelmix.training.registry import LOSSES
    from babelmix.training.resolving import ResolvedSettings, resolve, resolve_for_data
    from babelmix.training.settings import (
        RECIPES,
        Distillation,
        Loss,
        Pictures,
        Schedule,
        TrainingSettings,
        Weights,
    )
    from babelmix.training.soup import Soup
    from babelmix.training.start import make_or_load_start
    from babelmix.training.stopping import Evaluation
    from babelmix.training.trainer import TrainingResult, train
    from babelmix.training.uniter import UniterTrainingResult, UniterTrainingSettings, train_uniter

__all__ = [
    "BEST",
    "LOSSES",
    "PAPER",
    "RECIPES",
    "ZERO_SHOT",
    "Distillation",
    "Evaluation",
    "Loss",
    "Pictures",
    "ResolvedSettings",
    "Schedule",
    "Soup",
    "StepTexts",
    "TrainingData",
    "TrainingResult",
    "TrainingSettings",
    "UniterTrainingResult",
    "UniterTrainingSettings",
    "Weights",
    "add_audit",
    "make_or_load_start",
    "recipe_settings",
    "refuse_evaluation_only",
    "resolve",
    "resolve_for_data",
    "train",
    "train_uniter",
]

# Imported on first use: the settings of a training are read and printed without torch.
_HOMES = {
    "BEST": "recipes",
    "LOSSES": "registry",
    "PAPER": "recipes",
    "ZERO_SHOT": "recipes",
    "RECIPES": "settings",
    "Distillation": "settings",
    "Evaluation": "stopping",
    "Loss": "settings",
    "Pictures": "settings",
    "ResolvedSettings": "resolving",
    "Schedule": "settings",
    "Soup": "soup",
    "StepTexts": "data",
    "TrainingData": "data",
    "TrainingResult": "trainer",
    "TrainingSettings": "settings",
    "UniterTrainingResult": "uniter",
    "UniterTrainingSettings": "uniter",
    "Weights": "settings",
    "add_audit": "card",
    "make_or_load_start": "start",
    "recipe_settings": "recipes",
    "refuse_evaluation_only": "data",
    "resolve": "resolving",
    "resolve_for_data": "resolving",
    "train": "trainer",
    "train_uniter": "uniter",
}


def __getattr__(name: str) -> Any:
    if name == "resolved":
        warnings.warn(
            "babelmix.training.resolved is now babelmix.training.resolve, which takes the training data too",
            DeprecationWarning,
            stacklevel=2,
        )
        from babelmix.training.resolving import resolved_for_encoder

        return resolved_for_encoder
    if name == "is_static":
        warnings.warn(
            "babelmix.training.is_static is now babelmix.encoders.static.is_static", DeprecationWarning, stacklevel=2
        )
        from babelmix.encoders.static import is_static

        return is_static
    return imported_name(__name__, _HOMES, name)
