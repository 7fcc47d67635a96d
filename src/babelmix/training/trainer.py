"""`train`: fine-tunes an encoder with sentence-transformers' trainer, whose batches come from a batch plan."""

from __future__ import annotations

import contextlib
import copy
import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import TrainerCallback, set_seed

from babelmix import _processes
from babelmix._files import check_output_folder, remove_folder, replacing_folder, write_json
from babelmix._progress import progress_bar, quiet_transformers
from babelmix.batches import BatchPlan
from babelmix.corpus import Corpus
from babelmix.corpus.seen import seen_in
from babelmix.encoders import fingerprint, load_encoder
from babelmix.encoders.composing import compose_first
from babelmix.encoders.kinds import kind_of
from babelmix.encoders.limits import cut_after, forget_last_batch, length_limit
from babelmix.encoders.precision import tell_if_bfloat16_is_slow
from babelmix.errors import TrainingError
from babelmix.training import weights
from babelmix.training.captions import StepCaptions
from babelmix.training.card import write_card
from babelmix.training.checkpoints import resumable, step_of
from babelmix.training.checks import refuse_misfits
from babelmix.training.consistency import COLUMNS
from babelmix.training.data import StepTexts, TrainingData, query_columns
from babelmix.training.distil import StepTargets, dimension_of
from babelmix.training.dropout import dropout_rate
from babelmix.training.losses import check_once, loss_of, text_steps
from babelmix.training.packing import packed_tokens
from babelmix.training.plan_trainer import PlanTrainer, Report
from babelmix.training.registry import INFO_NCE
from babelmix.training.resolving import ResolvedSettings, resolve
from babelmix.training.rows import row_gradients
from babelmix.training.settings import TrainingSettings
from babelmix.training.soup import Soup
from babelmix.training.stopping import EarlyStopping, Evaluation

MARKERS = ("training.json",)
"""A folder with one of these files was written by `train`."""


@dataclass(frozen=True)
class TrainingResult:
    """A finished run.

    Args:
        settings: the settings with every default filled in.
        losses: pairs of a step and the mean loss since the pair before.
        seconds: training time without loading and saving. For a resumed run, the time since it was resumed.
        steps: the number of steps done; fewer than `settings.steps` if patience ran out.
        evaluations: the audits on the validation corpus; empty without one.
        best: the best evaluation; None without a validation corpus. Its weights were saved, unless there is a soup.
        soup: the average that was saved; None if `schedule.soup` does not ask for one.

    """

    settings: ResolvedSettings
    losses: list[tuple[int, float]]
    seconds: float
    steps: int
    evaluations: list[Evaluation] = field(default_factory=list)
    best: Evaluation | None = None
    soup: Soup | None = None


