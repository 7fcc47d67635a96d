"""`centred`: take away the mean of all texts, the difference of queries and passages, and the differences of languages.

It is like `subspace`, with one or two directions more. Embeddings lie around a mean that is far from zero, so all cosines are
similar (Mu and Viswanath, ICLR 2018, who subtract the mean). Texts of another domain have another mean, but in nearly the same
direction. Therefore the direction is taken away, not the mean. Queries and passages are different texts with different prompts,
so their embeddings lie apart, as those of languages do.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from babelmix.encoders.removal import Array, Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.affine import check_rank_of_langs, without_directions


def centred_subspace(members: Sequence[Sequence[Array]], rank: int) -> Array:
    """The direction of the mean, the direction from queries to passages, and the directions in which languages differ.

    Languages are compared within a kind: a prompt may move each language differently.

    Args:
        members: the embeddings of each language, by kind, each of shape (texts, dimension).
        rank: the number of directions of languages.

    Returns:
        Orthonormal, shape (rank + kinds, dimension). All languages and kinds have the same weight in the mean.

    """
    means = np.array([[some.mean(axis=0) for some in kinds] for kinds in members])
    of_kinds = means.mean(axis=0)
    # The means of the kinds span the mean of all and the direction between the kinds.
    both = np.linalg.qr(of_kinds.T)[0].T
    apart = (means - of_kinds).reshape(-1, means.shape[-1])
    apart = apart - apart @ both.T @ both
    directions = np.concatenate([both, np.linalg.svd(apart, full_matrices=False)[2][:rank]])
    # If nothing differs any more, the last directions need not be orthogonal to the others.
    return np.linalg.qr(directions.T)[0].T


def usual_rank(langs: int) -> int:
    """The number of directions in which this many languages can differ."""
    return max(1, langs - 1)


def fit(embedded: Embedded, options: RemovalOptions) -> Removal:
    """Fit the method; see `centred_subspace`."""
    members = embedded.members()
    rank = options.rank or usual_rank(len(members))
    check_rank_of_langs(rank, len(members), embedded.vectors.shape[1])
    return without_directions("centred", embedded, centred_subspace(members, rank))


METHOD = RemovalMethod(
    fit,
    "the directions of the mean of all texts, from queries to passages, and in which languages differ",
    "babelmix; see Mu and Viswanath, ICLR 2018",
    usual_rank,
)

__all__ = ["METHOD", "centred_subspace", "fit", "usual_rank"]
