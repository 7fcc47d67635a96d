"""Filters as the user types them: `year=2024,2025`, `maker="Smith, Sons"`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from babelmix._lists import as_list
from babelmix.errors import ArgumentError
from babelmix.search.rows import Value

_VALUE = re.compile(r'\s*(?:"((?:[^"]|"")*)"\s*|((?!")[^,]*))(?:,|$)')


def typed_filters(given: str | Sequence[str], columns: Mapping[str, str]) -> dict[str, list[Value]]:
    """Parse filters, and convert their values to the types of the columns.

    Args:
        given: one filter or several, such as `year=2024,2025`. Two filters by the same column allow the values of both.
        columns: the metadata columns and their types. Any other column holds texts.

    Returns:
        For each column the values that are allowed.

    Raises:
        ArgumentError: a filter is malformed, or a value is not of its column's type.

    Examples:
        >>> typed_filters("year=2024,2025", {"year": "integer"})
        {'year': [2024, 2025]}

    """
    made: dict[str, list[Value]] = {}
    for text in as_list(given, "where"):
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise ArgumentError(
                "where", f'{text!r}: write  COLUMN=VALUE  or  COLUMN=A,B; an empty value is  COLUMN=""'
            )
        kind = columns.get(name, "text")
        try:
            made.setdefault(name, []).extend(_typed(value, kind) for value in values_in(values, "where"))
        except ValueError as error:
            raise ArgumentError("where", f"{text!r}: the column {name!r} holds values of the type {kind}") from error
    return made


def values_in(text: str, argument: str) -> list[str]:
    """Split a text at its commas, as a line of CSV is split.

    A value between double quotes is taken as it is: it may hold commas, spaces at its ends, or nothing, and double quotes
    that are written twice.

    Args:
        text: the text that the user typed.
        argument: the argument that the text belongs to, for messages.

    Raises:
        ArgumentError: a value begins with a double quote and does not end with one, or there is no value.

    Examples:
        >>> values_in('a, "b, c","5"" pipe"', "where")
        ['a', 'b, c', '5" pipe']

    """
    values: list[str] = []
    position = 0
    while position < len(text):
        found = _VALUE.match(text, position)
        if found is None:
            raise ArgumentError(
                argument,
                f"{text!r}: a value that begins with a double quote has to end with one; write a double quote inside "
                'a value twice, as in  "5"" pipe"',
            )
        quoted, plain = found.groups()
        if quoted is not None:
            values.append(quoted.replace('""', '"'))
        elif plain.strip():
            values.append(plain.strip())
        position = found.end()
    if not values:
        raise ArgumentError(argument, f'{text!r} has no value; an empty one is written  ""')
    return values


def _typed(value: str, kind: str) -> Value:
    """A value of a column's type.

    Raises:
        ValueError: the text is not a value of this type.

    """
    if kind == "integer":
        return int(value)
    if kind == "number":
        return float(value)
    if kind == "boolean":
        if value.lower() not in ("true", "false"):
            raise ValueError(value)
        return value.lower() == "true"
    return value
