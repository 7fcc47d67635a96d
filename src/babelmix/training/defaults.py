"""Settings that depend on the encoder that is trained."""

from __future__ import annotations

from sentence_transformers import SentenceTransformer

from babelmix.encoders.kinds import kind_of
from babelmix.training.settings import TrainingSettings


def resolved(settings: TrainingSettings, encoder: SentenceTransformer, base: str = "") -> TrainingSettings:
    """The settings with defaults that depend on the encoder, and on the name of what it starts from, filled in."""
    kind = kind_of(encoder)
    found: dict[str, float] = {}
    if settings.temperature == 0:
        found["temperature"] = kind.temperature
    if settings.learning_rate == 0:
        found["learning_rate"] = kind.learning_rate(encoder, base, settings.lock_images)
    return settings.model_copy(update=found)
