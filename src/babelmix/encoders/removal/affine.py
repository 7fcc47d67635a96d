"""Modules for methods that are one matrix for all texts. They load without babelmix."""

from __future__ import annotations

import numpy as np
import torch
from sentence_transformers.base.modules.dense import Dense
from torch.nn import Identity

from babelmix.encoders.removal import Array
from babelmix.errors import EncoderError


def affine(matrix: Array, offset: Array) -> Dense:
    """`matrix x + offset` as a module of sentence-transformers.

    Args:
        matrix: shape (dimension, dimension).
        offset: shape (dimension,).

    """
    return Dense(
        matrix.shape[1], matrix.shape[0], activation_function=Identity(),
        init_weight=torch.from_numpy(matrix).float(), init_bias=torch.from_numpy(offset).float(),
    )  # fmt: skip


def without_directions(directions: Array) -> Dense:
    """The projection that takes directions away.

    Args:
        directions: orthonormal, shape (directions, dimension).

    """
    dimension = directions.shape[1]
    return affine(np.eye(dimension) - directions.T @ directions, np.zeros(dimension))


def check_rank_of_langs(rank: int, langs: int, dimension: int) -> None:
    """Raise unless the rank is from 1 to one less than the number of languages, and below the dimension.

    Raises:
        EncoderError: the rank is too small or too large.

    """
    if not 1 <= rank < min(langs, dimension):
        raise EncoderError(
            f"rank {rank} is too large or too small: {langs} languages differ in at most {langs - 1} directions"
        )


__all__ = ["affine", "check_rank_of_langs", "without_directions"]
