"""Removals that are one map for all languages."""

from __future__ import annotations

import numpy as np

from babelmix.encoders.removal import Array, Embedded, Removal
from babelmix.encoders.removal.fitted import ANY
from babelmix.errors import EncoderError


def one_map(method: str, embedded: Embedded, matrix: Array, offset: Array) -> Removal:
    """The removal after which x is `matrix x + offset`, for queries and passages of all languages.

    Args:
        method: the name of the method.
        embedded: what it was fitted on.
        matrix: shape (dimension, dimension).
        offset: shape (dimension,).

    """
    identity = np.eye(len(matrix))
    return _removal(method, embedded, -offset, matrix - identity, identity)


def without_directions(method: str, embedded: Embedded, directions: Array) -> Removal:
    """The projection that takes directions away, of queries and passages of all languages.

    Args:
        method: the name of the method.
        embedded: what it was fitted on.
        directions: orthonormal, shape (directions, dimension).

    """
    return _removal(method, embedded, np.zeros(directions.shape[1]), -directions.T, directions)


def _removal(method: str, embedded: Embedded, offset: Array, left: Array, right: Array) -> Removal:
    b, m, n = (np.stack([one[None]] * 2).astype(np.float32) for one in (offset, left, right))
    facts = {"rank": len(right)} if len(right) < len(offset) else {}
    return Removal(method, (ANY,), b, m, n, similarity=embedded.similarity, facts=facts)


def check_rank_of_langs(rank: int, langs: int, dimension: int) -> None:
    """Raise unless the rank is from 1 to one less than the number of languages, and below the dimension.

    Raises:
        EncoderError: the rank is too small or too large.

    """
    if not 1 <= rank < min(langs, dimension):
        raise EncoderError(
            f"rank {rank} is too large or too small: {langs} languages differ in at most {langs - 1} directions"
        )


__all__ = ["check_rank_of_langs", "one_map", "without_directions"]
