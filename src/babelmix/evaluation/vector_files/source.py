"""The vectors of one side, as a file holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix.errors import VectorsError
from babelmix.evaluation.matrix import Matrix

FLOATS = ("float64", "float32", "float16", "bfloat16")
"""The types of values that are numbers as they stand."""
KINDS = (*FLOATS, "int8", "uint8")
"""The types of values that vectors may have."""
NAMES = ("vector", "embedding", "vectors", "embeddings")
"""The names of an array, or of a column, of vectors."""


@dataclass(frozen=True, eq=False)
class VectorSource:
    """The vectors of one side, as a file holds them.

    Args:
        place: the file, or a name for an array in memory.
        values: shape (rows, width), of the type `kind`; bfloat16 as its bits, uint16.
        kind: the type of the values, one of `KINDS`.
        ids: an id for each row, strings, shape (rows,); None: the rows are those of the corpus, in order.
        ids_place: the file of the ids.
        scales: what the values are multiplied by, float32, shape (rows, 1) or (1, width); None: nothing.
        lines: the number of each row in messages; None: from 1 on.

    """

    place: str | Path
    values: Matrix
    kind: str
    ids: pl.Series | None = None
    ids_place: str | Path | None = None
    scales: npt.NDArray[np.float32] | None = None
    lines: Sequence[int] | None = None

    def line(self, row: int) -> int:
        """The number of a row in messages."""
        return row + 1 if self.lines is None else self.lines[row]

    def error(self, what: str, row: int | None = None, field: str | None = None) -> VectorsError:
        """An error about these vectors, or about one row, counted from 0."""
        return VectorsError(what, file=self.place, row=None if row is None else self.line(row), field=field)


def kind_of_values(dtype: np.dtype[Any], place: str | Path, field: str | None = None) -> str:
    """The kind of values of an array.

    Raises:
        VectorsError: vectors do not have this type.

    """
    name = dtype.newbyteorder("=").name
    if name in KINDS and name != "bfloat16":
        return name
    if dtype.hasobject:
        raise VectorsError(PICKLE, file=place, field=field)
    raise VectorsError(
        f"holds values of the type {name}; save vectors as {', '.join(FLOATS[:3])}, int8 with scales, or packed bits (uint8)",
        file=place, field=field,
    )  # fmt: skip


PICKLE = (
    "holds Python objects, which only a pickle can store, and a pickle can run any code when it is opened; save numbers: "
    "np.save(file, np.stack(vectors).astype('float32'))"
)
"""The message for an array of objects."""


def checked_scales(
    scales: npt.NDArray[Any], shape: tuple[int, ...], place: str | Path, field: str | None = None
) -> npt.NDArray[np.float32]:
    """Scales in the shape (rows, 1), (1, width) or (1, 1).

    Raises:
        VectorsError: they are no numbers, do not fit the vectors, are not positive, or could be for the rows as well as for the
            dimensions.

    """
    rows, width = shape[:2]
    if scales.dtype.kind not in "fiu":
        raise VectorsError(f"scales are numbers, not {scales.dtype}", file=place, field=field)
    found = scales.astype(np.float32)
    if found.ndim == 1 and rows == width == len(found) > 1:
        raise VectorsError(
            f"{rows} scales fit the rows and the dimensions; save them in the shape ({rows}, 1), one for each row, or "
            f"(1, {width}), one for each dimension",
            file=place, field=field,
        )  # fmt: skip
    if found.ndim < 2:
        found = found.reshape((1, -1) if found.size in (1, width) else (-1, 1))
    if found.shape not in ((rows, 1), (1, width), (1, 1)):
        raise VectorsError(
            f"has scales of the shape {scales.shape}, which fits neither the {rows:,} rows nor the {width} dimensions; save "
            f"({rows}, 1), one for each row, or (1, {width}), one for each dimension",
            file=place, field=field,
        )  # fmt: skip
    bad = ~(np.isfinite(found) & (found > 0))
    if bad.any():
        at = int(np.flatnonzero(bad.reshape(-1))[0])
        raise VectorsError(
            f"scale {at + 1} is {found.reshape(-1)[at]}; scales are positive numbers", file=place, field=field
        )
    return found


__all__ = ["FLOATS", "KINDS", "NAMES", "PICKLE", "VectorSource", "checked_scales", "kind_of_values"]
