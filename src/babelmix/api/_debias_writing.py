"""Apply a removal chunk by chunk: from vectors of any size to an npy file, in bounded memory and over several runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix._files import recorded, write_json, writing_to
from babelmix._progress import progress_bar
from babelmix.api._debias_sides import Side
from babelmix.errors import VectorsError

if TYPE_CHECKING:
    from babelmix.encoders.removal import AnyRemoval

DTYPES = ("float32", "float16")
"""The types of values that are written."""

_CHUNK = 8 << 20
"""The bytes of float32 that are corrected at once."""

_DONE = "done.json"


def chunks(side: Side, removal: AnyRemoval, dtype: str, start: int = 0) -> Iterator[npt.NDArray[Any]]:
    """The rows of a side from `start` on without language, shape (rows of a chunk, dimension), in their order.

    Raises:
        VectorsError: a value is not finite, or too large for float16.

    """
    width = side.values.shape[1]
    step = max(1, _CHUNK // (4 * width))
    for first in range(start, len(side), step):
        rows = slice(first, min(first + step, len(side)))
        with np.errstate(over="ignore"):
            made = removal.apply(side.values[rows], side.langs(rows), side.kind).astype(dtype, copy=False)
        if dtype == "float16" and not np.isfinite(made).all():
            row = first + int(np.flatnonzero(~np.isfinite(made).all(axis=1))[0])
            raise side.values.source.error("has a value that float16 cannot hold; write float32", row)
        side.forget()
        yield made


def write_side(side: Side, removal: AnyRemoval, folder: Path, dtype: str) -> None:
    """Write `queries.npy` or `passages.npy`, with a file of ids beside it if the rows have ids.

    The number of rows that are safe on the disk is kept in the folder, so that the next run with the same folder goes on there.

    Raises:
        VectorsError: see `chunks`.
        WriteError: the disk is full.

    """
    file, done = folder / f"{side.plural}.npy", folder / _DONE
    rows, width = side.values.shape
    size = width * np.dtype(dtype).itemsize
    finished = recorded(done, side.plural) or 0
    finished = finished if file.is_file() else 0
    with writing_to(file), file.open("r+b" if finished else "w+b") as out:
        header = {
            "descr": np.lib.format.dtype_to_descr(np.dtype(dtype)),
            "fortran_order": False,
            "shape": (rows, width),
        }
        np.lib.format.write_array_header_1_0(out, header)
        out.truncate(out.tell() + finished * size)
        out.seek(0, os.SEEK_END)
        with progress_bar(f"correcting {side.plural}", rows, "vectors", done=finished) as bar:
            for made in chunks(side, removal, dtype, finished):
                out.write(np.ascontiguousarray(made).data)
                out.flush()
                os.fsync(out.fileno())
                finished += len(made)
                write_json(done, {**(recorded(done) or {}), side.plural: finished})
                bar.advance(len(made))
    if side.ids is not None:
        write_ids(side.ids, folder / f"{side.plural}.ids.txt")


def write_ids(ids: pl.Series, file: Path) -> None:
    """Write ids, one on each line; ids that no line can hold are an error.

    Raises:
        VectorsError: an id is blank or has a line break.

    """
    bad = ids.str.contains(r"[\r\n\x00]") | (ids.str.strip_chars() == "")
    if bad.any():
        row = int(bad.arg_max() or 0)
        raise VectorsError(f"the id {ids[row]!r} is blank or has a line break; change it", row=row + 1)
    with writing_to(file), file.open("w", encoding="utf-8", newline="\n") as out:
        for start in range(0, len(ids), 100_000):
            out.write("".join(f"{one}\n" for one in ids[start : start + 100_000]))


def finish(folder: Path) -> None:
    """Remove the record of progress."""
    (folder / _DONE).unlink(missing_ok=True)


__all__ = ["DTYPES", "chunks", "finish", "write_ids", "write_side"]
