"""The writes that bring some items of an index up to date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from babelmix.search.rows import Point, digest_of_row


@dataclass(frozen=True)
class Changes:
    """The writes that bring some items of an index up to date.

    Args:
        points: rows that are new or have changed; they have no vectors yet.
        stale: ids of rows to remove: they are in the index, but their items no longer have them.
        unchanged: the number of rows that are already in the index.
        columns: the metadata columns of the rows, and their types.

    """

    points: list[Point]
    stale: list[str]
    unchanged: int
    columns: Mapping[str, str] = field(default_factory=dict)


def is_there(point: Point, known: tuple[str, str] | None, columns: Mapping[str, str]) -> bool:
    """Whether the index has this row with the same content. `known` is the item and the digest stored under the row's id."""
    if known is None or known[1] == point.digest:
        return known is not None
    fields = point.row.fields
    # Earlier versions stored whole numbers of a column of numbers as 10.0.
    earlier = {name: float(fields[name]) for name in fields if columns[name] == "number"}
    return bool(earlier) and known[1] == digest_of_row(point.row, {**fields, **earlier})
