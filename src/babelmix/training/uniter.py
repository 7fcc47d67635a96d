"""Training UNITER (Chen et al., ECCV 2020, arXiv 1909.11740): pre-training, then ranking.

A batch is a function of its step, so a batch plan can decide the languages of right and wrong pairs. Every random number is a
function of seed and step. So on a CPU, an interrupted and resumed run ends with the same weights as an uninterrupted run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from babelmix import _processes
from babelmix._files import check_output_folder, replacing_file, replacing_folder, write_json
from babelmix._progress import progress_bar
from babelmix.batches.keyed import derive_key
from babelmix.encoders.uniter import Regions, Uniter
from babelmix.encoders.uniter.checkpoint import CONFIG, check_folder, write_model
from babelmix.encoders.uniter.model import check_regions
from babelmix.errors import TrainingError
from babelmix.training.uniter_steps import (
    NEED_LABELS,
    TASKS,
    Ints,
    PairBatch,
    draw_task,
    pretraining_loss,
    ranking_loss,
)

_ENTRIES = 50
"""The number of loss entries of each task in the record of a run."""


class UniterTrainingSettings(BaseModel):
    """Settings of one run. All of them are saved with the result."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pretrain_steps: int = Field(0, ge=0, description="steps of pre-training, one task each")
    rank_steps: int = Field(1000, ge=0, description="steps of ranking, after pre-training")
    learning_rate: float = Field(5e-5, gt=0, description="the highest learning rate of each stage")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of a stage's steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW, for matrices only")
    gradient_norm: float = Field(2.0, gt=0, description="gradients with a larger norm are scaled down to it")
    tasks: dict[str, float] = Field(
        {"mlm": 8, "itm": 6, "mrfr": 4, "mrckl": 4},
        description="weights of the pre-training tasks: mlm, itm, mrfr, mrc, mrckl; the last two need soft labels",
    )
    mask_share: float = Field(0.15, gt=0, lt=1, description="share of words or regions that are masked")
    alignment_weight: float = Field(0.1, ge=0, description="weight of word-region alignment in the matching task")
    margin: float = Field(0.2, ge=0, le=1, description="margin of ranking, between scores from 0 to 1")
    positives: int = Field(
        0, ge=0, description="pairs of a batch that ranking trains on; the others are negatives only; 0: all"
    )
    negatives: int = Field(1, ge=0, description="random wrong images for each pair, and as many wrong texts")
    hard_negatives: int = Field(0, ge=0, description="the same, with the highest scores in a pool")
    hard_pool: int = Field(0, ge=0, description="size of that pool; 0: the rest of the batch")
    checkpoint_every: int = Field(0, ge=0, description="steps between checkpoints; 0: no checkpoints")
    seed: int = Field(0, ge=0, description="seed of all random numbers")

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, value: dict[str, float]) -> dict[str, float]:
        if unknown := [name for name in value if name not in TASKS]:
            raise ValueError(f"there is no task {unknown[0]!r}; there are {', '.join(TASKS)}")
        if any(not 0 <= weight < float("inf") for weight in value.values()) or not sum(value.values()):
            raise ValueError("the weights of tasks must be 0 or more, and at least one must be positive")
        return value

    @model_validator(mode="after")
    def _something_to_do(self) -> UniterTrainingSettings:
        if self.pretrain_steps + self.rank_steps == 0:
            raise ValueError("there are no steps: set pretrain_steps, rank_steps or both")
        if self.rank_steps and self.negatives + self.hard_negatives == 0:
            raise ValueError("ranking needs negatives: set negatives, hard_negatives or both")
        if self.hard_pool and self.hard_pool < self.hard_negatives:
            raise ValueError(f"{self.hard_negatives} hard negatives cannot be taken from a pool of {self.hard_pool}")
        return self


@dataclass(frozen=True)
class UniterTrainingResult:
    """A finished run.

    Args:
        settings: the settings of the run.
        losses: (steps done, task, mean loss of the task since its last entry). The task of ranking is `"rank"`.
        seconds: the duration of training; for a resumed run, since it was resumed.

    """

    settings: UniterTrainingSettings
    losses: list[tuple[int, str, float]]
    seconds: float


Batches = Callable[[int], tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]]


