"""What scoring needs of embeddings: a matrix whose rows are read when they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

ROWS_AT_ONCE = 8192
"""Rows that are read in one step, when a whole matrix is looked through."""


class Matrix(Protocol):
    """A matrix of numbers: an array of numpy (also memory-mapped), or an object that reads its rows from elsewhere."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    def __len__(self) -> int:
        """The number of rows."""
        ...

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        """Some rows: a slice with a step of 1, or row numbers, int64, shape (rows,)."""
        ...


def blocks(matrix: Matrix, rows: int = ROWS_AT_ONCE) -> Iterator[npt.NDArray[Any]]:
    """The rows of a matrix in order, some at a time."""
    for start in range(0, len(matrix), rows):
        yield matrix[start : start + rows]


def zero_rows(matrix: Matrix) -> int:
    """The number of rows that are zero."""
    return sum(int(np.count_nonzero(~part.any(axis=1))) for part in blocks(matrix))


@dataclass(frozen=True, eq=False)
class Stacked:
    """Matrices of one width, one below the other.

    Args:
        parts: the matrices, each of the shape (its rows, width).
        starts: the first row of each part, and the number of all rows, int64, shape (parts + 1,).

    """

    parts: tuple[npt.NDArray[Any], ...]
    starts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, parts: Sequence[npt.NDArray[Any]]) -> Matrix:
        """Stack matrices; one matrix is itself."""
        if len(parts) == 1:
            return parts[0]
        return cls(tuple(parts), np.cumsum([0, *map(len, parts)]))

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return len(self), self.parts[0].shape[1]

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, rows: Any, /) -> npt.NDArray[Any]:
        if isinstance(rows, slice):
            start, end, _ = rows.indices(len(self))
            first, last = (
                int(np.searchsorted(self.starts, row, side="right")) - 1 for row in (start, max(start, end - 1))
            )
            taken = [
                self.parts[n][max(start - self.starts[n], 0) : max(end - self.starts[n], 0)]
                for n in range(first, min(last + 1, len(self.parts)))
            ]
            return taken[0] if len(taken) == 1 else np.concatenate(taken) if taken else self.parts[0][:0]
        part = np.searchsorted(self.starts, rows, side="right") - 1
        out = np.empty((len(rows), self.shape[1]), dtype=self.parts[0].dtype)
        for n in np.unique(part):
            mine = part == n
            out[mine] = self.parts[n][rows[mine] - self.starts[n]]
        return out


__all__ = ["ROWS_AT_ONCE", "Matrix", "Stacked", "blocks", "zero_rows"]
