"""Metadata columns: their types `text`, `integer`, `number` and `boolean`, and which values are equal."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping

from babelmix.errors import SearchError
from babelmix.search.rows import Row, Value, check_field

_TYPES: dict[type, str] = {str: "text", bool: "boolean", int: "integer", float: "number"}


def type_of(value: Value) -> str:
    """The type of a value: `text`, `integer`, `number` or `boolean`."""
    return _TYPES[type(value)]


def widened(column: str, kind: str) -> str | None:
    """The type that holds values of two types: `number` for integers and numbers. None if no type holds both.

    >>> widened("integer", "number"), widened("number", "integer"), widened("number", "text")
    ('number', 'number', None)
    """
    if {column, kind} == {"integer", "number"}:
        return "number"
    return column if column == kind else None


def add_types(columns: dict[str, str], row: Row) -> None:
    """Add the types of a row's metadata to the types of the columns.

    Raises:
        SearchError: a value does not have its column's type, and the column cannot become a column of numbers.

    """
    for name, value in row.fields.items():
        kind = type_of(value)
        known = columns.setdefault(name, kind)
        if known == kind:
            continue
        if (both := widened(known, kind)) is None:
            raise SearchError(
                f"item {row.item!r}, column {name!r}: {value!r} is of the type {kind}, and the column's is {known}; "
                "write it so, or give the column another name"
            )
        if isinstance(value, int) and not is_exact(value):
            raise SearchError(
                f"item {row.item!r}, column {name!r}: {value} has more digits than a column of numbers holds; write a text"
            )
        columns[name] = both


def is_exact(value: int) -> bool:
    """Whether a column of numbers (64-bit floats) holds a whole number exactly."""
    return abs(value) < 1 << 63 and int(float(value)) == value


def together(columns: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    """Merge two sets of columns. A column that is `integer` in one set and `number` in the other becomes `number`."""
    return {**others, **{name: widened(kind, others.get(name, kind)) or kind for name, kind in columns.items()}}


def spellings(text: str) -> tuple[str, ...]:
    """A text in all forms that are equal in Unicode: as given, composed (NFC) and decomposed (NFD)."""
    return tuple(dict.fromkeys((text, *(unicodedata.normalize(form, text) for form in ("NFC", "NFD")))))


def as_type(value: Value, kind: str, name: str) -> Value:
    """Convert a value of a filter to the type of its column.

    Raises:
        SearchError: the value has another type.

    """
    check_field(name if name.isidentifier() else "filter", value, "filter")
    if kind == "number" and type(value) is int:
        return float(value)
    if type_of(value) != kind:
        raise SearchError(f"filter {name!r}: {value!r} is not of the column's type, {kind}")
    return value
