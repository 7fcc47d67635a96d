"""A thin trainer: sentence-transformers' own, fed by a batch plan."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from transformers import TrainerCallback, set_seed

from babelmix._files import check_output_folder, replacing_folder, write_json
from babelmix._progress import Ticker, progress_bar, quiet_transformers
from babelmix.batches import BatchPlan, CorpusIndex, strategy
from babelmix.corpus import Corpus
from babelmix.errors import TrainingError
from babelmix.training.card import write_card
from babelmix.training.rows import RowAdam, row_gradients
from babelmix.training.settings import TrainingSettings

MARKERS = ("training.json",)
"""What a folder that `train` wrote holds."""

STATIC_LEARNING_RATE = 5e-3
LEARNING_RATE = 2e-5


@dataclass(frozen=True)
class TrainingResult:
    """A finished run.

    Args:
        settings: with every default filled in.
        losses: (step, mean loss since the last entry).
        seconds: of training, without loading and saving.

    """

    settings: TrainingSettings
    losses: list[tuple[int, float]]
    seconds: float


class StepTexts(TorchDataset[list[dict[str, str]]]):
    """The texts of each step of a plan, for one rank: `[step] -> [{"query": ..., "passage": ...}, ...]`."""

    def __init__(self, corpus: Corpus, plan: BatchPlan, rank: int = 0) -> None:
        # One chunk: taking rows from many costs the whole table each time.
        self.queries, self.passages = (table["text"].combine_chunks() for table in (corpus.queries, corpus.passages))
        self.plan, self.rank = plan, rank

    def __getitem__(self, step: int) -> list[dict[str, str]]:
        batch = self.plan[step].slice(self.rank, self.plan.world_size)
        queries = self.queries.take(batch.query_rows).to_pylist()
        passages = self.passages.take(batch.passage_rows).to_pylist()
        return [{"query": q, "passage": p} for q, p in zip(queries, passages, strict=True)]


class PlanTrainer(SentenceTransformerTrainer):  # type: ignore[misc,unused-ignore]
    """`SentenceTransformerTrainer` whose batches come from a plan; resuming needs no skipping of data."""

    steps_of_texts: StepTexts

    def get_train_dataloader(self) -> DataLoader[Any]:
        """A loader that begins at the step the trainer has reached."""
        trainer = self

        class FromHere:
            def __iter__(self) -> Iterator[int]:
                return iter(range(trainer.state.global_step, trainer.args.max_steps))

            def __len__(self) -> int:
                return trainer.args.max_steps

        # Not prepared by accelerate: the plan has already cut the global batch for this rank.
        # Its own generator: a loader draws from it when it starts, which would shift dropout after a resume.
        return DataLoader(
            self.steps_of_texts, batch_size=None, sampler=FromHere(), collate_fn=self.data_collator,
            generator=torch.Generator(),
        )  # fmt: skip

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """By rows for static encoders: a step costs what its tokens cost, whatever the vocabulary."""
        if self.optimizer is None and is_static(self.model):
            self.optimizer = RowAdam(list(self.model.parameters()), lr=self.args.learning_rate)
        return super().create_optimizer() if self.optimizer is None else self.optimizer

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No callback: babelmix writes its own card, and the stock one asks the hub."""

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # torch has no norm of sparse gradients.
        return None if is_static(self.model) else super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]


