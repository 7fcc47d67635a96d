"""Settings that depend on the encoder that is trained."""

from __future__ import annotations

from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from babelmix.encoders.dual import is_dual, is_dual_name, tower_of, towers_named
from babelmix.encoders.known import STATIC_FROM_SCRATCH, TINY
from babelmix.encoders.static import is_static
from babelmix.errors import TrainingError
from babelmix.training.settings import TrainingSettings

STATIC_LEARNING_RATE = 5e-3
LEARNING_RATE = 2e-5
TEMPERATURE = 0.05
CLIP_TEMPERATURE = 0.07
RANDOM_LEARNING_RATE = 1e-3


def resolved(settings: TrainingSettings, encoder: SentenceTransformer, base: str = "") -> TrainingSettings:
    """The settings with defaults that depend on the encoder, and on the name of what it starts from, filled in."""
    found: dict[str, float] = {}
    if settings.temperature == 0:
        found["temperature"] = CLIP_TEMPERATURE if is_dual(encoder) else TEMPERATURE
    if settings.learning_rate == 0:
        found["learning_rate"] = _usual_rate(encoder, base, settings.lock_images)
    return settings.model_copy(update=found)


def _usual_rate(encoder: SentenceTransformer, base: str, lock_images: bool) -> float:
    """The learning rate unless told; of two new towers, or of a tower beside a locked one, that of what is trained."""
    if is_static(encoder):
        return STATIC_LEARNING_RATE
    if not (is_dual(encoder) and is_dual_name(base)):
        return LEARNING_RATE
    image, text = towers_named(base)
    static = any(isinstance(module, StaticEmbedding) for module in tower_of(encoder, "text"))
    of_text = RANDOM_LEARNING_RATE if text == TINY else STATIC_LEARNING_RATE if static else LEARNING_RATE
    if lock_images:
        return of_text
    if image == TINY and text in (TINY, STATIC_FROM_SCRATCH):
        return RANDOM_LEARNING_RATE
    if image != TINY and of_text == LEARNING_RATE:
        return LEARNING_RATE
    raise TrainingError(
        f"{base}: its towers learn at different rates (new ones at {RANDOM_LEARNING_RATE:g}, static ones at "
        f"{STATIC_LEARNING_RATE:g}, others at {LEARNING_RATE:g}); say which with --learning-rate"
    )
