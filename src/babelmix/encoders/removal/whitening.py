"""`whiten`: take the mean and all correlations away."""

from __future__ import annotations

import numpy as np

from babelmix.encoders.removal import Array, Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.affine import one_map


def whitening(vectors: Array) -> tuple[Array, Array]:
    """Matrix and offset that give vectors mean 0 and covariance 1.

    The root is symmetric, which rotates embeddings least. Directions with less than a thousandth of the mean variance are
    scaled as if they had that much.

    Source: Su et al., arXiv 2103.15316.

    Args:
        vectors: shape (texts, dimension).

    Returns:
        Matrix, shape (dimension, dimension), and offset, shape (dimension,).

    """
    mean = vectors.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(vectors, rowvar=False))
    floor = 1e-3 * variances.mean()
    matrix = (directions / np.sqrt(np.maximum(variances, floor))) @ directions.T
    return matrix, -matrix @ mean


def fit(embedded: Embedded, options: RemovalOptions) -> Removal:
    """Fit the method; see `whitening`."""
    del options
    return one_map("whiten", embedded, *whitening(embedded.vectors))


METHOD = RemovalMethod(fit, "the mean, and all correlations", "Su et al., arXiv 2103.15316")

__all__ = ["METHOD", "fit", "whitening"]