class _Report(TrainerCallback):
    """Feeds the progress bar and keeps the losses."""

    def __init__(self, bar: Ticker) -> None:
        self.bar = bar
        self.losses: list[tuple[int, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.bar.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        if logs and "loss" in logs:
            self.losses.append((int(state.global_step), float(logs["loss"])))


def is_static(encoder: torch.nn.Module) -> bool:
    """Whether an encoder only averages token vectors."""
    return any(isinstance(module, StaticEmbedding) for module in encoder.children())


def refuse_evaluation_only(corpus: Corpus) -> None:
    """Raise if a corpus is a benchmark.

    Raises:
        TrainingError: its reader says that it is for evaluation only.

    """
    if corpus.meta.get("evaluation_only"):
        raise TrainingError(f"{corpus.name} is a benchmark: it is for evaluation only and is never trained on")


def resolved(settings: TrainingSettings, encoder: SentenceTransformer) -> TrainingSettings:
    """The settings with defaults that depend on the encoder filled in."""
    if settings.learning_rate > 0:
        return settings
    rate = STATIC_LEARNING_RATE if is_static(encoder) else LEARNING_RATE
    return settings.model_copy(update={"learning_rate": rate})


def train(
    encoder: SentenceTransformer,
    corpus: Corpus,
    settings: TrainingSettings,
    output: Path,
    *,
    base: str = "an encoder",
    label: str | None = None,
    loss: Callable[[SentenceTransformer], torch.nn.Module] | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> TrainingResult:
    """Train an encoder on a corpus and save it as a sentence-transformers folder.

    The loss is InfoNCE with in-batch negatives (arXiv 2408.10536, Eq. 1, with a temperature). A run that was interrupted
    after a checkpoint goes on from there with the identical batch sequence.

    Args:
        encoder: trained in place.
        corpus: training pairs.
        settings: see `TrainingSettings`.
        output: the folder to write, whole or not at all; checkpoints go to `<output>.checkpoints` until it is done.
        base: the starting encoder's name, for the card.
        label: the words before the progress bar.
        loss: makes another loss of sentence-transformers for (query, passage) pairs; by default InfoNCE.
        callbacks: of transformers' trainer.

    Raises:
        PlanError: the corpus cannot fill such batches.
        TrainingError: the loss is not finite, or checkpoints there belong to other settings.

    """
    settings = resolved(settings, encoder)
    check_output_folder(output, MARKERS)
    refuse_evaluation_only(corpus)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise TrainingError("training over several processes is not there yet: start one process")
    plan = BatchPlan(
        CorpusIndex(corpus), strategy(settings.strategy), settings.batch_size,
        seed=settings.seed, language_temperature=settings.language_temperature,
    )  # fmt: skip
    set_seed(settings.seed)
    static = is_static(encoder)
    if static and (settings.lora_rank or settings.mini_batch_size or settings.freeze_embeddings):
        raise TrainingError(
            "a static encoder is its token vectors: LoRA, GradCache and frozen embeddings are not for it"
        )
    own_limit = None if static else encoder.max_seq_length
    if settings.max_seq_length and own_limit is not None:
        encoder.max_seq_length = min(settings.max_seq_length, int(own_limit))
    if settings.lora_rank:
        _add_adapters(encoder, settings.lora_rank)
    frozen = _freeze_embeddings(encoder) if settings.freeze_embeddings and not static else []
    checkpoints = output.with_name(output.name + ".checkpoints")
    run = {"settings": settings.model_dump(), "base": base, "corpus": corpus.fingerprint()}
    resume = _resumable(checkpoints, run, settings.checkpoint_every > 0)
    done = int(json.loads((Path(resume) / "trainer_state.json").read_text())["global_step"]) if resume else 0
    prompts = {"query": encoder.prompts.get("query"), "passage": encoder.prompts.get("document")}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(checkpoints),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=round(settings.warmup * settings.steps),
        weight_decay=settings.weight_decay,
        # Clipping does not know sparse gradients.
        max_grad_norm=0.0 if static else 1.0,
        bf16=settings.bf16,
        use_cpu=str(encoder.device) == "cpu",
        seed=settings.seed,
        prompts={column: prompt for column, prompt in prompts.items() if prompt},
        logging_steps=max(1, settings.steps // 50),
        logging_strategy="steps",
        save_strategy="steps" if settings.checkpoint_every else "no",
        save_steps=settings.checkpoint_every or 1,
        save_total_limit=2,
        ignore_data_skip=True,
        disable_tqdm=True,
        report_to="none",
    )
    started = time.perf_counter()
    with (
        quiet_transformers(),
        progress_bar(label or f"training {settings.strategy}", settings.steps, "steps", done=done) as bar,
        _known_warnings(),
        row_gradients(encoder),
    ):
        report = _Report(bar)
        trainer = PlanTrainer(
            model=encoder,
            args=arguments,
            train_dataset=_example(corpus),
            loss=loss(encoder) if loss else _loss(encoder, settings),
            callbacks=[report, *callbacks],
        )
        for callback in ("PrinterCallback", "ProgressCallback"):
            for known in [c for c in trainer.callback_handler.callbacks if type(c).__name__ == callback]:
                trainer.remove_callback(known)
        if static:
            # Straight to the tokenizer: the way through the encoder asks of every text whether it is a picture's address.
            trainer.data_collator.preprocess_fn = cast(StaticEmbedding, encoder[0]).preprocess
        trainer.steps_of_texts = StepTexts(corpus, plan)
        trainer.train(resume_from_checkpoint=resume)
    seconds = time.perf_counter() - started
    losses = [(int(e["step"]), float(e["loss"])) for e in trainer.state.log_history if "loss" in e] or report.losses
    if any(not torch.isfinite(parameter).all() for parameter in encoder.parameters()):
        raise TrainingError(
            "training diverged: a weight is not finite; use a smaller learning rate or a higher temperature"
        )
    for parameter in frozen:
        parameter.requires_grad_(True)
    if settings.lora_rank:
        _merge_adapters(encoder)
    if own_limit is not None:
        # Cutting texts saved time in training; the encoder can still read longer ones.
        encoder.max_seq_length = own_limit
    result = TrainingResult(settings, losses, seconds)
    with replacing_folder(output, MARKERS) as place, quiet_transformers():
        encoder.save_pretrained(str(place), create_model_card=False)
        write_card(place, base, corpus, settings)
        write_json(
            place / "training.json",
            {
                "base": base,
                "corpus": {"name": corpus.name, "fingerprint": corpus.fingerprint(), "langs": list(corpus.langs)},
                "settings": settings.model_dump(),
                "losses": losses,
                "seconds": seconds,
            },
        )
    shutil.rmtree(checkpoints, ignore_errors=True)
    return result


def _loss(encoder: SentenceTransformer, settings: TrainingSettings) -> torch.nn.Module:
    scale = 1.0 / settings.temperature
    if settings.mini_batch_size:
        return CachedMultipleNegativesRankingLoss(encoder, scale=scale, mini_batch_size=settings.mini_batch_size)
    return MultipleNegativesRankingLoss(encoder, scale=scale)


def _example(corpus: Corpus) -> Dataset:
    """A data set of one row that shows the trainer the columns; batches come from the plan."""
    return Dataset.from_dict(
        {"query": [corpus.queries["text"][0].as_py()], "passage": [corpus.passages["text"][0].as_py()]}
    )


def _resumable(checkpoints: Path, run: dict[str, Any], will_save: bool) -> str | None:
    """The last whole checkpoint of an interrupted run of the same settings, base and corpus, if there is one."""
    record = checkpoints / "run.json"
    if record.is_file():
        if json.loads(record.read_text(encoding="utf-8")) != run:
            raise TrainingError(
                f"{checkpoints}: belongs to a run with other settings, another start or other data; delete it or choose "
                "another output"
            )
        whole = [folder for folder in checkpoints.glob("checkpoint-*") if (folder / "trainer_state.json").is_file()]
        if whole:
            return str(max(whole, key=lambda folder: int(folder.name.rpartition("-")[2])))
    if will_save:
        write_json(record, run)
    return None


def _add_adapters(encoder: SentenceTransformer, rank: int) -> None:
    from peft import LoraConfig, TaskType

    encoder.add_adapter(
        LoraConfig(
            TaskType.FEATURE_EXTRACTION, r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear"
        )
    )


def _freeze_embeddings(encoder: SentenceTransformer) -> list[torch.nn.Parameter]:
    """Freeze the token vectors: most of a multilingual encoder's weights, of which a batch uses few."""
    transformer: Any = encoder[0].auto_model
    parameters = [p for p in transformer.get_input_embeddings().parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.requires_grad_(False)
    return parameters


def _merge_adapters(encoder: SentenceTransformer) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer

    transformer: Any = encoder[0].auto_model
    for name, module in list(transformer.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent = transformer.get_submodule(name.rpartition(".")[0]) if "." in name else transformer
            setattr(parent, name.rpartition(".")[2], module.get_base_layer())
    transformer._hf_peft_config_loaded = False


@contextlib.contextmanager
def _known_warnings() -> Iterator[None]:
    """Pass over warnings about things that are meant."""
    with warnings.catch_warnings():
        # No GPU: there is nothing to pin.
        warnings.filterwarnings("ignore", message=".*pin_memory.*")
        yield