def train(
    encoder: SentenceTransformer,
    corpus: Corpus | Mapping[str, Corpus],
    settings: TrainingSettings,
    output: Path,
    *,
    base: str = "an encoder",
    label: str | None = None,
    loss: Callable[[SentenceTransformer], torch.nn.Module] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    validation: Corpus | None = None,
    trust_code: bool = False,
) -> TrainingResult:
    """Train an encoder and save it as a sentence-transformers folder.

    The default loss is InfoNCE with in-batch negatives, and with one hard negative per pair where the corpus has them.
    A run that was interrupted after a checkpoint continues from the checkpoint with the same batches as an uninterrupted run.
    Under `torchrun` or `accelerate launch` the processes share each batch, and each pair has the passages of the whole batch as
    negatives.

    Args:
        encoder: the encoder; it is trained in place.
        corpus: the training pairs, or several corpora by name. With several, each batch is from one corpus.
        settings: the settings; `None` in them stands for the default, see `resolve`.
        output: the folder to write. It is written completely or not at all. During training, checkpoints are in
            `<output>.checkpoints`.
        base: the name of the starting encoder. The card shows it, and some defaults depend on it; see `resolve`.
        label: the text before the progress bar; by default `training STRATEGY`.
        loss: a function that makes a loss of sentence-transformers from the encoder. It replaces `settings.loss`.
        callbacks: callbacks of transformers' trainer.
        validation: a corpus to audit on during training. The weights of the best audit are saved.
        trust_code: run Python code that the teacher of `settings.distillation` contains or refers to; see `load_encoder`.

    Returns:
        The settings with every default filled in, the losses, the time and the audits.

    Raises:
        PlanError: the corpus cannot fill the batches.
        TrainingError: a setting does not fit the data or the encoder, the checkpoints in `<output>.checkpoints` are of another
            run, or another process ended.
        DivergedError: a weight or an embedding is not finite.

    Source:
        arXiv 2408.10536, Eq. 1, with a temperature.

    Examples:
        >>> import pathlib, tempfile
        >>> from babelmix.encoders.kinds import make_encoder
        >>> words = {"de": ["Hund", "Katze", "Haus", "Brot"], "en": ["dog", "cat", "house", "bread"]}
        >>> rows = [
        ...     {"item": str(n), "lang": lang, "text": text} for lang, texts in words.items() for n, text in enumerate(texts)
        ... ]
        >>> corpus = Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(4)], name="words")
        >>> encoder = make_encoder("static", [row["text"] for row in rows], dimension=8)
        >>> settings = TrainingSettings(strategy="cross", steps=5, batch_size=4, loss={"temperature": 0.1})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     result = train(encoder, corpus, settings, pathlib.Path(folder) / "model", base="static")
        >>> result.steps, result.settings.learning_rate
        (5, 0.005)

    """
    check_output_folder(output, MARKERS)
    data = TrainingData.of(corpus, settings)
    settings = resolve(settings, data, encoder, base, validation=validation is not None, other_loss=loss is not None)
    ranks = _processes.world_size()
    refuse_misfits(encoder, settings, data, validation=validation is not None, ranks=ranks)
    if loss and (settings.loss.extra_terms or settings.several_queries):
        parts = ", ".join([f"loss.{name}" for name in settings.loss.extra_terms] or ["one_to_k batches"])
        raise TrainingError(f"{parts}: for babelmix's own loss alone; leave the argument `loss` out, or them")
    plan = data.plan(settings, ranks)
    cpu = str(encoder.device) == "cpu"
    if settings.bf16:
        tell_if_bfloat16_is_slow(encoder)
    _processes.join(cpu)
    set_seed(settings.seed)
    own_limit = length_limit(encoder)
    about = {"base": base, "corpus": data.fingerprint()}
    if validation is not None:
        about["validation"] = validation.fingerprint()
    if settings.schedule.checkpoint_every:
        about["start"] = fingerprint(encoder)
    prepare(encoder, settings)
    teacher = _teacher(encoder, settings, trust_code)
    start = weights.copied(weights.averaged(encoder)) if settings.weights.start_share else {}
    checkpoints = checkpoints_of(output)
    resume = resumable(checkpoints, about, settings)
    done = step_of(Path(resume)) or 0 if resume else 0
    stopping = None
    if settings.schedule.evaluate_every and validation is not None:
        stopping = EarlyStopping(encoder, validation, settings, checkpoints, start)
        stopping.resume(done)
    started = time.perf_counter()

    def advice() -> str:
        kept = sorted(checkpoints.glob("checkpoint-*"), key=lambda place: int(place.name.rpartition("-")[2]))
        place = f"from step {kept[-1].name.rpartition('-')[2]}" if kept else "over, as there is no checkpoint yet"
        return f"start the same command again: it goes on {place}"

    with (
        quiet_transformers(),
        progress_bar(label or f"training {settings.strategy}", settings.steps, "steps", done=done) as bar,
        _known_warnings(),
        row_gradients(encoder),
        packed_tokens(encoder) as packing,
        dropout_rate(encoder, settings.dropout),
        _processes.losing_a_process(advice),
    ):
        report = Report(bar)
        taught = None if teacher is None else dimension_of(teacher)
        step_loss = loss(encoder) if loss else loss_of(encoder, settings, data, taught)
        own_loss = type(step_loss).__name__ if loss else settings.loss.name if settings.loss.name != INFO_NCE else ""
        if own_loss:
            check_once(step_loss, own_loss)
        trainer = PlanTrainer(
            model=encoder,
            args=_arguments(encoder, settings, checkpoints, ranks, cpu, len(data.langs)),
            train_dataset=Dataset.from_dict(data.example()),
            loss=step_loss,
            callbacks=[report, *([stopping] if stopping else []), *callbacks],
        )
        for callback in ("PrinterCallback", "ProgressCallback"):
            for known in [c for c in trainer.callback_handler.callbacks if type(c).__name__ == callback]:
                trainer.remove_callback(known)
        if isinstance(encoder[0], StaticEmbedding):
            # Calls the tokenizer directly: `encoder.preprocess` would check each text for the address of a picture.
            trainer.data_collator.preprocess_fn = encoder[0].preprocess
        trainer.packing, trainer.own_loss = packing, own_loss
        trainer.steps_of_texts = _steps(data, plan, encoder, settings, teacher)
        # If the run was killed after patience had run out, no step is left, and the encoder is only saved.
        trainer.last_step = done if stopping is not None and stopping.is_over else settings.steps
        trainer.train(resume_from_checkpoint=resume)
    seconds = time.perf_counter() - started
    losses = [(int(e["step"]), float(e["loss"])) for e in trainer.state.log_history if "loss" in e] or report.losses
    weights.refuse_divergence(encoder)
    with _processes.losing_a_process(advice):
        if stopping is not None:
            stopping.restore()
            # Rank 0 deletes the best weights with the checkpoints; every rank must have read them before.
            _processes.wait_for_all()
    _finish(encoder, settings, start, own_limit)
    evaluations, best, soup = (stopping.evaluations, stopping.best, stopping.soup) if stopping else ([], None, None)
    result = TrainingResult(settings, losses, seconds, int(trainer.state.global_step), evaluations, best, soup)
    with _processes.losing_a_process(advice):
        _processes.main_only(lambda: _save(encoder, base, data, result, output, checkpoints))
    return result


