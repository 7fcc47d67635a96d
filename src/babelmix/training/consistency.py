"""Consistency: what an answer is worth to a query is not to depend on the language that either is written in.

Between two renderings of a passage the term compares the score distributions that a query gives to the batch's candidates,
once with its answer in one language and once in the other. The other candidates are the same, so it is nought where the query
scores both alike, and next to nought where both stand far above or far below the others: where their rank distance is small.
Between two renderings of a query it compares the distributions that the two give to the same candidates.

Both are the example consistency of xTune (Zheng et al., ACL 2021, arXiv 2106.08226), whose predictions are the classes of a task
and here the candidates of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import log_softmax, logsigmoid

from babelmix.batches import Batch, BatchPlan
from babelmix.batches.keyed import derive_key
from babelmix.batches.renderings import NONE, OtherRenderings
from babelmix.training.data import StepTexts, TrainingData

SIDES = {"queries": ("queries",), "passages": ("passages",), "both": ("queries", "passages")}
COLUMNS = {"queries": "other_query", "passages": "other_passage"}


class StepRenderings(StepTexts):
    """As `StepTexts`, with a rendering of each row in another language, as the column `other_query` or `other_passage`.

    `label` says of each of these columns whether there is one (1) or the item has one language only (0); then the column has the
    row's own text. Which rendering it is, is pure in (seed, step), and the same whatever the number of ranks; its language
    is drawn by the plan's weights.

    Args:
        data: what the plan draws from.
        plan: over `data.index`.
        of: `queries`, `passages` or `both`.
        rank: whose part of each batch.

    """

    def __init__(self, data: TrainingData, plan: BatchPlan, of: str, rank: int = 0) -> None:
        super().__init__(data, plan, rank)
        weights = dict(zip(plan.index.langs, plan.facts.language_weights.tolist(), strict=True))
        self._others = {
            name: {side: OtherRenderings(corpus, side, weights) for side in SIDES[of]}
            for name, corpus in data.sources.items()
        }

    def _rows(self, name: str, batch: Batch) -> list[dict[str, Any]]:
        rows = super()._rows(name, batch)
        labels: list[list[float]] = [[] for _ in rows]
        # Of a `one_to_k` batch the first query of each item.
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
    """`KL(stopgrad(P) | Q) + KL(stopgrad(Q) | P)` by rows, the symmetric divergence of xTune (arXiv 2106.08226).

    Args:
        first: log-probabilities P, shape (rows, outcomes).
        second: Q, likewise.

    Returns:
        Shape (rows,).

    """
    one, other = first.detach(), second.detach()
    return (one.exp() * (one - second)).sum(-1) + (other.exp() * (other - first)).sum(-1)


def of_passages(scores: torch.Tensor, others: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """The divergence between a query's candidates with its answer in one language and in another.

    What the distributions give to the other candidates differs by one factor for all, so there are two outcomes: the answer, or
    not.

    Args:
        scores: of queries with candidates, over the temperature, shape (rows, candidates).
        others: of queries with the other renderings of their answers, shape (rows,).
        own: the column of each query's answer, int64, shape (rows,).

    Returns:
        Shape (rows,).

    """
    mine = scores.gather(1, own[:, None])[:, 0]
    rest = scores.scatter(1, own[:, None], -torch.inf).logsumexp(1)
    first, second = (
        torch.stack([logsigmoid(answer - rest), logsigmoid(rest - answer)], dim=1) for answer in (mine, others)
    )
    return divergence(first, second)


def of_queries(scores: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The divergence between what two renderings of a query give to the candidates.

    Args:
        scores: of queries with candidates, over the temperature, shape (rows, candidates).
        others: of their other renderings, likewise.

    Returns:
        Shape (rows,).

    """
    return divergence(log_softmax(scores, dim=1), log_softmax(others, dim=1))


def columns_of(of: str) -> Sequence[str]:
    """The columns that `StepRenderings` adds, in their order."""
    return [COLUMNS[side] for side in SIDES[of]]


__all__ = ["StepRenderings", "columns_of", "divergence", "of_passages", "of_queries"]
