"""A plan as a batch sampler for any PyTorch `DataLoader` and for a stock `SentenceTransformerTrainer`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import SequentialSampler

from babelmix.batches.index import RowIndex
from babelmix.batches.mixture import Mixture
from babelmix.batches.plan import BatchPlan
from babelmix.batches.pool import Ints, PairIndex
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
        plan: a plan over a `RowIndex`, or over a `Mixture` of them; its batch size is the global one.
        steps: how many global batches an epoch has.
        first: the step to begin with.
        rows: the data set's number of each of the index's rows, int64, shape (rows,), if they are not the same.

    Raises:
        PlanError: the index does not number ready pairs.

    """

    def __init__(self, plan: BatchPlan, steps: int, first: int = 0, *, rows: Ints | None = None) -> None:
        if not _of_ready_pairs(plan.index):
            raise PlanError(
                f"a batch sampler yields rows that are ready pairs, but a {type(plan.index).__name__} numbers queries and "
                "passages apart: make a RowIndex, or a data set of steps as in docs/batches.md"
            )
        count, _ = plan.index.rows
        super().__init__(SequentialSampler(range(count)), plan.batch_size // plan.world_size, drop_last=True)
        self.plan, self.steps, self.first, self.rows = plan, steps, first, rows
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        start = self.first + self.epoch * self.steps
        for step in range(start, start + self.steps):
            batch = self.plan[step]
            for rank in range(self.plan.world_size):
                rows = batch.slice(rank, self.plan.world_size).query_rows
                yield (rows if self.rows is None else self.rows[rows]).tolist()

    def __len__(self) -> int:
        return self.steps * self.plan.world_size

    def set_epoch(self, epoch: int) -> None:
        """Go on with the plan's steps of another epoch."""
        self.epoch = epoch


def _of_ready_pairs(index: PairIndex) -> bool:
    if isinstance(index, Mixture):
        return all(_of_ready_pairs(part) for part in index.parts.values())
    return isinstance(index, RowIndex)


def row_index(dataset: Dataset) -> RowIndex:
    """Index a data set with the columns `item`, `query_lang` and `passage_lang`; `query` and `passage` are used if there.

    Raises:
        PlanError: a column is missing.

    """
    for column in COLUMNS:
        _need(dataset, column)
    texts = [list(dataset[column]) if column in dataset.column_names else None for column in ("query", "passage")]
    return RowIndex(*(list(dataset[column]) for column in COLUMNS), *texts)


def source_index(dataset: Dataset, weights: Mapping[str, float]) -> tuple[Mixture, Ints]:
    """Index a data set that has a column `source` too, each source by itself.

    Returns:
        The mixture, and the data set's number of each of its rows, int64, shape (rows,).

    Raises:
        PlanError: a column is missing, or the weights are not for the sources in the column.

    """
    _need(dataset, "source")
    source = np.array(dataset["source"], dtype=object)
    rows = {name: np.flatnonzero(source == name) for name in sorted(set(source))}
    mixture = Mixture({name: row_index(dataset.select(mine)) for name, mine in rows.items()}, weights)
    return mixture, np.concatenate(list(rows.values()))


def _need(dataset: Dataset, column: str) -> None:
    if column not in dataset.column_names:
        raise PlanError(f"the data set has no column {column!r}; it has {', '.join(dataset.column_names)}")


def batch_sampler(
    dataset: Dataset,
    strategy: str = "hybrid",
    *,
    language_temperature: float = 0.0,
    source_weights: Mapping[str, float] | None = None,
    world_size: int | None = None,
    steps: int | None = None,
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
        source_weights: a weight for every name in the column `source`: then all rows of a batch are of one source, see
            `Mixture`. Without it that column is not looked at.
        world_size: number of ranks; by default what torchrun or accelerate set.
        steps: of the whole run, for strategies that change over it, such as `hybrid(1..0)`.

    Raises:
        PlanError: a column is missing, or a weight. An unfillable batch raises when the trainer makes its data loader.

    """
    index: RowIndex | Mixture
    index, rows = (row_index(dataset), None) if source_weights is None else source_index(dataset, source_weights)
    count, _ = index.rows
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
        if len(dataset) != count:
            raise PlanError(
                f"the sampler indexed {count} rows, but the trainer's data set has {len(dataset)}; an eval_dataset needs a "
                "trainer of its own, as sentence-transformers batches it by the same sampler"
            )
        plan = BatchPlan(
            index, parse_strategy(strategy), batch_size * ranks,
            seed=seed, language_temperature=language_temperature, world_size=ranks, steps=steps,
        )  # fmt: skip
        return PlanBatchSampler(plan, max(1, len(dataset) // (batch_size * ranks)), rows=rows)

    return make
