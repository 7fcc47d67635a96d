"""Training: sentence-transformers' trainer, fed by a batch plan."""

from __future__ import annotations

from babelmix.training.settings import TrainingSettings
from babelmix.training.trainer import TrainingResult, is_static, resolved, train

__all__ = ["TrainingResult", "TrainingSettings", "is_static", "resolved", "train"]
