"""Embeddings cut to fewer dimensions and made coarser: what an index with small vectors sees.

`PRECISIONS` are what indexes store:

- `float32`: the embeddings as they are.
- `float16`, `bfloat16`: each value is rounded to the nearest number of this type.
- `int8`: each dimension has 256 levels between its smallest and its largest value among the passages, as in faiss's SQ8 and
  sentence-transformers' `quantize_embeddings`; scores are those of the levels' values.
- `binary`: each value is one bit, whether it is above 0; scores are numbers of equal bits (Hamming), as in
  sentence-transformers' `ubinary`.

With cosine similarity, embeddings are scaled to length 1 after they are cut and before they are rounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation.chunks import to_unit_length
from babelmix.evaluation.matrix import Matrix, blocks

Floats = npt.NDArray[np.float32]

PRECISIONS = ("float32", "float16", "bfloat16", "int8", "binary")
"""How many bits a value has, from most to fewest."""

_LEVELS = 255
"""The steps between the lowest and the highest of the 256 levels of int8."""


def check_precision(precision: str) -> str:
    """The precision.

    Raises:
        ConfigError: there is no such precision.

    """
    if precision not in PRECISIONS:
        raise ConfigError(f"there is no precision {precision!r}; choose from {', '.join(PRECISIONS)}")
    return precision


def settings_of(dimensions: int | None, precision: str | None) -> dict[str, Any] | None:
    """The dimensions and the precision as facts of an audit; None for embeddings as they are."""
    cut = {"dimensions": dimensions, "precision": precision}
    return {name: value for name, value in cut.items() if value is not None} or None


def coarser(
    queries: Matrix,
    passages: Matrix,
    *,
    similarity: str = "cosine",
    dimensions: int | None = None,
    precision: str | None = None,
    name: str = "the embeddings",
) -> tuple[Matrix, Matrix, str]:
    """Cut embeddings to their first dimensions, and make them coarser.

    Nothing is computed before rows are read, except the levels of `int8`, for which the passages are read once.

    Args:
        queries: floating, shape (queries, dimension).
        passages: floating, shape (passages, dimension).
        similarity: `"cosine"` or `"dot"`.
        dimensions: how many dimensions to keep; None: all.
        precision: one of `PRECISIONS`; None: the embeddings as they are.
        name: what has these embeddings, for messages.

    Returns:
        Queries, passages, and the similarity with which they are compared.

    Raises:
        AuditError: the embeddings have fewer dimensions.
        ConfigError: there is no such precision, or the number of dimensions is not positive.

    Examples:
        >>> import numpy as np
        >>> one = np.array([[0.3, -0.1, 0.9]], dtype=np.float32)
        >>> queries, passages, similarity = coarser(one, one, dimensions=2, precision="binary")
        >>> queries[0:1].tolist(), similarity
        ([[1.0, -1.0]], 'dot')

    """
    if precision is not None:
        check_precision(precision)
    if dimensions is not None:
        width = passages.shape[1]
        if dimensions < 1:
            raise ConfigError(f"{dimensions} dimensions cannot be kept; name 1 or more")
        if dimensions > width:
            raise AuditError(f"{name}: has {width} dimensions, so {dimensions} cannot be kept; name at most {width}")
        queries, passages = Cut(queries, dimensions), Cut(passages, dimensions)
    if precision in (None, "float32"):
        return queries, passages, similarity
    unit = similarity == "cosine"
    if precision == "binary":
        return Coarse(queries, "binary", False), Coarse(passages, "binary", False), "dot"
    levels = _levels(passages, unit) if precision == "int8" else None
    return Coarse(queries, str(precision), unit, levels), Coarse(passages, str(precision), unit, levels), similarity


@dataclass(frozen=True, eq=False)
class Cut:
    """The first dimensions of a matrix.

    Args:
        inner: the matrix, shape (rows, dimension).
        dimensions: the number of dimensions to keep.

    """

    inner: Matrix
    dimensions: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and dimensions."""
        return len(self.inner), self.dimensions

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        return self.inner[rows][:, : self.dimensions]


@dataclass(frozen=True, eq=False)
class Coarse:
    """A matrix whose rows are made coarser when they are read.

    Args:
        inner: the matrix, shape (rows, dimension).
        precision: one of `PRECISIONS`.
        unit: whether the rows are scaled to length 1 first.
        levels: the lowest level of each dimension and the distance of two levels, float32, shape (2, dimension); for `int8`.

    """

    inner: Matrix
    precision: str
    unit: bool
    levels: Floats | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and dimensions."""
        return self.inner.shape

    def __len__(self) -> int:
        return len(self.inner)

    def __getitem__(self, rows: Any, /) -> Floats:
        values = _numbers(self.inner[rows], self.unit)
        if self.precision == "binary":
            return np.where(values > 0, np.float32(1), np.float32(-1))
        if self.levels is not None:
            low, step = self.levels
            values -= low
            values /= np.where(step > 0, step, np.float32(1))
            np.clip(np.rint(values, out=values), 0, _LEVELS, out=values)
            values *= step
            values += low
            return values
        if self.precision == "bfloat16":
            return torch.from_numpy(values).bfloat16().float().numpy()
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)


def _numbers(values: npt.NDArray[Any], unit: bool) -> Floats:
    """A copy as float32, scaled to length 1 if asked for."""
    with np.errstate(over="ignore"):
        found = np.array(values, dtype=np.float32)
    return to_unit_length(found) if unit else found


def _levels(passages: Matrix, unit: bool) -> Floats:
    """The lowest level of each dimension and the distance of two levels, shape (2, dimension)."""
    low = np.full(passages.shape[1], np.inf, dtype=np.float32)
    high = -low
    for part in blocks(passages):
        values = _numbers(part, unit)
        np.minimum(low, values.min(axis=0), out=low)
        np.maximum(high, values.max(axis=0), out=high)
    return np.stack([low, (high - low) / np.float32(_LEVELS)])


__all__ = ["PRECISIONS", "Coarse", "Cut", "check_precision", "coarser", "settings_of"]
