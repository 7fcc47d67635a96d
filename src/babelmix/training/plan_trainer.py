"""sentence-transformers' trainer, whose batches come from a batch plan."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from sentence_transformers import SentenceTransformerTrainer
from torch.utils.data import DataLoader
from transformers import TrainerCallback

from babelmix import _processes
from babelmix._files import writing_to
from babelmix._progress import Ticker
from babelmix.encoders.kinds import kind_of
from babelmix.encoders.origin import named
from babelmix.errors import TrainingError, first_line
from babelmix.training import weights
from babelmix.training.captions import CaptionLoss, StepCaptions
from babelmix.training.data import StepTexts
from babelmix.training.losses import CachedColumnLoss, ColumnLoss
from babelmix.training.packing import Packing
from babelmix.training.rows import RowAdam

_TRAINED = "trained.safetensors"
_SCALE = "scale.safetensors"
_TERMS = "terms.safetensors"


class PlanTrainer(SentenceTransformerTrainer):  # type: ignore[misc,unused-ignore]
    """`SentenceTransformerTrainer` whose batches come from a plan. A resumed run does not draw the earlier batches again."""

    steps_of_texts: StepTexts | StepCaptions
    last_step: int
    packing: Packing | None = None
    own_loss: str = ""

    def get_train_dataloader(self) -> DataLoader[Any]:
        """A loader that starts at the trainer's current step."""
        trainer = self

        class FromHere:
            def __iter__(self) -> Iterator[int]:
                return iter(range(trainer.state.global_step, trainer.last_step))

            def __len__(self) -> int:
                return trainer.args.max_steps

        # The loader is not prepared by accelerate: the plan has already cut the batch for this process.
        # The loader has its own generator: it draws a number when it starts. From the global generator, this would change dropout
        # after a resume.
        # Captions need no collator: they are already the model's inputs.
        ready = isinstance(self.steps_of_texts, StepCaptions)
        return DataLoader(
            cast(Any, self.steps_of_texts), batch_size=None, sampler=FromHere(),
            collate_fn=None if ready else self.data_collator, generator=torch.Generator(),
        )  # fmt: skip

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[dict[str, torch.Tensor]], torch.Tensor | None]:
        """The inputs of each column; a `ColumnLoss` gets the names of the columns."""
        if isinstance(self.loss, (ColumnLoss, CachedColumnLoss)):
            ends = "_input_ids"
            self.loss.terms.columns = tuple(name.removesuffix(ends) for name in inputs if name.endswith(ends))
        features, labels = super().collect_features(inputs)
        if self.packing is not None:
            self.packing.expect(features)
        return features, labels

    def get_decay_parameter_names(self, model: Any) -> list[str]:
        """The parameters with weight decay: all but biases, norms and the learned scale, as in CLIP."""
        return [name for name in super().get_decay_parameter_names(model) if not name.endswith("log_scale")]

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The optimiser. For static encoders, it updates only the rows of the batch's tokens."""
        if self.optimizer is None and kind_of(self.model).sparse_gradients:
            # The loss may have parameters too, such as a projection.
            both = dict.fromkeys([*self.model.parameters(), *cast(torch.nn.Module, self.loss).parameters()])
            self.optimizer = RowAdam(list(both), lr=self.args.learning_rate)
        return super().create_optimizer() if self.optimizer is None else self.optimizer

    def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """One step. On pictures, this averages the gradients over the processes.

        `DistributedDataParallel` expects one forward pass per step through all parameters. Here a step has one forward pass per
        column, through one of the towers, and some steps have no pictures.
        """
        try:
            loss = super().training_step(model, inputs, *args, **kwargs)
        except (RuntimeError, IndexError, ValueError, TypeError, KeyError) as error:
            # With several processes the cause may be a lost process, which `_processes` reports.
            if torch.distributed.is_available() and torch.distributed.is_initialized():
                raise
            hint = "shorter texts (--max-seq-length) or smaller batches (--batch-size) may help"
            if self.own_loss:
                hint = f"the loss {self.own_loss!r} is not babelmix's own: look at it first; otherwise {hint}"
            raise TrainingError(
                f"{named(self.model)}: step {self.state.global_step + 1} of the training fails "
                f"({type(error).__name__}: {first_line(error)}); {hint}"
            ) from error
        if self.packing is not None:
            self.packing.forget()
        if isinstance(self.steps_of_texts, StepCaptions):
            average_gradients(cast(torch.nn.Module, self.loss))
        if isinstance(self.loss, (ColumnLoss, CachedColumnLoss)):
            # They are outside of the encoder, so `DistributedDataParallel` does not see them.
            average_gradients(self.loss.terms)
        return loss

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No callback: babelmix writes its own card, and the stock callback asks the hub."""

    def _get_grad_norm(self, model: Any, grad_norm: Any = None) -> Any:
        # torch has no norm of sparse gradients.
        if kind_of(self.model).sparse_gradients:
            return None
        return super()._get_grad_norm(model, grad_norm=grad_norm)  # type: ignore[no-untyped-call]

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        with writing_to(Path(str(self.args.output_dir))):
            super()._save_checkpoint(*args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        # transformers calls this in every process. Two processes that write the same file can fail.
        if not self.args.should_save:
            return
        # Save only the trained weights: they can be loaded into every kind of encoder, also with adapters.
        place = Path(str(output_dir or self.args.output_dir))
        weights.save_trained(self.model, place / _TRAINED)
        for name, part in self._beside_the_encoder().items():
            weights.save_trained(part, place / name)

    def _beside_the_encoder(self) -> dict[str, torch.nn.Module]:
        """The trained parts of the loss that are not the encoder's, by the name of their file in a checkpoint."""
        if isinstance(self.loss, CaptionLoss):
            return {_SCALE: self.loss.scale}
        if isinstance(self.loss, (ColumnLoss, CachedColumnLoss)) and weights.trained(self.loss.terms):
            return {_TERMS: self.loss.terms}
        return {}

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        # Rank 0 writes the trainer's state next. The state marks the checkpoint as complete.
        _processes.wait_for_all()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        place = Path(resume_from_checkpoint)
        kept: dict[str, torch.nn.Module] = {_TRAINED: self.model, **self._beside_the_encoder()}
        for name, part in kept.items():
            weights.load_trained(
                part, place / name, damaged=f"delete {place} to go on from an earlier one",
                foreign=f"delete {place.parent} or choose another output",
            )  # fmt: skip

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        try:
            super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[no-untyped-call,unused-ignore]
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            # torch reports damage in several ways, some of many lines.
            raise TrainingError(
                f"{checkpoint}: is damaged ({type(error).__name__}); delete it to go on from an earlier one"
            ) from error


def average_gradients(module: torch.nn.Module) -> None:
    """Set the gradients of a module's trained parameters to their mean over the processes.

    All processes have the same kind of batch, so a parameter has a gradient in all of them or in none.
    """
    if _processes.world_size() == 1:
        return
    for _, parameter in sorted(weights.trained(module).items()):
        if parameter.grad is not None:
            torch.distributed.all_reduce(parameter.grad)
            parameter.grad /= _processes.world_size()


class Report(TrainerCallback):
    """Moves the progress bar and keeps the losses."""

    def __init__(self, bar: Ticker) -> None:
        self.bar = bar
        self.losses: list[tuple[int, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Move the bar."""
        self.bar.advance()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Keep the loss."""
        if logs and "loss" in logs:
            self.losses.append((int(state.global_step), float(logs["loss"])))


__all__ = ["PlanTrainer", "Report"]
