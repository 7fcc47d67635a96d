"""Reverse training: each passage finds its query among the queries of the batch.

Source: CLEAR (arXiv 2604.05821, ACL 2026):
`(1 - a - b) * CE(query -> passages) + a * CE(passage -> queries) + b * KL(P_rev | P_fwd)`, with a = 0.4 and b = 0.2.
There the query of the forward part is in English, and that of the reverse part in the target language, with five hard queries
each. Here both parts have the queries and passages of the batch, in the languages that the strategy draws.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, log_softmax

from babelmix.training.terms import StepEmbeddings, Term, units


class Reverse(Term):
    """The cross-entropy of each passage's query among the queries of all processes, averaged over passages and query columns."""

    reads_candidates = False

    def forward(self, step: StepEmbeddings) -> torch.Tensor:
        """The mean over the passages, a scalar."""
        return torch.stack([cross_entropy(scores, step.own) for scores in backward_scores(step)]).mean()


class ReverseKL(Term):
    """The divergence `KL(P_rev | P_fwd)` of each row, averaged over rows and query columns.

    P_fwd is the distribution of the row's query over the passages, P_rev that of the row's passage over the queries. Hard
    negatives are left out, because queries have none: both distributions need the same rows as outcomes. In the authors' code,
    neither side is detached from the gradient. Neither is here.
    """

    reads_candidates = False

    def forward(self, step: StepEmbeddings) -> torch.Tensor:
        """The mean over the rows, a scalar."""
        passages = step.unit_candidates[0] * step.scale
        found = []
        for query, scores in zip(step.unit_queries, backward_scores(step), strict=True):
            backward, forward = log_softmax(scores, dim=1), log_softmax(query @ passages.T, dim=1)
            found.append((backward.exp() * (backward - forward)).sum(1).mean())
        return torch.stack(found).mean()


def backward_scores(step: StepEmbeddings) -> list[torch.Tensor]:
    """For each query column, the scores of the rows' passages and the queries of all processes, divided by the temperature.

    Returns:
        Scores, each of shape (rows, queries).

    """
    passages = units(step.candidates[0]) * step.scale
    return [passages @ step.gathered(query).T for query in step.unit_queries]


__all__ = ["Reverse", "ReverseKL", "backward_scores"]
