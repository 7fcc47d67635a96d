"""Early stopping: audit on a validation corpus during training, and keep the best weights, or the average of the best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from babelmix._files import write_json
from babelmix._processes import main_only, share
from babelmix._progress import console
from babelmix.corpus import Corpus
from babelmix.errors import DivergedError, NotFiniteError, TrainingError
from babelmix.evaluation import measures
from babelmix.evaluation.measure_info import ranking_metrics
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.systems import EncoderSystem
from babelmix.training.resolving import ResolvedSettings
from babelmix.training.soup import Soup, Weights, greedy_soup, weights_file
from babelmix.training.weights import (
    averaged_with,
    load_trained,
    read_trained,
    refuse_divergence,
    save_tensors,
    save_trained,
    set_trained,
)


@dataclass(frozen=True)
class Evaluation:
    """An audit on the validation corpus during training.

    Args:
        step: the step after which it was made.
        score: the macro-average of the measure `schedule.stop_on`.

    """

    step: int
    score: float


class EarlyStopping(TrainerCallback):
    """Audits every few steps, keeps the best weights, and stops a training that no longer improves.

    Args:
        encoder: the encoder in training.
        corpus: the validation corpus.
        settings: the settings of the run; `schedule`, `weights.start_share` and `bf16` are used.
        folder: the folder for the best weights and the list of evaluations, which a resumed run reads.
        start: the starting weights. Audits and the saved encoder use the average with these weights; see `weights.averaged`.

    """

    def __init__(
        self,
        encoder: SentenceTransformer,
        corpus: Corpus,
        settings: ResolvedSettings,
        folder: Path,
        start: Mapping[str, torch.Tensor],
    ) -> None:
        self.encoder, self.corpus, self.settings, self.folder = encoder, corpus, settings, folder
        self._schedule = settings.schedule
        self._every = settings.schedule.evaluate_every or settings.steps
        self._start = start
        self.evaluations: list[Evaluation] = []
        self.soup: Soup | None = None
        """The average that `restore` put into the encoder, if `schedule.soup` asks for one."""
        self._lower_is_better = False

    @property
    def best(self) -> Evaluation | None:
        """The best evaluation, the first of equal ones; None before the first evaluation."""
        return self._best_until(self.evaluations[-1].step)[0] if self.evaluations else None

    @property
    def is_over(self) -> bool:
        """Whether patience has run out."""
        if not self._schedule.patience or self.best is None:
            return False
        waited = (self.evaluations[-1].step - self.best.step) // self._every
        return waited >= self._schedule.patience

    def resume(self, step: int) -> None:
        """Read the evaluations up to a step.

        Raises:
            TrainingError: the file is damaged.

        """
        file = self.folder / "evaluations.json"
        if step and file.is_file():
            try:
                record = json.loads(file.read_text(encoding="utf-8"))
                found = [Evaluation(int(one["step"]), float(one["score"])) for one in record["evaluations"]]
                self._lower_is_better = bool(record["lower_is_better"])
            except (ValueError, KeyError, TypeError) as error:
                raise TrainingError(f"{file}: is damaged; delete {self.folder} to start over") from error
            self.evaluations = [one for one in found if one.step <= step]

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Evaluate every `evaluate_every` steps and after the last step. Only rank 0 evaluates."""
        step = int(state.global_step)
        if (step % self._every and step != state.max_steps) or any(one.step == step for one in self.evaluations):
            return
        main_only(lambda: self._evaluate(step))
        self.evaluations, self._lower_is_better = share((self.evaluations, self._lower_is_better))
        if self.is_over:
            # Also log the loss since the last entry, because there may be no entry yet.
            control.should_training_stop = control.should_log = True

    def restore(self) -> None:
        """Put the best weights back into the encoder, or the greedy soup of the best."""
        if self.best is None:
            return
        if self._schedule.soup > 1:
            # Only rank 0 audits, and it has saved the weights.
            main_only(self._make_soup)
            self.soup = share(self.soup)
        file = self._weights(self.best.step) if self.soup is None else weights_file(self.folder)
        load_trained(self.encoder, file, damaged=self._again, foreign=self._again)

    def _make_soup(self) -> None:
        assert self.best is not None

        def load(step: int) -> Weights:
            return read_trained(self.encoder, self._weights(step), damaged=self._again, foreign=self._again)

        def score(weights: Weights) -> float:
            set_trained(self.encoder, weights)
            return self._audit().macro()

        steps = [one.step for one in self._best_until(self.evaluations[-1].step)]
        self.soup, weights = greedy_soup(steps, self.best.score, load, score, lower_is_better=self._lower_is_better)
        save_tensors(weights, weights_file(self.folder))
        console.print(
            f"soup of the steps {', '.join(map(str, self.soup.steps))}: {self._schedule.stop_on} {self.soup.score:.4f} on "
            f"{self.corpus.name}",
            highlight=False,
        )

    @property
    def _again(self) -> str:
        return f"delete {self.folder} to start over"

    def _evaluate(self, step: int) -> None:
        refuse_divergence(self.encoder)
        measure = self._audit()
        self._lower_is_better = bool(measure.lower_is_better)
        self.evaluations.append(Evaluation(step, measure.macro()))
        console.print(
            f"step {step}: {self._schedule.stop_on} {measure.macro():.4f} on {self.corpus.name}", highlight=False
        )
        if self.evaluations[-1] in self._best_until(step):
            save_trained(self.encoder, self._weights(step))
        write_json(
            self.folder / "evaluations.json",
            {"lower_is_better": self._lower_is_better, "evaluations": [asdict(one) for one in self.evaluations]},
        )
        self._clear_up()

    def _audit(self) -> Measure:
        training = self.encoder.training
        self.encoder.eval()
        try:
            with averaged_with(self.encoder, self._start, self.settings.weights.start_share):
                table = EncoderSystem(self.encoder, store=False, bf16=self.settings.bf16).rank(self.corpus)
        except NotFiniteError as error:
            # Finite weights can be so large that embeddings are infinite.
            raise DivergedError(f"training diverged: {error}; use a smaller learning rate") from error
        self.encoder.train(training)
        found = measures(table, ranking_metrics([self._schedule.stop_on]))
        return watched(found, self._schedule.stop_on, self.corpus.name)

    def _best_until(self, step: int) -> list[Evaluation]:
        """The best evaluations up to a step, the best one first: one, or as many as a soup has. Of equal ones, the first."""
        sign = 1 if self._lower_is_better else -1
        seen = [one for one in self.evaluations if one.step <= step]
        return sorted(seen, key=lambda one: sign * one.score)[: max(1, self._schedule.soup)]

    def _clear_up(self) -> None:
        """Delete saved weights, except the best of all steps and the best up to each checkpoint, which a resumed run may need."""
        checkpoints = [int(place.name.rpartition("-")[2]) for place in self.folder.glob("checkpoint-*")]
        last = self.evaluations[-1].step
        kept = {self._weights(one.step) for step in (last, *checkpoints) for one in self._best_until(step)}
        for file in self.folder.glob("best-*.safetensors"):
            if file not in kept:
                file.unlink()

    def _weights(self, step: int) -> Path:
        return self.folder / f"best-{step}.safetensors"


def watched(found: Mapping[str, Measure], name: str, corpus: str) -> Measure:
    """The measure of this name.

    Raises:
        TrainingError: the measure is not computed on the corpus, or it has no better direction.

    """
    if name not in found:
        raise TrainingError(f"{name} is not measured on {corpus}; there are {', '.join(found)}")
    if found[name].lower_is_better is None:
        raise TrainingError(f"{name}: neither more nor less of it is better, so training cannot stop on it")
    return found[name]