def train_uniter(
    model: Uniter,
    texts: Sequence[str],
    regions: Sequence[Regions],
    batches: Batches,
    settings: UniterTrainingSettings,
    output: Path,
) -> UniterTrainingResult:
    """Train a UNITER model and save it to `output`. Afterwards the model is in evaluation mode.

    Pre-training draws one task per step, by weight. Ranking comes after it, with a new optimiser. The ranking head starts as a
    copy of the pre-trained matching head. Without pre-training, the model's own ranking head is used.

    With `checkpoint_every`, the state of the run is saved in `<output>.checkpoint.pt`. A call with the same settings, starting
    weights and data continues from there. The file is deleted at the end. On a CPU with the same number of threads, the weights
    are bit for bit those of an uninterrupted run.

    A batch plan can give the batches. For tables with one row for each image and language, one language after another:
    `lambda step: (plan[step].query_rows, plan[step].passage_rows % images)`.

    Args:
        model: the model to train; it is changed.
        texts: all texts.
        regions: the regions of all images.
        batches: a function from a step to the rows of its texts and the rows of their images; both int64, shape (pairs,). Steps
            count from 0 through both stages. The same step must always give the same rows. The images of a batch must be
            distinct, because the other images of a batch are negatives.
        settings: the settings of the run.
        output: the folder to write, for `babelmix.encoders.uniter.load`. It also has `training.json`. It is written whole or not
            at all.

    Returns:
        The settings, losses and seconds of the run.

    Raises:
        TrainingError: a batch breaks the rules above, no task can be trained, training diverges, a checkpoint is damaged or
            belongs to another run, or there are several processes.
        EncoderError: a text or image is empty or does not fit the model.
        BabelmixError: `output` cannot be written.

    Source:
        UNITER (Chen et al., ECCV 2020, arXiv 1909.11740).

    """
    if _processes.world_size() > 1:
        raise TrainingError("UNITER is trained in one process; start it without torchrun")
    check_folder(output)
    check_output_folder(output, (CONFIG,))
    tokens = model.tokenizer.encode(texts, max_text=model.config.max_text)
    check_regions(model.config, regions)
    used = {name for name, weight in settings.tasks.items() if weight}
    if settings.pretrain_steps and used <= set(NEED_LABELS) and all(image.soft_labels is None for image in regions):
        raise TrainingError(
            f"the tasks {', '.join(sorted(used))} need soft labels, but no image has any; add another task"
        )
    run = _Run(model, tokens, regions, batches, settings)
    checkpoint = checkpoint_of(output)
    record = _record(model, texts, regions, batches, settings) if settings.checkpoint_every else ""
    if settings.checkpoint_every and checkpoint.is_file():
        run.resume(checkpoint, record)
    started = time.perf_counter()
    model.train()
    try:
        with progress_bar("training", run.total, "steps", done=run.done) as bar:
            while run.done < run.total:
                run.step()
                bar.advance()
                if settings.checkpoint_every and run.done % settings.checkpoint_every == 0:
                    run.save(checkpoint, record)
    finally:
        model.eval()
    seconds = time.perf_counter() - started
    with replacing_folder(output, (CONFIG,)) as place:
        write_model(model, place)
        write_json(
            place / "training.json",
            {"settings": settings.model_dump(), "losses": run.losses, "seconds": seconds, "steps": run.total},
        )
    checkpoint.unlink(missing_ok=True)
    return UniterTrainingResult(settings, run.losses, seconds)


def checkpoint_of(output: Path) -> Path:
    """The file with the state of an unfinished run."""
    return output.with_name(f"{output.name}.checkpoint.pt")