def checkpoints_of(output: Path) -> Path:
    """The folder of a run's checkpoints, which is removed when the run is done."""
    return output.with_name(output.name + ".checkpoints")


def record_of(folder: Path) -> dict[str, Any] | None:
    """The content of `training.json` in an encoder's folder; None if there is none or it cannot be read."""
    try:
        record = json.loads((folder / "training.json").read_text(encoding="utf-8"))
        return record if isinstance(record, dict) and {"base", "corpus", "settings"} <= record.keys() else None
    except (OSError, ValueError):
        return None


def _teacher(encoder: SentenceTransformer, settings: ResolvedSettings, trust_code: bool) -> SentenceTransformer | None:
    """The teacher; `start` is a copy of the encoder, made before training changes it."""
    if settings.distillation is None:
        return None
    if settings.distillation.teacher == "start":
        return copy.deepcopy(encoder)
    return load_encoder(
        settings.distillation.teacher, max_seq_length=settings.max_seq_length or None, trust_code=trust_code
    )


def _steps(
    data: TrainingData,
    plan: BatchPlan,
    encoder: SentenceTransformer,
    settings: ResolvedSettings,
    teacher: SentenceTransformer | None,
) -> StepTexts | StepCaptions:
    rank = _processes.rank()
    if teacher is not None and data.has_images:
        return StepTargets(data, plan, encoder, teacher, rank=rank)
    if data.has_images:
        return StepCaptions(data, plan, encoder, locked=settings.pictures.lock_images, rank=rank)
    return text_steps(data, plan, settings, teacher, rank)


def prepare(encoder: SentenceTransformer, settings: ResolvedSettings) -> None:
    """Set an encoder up for training: prompts, pooling, length limit, and which weights are trained."""
    # A caption is a query from text to image, and a passage from image to text.
    passage_prompt = settings.query_prompt if kind_of(encoder).has_image_tower else settings.passage_prompt
    prompts = {"query": settings.query_prompt, "document": passage_prompt}
    encoder.prompts = {**encoder.prompts, **{kind: prompt for kind, prompt in prompts.items() if prompt}}
    compose_first(encoder)
    if settings.pooling:
        weights.set_pooling(encoder, settings.pooling)
    cut_after(encoder, settings.max_seq_length)
    if settings.weights.lora_rank:
        weights.add_adapters(encoder, settings.weights.lora_rank)
    if settings.weights.freeze_embeddings:
        weights.freeze_embeddings(encoder)
    if settings.pictures.lock_images:
        weights.freeze_image_tower(encoder)
    if settings.gradient_checkpointing:
        # Set on the model: the trainer's argument for it has different names in different releases.
        weights.checkpoint_activations(encoder, True)


