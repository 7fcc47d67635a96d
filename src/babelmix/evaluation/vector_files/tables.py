"""Columns of vectors: Parquet, Arrow and Feather, and JSON lines, with the ids beside them.

The vectors are the column `vector` (or `embedding`), a list of numbers of one length in each row. The ids are the column `id`, or
the columns `item` and `lang`. A column `scale` has a number for each row that its values are multiplied by.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from babelmix.corpus.languages import canonical_language
from babelmix.corpus.readers._records import json_lines, text_lines
from babelmix.corpus.row_ids import spelled_ids
from babelmix.errors import ReaderError, VectorsError, first_line
from babelmix.evaluation.matrix import Matrix, Stacked
from babelmix.evaluation.vector_files.source import NAMES, VectorSource, checked_scales, kind_of_values
from babelmix.evaluation.vector_files.spool import Spool

_ROWS = 4096
"""Rows of Parquet or JSON lines in memory at the same time."""
_IDS = ("id", "item", "lang")
_SCALE = "scale"
_LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType)


def of_parquet(file: Path) -> VectorSource:
    """Unpack the vectors of a Parquet file into a temporary file.

    Raises:
        VectorsError: the file is damaged, or has no column of vectors of one length.

    """
    try:
        with pq.ParquetFile(file, memory_map=True) as opened:
            schema = opened.schema_arrow
            columns = _columns(schema, file)
            return _of_batches(opened.iter_batches(_ROWS, columns=columns), schema, file)
    except (pa.ArrowException, OSError) as error:
        raise VectorsError(f"is not a readable Parquet file ({first_line(error)})", file=file) from error


def of_arrow(file: Path) -> VectorSource:
    """Map the vectors of an Arrow or Feather file; those of a compressed file are unpacked into a temporary file.

    Raises:
        VectorsError: the file is damaged, or has no column of vectors of one length.

    """
    try:
        source = pa.memory_map(str(file))
        batches: Iterable[pa.RecordBatch]
        try:
            opened = pa.ipc.open_file(source)
            batches, schema = map(opened.get_batch, range(opened.num_record_batches)), opened.schema
        except pa.ArrowInvalid:
            source.seek(0)
            stream = pa.ipc.open_stream(source)
            batches, schema = stream, stream.schema
        return _of_batches(batches, schema, file, mapped=True)
    except (pa.ArrowException, OSError) as error:
        raise VectorsError(f"is not a readable Arrow file ({first_line(error)})", file=file) from error


def of_frame(frame: Any, place: str) -> VectorSource:
    """The vectors of a polars `DataFrame` or an Arrow table in memory.

    Raises:
        VectorsError: it has no column of vectors of one length.

    """
    table = frame if isinstance(frame, pa.Table) else pl.DataFrame(frame).to_arrow()
    return _of_batches(table.to_batches(), table.schema, place, mapped=True, in_memory=True)


def _columns(schema: pa.Schema, place: str | Path) -> list[str]:
    """The columns that are read, the one of the vectors first."""
    named = [name for name in NAMES if name in schema.names]
    if len(named) != 1:
        lists = [name for name in schema.names if isinstance(_storage(schema.field(name).type), _LISTS)]
        if named or len(lists) != 1:
            raise VectorsError(
                f"has the columns {', '.join(schema.names) or '(none)'}; name the one of the vectors 'vector'",
                file=place,
            )
        named = lists
    repeated = [name for name in (*named, *_IDS, _SCALE) if schema.names.count(name) > 1]
    if repeated:
        raise VectorsError("is the name of two columns", file=place, field=repeated[0])
    return [*named, *(name for name in (*_IDS, _SCALE) if name in schema.names)]


def _storage(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _of_batches(
    batches: Iterable[pa.RecordBatch],
    schema: pa.Schema,
    place: str | Path,
    *,
    mapped: bool = False,
    in_memory: bool = False,
) -> VectorSource:
    """Read vectors, ids and scales from record batches. With `mapped`, batches that need no memory are kept as they are."""
    vector, *others = _columns(schema, place)
    kept: list[npt.NDArray[Any]] = []
    memory = pa.total_allocated_bytes()
    parts: dict[str, list[Any]] = {name: [] for name in others}
    width: int | None = None
    rows = 0
    with Spool() as spool:
        for batch in batches:
            # Invalid offsets would crash the process.
            batch.validate(full=True)
            if not batch.num_rows:
                continue
            block = _block(batch.column(vector), place, vector, rows, width)
            width = block.shape[1]
            for name in others:
                parts[name].append(batch.column(name))
            rows += batch.num_rows
            # A compressed batch is unpacked into memory.
            mapped = mapped and (bool(kept) or in_memory or pa.total_allocated_bytes() - memory < block.nbytes)
            if mapped:
                kept.append(block)
            else:
                spool.add(block)
        if not rows:
            raise VectorsError("has no rows", file=place)
        values: Matrix = Stacked.of(kept) if kept else spool.matrix()
    columns = {name: _series(found, place, name) for name, found in parts.items()}
    scales = None
    if _SCALE in columns:
        if not columns[_SCALE].dtype.is_numeric():
            raise VectorsError(f"scales are numbers, not {columns[_SCALE].dtype}", file=place, field=_SCALE)
        scales = checked_scales(columns[_SCALE].to_numpy()[:, None], values.shape, place, _SCALE)
    ids = ids_of_columns(columns, place)
    return VectorSource(place, values, kind_of_values(values[:1].dtype, place, vector), ids, place, scales)


def _block(column: pa.Array, place: str | Path, name: str, before: int, width: int | None) -> npt.NDArray[Any]:
    """The vectors of a column, shape (rows, width)."""
    column = column.storage if isinstance(column, pa.ExtensionArray) else column
    if not isinstance(column.type, _LISTS):
        raise VectorsError(f"holds {column.type}, not a list of numbers in each row", file=place, field=name)

    def wrong(what: str, row: int) -> VectorsError:
        return VectorsError(what, file=place, row=before + row + 1, field=name)

    if column.null_count:
        raise wrong("has no vector; leave the row out of the corpus, or embed its text", _first(column.is_null()))
    lengths = pc.list_value_length(column).to_numpy(zero_copy_only=False)
    width = int(lengths[0]) if width is None else width
    if width == 0:
        raise wrong("the vector is empty", 0)
    if (lengths != width).any():
        row = int(np.argmax(lengths != width))
        raise wrong(f"has {lengths[row]} values, where the rows before have {width}", row)
    values = column.flatten()
    if values.null_count:
        raise wrong("a value of the vector is missing", _first(values.is_null()) // width)
    kind_of_values(np.dtype(values.type.to_pandas_dtype()), place, name)
    return values.to_numpy(zero_copy_only=False).reshape(-1, width)


def _first(mask: pa.BooleanArray) -> int:
    return int(np.argmax(mask.to_numpy(zero_copy_only=False)))


def _series(parts: list[pa.Array], place: str | Path, name: str) -> pl.Series:
    """A column without nulls."""
    found = cast(pl.Series, pl.from_arrow(pa.chunked_array(parts)))
    if found.has_nulls():
        raise VectorsError("is empty", file=place, row=int(found.is_null().arg_max() or 0) + 1, field=name)
    return found


def ids_of_columns(columns: dict[str, pl.Series], place: str | Path, lines: Any = None) -> pl.Series | None:
    """Ids from the columns `item` and `lang`, or else from the column `id`; None if there are none.

    Raises:
        VectorsError: the ids are neither texts nor whole numbers.

    """
    wanted = ("item", "lang") if "item" in columns and "lang" in columns else ("id",) if "id" in columns else ()
    texts: list[pl.Series] = []
    for name in wanted:
        kind = columns[name].dtype
        if not (kind.is_integer() or isinstance(kind, (pl.String, pl.Categorical, pl.Enum))):
            raise VectorsError(f"holds {kind}; an id is a text or a whole number", file=place, field=name)
        texts.append(columns[name].cast(pl.String))
    if len(texts) < 2:
        return texts[0] if texts else None
    tags = {tag: canonical_language(tag) for tag in texts[1].unique()}
    return spelled_ids(texts[0], texts[1].replace_strict(tags, return_dtype=pl.String))


def of_json_lines(file: Path) -> VectorSource:
    """Unpack the vectors of JSON lines into a temporary file. They may be compressed, as those of a corpus.

    Raises:
        VectorsError: a line is no JSON, or its vector is no list of numbers as long as that of the lines before.

    """
    lines: list[int] = []
    parts: dict[str, list[Any]] = {}
    name = ""
    with Spool() as spool:
        try:
            records = json_lines(text_lines(file), file)
            while some := list(islice(records, _ROWS)):
                if not name:
                    name = _key_of_vectors(*some[0], file)
                    parts = {key: [] for key in (*_IDS, _SCALE) if key in some[0][1]}
                spool.add(_rows_of_json(some, name, spool.width, file))
                for number, record in some:
                    for key, cells in parts.items():
                        cells.append(_cell(record.get(key), key, file, number))
                lines += [number for number, _ in some]
        except ReaderError as error:
            raise VectorsError(str(error)) from error
        if not lines:
            raise VectorsError("has no rows", file=file)
        values = spool.matrix()
    scales = None
    if _SCALE in parts:
        scales = checked_scales(np.array(parts.pop(_SCALE))[:, None], values.shape, file, _SCALE)
    ids = ids_of_columns({key: pl.Series(key, cells, dtype=pl.String) for key, cells in parts.items()}, file)
    return VectorSource(file, values, "float32", ids, file, scales, lines)


def _key_of_vectors(number: int, record: dict[str, Any], file: Path) -> str:
    found = [one for one in NAMES if one in record]
    if len(found) != 1:
        raise VectorsError(
            f"has the keys {', '.join(record)}; name the one of the vector 'vector'", file=file, row=number
        )
    return found[0]


def _rows_of_json(
    some: list[tuple[int, dict[str, Any]]], name: str, width: int, file: Path
) -> npt.NDArray[np.float32]:
    """The vectors of some records, shape (records, width)."""
    vectors = [record.get(name) for _, record in some]
    first = vectors[0]
    width = width or (len(first) if isinstance(first, list) else 0)
    for (number, _), vector in zip(some, vectors, strict=True):
        if not isinstance(vector, list) or not vector:
            raise VectorsError(
                f"holds {reprlib.repr(vector)}, not a list of numbers", file=file, row=number, field=name
            )
        if len(vector) != width:
            raise VectorsError(
                f"has {len(vector)} values, where the rows before have {width}", file=file, row=number, field=name
            )
        if not set(map(type, vector)) <= {int, float}:
            bad = next(value for value in vector if type(value) not in (int, float))
            raise VectorsError(
                f"a value of the vector is {reprlib.repr(bad)}, not a number", file=file, row=number, field=name
            )
    try:
        with np.errstate(over="ignore"):
            return np.array(vectors, dtype=np.float64).astype(np.float32)
    except OverflowError as error:
        raise VectorsError(f"a whole number is too large ({error})", file=file, row=some[0][0], field=name) from error


def _cell(cell: Any, key: str, file: Path, number: int) -> Any:
    if key == _SCALE:
        if type(cell) not in (int, float):
            raise VectorsError(f"holds {reprlib.repr(cell)}, not a number", file=file, row=number, field=key)
        return float(cell)
    if type(cell) not in (int, str):
        raise VectorsError(
            f"holds {reprlib.repr(cell)}; an id is a text or a whole number", file=file, row=number, field=key
        )
    return str(cell)


__all__ = ["ids_of_columns", "of_arrow", "of_frame", "of_json_lines", "of_parquet"]
