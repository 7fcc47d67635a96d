"""Relations of the teacher: an answer gets the same probability in every language, namely that of the teacher in English.

The teacher reads the batch in English. For each row, it scores the English candidates by the English query. The student scores
the candidates by the query in the languages in which they were drawn. The loss is the divergence of the student's distribution
from the teacher's. So the embeddings need not be the teacher's: only the scores must be. Teacher and student may have embeddings
of different dimensions.

Source: the score distributions of a teacher over the batch, TCT-ColBERT (Lin, Yang and Lin, RepL4NLP 2021). There teacher and
student read the same texts; here the teacher reads English, and the student all languages.
"""

from __future__ import annotations

import torch
from torch.nn.functional import log_softmax

from babelmix.training.terms import StepEmbeddings, Term, units


def divergence_from(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """The divergence of each row: `KL(softmax(teacher) | softmax(student))`.

    Args:
        teacher: scores divided by the temperature, shape (rows, candidates).
        student: scores divided by the temperature, shape (rows, candidates).

    Returns:
        The divergences, shape (rows,).

    Examples:
        >>> teacher = torch.log(torch.tensor([[0.5, 0.5], [0.5, 0.5]]))
        >>> student = torch.log(torch.tensor([[0.5, 0.5], [0.9, 0.1]]))
        >>> [round(value, 3) for value in divergence_from(teacher, student).abs().tolist()]
        [0.0, 0.511]

    """
    wanted = log_softmax(teacher, dim=1)
    return (wanted.exp() * (wanted - log_softmax(student, dim=1))).sum(1)


class Relations(Term):
    """The divergence of the student's score distributions from the teacher's, averaged over queries.

    The candidates are those of InfoNCE: the passages and hard negatives of all processes. Both distributions have the temperature
    of InfoNCE.
    """

    def forward(self, step: StepEmbeddings) -> torch.Tensor:
        """The mean over the queries, a scalar."""
        targets = units(step.targets)
        pool = torch.cat([step.gathered(targets[:, place], gradient=False) for place in range(1, targets.shape[1])])
        teacher = step.scale * targets[:, 0] @ pool.T
        return torch.stack(
            [divergence_from(teacher, query @ step.pool.T).mean() for query in step.unit_queries]
        ).mean()


__all__ = ["Relations", "divergence_from"]
