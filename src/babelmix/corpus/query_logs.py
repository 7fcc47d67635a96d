"""The file of a log of queries or clicks, and which of its columns hold what: `clicks.csv?query=term&clicked_id=article`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import polars as pl

from babelmix._registry import meant
from babelmix.corpus.known_items import ASKS
from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.readers._tables import Table, read_table
from babelmix.errors import ArgumentError

COLUMNS = ("query", "text", "clicked_id", "count", "lang", "item", "group", "position")
"""What a column of a log may hold."""
_ONE_LANGUAGE = "; one language for all queries is the option lang (--lang)"


def read_log(queries_from: str | Path) -> Table:
    """Read a log of queries or clicks.

    Args:
        queries_from: a file, as a string optionally with the columns that have other names: `FILE?query=COLUMN&lang=COLUMN`.

    Returns:
        The table, with the columns under the names of `COLUMNS`.

    Raises:
        ArgumentError: there is no such file or column.
        ReaderError: the file is malformed.

    """
    file, columns = _parts(queries_from)
    table = read_table(file)
    for name, column in columns.items():
        if name not in COLUMNS:
            raise ArgumentError(
                "queries_from", f"{name!r} is no column of a log{meant(name, COLUMNS)}; a log has {', '.join(COLUMNS)}"
            )
        if column not in table.names:
            raise ArgumentError(
                "queries_from",
                f"{name}={column}: {file.name} has no column {column!r}{meant(column, table.names)}; it has "
                f"{', '.join(table.names)}{_ONE_LANGUAGE if name == 'lang' and is_language_tag(column) else ''}",
            )
    named = _renamed(table, columns)
    if not {"query", "text"} & {*named.names}:
        raise ArgumentError(
            "queries_from",
            f"{file.name} has no column query or text; name the ones that it has ({', '.join(table.names)}), as in  "
            f"'{file.name}?query=COLUMN&lang=COLUMN'  and of clicks also  clicked_id=COLUMN",
        )
    return named


def _renamed(table: Table, columns: Mapping[str, str]) -> Table:
    """The table with some columns, by their new names, under these; a column that had such a name is dropped."""
    given = {new: old for new, old in columns.items() if new != old}
    frame = table.frame.select(
        *(pl.col(name) for name in table.frame.columns if name not in given),
        *(pl.col(old).alias(new) for new, old in given.items() if old in table.frame),
    )
    unread = {new: table.unread[old] for new, old in given.items() if old in table.unread}
    return replace(
        table, frame=frame, unread={name: kind for name, kind in table.unread.items() if name not in given} | unread,
        mixed=frozenset(name for name in frame.columns if given.get(name, name) in table.mixed),
        categories=frozenset(name for name in frame.columns if given.get(name, name) in table.categories),
    )  # fmt: skip


def _parts(queries_from: str | Path) -> tuple[Path, dict[str, str]]:
    """The file of a log, and the names of its columns by what they hold."""
    place = Path(queries_from)
    if place.is_file():
        return place, {}
    if isinstance(queries_from, str) and "?" in queries_from:
        # The name of a file may contain a question mark.
        before, _, after = queries_from.rpartition("?")
        if (place := Path(before)).is_file():
            return place, dict(parse_qsl(after, keep_blank_values=True))
    if isinstance(queries_from, Path) or place.suffix or len(place.parts) > 1:
        why = "is a folder; name the file in it" if place.is_dir() else "there is no such file"
        raise ArgumentError("queries_from", f"{str(place)!r}: {why}")
    raise ArgumentError(
        "queries_from",
        f"{str(queries_from)!r} is neither {', '.join(ASKS)} nor a file with a log of queries or clicks",
    )


__all__ = ["COLUMNS", "read_log"]
