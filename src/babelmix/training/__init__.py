"""Training: sentence-transformers' trainer, fed by a batch plan."""

from __future__ import annotations

from babelmix.training.settings import TrainingSettings
from babelmix.training.trainer import TrainingResult, is_static, refuse_evaluation_only, resolved, train

__all__ = ["TrainingResult", "TrainingSettings", "is_static", "refuse_evaluation_only", "resolved", "train"]
