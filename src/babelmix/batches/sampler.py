"""A plan as a batch sampler for any PyTorch `DataLoader` and for a stock `SentenceTransformerTrainer`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import SequentialSampler

from babelmix.batches.index import RowIndex
from babelmix.batches.plan import BatchPlan
from babelmix.batches.strategies import strategy as parse_strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("item", "query_lang", "passage_lang")


class PlanBatchSampler(DefaultBatchSampler):
    """Yields lists of row numbers of a data set whose rows are pairs with languages.

    Over several ranks every *global* batch is cut into consecutive per-rank batches. Accelerate hands consecutive batches
    to consecutive ranks, so at each step all ranks hold parts of one global batch: one kind, one language.

    Args:
        plan: a plan over a `RowIndex`; its batch size is the global one.
        steps: how many global batches an epoch has.
        first: the step to begin with.

    """

    def __init__(self, plan: BatchPlan, steps: int, first: int = 0) -> None:
        rows = len(plan.index.row_class) if isinstance(plan.index, RowIndex) else steps * plan.batch_size
        super().__init__(SequentialSampler(range(rows)), plan.batch_size // plan.world_size, drop_last=True)
        self.plan, self.steps, self.first = plan, steps, first
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        start = self.first + self.epoch * self.steps
        for step in range(start, start + self.steps):
            batch = self.plan[step]
            for rank in range(self.plan.world_size):
                yield batch.slice(rank, self.plan.world_size).query_rows.tolist()

    def __len__(self) -> int:
        return self.steps * self.plan.world_size

    def set_epoch(self, epoch: int) -> None:
        """Go on with the plan's steps of another epoch."""
        self.epoch = epoch


def row_index(dataset: Dataset) -> RowIndex:
    """Index a data set with the columns `item`, `query_lang` and `passage_lang`; `query` and `passage` are used if there.

    Raises:
        PlanError: a column is missing.

    """
    for column in COLUMNS:
        if column not in dataset.column_names:
            raise PlanError(f"the data set has no column {column!r}; it has {', '.join(dataset.column_names)}")
    texts = [list(dataset[column]) if column in dataset.column_names else None for column in ("query", "passage")]
    return RowIndex(*(list(dataset[column]) for column in COLUMNS), *texts)


def batch_sampler(
    dataset: Dataset, strategy: str = "hybrid", *, language_temperature: float = 0.0, world_size: int | None = None
) -> Callable[..., PlanBatchSampler]:
    """What to pass as `batch_sampler=` to `SentenceTransformerTrainingArguments`.

    The trainer tokenises every column it is given, so index the data set with its language columns here and train on
    the texts alone::

        args = SentenceTransformerTrainingArguments(..., batch_sampler=batch_sampler(dataset, "hybrid(0.5)"))
        SentenceTransformerTrainer(model, args, train_dataset=dataset.select_columns(["query", "passage"]), ...)

    Args:
        dataset: with the columns `item`, `query_lang`, `passage_lang`, and usually `query` and `passage`.
        strategy: as for `babelmix.batches.strategies.strategy`.
        language_temperature: see `BatchPlan`.
        world_size: number of ranks; by default what torchrun or accelerate set.

    Raises:
        PlanError: a column is missing. An unfillable batch raises when the trainer makes its data loader.

    """
    index = row_index(dataset)
    ranks = world_size or int(os.environ.get("WORLD_SIZE", "1"))

    def make(
        dataset: Any,
        batch_size: int,
        drop_last: bool = True,
        valid_label_columns: list[str] | None = None,
        generator: torch.Generator | None = None,
        seed: int = 0,
    ) -> PlanBatchSampler:
        del drop_last, valid_label_columns, generator
        if len(dataset) != len(index.row_class):
            raise PlanError(
                f"the sampler indexed {len(index.row_class)} rows, but the trainer's data set has {len(dataset)}"
            )
        plan = BatchPlan(
            index, parse_strategy(strategy), batch_size * ranks,
            seed=seed, language_temperature=language_temperature, world_size=ranks,
        )  # fmt: skip
        return PlanBatchSampler(plan, max(1, len(dataset) // (batch_size * ranks)))

    return make
