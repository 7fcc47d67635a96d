"""Static encoders without torch: the mean of token vectors, read from a file of which only the rows in use are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from babelmix.errors import EncoderError

VECTORS = "vectors.npy"
"""The file of token vectors, float32, shape (vocabulary, dimension)."""


def open_vectors(folder: Path) -> npt.NDArray[np.float32]:
    """Open the token vectors of a static encoder. They are read from disk when they are used.

    Args:
        folder: it has the file `VECTORS`.

    Returns:
        The vectors, shape (vocabulary, dimension).

    Raises:
        EncoderError: the file is missing or damaged.

    """
    file = folder / VECTORS
    try:
        vectors: npt.NDArray[np.float32] = np.load(file, mmap_mode="r").view(np.ndarray)
    except FileNotFoundError as error:
        raise EncoderError(f"{file}: is missing; export the encoder again") from error
    except (OSError, ValueError, EOFError) as error:
        raise EncoderError(f"{file}: cannot be read ({error}); export the encoder again") from error
    if vectors.dtype != np.float32 or vectors.ndim != 2:
        raise EncoderError(
            f"{file}: is a table of {vectors.dtype} with {vectors.ndim} axes, not of float32 with 2; export the encoder again"
        )
    return vectors


def static_vectors(vectors: npt.NDArray[np.float32], ids: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.float32]:
    """The mean of the vectors of each text's tokens, as torch's `EmbeddingBag` computes it: a text without tokens gets zeros.

    Args:
        vectors: shape (vocabulary, dimension).
        ids: the tokens of each text.

    Returns:
        Shape (texts, dimension).

    Raises:
        IndexError: a token has no vector.

    Examples:
        >>> table = np.array([[1, 0], [0, 1]], dtype=np.float32)
        >>> static_vectors(table, [np.array([0, 1, 1, 1]), np.array([], dtype=np.int64)]).tolist()
        [[0.25, 0.75], [0.0, 0.0]]

    """
    found = np.zeros((len(ids), vectors.shape[1]), dtype=np.float32)
    for row, tokens in zip(found, ids, strict=True):
        if len(tokens):
            np.add.reduce(vectors.take(tokens, axis=0), axis=0, out=row)
            row /= len(tokens)
    return found


__all__ = ["VECTORS", "open_vectors", "static_vectors"]
