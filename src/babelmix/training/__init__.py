"""Training: sentence-transformers' trainer, fed by a batch plan."""

from __future__ import annotations

from babelmix.encoders.static import is_static
from babelmix.training.card import add_audit
from babelmix.training.data import StepTexts, TrainingData, refuse_evaluation_only
from babelmix.training.defaults import resolved
from babelmix.training.recipes import BEST, PAPER, RECIPES, recipe_settings
from babelmix.training.settings import TrainingSettings
from babelmix.training.stopping import Evaluation
from babelmix.training.trainer import TrainingResult, train
from babelmix.training.uniter import UniterTrainingResult, UniterTrainingSettings, train_uniter

__all__ = [
    "BEST",
    "PAPER",
    "RECIPES",
    "Evaluation",
    "StepTexts",
    "TrainingData",
    "TrainingResult",
    "TrainingSettings",
    "UniterTrainingResult",
    "UniterTrainingSettings",
    "add_audit",
    "is_static",
    "recipe_settings",
    "refuse_evaluation_only",
    "resolved",
    "train",
    "train_uniter",
]
