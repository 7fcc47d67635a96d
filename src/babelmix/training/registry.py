"""Losses by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from babelmix._registry import Lazy, Registry

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

INFO_NCE = "info_nce"
"""The name of babelmix's own loss."""

LossFactory = Callable[["SentenceTransformer", Any], "torch.nn.Module"]
"""Makes a loss of sentence-transformers from the encoder and the resolved `TrainingSettings`."""

LOSSES: Registry[LossFactory] = Registry("loss", {INFO_NCE: Lazy("babelmix.training.losses:info_nce")})

__all__ = ["INFO_NCE", "LOSSES", "LossFactory"]
