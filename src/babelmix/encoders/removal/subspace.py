"""`subspace`: take the directions away in which the means of languages differ (LSAR)."""

from __future__ import annotations

import numpy as np

from babelmix.encoders.removal import Array, Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.affine import check_rank_of_langs, without_directions


def language_subspace(means: Array, rank: int) -> Array:
    """The directions in which languages differ.

    The means are split into a part that all languages share, and a part of low rank that is orthogonal to it.

    Source: Xie et al., EMNLP 2022, Algorithm 1.

    Args:
        means: mean embeddings of the languages, shape (languages, dimension).
        rank: the number of directions, below the number of languages.

    Returns:
        Orthonormal, shape (rank, dimension).

    """
    columns = means.T
    mean = columns.mean(axis=1, keepdims=True)
    u, s, v = np.linalg.svd(columns - mean, full_matrices=False)
    near = mean + (u[:, :rank] * s[:rank]) @ v[:rank]
    shared = np.linalg.pinv(near).sum(axis=0, keepdims=True).T
    shared /= (shared**2).sum()
    directions: Array = np.linalg.svd(near - shared, full_matrices=False)[0][:, :rank].T
    return directions


def usual_rank(langs: int) -> int:
    """The number of directions in which the means of this many languages can differ, but at most 10."""
    return max(1, min(10, langs - 1))


def fit(embedded: Embedded, options: RemovalOptions) -> Removal:
    """Fit the method; see `language_subspace`."""
    means = embedded.means_of_langs()
    rank = options.rank or usual_rank(len(means))
    check_rank_of_langs(rank, *means.shape)
    return without_directions("subspace", embedded, language_subspace(means, rank))


METHOD = RemovalMethod(
    fit,
    "the directions in which the means of languages differ",
    "LSAR: Xie et al., EMNLP 2022, Algorithm 1",
    usual_rank,
)

__all__ = ["METHOD", "fit", "language_subspace", "usual_rank"]
