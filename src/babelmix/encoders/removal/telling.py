"""Tell the language of a vector from the vector itself, by a linear discriminant."""

from __future__ import annotations

import numpy as np

from babelmix.encoders.removal import Array, Embedded

SHRINKAGE = 0.1
"""The covariance within languages is shrunk by this share towards a multiple of the identity matrix."""


def discriminants(embedded: Embedded) -> tuple[Array, Array]:
    """The discriminants of `Removal`, for queries and for passages.

    Languages have one covariance, and each is as likely as the others.

    Source: linear discriminant analysis with shrinkage, as `sklearn.discriminant_analysis.LinearDiscriminantAnalysis`.

    Returns:
        Discriminants, shape (2, languages, dimension), and biases, shape (2, languages). Queries and passages have the same if
        they are embedded alike.

    """
    members = embedded.members()
    dimension = embedded.vectors.shape[1]
    found = []
    for kind in range(len(members[0])):
        means = np.stack([kinds[kind].mean(axis=0) for kinds in members])
        centred = np.concatenate([kinds[kind] - mean for kinds, mean in zip(members, means, strict=True)])
        within = centred.T @ centred / len(centred)
        within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / dimension * np.eye(dimension)
        weights = np.linalg.solve(within, means.T).T
        found.append((weights, -(weights * means).sum(axis=1) / 2))
    return np.stack([found[0][0], found[-1][0]]), np.stack([found[0][1], found[-1][1]])


__all__ = ["SHRINKAGE", "discriminants"]
