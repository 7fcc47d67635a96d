"""Tell the language of a vector from the vector itself, by a linear discriminant."""

from __future__ import annotations

import numpy as np

from babelmix.encoders.removal import Array, Embedded

SHRINKAGE = 0.1
"""The covariance within languages is shrunk by this share towards a multiple of the identity matrix."""


def discriminants(embedded: Embedded) -> tuple[Array, Array]:
    """The discriminants of `Removal`, for queries and for passages.

    All languages and kinds have one covariance, and each is as likely as the others. So the values of queries and passages can be
    compared, where the kind of a vector is unknown.

    Source: linear discriminant analysis with shrinkage, as `sklearn.discriminant_analysis.LinearDiscriminantAnalysis`.

    Returns:
        Discriminants, shape (2, languages, dimension), and biases, shape (2, languages). Queries and passages have the same if
        they are embedded alike.

    """
    members = embedded.members()
    dimension = embedded.vectors.shape[1]
    means = np.array([[some.mean(axis=0) for some in kinds] for kinds in members])
    within = np.zeros((dimension, dimension))
    for kinds, of_kinds in zip(members, means, strict=True):
        for some, mean in zip(kinds, of_kinds, strict=True):
            within += (some - mean).T @ (some - mean)
    within /= len(embedded.vectors)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * np.trace(within) / dimension * np.eye(dimension)
    weights = np.linalg.solve(within, means.reshape(-1, dimension).T).T.reshape(means.shape)
    biases = -(weights * means).sum(axis=2) / 2
    both = [0, -1]
    return weights[:, both].transpose(1, 0, 2), biases[:, both].T


__all__ = ["SHRINKAGE", "discriminants"]
