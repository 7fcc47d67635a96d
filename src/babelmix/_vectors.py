"""Vectors of length one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def unit_length(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """New vectors of length one, float32, shape (vectors, dimension); a vector of zeros stays as it is."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, np.where(lengths > 0, lengths, 1), dtype=np.float32)
