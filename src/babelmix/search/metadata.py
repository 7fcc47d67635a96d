"""The metadata columns of a file of documents: their types, and the columns that cannot be metadata.

A cell of CSV or TSV is a text. Such a column is read as whole numbers, numbers or booleans only if each value, when written
again, equals its cell exactly. This fails for 007, 1.50, +5, 1e3 and 1_000, so a column with one of them holds texts. If the
index already has the column, its type decides: a column of texts takes every cell unchanged, and a column of numbers takes every
cell that JSON reads as a number without loss.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl

from babelmix.corpus.readers._tables import Table
from babelmix.errors import SearchError
from babelmix.search.columns import is_exact, type_of, widened
from babelmix.search.rows import Value, check_column_name

_WHOLE = re.compile(r"-?[1-9][0-9]*|0")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NAMED = {"text": "texts", "integer": "whole numbers", "number": "numbers", "boolean": "true and false"}


@dataclass(frozen=True)
class Column:
    """A metadata column.

    Args:
        kind: `text`, `integer`, `number` or `boolean`.
        cells: the cells of the column; null where a row has no value.
        value: a function that converts a cell to a value. None if the cells are values.

    """

    kind: str
    cells: pl.Series
    value: Callable[[Any], Value] | None = None


def metadata_of(table: Table, names: Iterable[str], columns: Mapping[str, str]) -> tuple[dict[str, Column], list[str]]:
    """The metadata columns of a table.

    Args:
        table: the table.
        names: the names of the columns other than item, lang, text, image and group.
        columns: the metadata columns of the index and their types.

    Returns:
        The columns, and a sentence about each column that is left out because it cannot be metadata.

    Raises:
        ReaderError: a cell is not of the column's type.

    """
    found: dict[str, Column] = {}
    notes: list[str] = []
    for name in names:
        try:
            check_column_name(name)
        except SearchError as error:
            notes.append(f"{table.file}: {error}; it is left out")
            continue
        if (what := _what_it_holds(table, name)) is not None:
            notes.append(
                f"{table.file}, field {name!r}: holds {what}, and metadata are texts, numbers, true or false; it is left out"
            )
            continue
        column = (_of_texts if table.untyped else _of_values)(table, name, columns.get(name))
        if column is not None:
            found[name] = column
    return found, notes


def _what_it_holds(table: Table, name: str) -> str | None:
    """The values of a column that cannot be metadata, such as "lists". None if the column can be metadata."""
    if name in table.unread:
        return table.unread[name]
    if name in table.mixed and (kinds := {type(cell) for cell in table.cells(name)} & {list, dict}):
        return " and ".join(sorted("lists" if kind is list else "objects" for kind in kinds))
    return None


def _of_texts(table: Table, name: str, wanted: str | None) -> Column | None:
    cells = table.frame[name]
    different = cells.drop_nulls().unique().to_list()
    if not different:
        return None
    kind = wanted or _kind_that_gives_back(different)
    if kind in ("integer", "number") and wanted is not None:
        if kind == "integer" and not all(map(_is_whole, different)):
            kind = "number"
        if bad := {cell for cell in different if not _is_lossless(cell, kind)}:
            place, cell = _first(cells, bad.__contains__)
            raise table.error(
                f"{reprlib.repr(cell)} is no number as JSON writes it, or one with too many digits, and the index's column "
                f"holds {_NAMED[wanted]}; write it so, or give the column another name",
                place, name,
            )  # fmt: skip
    if kind == "boolean" and (bad := set(different) - {"true", "false"}):
        place, cell = _first(cells, bad.__contains__)
        raise table.error(
            f"{reprlib.repr(cell)} is neither true nor false, which the index's column holds; write it so, or give the column "
            "another name",
            place, name,
        )  # fmt: skip
    match kind:
        case "integer":
            return Column(kind, cells.cast(pl.Int64))
        case "boolean":
            return Column(kind, cells == "true")
        case "number":
            return Column(kind, cells, _number)
    return Column(kind, cells)


def _number(cell: str) -> Value:
    """The number that JSON reads in a cell; several times as fast as `json.loads`."""
    try:
        return int(cell)
    except ValueError:
        return float(cell)


def _kind_that_gives_back(cells: list[str]) -> str:
    """The type whose values, when written again, equal the cells exactly."""
    if set(cells) <= {"true", "false"}:
        return "boolean"
    if all(map(_is_whole, cells)):
        return "integer"
    if all((_is_whole(cell) and is_exact(int(cell))) or _is_float(cell) for cell in cells):
        return "number"
    return "text"


def _is_whole(cell: str) -> bool:
    return _WHOLE.fullmatch(cell) is not None and len(cell) < 20 and abs(int(cell)) < 1 << 63


def _is_float(cell: str) -> bool:
    return _JSON_NUMBER.fullmatch(cell) is not None and repr(float(cell)) == cell


def _is_lossless(cell: str, kind: str) -> bool:
    """Whether JSON reads a cell as a number without losing a digit."""
    if kind == "integer":
        return True
    if not _JSON_NUMBER.fullmatch(cell) or len(cell) > 400:
        return False
    number = float(cell)
    return math.isfinite(number) and Decimal(repr(number)) == Decimal(cell)


def _first(cells: pl.Series, is_bad: Callable[[Any], bool]) -> tuple[int, Any]:
    return next((place, cell) for place, cell in enumerate(cells) if cell is not None and is_bad(cell))


def _of_values(table: Table, name: str, wanted: str | None) -> Column | None:
    """A column of a file format with types."""
    cells = table.frame[name]
    if name not in table.mixed:
        if cells.null_count() == len(cells):
            return None
        kind, value = _kind_of(cells.dtype), None
    else:
        kind, value = "", json.loads
        first = 0
        for place, cell in enumerate(table.cells(name)):
            if cell is None:
                continue
            if not kind:
                kind, first = type_of(cell), place
            elif (both := widened(kind, type_of(cell))) is None:
                raise table.error(
                    f"holds {reprlib.repr(cell)} here and {_NAMED[kind]} from row {table.lines[first]} on; a metadata column is "
                    "of one type",
                    place, name,
                )  # fmt: skip
            else:
                kind = both
    both = kind if wanted is None else widened(wanted, kind)
    if both is None:
        place, cell = _first(cells, lambda _: True)
        raise table.error(
            f"holds {_NAMED[kind]}, and the index's column {_NAMED[str(wanted)]}; write it so, or give the column another name",
            place, name,
        )  # fmt: skip
    if both == "number" and (name in table.mixed or kind == "integer"):
        for place, cell in enumerate(table.cells(name)):
            if isinstance(cell, int) and not is_exact(cell):
                raise table.error(
                    f"{cell} has more digits than a column of numbers holds; write whole numbers, or a text",
                    place,
                    name,
                )
    return Column(both, cells, value)


def _kind_of(kind: pl.DataType) -> str:
    if kind == pl.Boolean:
        return "boolean"
    if kind.is_integer():
        return "integer"
    return "number" if kind.is_float() else "text"
