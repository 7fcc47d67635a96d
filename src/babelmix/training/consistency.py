"""The consistency loss: the score of an answer should not depend on the language of the query or of the answer.

For two renderings of a passage, the loss compares the score distributions of a query over the candidates of the batch: once with
its answer in one language, once with its answer in another. The other candidates are the same. So the loss is 0 if both
answers have the same score. It is close to 0 if both are far above or far below the other candidates, so that their rank distance
is small.

For two renderings of a query, the loss compares their score distributions over the same candidates.

Source: the example consistency of xTune (Zheng et al., ACL 2021, arXiv 2106.08226). There the predictions are classes of a task;
here they are the candidates of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import log_softmax, logsigmoid

from babelmix.batches import Batch, BatchPlan
from babelmix.batches.keyed import derive_key
from babelmix.batches.renderings import NONE, OtherRenderings
from babelmix.training.data import StepTexts, TrainingData, is_query
from babelmix.training.terms import StepEmbeddings, Term, units

SIDES = {"queries": ("queries",), "passages": ("passages",), "both": ("queries", "passages")}
COLUMNS = {"queries": "other_query", "passages": "other_passage"}


class StepRenderings(StepTexts):
    """`StepTexts` with another rendering of each row, in the column `other_query` or `other_passage`.

    `label` has a number for each of these columns: 1 if there is another rendering, 0 if the item has only one language. In the
    second case the column has the row's own text. The rendering is pure in (seed, step) and does not depend on the number of
    ranks. Its language is drawn by the weights of the plan.

    Args:
        data: the corpora that the plan draws from.
        plan: a plan over `data.index`.
        of: `queries`, `passages` or `both`; None: no other renderings, and no `label`.
        rank: the rank whose part of each batch is returned.
        candidates: whether a term of the loss reads hard negatives. If not, rows have none.

    """

    def __init__(
        self, data: TrainingData, plan: BatchPlan, of: str | None, rank: int = 0, *, candidates: bool = True
    ) -> None:
        super().__init__(data, plan, rank)
        self._candidates = candidates
        weights = dict(zip(plan.index.langs, plan.facts.language_weights.tolist(), strict=True))
        self._others = {
            name: {side: OtherRenderings(corpus, side, weights) for side in (SIDES[of] if of else ())}
            for name, corpus in data.sources.items()
        }

    def _rows(self, name: str, batch: Batch) -> list[dict[str, Any]]:
        if not self._candidates:
            batch = replace(batch, negative_rows=None)
        rows = super()._rows(name, batch)
        if not self._others[name]:
            return rows
        labels: list[list[float]] = [[] for _ in rows]
        # In a `one_to_k` batch: the first query of each item.
        own = {"queries": batch.query_rows[:: len(batch.query_rows) // len(rows)], "passages": batch.passage_rows}
        for side, others in self._others[name].items():
            key = derive_key(self.plan.seed, f"other {side}", batch.step)
            place = {"first": self.rank * len(rows), "of": self.plan.world_size * len(rows)}
            drawn = others.draw(own[side], key, **place)
            found = drawn != NONE
            drawn[~found] = own[side][~found]
            texts = self._texts[name][side == "passages"].take(drawn).to_pylist()
            for row, label, text, there in zip(rows, labels, texts, found, strict=True):
                row[COLUMNS[side]] = text
                label.append(float(there))
        for row, label in zip(rows, labels, strict=True):
            row["label"] = label
        return rows


def divergence(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The symmetric divergence of xTune (arXiv 2106.08226) of each row: `KL(stopgrad(P) | Q) + KL(stopgrad(Q) | P)`.

    Args:
        first: log-probabilities P, shape (rows, outcomes).
        second: log-probabilities Q, shape (rows, outcomes).

    Returns:
        The divergences, shape (rows,).

    Examples:
        >>> p = torch.log(torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
        >>> q = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
        >>> [round(value, 3) for value in divergence(p, q).tolist()]
        [0.0, 0.879]

    """
    one, other = first.detach(), second.detach()
    return (one.exp() * (one - second)).sum(-1) + (other.exp() * (other - first)).sum(-1)


def of_passages(scores: torch.Tensor, others: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The divergence between a query's score distributions with its answer in one language and in another.

    Between the two distributions, the probabilities of all other candidates change by one common factor. So two outcomes are
    enough: the answer, or any other candidate.

    Args:
        scores: the scores of queries and candidates, divided by the temperature, shape (rows, candidates).
        others: the scores of queries and the other renderings of their answers, divided by the temperature, shape (rows,).
        own: the column of each query's answer, int64, shape (rows,).

    Returns:
        The divergences, shape (rows,).

    """
    return divergence(*answer_or_other(scores, others, own))


def answer_or_other(
    scores: torch.Tensor, others: torch.Tensor, own: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The log-probabilities of two outcomes, the answer or any other candidate, with the answer in one language and in another.

    Args:
        scores: as for `of_passages`.
        others: as for `of_passages`.
        own: as for `of_passages`.

    Returns:
        The log-probabilities with the one and with the other, each of shape (rows, 2).

    """
    mine = scores.gather(1, own[:, None])[:, 0]
    rest = scores.scatter(1, own[:, None], -torch.inf).logsumexp(1)
    first, second = (
        torch.stack([logsigmoid(answer - rest), logsigmoid(rest - answer)], dim=1) for answer in (mine, others)
    )
    return first, second


def of_queries(scores: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The divergence between the score distributions of two renderings of a query.

    Args:
        scores: the scores of queries and candidates, divided by the temperature, shape (rows, candidates).
        others: the scores of the queries' other renderings, divided by the temperature, shape (rows, candidates).

    Returns:
        The divergences, shape (rows,).

    """
    return divergence(log_softmax(scores, dim=1), log_softmax(others, dim=1))


def columns_of(of: str) -> Sequence[str]:
    """The columns that `StepRenderings` adds, in order."""
    return [COLUMNS[side] for side in SIDES[of]]


class BetweenRenderings(Term):
    """A divergence of each compared side, averaged over the rows. A row whose item has only one language counts as 0."""

    def forward(self, step: StepEmbeddings) -> torch.Tensor:
        """The sum over the compared sides, a scalar."""
        total = step.pool.new_zeros(())
        for name, vectors in step.others.items():
            other = units(vectors)
            found = torch.stack([self.of_rows(step, name, query, other) for query in step.unit_queries])
            total = total + (found.mean(0) * step.there(name)).mean()
        return total

    def of_rows(self, step: StepEmbeddings, name: str, query: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The divergence of each row, shape (rows,).

        Args:
            step: the embeddings of the step.
            name: the column of `other`, see `COLUMNS`.
            query: the queries, of length one, shape (rows, dimension).
            other: the other renderings of queries or answers, of length one, shape (rows, dimension).

        """
        raise NotImplementedError


class Consistency(BetweenRenderings):
    """The symmetric divergences `of_queries` and `of_passages`."""

    def of_rows(self, step: StepEmbeddings, name: str, query: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """The divergence of each row, shape (rows,)."""
        scores = query @ step.pool.T
        if is_query(name):
            return of_queries(scores, other @ step.pool.T)
        return of_passages(scores, step.scale * (query * other).sum(1), step.own)


__all__ = [
    "COLUMNS",
    "SIDES",
    "BetweenRenderings",
    "Consistency",
    "StepRenderings",
    "answer_or_other",
    "columns_of",
    "divergence",
    "of_passages",
    "of_queries",
]
