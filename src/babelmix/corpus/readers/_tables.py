"""Read tables without changing a cell: CSV, TSV, JSON lines, Parquet, Arrow, and tables in memory.

- CSV follows RFC 4180: a cell in double quotes may contain commas, line breaks, and double quotes written twice.
- TSV has no quoting (IANA's text/tab-separated-values): a double quote is an ordinary character, and a cell contains no tabs or
  line breaks. A header with names in quotes is an error, because the program that wrote it uses quoting.
- JSON lines (`.jsonl`, `.ndjson`) have one object on each line.
- Parquet, and the file and stream formats of Arrow (`.arrow`, `.feather`).

Texts are UTF-8, with or without a byte-order mark. CSV, TSV and JSON lines may be compressed (`.gz`, `.bz2`, `.xz`, `.zst`). In
errors, the number of a row is the line on which it begins, or for Parquet and Arrow its position, from 1 on.
"""

from __future__ import annotations

import csv
import io
import json
import reprlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from types import NoneType
from typing import Any

import polars as pl
import pyarrow as pa

from babelmix.corpus.readers._records import HAS_NUL, NOT_UNICODE, damaged, decoded, is_unicode, json_lines, text_lines
from babelmix.corpus.readers._separators import header_without_commas, other_separator
from babelmix.corpus.readers._unpacking import PACKED, DamagedError, is_packed, kind_of, opened, stem_of
from babelmix.errors import ReaderError, first_line

_LINES = (".csv", ".tsv", ".jsonl", ".ndjson")
SUFFIXES = (*_LINES, ".parquet", ".arrow", ".feather")
_DAMAGED = (Exception, pl.exceptions.PanicException)
"""The exceptions of polars for a damaged file. A panic is not an `Exception`."""

_AT_ONCE = 20_000
"""The most rows that are Python objects at the same time."""

_MAX_CELL = 1 << 28
"""The most characters of a CSV cell."""

_KINDS: dict[type, pl.DataType] = {str: pl.String(), int: pl.Int64(), float: pl.Float64(), bool: pl.Boolean()}

NumberedCells = Iterator[tuple[int, list[str]]]