def _finish(
    encoder: SentenceTransformer,
    settings: ResolvedSettings,
    start: Mapping[str, torch.Tensor],
    own_limit: int | None,
) -> None:
    """Turn a trained encoder into a plain one: average with the start, merge adapters, unfreeze, restore the length limit."""
    if settings.weights.start_share:
        weights.average_with(weights.averaged(encoder), start, settings.weights.start_share)
    if settings.weights.lora_rank:
        weights.merge_adapters(encoder)
    if settings.gradient_checkpointing:
        weights.checkpoint_activations(encoder, False)
    for parameter in encoder.parameters():
        parameter.requires_grad_(True)
    if own_limit is not None:
        # The limit was for training only. The encoder can read longer texts.
        encoder.max_seq_length = own_limit


def _arguments(
    encoder: SentenceTransformer, settings: ResolvedSettings, checkpoints: Path, ranks: int, cpu: bool, langs: int
) -> SentenceTransformerTrainingArguments:
    kind = kind_of(encoder)
    columns_of = {
        "query": [*query_columns(langs), COLUMNS["queries"]],
        "document": ["passage", "negative", COLUMNS["passages"]],
    }
    prompts = {column: encoder.prompts.get(side) for side, columns in columns_of.items() for column in columns}
    return SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size // ranks,
        learning_rate=settings.learning_rate,
        warmup_steps=round(settings.schedule.warmup * settings.steps),
        weight_decay=settings.weight_decay,
        # Clipping does not support sparse gradients.
        max_grad_norm=0.0 if kind.sparse_gradients else 1.0,
        bf16=settings.bf16,
        use_cpu=cpu,
        seed=settings.seed,
        prompts={column: prompt for column, prompt in prompts.items() if prompt},
        # The trainer requires this argument, but does not use it: each column of a step names its modality.
        router_mapping={"query": "text", "passage": "image", "second": "text"} if kind.has_image_tower else {},
        logging_steps=max(1, settings.steps // 50),
        logging_strategy="steps",
        save_strategy="steps" if settings.schedule.checkpoint_every else "no",
        save_steps=settings.schedule.checkpoint_every or 1,
        save_total_limit=2,
        ignore_data_skip=True,
        disable_tqdm=True,
        report_to="none",
    )


def _save(
    encoder: SentenceTransformer,
    base: str,
    data: TrainingData,
    result: TrainingResult,
    output: Path,
    checkpoints: Path,
) -> None:
    # A run that is resumed after its last step sees no batch. It must save the same files as an uninterrupted run.
    forget_last_batch(encoder)
    with replacing_folder(output, MARKERS) as place, quiet_transformers():
        encoder.save_pretrained(str(place), create_model_card=False)
        record = {
            "name": output.resolve().name,
            "base": base,
            "corpus": {
                "name": data.name, "fingerprint": data.fingerprint(), "langs": list(data.langs), "pairs": data.pairs,
                "machine_made": data.machine_made, "sources": {n: c.fingerprint() for n, c in data.sources.items()},
                "seen": seen_in(data.sources.values()),
            },
            "settings": result.settings.model_dump(),
            "losses": result.losses,
            "seconds": result.seconds,
            "steps": result.steps,
            "processes": _processes.world_size(),
            "evaluations": [(one.step, one.score) for one in result.evaluations],
            "best_step": result.best.step if result.best else None,
            "soup": asdict(result.soup) if result.soup else None,
        }  # fmt: skip
        write_json(place / "training.json", record)
        write_card(place, record)
    remove_folder(checkpoints)


@contextlib.contextmanager
def _known_warnings() -> Iterator[None]:
    """Ignore warnings about intended behaviour."""
    with warnings.catch_warnings():
        # Without a GPU there is no memory to pin.
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        yield


__all__ = ["PlanTrainer", "TrainingResult", "prepare", "train"]
