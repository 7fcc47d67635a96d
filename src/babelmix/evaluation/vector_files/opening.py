"""Open a file of vectors by its suffix, and find the ids and scales that lie beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix.corpus.readers._records import text_lines
from babelmix.corpus.readers._tables import read_table
from babelmix.corpus.readers._unpacking import kind_of
from babelmix.errors import ReaderError, VectorsError
from babelmix.evaluation.vector_files.arrays import (
    ids_of_array,
    mapped_npy,
    of_npy,
    of_npz,
    of_safetensors,
    source_of_array,
)
from babelmix.evaluation.vector_files.source import VectorSource, checked_scales
from babelmix.evaluation.vector_files.tables import ids_of_columns, of_arrow, of_frame, of_json_lines, of_parquet

SUFFIXES = (".npy", ".npz", ".safetensors", ".parquet", ".arrow", ".feather", ".ipc", ".jsonl", ".ndjson")
"""The suffixes of files of vectors."""

_IDS = (".txt", ".npy", ".csv", ".tsv", ".jsonl", ".parquet", ".arrow", ".feather")
"""The suffixes of a file of ids beside a file of vectors: `queries.ids.txt` beside `queries.npy`."""


def open_vectors(given: Any, side: str, *, ids: Any = None, scales: Any = None) -> VectorSource:
    """Open the vectors of one side of a corpus.

    The ids of the rows are those in `ids`, or in the file itself (the array `ids`; the column `id`, or the columns `item` and
    `lang`), or in a file beside it: `queries.ids.txt` beside `queries.npy`. Scales are found in the same way: the array `scales`,
    the column `scale`, the file `queries.scales.npy`.

    Args:
        given: a file with one of `SUFFIXES`; an array of numpy or torch, shape (rows, dimension); or a polars `DataFrame` or
            Arrow table with a column `vector`.
        side: `queries` or `passages`: the array of this name is read, if a file has several.
        ids: a file of ids, or the ids, shape (rows,).
        scales: a file of scales (npy), or the scales, shape (rows, 1), (1, dimension) or ().

    Returns:
        The vectors with their ids and scales.

    Raises:
        VectorsError: there is no such file, it is damaged, or it holds no vectors. The message names the file and the row.

    Examples:
        >>> import numpy as np
        >>> open_vectors(np.eye(2, dtype=np.float32), "queries", ids=["a/de", "a/en"]).ids.to_list()
        ['a/de', 'a/en']

    """
    if isinstance(given, (str, Path)):
        source = _with_beside(_of_file(Path(given), side), Path(given), ids is None, scales is None)
    elif hasattr(given, "columns") or hasattr(given, "column_names"):
        source = of_frame(given, side)
    else:
        # A tensor may be on a device, or need gradients.
        array = given.detach().cpu() if hasattr(given, "detach") else given
        array = array.float() if str(getattr(array, "dtype", "")) == "torch.bfloat16" else array
        source = source_of_array(_as_array(array, side), side)
    if ids is not None:
        found = _read_ids(Path(ids)) if isinstance(ids, (str, Path)) else _given_ids(ids, side)
        source = replace(source, ids=found, ids_place=ids if isinstance(ids, (str, Path)) else side)
    if scales is not None:
        source = _scaled(source, Path(scales) if isinstance(scales, (str, Path)) else _as_array(scales, side))
    if source.ids is not None and len(source.ids) != len(source.values):
        raise VectorsError(
            f"has {len(source.ids):,} ids, but {source.place} has {len(source.values):,} vectors; give each vector one id",
            file=source.ids_place,
        )
    return source


def _of_file(file: Path, side: str) -> VectorSource:
    if not file.is_file():
        raise VectorsError(f"is {'a folder' if file.is_dir() else 'not there'}; name a file of vectors", file=file)
    if kind_of(file) in (".jsonl", ".ndjson"):
        return of_json_lines(file)
    match file.suffix.lower():
        case ".npy":
            return of_npy(file)
        case ".npz":
            return of_npz(file, side)
        case ".safetensors":
            return of_safetensors(file, side)
        case ".parquet":
            return of_parquet(file)
        case ".arrow" | ".feather" | ".ipc":
            return of_arrow(file)
    hint = (
        "babelmix opens no pickles, as they can run any code; save numbers with np.save or safetensors"
        if file.suffix.lower() in (".pkl", ".pickle", ".pt", ".pth", ".bin")
        else f"vectors are in {', '.join(SUFFIXES)}"
    )
    raise VectorsError(f"has the suffix {file.suffix!r}; {hint}", file=file)


def _as_array(given: Any, side: str) -> npt.NDArray[Any]:
    try:
        return np.asarray(given)
    except (ValueError, TypeError) as error:
        raise VectorsError(f"are no matrix of numbers ({error})", file=side) from error


def files_beside(file: Path) -> list[Path]:
    """The files of ids and of scales that lie beside a file of vectors."""
    stem = file.name[: -len(file.suffix)] if file.suffix else file.name
    names = [*(f"{stem}.ids{suffix}" for suffix in _IDS), f"{stem}.scales.npy"]
    return [place for place in (file.with_name(name) for name in names) if place.is_file() and place != file]


def _with_beside(source: VectorSource, file: Path, ids: bool, scales: bool) -> VectorSource:
    beside = files_beside(file)
    of_ids = [place for place in beside if f"{file.stem}.ids." in place.name]
    if ids and source.ids is None and of_ids:
        if len(of_ids) > 1:
            raise VectorsError(f"has two files of ids: {of_ids[0].name} and {of_ids[1].name}; keep one", file=file)
        source = replace(source, ids=_read_ids(of_ids[0]), ids_place=of_ids[0])
    if scales and source.scales is None:
        for place in beside:
            if place not in of_ids:
                source = _scaled(source, place)
    return source


def _scaled(source: VectorSource, scales: Path | npt.NDArray[Any]) -> VectorSource:
    place = scales if isinstance(scales, Path) else source.place
    values = mapped_npy(scales) if isinstance(scales, Path) else scales
    return replace(source, scales=checked_scales(values, source.values.shape, place))


def _given_ids(ids: Any, side: str) -> pl.Series:
    """Ids in memory, as strings."""
    if isinstance(ids, np.ndarray) and not ids.dtype.hasobject:
        return ids_of_array(ids, side)
    listed = list(ids)
    for row, one in enumerate(listed):
        if not isinstance(one, (str, int, np.integer)) or isinstance(one, bool):
            raise VectorsError(f"the id {one!r} is neither a text nor a whole number", file=side, row=row + 1)
    return pl.Series("id", list(map(str, listed)), dtype=pl.String)


def _read_ids(file: Path) -> pl.Series:
    """The ids of a file: one on each line (txt), an array (npy), or the column `id`, or the columns `item` and `lang`."""
    if not file.is_file():
        raise VectorsError("is not there; name a file of ids", file=file)
    if file.suffix.lower() == ".npy":
        return ids_of_array(mapped_npy(file), file)
    try:
        if file.suffix.lower() == ".txt":
            ids = list(text_lines(file))
            if (blank := next((n for n, one in enumerate(ids) if not one.strip()), None)) is not None:
                raise VectorsError("is blank; write one id on each line", file=file, row=blank + 1)
            return pl.Series("id", ids, dtype=pl.String)
        table = read_table(file)
        wanted = [name for name in ("id", "item", "lang") if name in table.names]
        columns: dict[str, pl.Series] = {name: table.texts(name) for name in wanted}
        for name, column in columns.items():
            if column.has_nulls():
                raise table.error("is empty", int(cast(int, column.is_null().arg_max())), name)
    except ReaderError as error:
        raise VectorsError(str(error)) from error
    found = ids_of_columns(columns, file)
    if found is None:
        raise VectorsError(
            f"has the columns {', '.join(table.names)}; name the one of the ids 'id', or give 'item' and 'lang'",
            file=file,
        )
    return found


__all__ = ["SUFFIXES", "files_beside", "open_vectors"]
