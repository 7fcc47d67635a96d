"""A term of the loss, and what it sees of a step: the embeddings by their role, the labels, and the candidates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from sentence_transformers.util import all_gather, all_gather_with_grad
from torch.nn.functional import normalize

from babelmix import _processes
from babelmix.training.data import is_query

PLAIN = ("query", "passage", "negative")
"""The columns of a step of `StepTexts` whose batch is not `one_to_k`."""


class StepEmbeddings:
    """The embeddings of a step.

    Args:
        info_nce: the loss between queries and passages. It knows the scale, and whether processes share a batch.
        by_column: the embeddings of each column, shape (rows, dimension).
        others: the columns with translations into another language, in the order of their labels.
        labels: for each row, first 1 or 0 for each column of `others`: whether there is a translation; then the teacher's
            embeddings, if there is a teacher. Shape (rows, numbers); the numbers may have more than one axis.
        teacher_dimension: the dimension of the teacher's embeddings.

    """

    def __init__(
        self,
        info_nce: MultipleNegativesRankingLoss,
        by_column: Mapping[str, torch.Tensor],
        others: Sequence[str],
        labels: torch.Tensor | None,
        teacher_dimension: int,
    ) -> None:
        self.info_nce = info_nce
        self.others = {name: by_column[name] for name in others}
        """The embeddings of translations by column."""
        own = {name: vectors for name, vectors in by_column.items() if name not in self.others}
        self.queries = [vectors for name, vectors in own.items() if is_query(name)]
        """The embeddings of the queries: one column, or K in a `one_to_k` batch."""
        self.candidates = [vectors for name, vectors in own.items() if not is_query(name)]
        """The embeddings of the passages and, where there are any, of the hard negatives."""
        self._labels = None if labels is None else labels.flatten(1)
        self._teacher_dimension = teacher_dimension

    @property
    def scale(self) -> float:
        """1 / temperature."""
        return float(self.info_nce.scale)

    @cached_property
    def unit_queries(self) -> list[torch.Tensor]:
        """The queries as float32 unit vectors."""
        return [units(vectors) for vectors in self.queries]

    @cached_property
    def unit_candidates(self) -> list[torch.Tensor]:
        """The passages of all processes, and their hard negatives, as unit vectors, shape (all rows, dimension)."""
        return [self.gathered(units(vectors)) for vectors in self.candidates]

    @cached_property
    def unit_pool(self) -> torch.Tensor:
        """The candidates of all processes as unit vectors, shape (candidates, dimension)."""
        return torch.cat(self.unit_candidates)

    @cached_property
    def pool(self) -> torch.Tensor:
        """`unit_pool` times the scale."""
        return self.unit_pool * self.scale

    @cached_property
    def own(self) -> torch.Tensor:
        """For each query, the number of its passage in the pool, int64, shape (rows,)."""
        rows = len(self.queries[0])
        start = _processes.rank() * rows if self.info_nce.gather_across_devices else 0
        return torch.arange(start, start + rows, device=self.queries[0].device)

    def gathered(self, vectors: torch.Tensor, *, gradient: bool = True) -> torch.Tensor:
        """The vectors of all processes one after another, in the order of `own`."""
        if not self.info_nce.gather_across_devices:
            return vectors
        return all_gather_with_grad(vectors) if gradient else all_gather(vectors)

    def there(self, column: str) -> torch.Tensor:
        """1 for each row that has a translation in this column, else 0, shape (rows,)."""
        assert self._labels is not None
        return self._labels[:, list(self.others).index(column)]

    @cached_property
    def targets(self) -> torch.Tensor:
        """The teacher's embeddings of query, passage and perhaps hard negative, shape (rows, 2 or 3, the teacher's dimension)."""
        assert self._labels is not None
        return self._labels[:, len(self.others) :].reshape(len(self._labels), -1, self._teacher_dimension)


class Term(torch.nn.Module):
    """A term of the loss. A new term is a subclass in a file of its own."""

    reads_candidates = True
    """Whether the term reads the hard negatives. If no term does, they are not embedded."""

    def forward(self, step: StepEmbeddings) -> torch.Tensor:
        """The value of the term for a step, a scalar, without its weight."""
        raise NotImplementedError


class InfoNCE(Term):
    """InfoNCE, averaged over the query columns: `query`, and in a `one_to_k` batch `query2` and so on."""

    def forward(self, step: StepEmbeddings) -> torch.Tensor:
        """The cross-entropy of each query's passage among the candidates, a scalar."""
        # InfoNCE ignores labels.
        unlabelled = step.queries[0].new_empty(0)
        return torch.stack(
            [
                step.info_nce.compute_loss_from_embeddings([query, *step.candidates], unlabelled)
                for query in step.queries
            ]
        ).mean()


def units(vectors: torch.Tensor) -> torch.Tensor:
    """Float32 unit vectors."""
    return normalize(vectors.float(), dim=-1)


__all__ = ["InfoNCE", "StepEmbeddings", "Term", "units"]