class _Run:
    """The state of a run."""

    def __init__(
        self,
        model: Uniter,
        tokens: Sequence[Ints],
        regions: Sequence[Regions],
        batches: Batches,
        settings: UniterTrainingSettings,
    ) -> None:
        self.model, self.tokens, self.regions, self.batches, self.settings = model, tokens, regions, batches, settings
        self.total = settings.pretrain_steps + settings.rank_steps
        self.done = 0
        self.losses: list[tuple[int, str, float]] = []
        self.pending: dict[str, list[float]] = {}
        self.optimizer = _optimizer(model, settings)

    def step(self) -> None:
        """Do the next step."""
        step, settings = self.done, self.settings
        if step == settings.pretrain_steps and step > 0:
            # The moments of the pre-training losses do not fit the ranking loss.
            self.optimizer = _optimizer(self.model, settings)
            self.model.initialise_ranking()
        batch = self._batch(step)
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        self.optimizer.zero_grad()
        with _seeded(derive_key(settings.seed, "dropout", step), self.model.device):
            task, loss = self._loss(batch, step)
            loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), settings.gradient_norm)
        if not np.isfinite(value) or not torch.isfinite(norm):
            raise TrainingError(f"step {step}: the loss of {task} is not finite; use a smaller learning rate")
        self.optimizer.step()
        self.done += 1
        self.pending.setdefault(task, []).append(value)
        if self.done % max(1, self.total // _ENTRIES) == 0 or self.done in (settings.pretrain_steps, self.total):
            self.losses += [(self.done, name, float(np.mean(values))) for name, values in self.pending.items()]
            self.pending.clear()

    def _loss(self, batch: PairBatch, step: int) -> tuple[str, torch.Tensor]:
        settings, key = self.settings, derive_key(self.settings.seed, "draws", step)
        if step < settings.pretrain_steps:
            task = draw_task(settings.tasks, batch, settings.seed, step)
            return task, pretraining_loss(
                self.model, batch, task, key, mask_share=settings.mask_share,
                alignment_weight=settings.alignment_weight,
            )  # fmt: skip
        return "rank", ranking_loss(
            self.model, batch, key, margin=settings.margin, positives=settings.positives, negatives=settings.negatives,
            hard_negatives=settings.hard_negatives, hard_pool=settings.hard_pool,
        )  # fmt: skip

    def _learning_rate(self, step: int) -> float:
        """The learning rate of a step: in each stage it rises from 0 and then falls to 0, both linearly."""
        first = step >= self.settings.pretrain_steps
        start, steps = (
            (self.settings.pretrain_steps, self.settings.rank_steps) if first else (0, self.settings.pretrain_steps)
        )
        warm = round(self.settings.warmup * steps)
        at = step - start
        return self.settings.learning_rate * ((at + 1) / warm if at < warm else (steps - at) / (steps - warm))

    def _batch(self, step: int) -> PairBatch:
        text_rows, image_rows = self.batches(step)
        for rows, count, what in ((text_rows, len(self.tokens), "text"), (image_rows, len(self.regions), "image")):
            if rows.ndim != 1 or rows.dtype.kind not in "iu":
                raise TrainingError(
                    f"step {step}: {what} rows are {rows.dtype} of shape {rows.shape}, not int64 (pairs,)"
                )
            if len(rows) and (rows.min() < 0 or rows.max() >= count):
                raise TrainingError(f"step {step}: {what} rows must be from 0 to {count - 1}")
        if len(text_rows) != len(image_rows) or len(text_rows) < 2:
            raise TrainingError(
                f"step {step}: a batch needs two pairs or more, not {len(text_rows)} texts and {len(image_rows)} images"
            )
        images, times = np.unique(image_rows, return_counts=True)
        if len(images) < len(image_rows):
            raise TrainingError(
                f"step {step}: image {images[times > 1][0]} is in the batch {times.max()} times, so one of its own texts "
                "would be a negative; give distinct images"
            )
        return PairBatch([self.tokens[row] for row in text_rows], [self.regions[row] for row in image_rows])

    def save(self, path: Path, record: str) -> None:
        """Save the state of the run, whole or not at all."""
        state = {
            "record": record, "done": self.done, "losses": json.dumps([self.losses, self.pending]),
            "model": self.model.state_dict(), "optimizer": self.optimizer.state_dict(),
        }  # fmt: skip
        with replacing_file(path) as temporary:
            torch.save(state, temporary)

    def resume(self, path: Path, record: str) -> None:
        """Continue from a state that `save` wrote."""
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            same = state["record"] == record
            losses, pending = json.loads(state["losses"])
        except Exception as error:  # torch's reader of pickles raises whatever its bytes lead to
            raise TrainingError(f"{path}: is damaged; delete it to start over") from error
        if not same:
            raise TrainingError(
                f"{path}: belongs to a run with other settings, another start or other data; delete it or choose another output"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.done = int(state["done"])
        self.losses, self.pending = [(int(step), str(task), float(loss)) for step, task, loss in losses], pending


def _optimizer(model: Uniter, settings: UniterTrainingSettings) -> torch.optim.Optimizer:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98))


@contextmanager
def _seeded(key: int, device: torch.device) -> Iterator[None]:
    """Within this context, dropout is seeded by a key. Afterwards torch's generators are as before."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(key >> 1)
        yield


def _record(
    model: Uniter, texts: Sequence[str], regions: Sequence[Regions], batches: Batches, settings: UniterTrainingSettings
) -> str:
    """Identifies a run: its settings, starting weights, texts, images and first batch."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().data)
    digest.update(json.dumps([list(texts), model.tokenizer.pieces]).encode())
    for image in regions:
        # The first region identifies an image; all regions would be gigabytes.
        labels = None if image.soft_labels is None else image.soft_labels.shape
        digest.update(f"{image.features.shape} {labels}".encode() + image.features[0].tobytes())
        digest.update(np.ascontiguousarray(image.locations).data)
    for rows in batches(0):
        digest.update(np.ascontiguousarray(rows, dtype=np.int64).data)
    return json.dumps({"settings": settings.model_dump(), "start and data": digest.hexdigest()})


__all__ = ["UniterTrainingResult", "UniterTrainingSettings", "train_uniter"]
