"""Fills in the defaults of training settings: from the recipe, the data, and the encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from babelmix import _processes
from babelmix.batches import largest_batch, strategy
from babelmix.encoders.kinds import kind_named, kind_of
from babelmix.errors import TrainingError
from babelmix.training.flat import in_sections
from babelmix.training.recipes import TERMS, recipe_settings
from babelmix.training.registry import INFO_NCE
from babelmix.training.settings import Loss, Schedule, TrainingSettings, Weights, changed

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from babelmix.training.data import TrainingData

BATCH_SIZE = 64
CHECKPOINT_EVERY = 50


class ResolvedLoss(Loss):
    """The loss with its defaults filled in."""

    temperature: float
    consistency: float = 0.0
    reverse: float = 0.0
    reverse_kl: float = 0.0


class ResolvedWeights(Weights):
    """The settings of weights with their defaults filled in."""

    start_share: float = 0.0


class ResolvedSchedule(Schedule):
    """The schedule with its defaults filled in; without a validation corpus `evaluate_every` stays `None`."""

    checkpoint_every: int = 0


class ResolvedSettings(TrainingSettings):
    """Training settings with every default filled in.

    `recipe` is `None` if a strategy was named. A setting that is still `None` is off (GradCache, LoRA, patience, audits), or is
    taken from the encoder (pooling, prompts).
    """

    recipe: Any = None
    strategy: str
    steps: int
    batch_size: int
    learning_rate: float
    loss: ResolvedLoss
    weights: ResolvedWeights = ResolvedWeights()
    schedule: ResolvedSchedule = ResolvedSchedule()


def resolve(
    settings: TrainingSettings,
    data: TrainingData,
    encoder: SentenceTransformer,
    base: str = "",
    *,
    validation: bool = False,
    other_loss: bool = False,
) -> ResolvedSettings:
    """Fill in every default of training settings.

    Args:
        settings: the settings. `ResolvedSettings` are returned unchanged.
        data: the training data. They decide which settings of the recipe apply, the batch size and the steps.
        encoder: the encoder. Its kind decides learning rate, temperature and checkpoints.
        base: the name of the encoder, as `babelmix encoders` names it. If the encoder was made for this run, the recipe's
            `start_share` does not apply: there are no pretrained weights.
        validation: whether there is a validation corpus to audit on.
        other_loss: whether the loss is another than InfoNCE.

    Raises:
        PlanError: the data cannot fill a batch of two pairs.
        TrainingError: the encoder has no default learning rate.

    """
    if isinstance(settings, ResolvedSettings):
        return settings
    known = resolve_for_data(settings, data, base, other_loss=other_loss)
    known = resolved_for_encoder(known, encoder, base)
    assert known.steps is not None
    found: dict[str, Any] = {}
    if known.schedule.checkpoint_every is None:
        found["schedule.checkpoint_every"] = CHECKPOINT_EVERY if kind_of(encoder).checkpoints else 0
    if known.schedule.evaluate_every is None and validation:
        found["schedule.evaluate_every"] = max(1, known.steps // 10)
    return ResolvedSettings(**changed(known, found).model_dump())


def resolve_for_data(
    settings: TrainingSettings, data: TrainingData, base: str = "", *, other_loss: bool = False
) -> TrainingSettings:
    """Fill in the defaults that need no encoder: those of the recipe, the batch size and the steps.

    Call it before an encoder is loaded: it fails early if the data cannot fill the batches. For the arguments see `resolve`.

    Raises:
        PlanError: the data cannot fill a batch of two pairs.

    """
    if isinstance(settings, ResolvedSettings):
        return settings
    found: dict[str, Any] = {"recipe": settings.recipe if settings.strategy is None else None}
    recipe: Mapping[str, Any] = {}
    spec = settings.strategy
    if spec is None:
        own_loss = other_loss or settings.loss.name != INFO_NCE
        recipe = recipe_settings(
            str(settings.recipe), data, pretrained=kind_named(base).pretrained(base),
            teacher=settings.distillation is not None or own_loss,
        )  # fmt: skip
        spec = str(recipe["strategy"])
        found["strategy"] = spec
    for term in TERMS:
        if getattr(settings.loss, term) is None:
            found[f"loss.{term}"] = recipe.get(term, 0.0)
    if settings.weights.start_share is None:
        found["weights.start_share"] = recipe.get("start_share", 0.0)
    size = settings.batch_size
    if size is None:
        largest, ranks = min(BATCH_SIZE, largest_batch(data.index, strategy(spec))), _processes.world_size()
        size = found["batch_size"] = max(largest // ranks, 1) * ranks
    if settings.steps is None:
        found["steps"] = max(30, min(500, -(-3 * data.pairs // size)))
    return changed(settings, found)


def resolved_for_encoder(settings: TrainingSettings, encoder: SentenceTransformer, base: str = "") -> TrainingSettings:
    """Fill in temperature and learning rate, which depend on the encoder alone. For the arguments see `resolve`.

    Raises:
        TrainingError: the encoder has no default learning rate.

    """
    kind = kind_of(encoder)
    found: dict[str, Any] = {}
    if settings.loss.temperature is None:
        found["loss.temperature"] = kind.temperature
    if settings.learning_rate is None:
        found["learning_rate"] = kind.learning_rate(encoder, base, settings.pictures.lock_images)
    return changed(settings, found)


def recorded_settings(record: Mapping[str, Any]) -> ResolvedSettings:
    """Read the settings in a `training.json`, also in one of an older version of babelmix.

    Raises:
        TrainingError: the record holds no valid settings.

    """
    try:
        return ResolvedSettings(**in_sections(record)[0])
    except (AttributeError, ValueError, TypeError) as error:
        raise TrainingError("the record of the training settings is damaged") from error


def run_settings(settings: TrainingSettings) -> dict[str, Any]:
    """The settings that must be equal to resume a run: all but the name of the recipe."""
    return settings.model_dump(exclude={"recipe"})


def trains_alike(record: Any, settings: ResolvedSettings) -> bool:
    """Whether recorded settings, perhaps of an older version of babelmix, are equal to those of this run."""
    try:
        return run_settings(recorded_settings(record)) == run_settings(settings)
    except TrainingError:
        return False


__all__ = [
    "ResolvedLoss",
    "ResolvedSchedule",
    "ResolvedSettings",
    "ResolvedWeights",
    "recorded_settings",
    "resolve",
    "resolve_for_data",
    "resolved_for_encoder",
    "run_settings",
    "trains_alike",
]