@dataclass(frozen=True)
class Table:
    """The cells of a table.

    Args:
        file: the file, or a name for a table in memory.
        frame: the columns of texts, numbers and booleans. An empty cell of CSV or TSV is null.
        lines: the number of each row in errors.
        mixed: the columns of JSON lines whose cells have several types, or are lists or objects. `frame` has these cells as JSON.
        categories: the columns that are categories in the file. `frame` has them as texts.
        unread: the other columns of Parquet or Arrow, with their types.
        untyped: whether all cells are texts because the format has no types (CSV, TSV).
        in_quotes: the number of cells of a TSV that begin and end with a double quote.

    """

    file: Path
    frame: pl.DataFrame
    lines: Sequence[int]
    mixed: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)
    untyped: bool = False
    in_quotes: int = 0

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return [*self.frame.columns, *self.unread]

    @property
    def stem(self) -> str:
        """The name of the file without its suffixes."""
        return stem_of(self.file)

    @property
    def notes(self) -> list[str]:
        """Warnings for the user: TSV cells in double quotes, which may have been meant as CSV quoting."""
        if not self.in_quotes:
            return []
        return [
            f"{self.file}: {self.in_quotes:,} cells begin and end with a double quote; a TSV has no quoting, so the quotes are "
            "read as part of the text; if they are not part of it, save the table as CSV"
        ]

    def error(self, what: str, place: int, name: str) -> ReaderError:
        """An error about a cell.

        Args:
            what: what is wrong.
            place: the position of the row, from 0 on.
            name: the name of the column.

        """
        return ReaderError(what, file=self.file, row=self.lines[place], field=name)

    def cells(self, name: str) -> Iterator[Any]:
        """The cells of a column as Python objects."""
        column = self.frame[name]
        if name in self.mixed:
            return (None if cell is None else json.loads(cell) for cell in column)
        return iter(column)

    def texts(self, name: str) -> pl.Series:
        """The cells of a column as texts. Whole numbers become their digits.

        Raises:
            ReaderError: a cell is neither a text nor a whole number.

        """
        if name in self.unread:
            raise ReaderError(f"holds {self.unread[name]}, but a text is needed", file=self.file, field=name)
        column = self.frame[name]
        if name not in self.mixed and (column.dtype in (pl.String, pl.Null) or column.dtype.is_integer()):
            return column.cast(pl.String)
        made: list[str | None] = []
        for place, cell in enumerate(self.cells(name)):
            if isinstance(cell, (str, NoneType)):
                made.append(cell)
            elif isinstance(cell, int) and not isinstance(cell, bool):
                made.append(str(cell))
            else:
                raise self.error(f"holds {reprlib.repr(cell)}, but a text is needed", place, name)
        return pl.Series(name, made, dtype=pl.String)

    def may_be_texts(self, name: str) -> bool:
        """Whether a column may contain texts. Numbers, lists and categories do not count."""
        if name in self.unread or name in self.categories:
            return False
        column = self.frame[name]
        if name in self.mixed:
            return any(isinstance(cell, str) for cell in self.cells(name))
        if self.untyped:
            return column.drop_nulls().cast(pl.Float64, strict=False).has_nulls()
        return column.dtype == pl.String

    def records(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the rows with their numbers, without the unread columns."""
        for number, row in zip(self.lines, self.frame.iter_rows(named=True), strict=True):
            for name in self.mixed:
                row[name] = None if row[name] is None else json.loads(row[name])
            yield number, row


def is_table(file: Path) -> bool:
    """Whether the suffix of a file is that of a table."""
    return kind_of(file) in (_LINES if is_packed(file) else SUFFIXES)


def read_table(file: Path) -> Table:
    """Read a table from a file.

    Args:
        file: a file with one of `SUFFIXES`, in lower or upper case. CSV, TSV and JSON lines may be compressed.

    Raises:
        ReaderError: there is no such file, a name occurs twice, a row has more or fewer cells than the header, a text is not
            UTF-8 or has a NUL, a line is not JSON, or the file is damaged. The message names the file, the row and the field.

    """
    if not file.is_file():
        raise ReaderError("there is no such file", file=file)
    if not is_table(file):
        raise ReaderError(
            f"has the suffix {''.join(file.suffixes[-1 - is_packed(file):])!r}; babelmix reads {', '.join(SUFFIXES)}, and "
            f"{', '.join(_LINES)} also compressed ({', '.join(PACKED)})",
            file=file,
        )  # fmt: skip
    match kind_of(file):
        case ".csv":
            table = _of_rows(_csv_rows(file), file)
        case ".tsv":
            table = _of_rows(_tsv_rows(file), file)
        case ".jsonl" | ".ndjson":
            table = _of_json_lines(file)
        case ".parquet":
            table = _of_parquet(file)
        case _:
            table = _of_arrow(file)
    return _checked(table)


def _checked(table: Table) -> Table:
    """Raise if a text has a NUL. Returns the table."""
    for name, kind in table.frame.schema.items():
        if kind == pl.String and (found := table.frame[name].str.contains("\0", literal=True).fill_null(False)).any():
            raise table.error(HAS_NUL, int(found.arg_true()[0]), name)
    return table


def _csv_rows(file: Path) -> NumberedCells:
    csv.field_size_limit(_MAX_CELL)
    begin = 1
    try:
        with opened(file) as packed:
            rows = csv.reader(io.TextIOWrapper(packed, "utf-8-sig", newline=""), strict=True)
            for row in rows:
                yield begin, row
                begin = rows.line_num + 1
    except UnicodeDecodeError as error:
        # The error does not name the line, so the lines are decoded again.
        with opened(file) as lines:
            for number, line in enumerate(lines, 1):
                decoded(line, file, number)
        raise ReaderError("is not UTF-8; save the file as UTF-8", file=file) from error
    except csv.Error as error:
        if begin == 1 and (why := other_separator(header_without_commas(file), tabs=False)):
            raise ReaderError(why, file=file, row=1) from error
        raise ReaderError(f"is not well-formed ({error})", file=file, row=begin) from error
    except DamagedError as error:
        raise damaged(error, file, begin - 1) from error


def _tsv_rows(file: Path) -> NumberedCells:
    for number, line in enumerate(text_lines(file), 1):
        yield number, line.split("\t") if line else []


def _of_rows(rows: NumberedCells, file: Path) -> Table:
    """Make a table from rows of CSV or TSV. The first row has the names. Blank lines have no cells and are skipped."""
    tabs = kind_of(file) == ".tsv"
    hint = "; a TSV has no quoting: save cells with tabs or line breaks as CSV" if tabs else ""
    first, names = next(rows, (1, []))
    if not any(names):
        raise ReaderError("is empty: there is no header row", file=file)
    if len(names) == 1 and (why := other_separator(names[0], tabs)):
        raise ReaderError(why, file=file, row=first)
    for name in names:
        if names.count(name) > 1:
            raise ReaderError("is the name of two columns", file=file, row=first, field=name)
        if tabs and "\r" in name:
            raise ReaderError(
                "its lines end with a single carriage return; save it with line feeds", file=file, row=first
            )
        if tabs and len(name) > 1 and name[0] == name[-1] == '"':
            raise ReaderError(
                "the name is in quotes, and a TSV has no quoting; save the table as CSV",
                file=file,
                row=first,
                field=name,
            )
    chunks: list[pl.DataFrame] = []
    lines: list[int] = []
    in_quotes = 0
    schema = dict.fromkeys(names, pl.String)
    while some := list(islice(rows, _AT_ONCE)):
        kept = [(number, row) for number, row in some if row]
        for number, row in kept:
            if len(row) != len(names):
                why = hint if '"' in "".join(row) else ""
                raise ReaderError(f"has {len(row)} cells, but the header has {len(names)}{why}", file=file, row=number)
        columns = zip(*(row for _, row in kept), strict=True) if kept else ([] for _ in names)
        frame = pl.DataFrame(dict(zip(names, columns, strict=True)), schema=schema)
        if tabs:
            in_quotes += int(frame.select(pl.sum_horizontal(pl.all().str.contains(r'(?s)^".*"$').sum())).item())
        chunks.append(frame.with_columns(pl.when(pl.all() != "").then(pl.all())))
        lines += [number for number, _ in kept]
    frame = pl.concat(chunks) if chunks else pl.DataFrame(schema=schema)
    return Table(file, frame, lines, untyped=True, in_quotes=in_quotes)


def table_of_records(records: Iterable[Mapping[str, Any]], name: str = "table") -> Table:
    """Make a table from records in memory.

    Args:
        records: a mapping of column names to cells for each row. A missing name is a null.
        name: the name of the table in errors.

    Raises:
        ReaderError: the name of a column is not a text, or a cell is not a value of JSON.

    """
    file = Path(name)
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, record in enumerate(records, 1):
        for column, cell in record.items():
            if not isinstance(column, str):
                raise ReaderError(f"the name of a column is a text, not {column!r}", file=file, row=number)
            if not isinstance(cell, (*_KINDS, NoneType, list, dict)):
                raise ReaderError(
                    f"a cell is a text, a number, true, false or None, not {type(cell).__name__}",
                    file=file, row=number, field=column,
                )  # fmt: skip
            if isinstance(cell, str) and not is_unicode(cell):
                raise ReaderError(NOT_UNICODE, file=file, row=number, field=column)
        rows.append((number, dict(record)))
    try:
        return _checked(_of_records(iter(rows), file))
    except TypeError as error:  # inside of a list or dict
        raise ReaderError(f"holds a cell that JSON cannot hold ({error})", file=file) from error


def table_of_frame(given: Any, name: str = "table") -> Table:
    """Make a table from a polars `DataFrame` or another Arrow table in memory.

    Args:
        given: the table.
        name: the name of the table in errors.

    """
    whole = pl.DataFrame(given)
    frame = whole.select(name for name, kind in whole.schema.items() if _is_plain(kind))
    return _checked(_typed(frame, whole.schema, Path(name)))


def _of_json_lines(file: Path) -> Table:
    return _of_records(json_lines(text_lines(file), file), file)


def _of_records(records: Iterator[tuple[int, dict[str, Any]]], file: Path) -> Table:
    """Make a table from records with their line numbers."""
    chunks: list[dict[str, _Part]] = []
    lines: list[int] = []
    sizes: list[int] = []
    while some := list(islice(records, _AT_ONCE)):
        names = dict.fromkeys(chain.from_iterable(record for _, record in some))
        chunks.append({name: _part([record.get(name) for _, record in some]) for name in names})
        lines += [number for number, _ in some]
        sizes.append(len(some))
    columns: list[pl.Series] = []
    mixed: set[str] = set()
    for name in dict.fromkeys(chain.from_iterable(chunks)):
        parts = [chunk.get(name) or _part([None] * size) for chunk, size in zip(chunks, sizes, strict=True)]
        kinds = {part.kind for part in parts} - {NoneType}
        if len(kinds) > 1 or None in kinds:
            mixed.add(name)
            columns.append(pl.concat([part.as_json() for part in parts]).alias(name))
        else:
            kind = next((part.cells.dtype for part in parts if part.kind in kinds), pl.Null())
            columns.append(pl.concat([part.cells.cast(kind) for part in parts]).alias(name))
    return Table(file, pl.DataFrame(columns), lines, frozenset(mixed))


@dataclass(frozen=True)
class _Part:
    """Some cells of a column of JSON lines. If `kind` is None, the cells are JSON."""

    kind: type | None
    cells: pl.Series

    def as_json(self) -> pl.Series:
        """The cells as JSON."""
        return self.cells if self.kind is None else _as_json(self.cells)


def _part(cells: Sequence[Any]) -> _Part:
    kinds = set(map(type, cells)) - {NoneType}
    if not kinds:
        return _Part(NoneType, pl.Series(cells, dtype=pl.Null))
    kind = kinds.pop()
    # A whole number of JSON may need more than 64 bits.
    if kinds or kind not in _KINDS or (kind is int and any(cell and abs(cell) >> 63 for cell in cells)):
        return _Part(None, _as_json(cells))
    return _Part(kind, pl.Series(cells, dtype=_KINDS[kind]))


def _as_json(cells: Iterable[Any]) -> pl.Series:
    return pl.Series(
        [None if cell is None else json.dumps(cell, ensure_ascii=False) for cell in cells], dtype=pl.String
    )


def _of_parquet(file: Path) -> Table:
    try:
        schema = pl.read_parquet_schema(file)
        frame = pl.read_parquet(file, columns=[name for name, kind in schema.items() if _is_plain(kind)])
    except _DAMAGED as error:
        raise ReaderError(f"is not a readable Parquet file ({first_line(error)})", file=file) from error
    return _typed(frame, schema, file)


def _of_arrow(file: Path) -> Table:
    try:
        with pa.memory_map(str(file)) as source:
            try:
                found = pa.ipc.open_file(source).read_all()
            except pa.ArrowInvalid:
                source.seek(0)
                found = pa.ipc.open_stream(source).read_all()
            # Invalid offsets would crash the process.
            found.validate(full=True)
            whole = pl.DataFrame(pl.from_arrow(found))
            frame = whole.select(name for name, kind in whole.schema.items() if _is_plain(kind)).clone()
    except _DAMAGED as error:  # pyarrow raises many types as well
        raise ReaderError(f"is not a readable Arrow file ({first_line(error)})", file=file) from error
    return _typed(frame, whole.schema, file)


def _typed(frame: pl.DataFrame, schema: Mapping[str, pl.DataType], file: Path) -> Table:
    """Make a table from columns that have types."""
    categories = frozenset(name for name, kind in frame.schema.items() if isinstance(kind, (pl.Categorical, pl.Enum)))
    unread = {name: str(kind) for name, kind in schema.items() if name not in frame.columns}
    frame = frame.with_columns(pl.col(categories).cast(pl.String)) if categories else frame
    return Table(file, frame, range(1, frame.height + 1), categories=categories, unread=unread)


def _is_plain(kind: pl.DataType) -> bool:
    """Whether a column has texts, numbers or booleans."""
    return (
        isinstance(kind, (pl.String, pl.Categorical, pl.Enum, pl.Boolean, pl.Null))
        or kind.is_integer()
        or kind.is_float()
    )


def frame_of_parquet(file: Path) -> pl.DataFrame:
    """Read all columns of a Parquet file.

    Raises:
        ReaderError: the file is damaged, or is no Parquet file.

    """
    try:
        return pl.read_parquet(file)
    except _DAMAGED as error:
        raise ReaderError(f"is not a readable Parquet file ({first_line(error)})", file=file) from error
