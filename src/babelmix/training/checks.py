"""Refuses training settings that do not fit the data, the encoder, or each other once defaults are filled in."""

from __future__ import annotations

from sentence_transformers import SentenceTransformer

from babelmix.encoders.kinds import kind_of
from babelmix.errors import TrainingError
from babelmix.training.data import TrainingData
from babelmix.training.registry import INFO_NCE
from babelmix.training.resolving import ResolvedSettings


def refuse_misfits(
    encoder: SentenceTransformer, settings: ResolvedSettings, data: TrainingData, *, validation: bool, ranks: int
) -> None:
    """Raise if a setting does not fit.

    Args:
        encoder: the encoder to train.
        settings: the settings of the run.
        data: the training data.
        validation: whether there is a validation corpus.
        ranks: how many processes train.

    Raises:
        TrainingError: the message names the settings and says what to change.

    """
    if data.has_images:
        _refuse_for_pictures(settings)
    else:
        _refuse_for_texts(settings)
    if settings.loss.consistency_of != "passages" and not settings.loss.reads_translations:
        raise TrainingError(
            "loss.consistency_of says whose translations are compared, but loss.consistency and loss.lakda are 0"
        )
    schedule = settings.schedule
    if schedule.evaluate_every and not validation:
        raise TrainingError(
            "schedule.evaluate_every is set, but there is no validation corpus; name one, or leave it out"
        )
    if schedule.patience and not validation:
        raise TrainingError("schedule.patience counts audits on a validation corpus, and there is none; name one")
    if schedule.soup and not validation:
        raise TrainingError(
            "schedule.soup averages the weights of the best audits on a validation corpus, and there is none; name one"
        )
    kind, weights = kind_of(encoder), settings.weights
    of_layers = (
        weights.lora_rank,
        weights.freeze_embeddings,
        settings.loss.mini_batch_size,
        settings.gradient_checkpointing,
    )
    if any(of_layers) and not kind.has_layers:
        raise TrainingError(
            "a static encoder is its token vectors: LoRA, GradCache, frozen embeddings and gradient checkpointing are not "
            "for it"
        )
    if ranks > 1 and not kind.many_processes:
        raise TrainingError("a static encoder trains in one process: it is faster than processes can agree")


def _refuse_for_pictures(settings: ResolvedSettings) -> None:
    teacher = settings.distillation
    if settings.loss.name != INFO_NCE:
        raise TrainingError(f"the loss {settings.loss.name} is for texts; leave loss.name out for pictures")
    if settings.loss.mini_batch_size:
        raise TrainingError("GradCache is for texts; leave loss.mini_batch_size out for pictures")
    if settings.passage_prompt:
        raise TrainingError("passages are pictures, which have no prompt; captions have query_prompt, both ways")
    for term in settings.loss.extra_terms:
        raise TrainingError(f"loss.{term} is for texts; pictures have `paired` batches and pictures.text_weight")
    if teacher is None:
        return
    if not settings.pictures.lock_images:
        raise TrainingError("distillation trains the text tower only; set pictures.lock_images")
    changed = teacher.reads != "english" or teacher.share != 1 or teacher.relations or teacher.projection
    if changed or teacher.teacher == "start":
        raise TrainingError(
            "a text tower learns from another encoder's English captions, and from nothing else; leave distillation.reads, "
            "distillation.share, distillation.relations and distillation.projection out, and name the encoder"
        )


def _refuse_for_texts(settings: ResolvedSettings) -> None:
    pictures = settings.pictures
    if pictures.lock_images or pictures.text_share or pictures.text_only_langs:
        raise TrainingError("lock_images, text_share and text_only_langs are for pictures, and the corpus has none")
    if pictures.text_weight != 1:
        raise TrainingError("text_weight is for pictures, and the corpus has none")
    teacher = settings.distillation
    if teacher is not None and teacher.reads == "itself" and settings.several_queries:
        raise TrainingError(
            "one_to_k batches have several queries and a teacher reads one; leave distillation.reads out (the teacher then reads "
            "English), or change the strategy"
        )


__all__ = ["refuse_misfits"]
