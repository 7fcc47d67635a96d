"""The projection from the encoder's embeddings to a teacher's embeddings of another dimension.

It is trained with the encoder, and used in training only: the saved encoder does not have it. Checkpoints do.

Source: MIMO (arXiv 2605.31171), whose student has fewer dimensions than its teacher.
"""

from __future__ import annotations

import torch

from babelmix.errors import TrainingError
from babelmix.training.settings import Distillation


class Projection(torch.nn.Module):
    """A linear map with a bias.

    It starts as the identity if both dimensions are equal. If not, it starts with orthogonal rows or columns and a bias of 0, so
    that it keeps angles as far as it can. (MIMO starts with uniform weights.) All processes start with the same map.

    Args:
        ours: the dimension of the encoder's embeddings.
        theirs: the dimension of the teacher's embeddings.
        seed: the seed of the first weights.

    Examples:
        >>> projection = Projection(2, 4)
        >>> round(projection(torch.tensor([[3.0, 4.0]])).norm().item(), 3)
        5.0

    """

    def __init__(self, ours: int, theirs: int, seed: int = 0) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(ours, theirs)
        with torch.no_grad():
            if ours == theirs:
                torch.nn.init.eye_(self.linear.weight)
            else:
                torch.nn.init.orthogonal_(self.linear.weight, generator=torch.Generator().manual_seed(seed))
            self.linear.bias.zero_()

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """The projected embeddings, float32, shape (rows, the teacher's dimension)."""
        projected: torch.Tensor = self.linear(vectors.float())
        return projected


def projection_of(teacher: Distillation | None, ours: int, theirs: int, seed: int = 0) -> Projection | None:
    """The projection of a run; None if it has none.

    Args:
        teacher: the settings of the teacher.
        ours: the dimension of the encoder's embeddings.
        theirs: the dimension of the teacher's embeddings.
        seed: the seed of the run.

    Raises:
        TrainingError: the dimensions differ, and the settings refuse a projection.

    """
    # The relations are between scores, which have no dimension.
    if teacher is None or not teacher.share:
        return None
    if teacher.projection is False and ours != theirs:
        raise TrainingError(
            f"the teacher's embeddings have {theirs} dimensions and the encoder's {ours}: this needs a projection; leave "
            "distillation.projection out"
        )
    wanted = ours != theirs if teacher.projection is None else teacher.projection
    return Projection(ours, theirs, seed) if wanted else None


__all__ = ["Projection", "projection_of"]
