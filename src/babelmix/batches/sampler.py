"""A plan as the batch sampler of a PyTorch `DataLoader` or of a `SentenceTransformerTrainer`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch.utils.data import SequentialSampler

from babelmix.batches.mixture import Mixture
from babelmix.batches.plan import BatchPlan
from babelmix.batches.pool import Ints, PairIndex
from babelmix.batches.row_index import RowIndex
from babelmix.batches.strategies import Strategy
from babelmix.batches.strategies import strategy as parse_strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from datasets import Dataset

COLUMNS = ("item", "query_lang", "passage_lang")


class PlanBatchSampler(DefaultBatchSampler):
    """Yields the batches of a plan as lists of row numbers of a data set. Each row is a pair with its languages.

    With several ranks, every global batch is cut into consecutive batches, one per rank. Accelerate gives consecutive batches to
    consecutive ranks. So at each step all ranks have parts of the same global batch.

    Args:
        plan: a plan over a `RowIndex`, or over a `Mixture` of them. Its batch size is the global one.
        steps: the number of global batches of an epoch.
        first: the step to start with.
        rows: for each row of the index, its row number in the data set, int64, shape (rows,). None: the numbers are the same.

    Raises:
        PlanError: the plan draws from another kind of index.

    Examples:
        >>> from babelmix.batches import BatchPlan, RowIndex
        >>> index = RowIndex(["a", "b", "c", "d"], ["de", "de", "en", "en"], ["de", "de", "en", "en"])
        >>> sampler = PlanBatchSampler(BatchPlan(index, "mono", 2), steps=3)
        >>> [sorted(rows) for rows in sampler]
        [[2, 3], [2, 3], [0, 1]]

    """

    def __init__(self, plan: BatchPlan, steps: int, first: int = 0, *, rows: Ints | None = None) -> None:
        if not _of_ready_pairs(plan.index):
            raise PlanError(
                f"a batch sampler needs rows that are ready pairs, but a {type(plan.index).__name__} numbers queries and "
                "passages separately: make a RowIndex, or a data set of steps as in docs/batches.md"
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
        """Set the epoch. The next iteration yields the steps of this epoch."""
        self.epoch = epoch


def _of_ready_pairs(index: PairIndex) -> bool:
    if isinstance(index, Mixture):
        return all(_of_ready_pairs(part) for part in index.parts.values())
    return isinstance(index, RowIndex)


def row_index(dataset: Dataset) -> RowIndex:
    """Index a data set with the columns `item`, `query_lang` and `passage_lang`, and `query` and `passage` if it has them.

    Raises:
        PlanError: a column is missing.

    """
    for column in COLUMNS:
        _need(dataset, column)
    texts = [list(dataset[column]) if column in dataset.column_names else None for column in ("query", "passage")]
    return RowIndex(*(list(dataset[column]) for column in COLUMNS), *texts)


def source_index(dataset: Dataset, weights: Mapping[str, float]) -> tuple[Mixture, Ints]:
    """Index each source of a data set that has a column `source`.

    Returns:
        The mixture, and for each row of the mixture its row number in the data set, int64, shape (rows,).

    Raises:
        PlanError: a column is missing, or the weights do not fit the sources in the column.

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
    strategy: str | Strategy = "hybrid",
    *,
    language_temperature: float = 0.0,
    source_weights: Mapping[str, float] | None = None,
    world_size: int | None = None,
    steps: int | None = None,
) -> Callable[..., PlanBatchSampler]:
    """Make the `batch_sampler=` of `SentenceTransformerTrainingArguments`.

    The trainer tokenises every column of its data set. So give the data set with its language columns here, and give the trainer
    the texts alone::

        args = SentenceTransformerTrainingArguments(..., batch_sampler=batch_sampler(dataset, "hybrid(0.5)"))
        SentenceTransformerTrainer(model, args, train_dataset=dataset.select_columns(["query", "passage"]), ...)

    Args:
        dataset: a data set with the columns `item`, `query_lang`, `passage_lang`, and usually `query` and `passage`.
        strategy: a strategy or its name, see `babelmix.batches.strategy`.
        language_temperature: see `BatchPlan`.
        source_weights: a weight for every name in the column `source`. Then each batch is from one source, see `Mixture`. None:
            the column `source` is ignored.
        world_size: the number of ranks. None: the number that torchrun or accelerate has set.
        steps: the number of steps of the whole run, for strategies that change over it, such as `hybrid(1..0)`.

    Returns:
        A function that the trainer calls with its data set and batch size. It makes a `PlanBatchSampler`, and raises `PlanError`
        if a batch cannot be filled.

    Raises:
        ConfigError: there is no such strategy.
        PlanError: a column or a weight is missing.

    Examples:
        >>> from datasets import Dataset
        >>> rows = [{"item": str(i), "query_lang": "de", "passage_lang": lang} for i in range(4) for lang in ("de", "en")]
        >>> dataset = Dataset.from_list(rows)
        >>> sampler = batch_sampler(dataset, "cross")(dataset, batch_size=4)
        >>> {dataset[row]["passage_lang"] for row in next(iter(sampler))}
        {'en'}

    """
    chosen = parse_strategy(strategy)
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
                "trainer of its own, because sentence-transformers uses the same sampler for it"
            )
        plan = BatchPlan(
            index, chosen, batch_size * ranks,
            seed=seed, language_temperature=language_temperature, world_size=ranks, steps=steps,
        )  # fmt: skip
        return PlanBatchSampler(plan, max(1, len(dataset) // (batch_size * ranks)), rows=rows)

    return make


__all__ = ["PlanBatchSampler", "batch_sampler", "row_index", "source_index"]
