"""`means` and `components`: take away the mean or the main directions of the text's own language.

Both need the language of a text. A linear discriminant estimates the probability of each language from the embedding, and the
removal is weighted by these probabilities. So the language of a query need not be known.
"""

from __future__ import annotations

import numpy as np
import torch

from babelmix.encoders.debias import LanguageRemoval
from babelmix.encoders.removal import Embedded, RemovalMethod
from babelmix.encoders.removal.subspace import usual_rank
from babelmix.errors import EncoderError

SHRINKAGE = 0.1
"""The covariance of the discriminant is shrunk by this share towards a multiple of the identity matrix."""


def removal_by_language(embedded: Embedded, rank: int) -> LanguageRemoval:
    """Fit means (rank 0) or the first principal directions of each language and kind, and a linear discriminant between them."""
    dimension = embedded.vectors.shape[1]
    members = [some for kinds in embedded.members() for some in kinds]
    means = np.stack([some.mean(axis=0) for some in members])
    within = sum(((some - mean).T @ (some - mean) for some, mean in zip(members, means, strict=True)), np.zeros(()))
    within = within / len(embedded.vectors)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / dimension * np.eye(dimension)
    discriminants = np.linalg.solve(within, means.T).T
    made = LanguageRemoval(dimension, len(members), rank)
    values = {"discriminants": discriminants, "offsets": -(discriminants * means).sum(axis=1) / 2}
    if rank:
        # Vectors are not centred, as in the source: the first direction is nearly that of the mean.
        values["directions"] = np.stack([np.linalg.svd(some, full_matrices=False)[2][:rank] for some in members])
    else:
        values["means"] = means
    for name, value in values.items():
        getattr(made, name).copy_(torch.from_numpy(value))
    return made


def _fit_components(embedded: Embedded, rank: int) -> torch.nn.Module:
    dimension = embedded.vectors.shape[1]
    if not 1 <= rank < dimension:
        raise EncoderError(f"rank {rank} must be 1 or more, and below the dimension, {dimension}")
    return removal_by_language(embedded, rank)


MEANS = RemovalMethod(
    lambda embedded, rank: removal_by_language(embedded, 0),
    "the mean of the text's language",
    "Libovický et al., Findings of EMNLP 2020",
)
COMPONENTS = RemovalMethod(
    _fit_components,
    "the first principal directions of the text's language",
    "LIR: Yang et al., EMNLP 2021",
    usual_rank,
)

__all__ = ["COMPONENTS", "MEANS", "removal_by_language"]
