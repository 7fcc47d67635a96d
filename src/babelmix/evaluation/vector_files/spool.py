"""Vectors that cannot be memory-mapped are unpacked block by block into a temporary file."""

from __future__ import annotations

import tempfile
from typing import IO, Any, Self

import numpy as np
import numpy.typing as npt

from babelmix._files import cache_folder, writing_to


class Spool:
    """Blocks of rows with one type and one width, one after the other in a temporary file.

    The file has no name, so it disappears with the matrix, also if the process is killed. Use it in a `with` statement.
    """

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._dtype: np.dtype[Any] | None = None
        self.width = 0
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A mapping keeps the contents after the file is closed.
        if self._file is not None:
            self._file.close()

    def add(self, block: npt.NDArray[Any]) -> None:
        """Append rows, shape (rows, width).

        Raises:
            WriteError: the disk is full.

        """
        self._dtype, self.width = block.dtype, block.shape[1]
        if self._file is None:
            self._file = _nameless()
        with writing_to(cache_folder()):
            self._file.write(np.ascontiguousarray(block).data)
        self.rows += len(block)

    def matrix(self) -> npt.NDArray[Any]:
        """All rows, memory-mapped, shape (rows, width)."""
        if self._file is None or self._dtype is None or not self.rows * self.width:
            return np.empty((self.rows, self.width), dtype=self._dtype or np.float32)
        with writing_to(cache_folder()):
            self._file.flush()
        return np.memmap(self._file, dtype=self._dtype, mode="r", shape=(self.rows, self.width))


def _nameless() -> IO[bytes]:
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError:
        return tempfile.TemporaryFile()


__all__ = ["Spool"]
