"""Which loss a run has: InfoNCE for texts, the symmetric one with a learned scale for pictures."""

from __future__ import annotations

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)

from babelmix import _processes
from babelmix.training.captions import CaptionLoss
from babelmix.training.data import TrainingData
from babelmix.training.distil import DistilLoss, TextDistilLoss
from babelmix.training.settings import TrainingSettings


def loss_of(encoder: SentenceTransformer, settings: TrainingSettings, data: TrainingData) -> torch.nn.Module:
    """The loss for texts, or that for pictures."""
    if data.has_images and settings.distil_from:
        return DistilLoss(encoder)
    if data.has_images:
        return CaptionLoss(encoder, settings.temperature, settings.text_weight)
    loss = info_nce(encoder, settings)
    if settings.distil_from:
        assert isinstance(loss, MultipleNegativesRankingLoss)
        return TextDistilLoss(encoder, loss, settings.distil_share, settings.temperature)
    return loss


def info_nce(encoder: SentenceTransformer, settings: TrainingSettings) -> torch.nn.Module:
    """InfoNCE over the global batch: every rank's passages are negatives, with gradients (arXiv 2408.10536, Eq. 1)."""
    gather = _processes.world_size() > 1
    scale = 1.0 / settings.temperature
    if settings.mini_batch_size:
        return CachedMultipleNegativesRankingLoss(
            encoder, scale=scale, mini_batch_size=settings.mini_batch_size, gather_across_devices=gather
        )
    return MultipleNegativesRankingLoss(encoder, scale=scale, gather_across_devices=gather)


__all__ = ["info_nce", "loss_of"]
