"""Marks: short digests of metadata values, with which engines filter columns of all names and types by one index."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from babelmix.search.rows import Value


def marks_of(fields: Mapping[str, Value]) -> list[str]:
    """The marks of a row's metadata."""
    return [mark_of(name, value) for name, value in fields.items()]


def mark_of(name: str, value: Value) -> str:
    """The mark of a column and a value, 24 hexadecimal digits. 10 and 10.0 have the same mark; true and 1 have different ones.

    >>> mark_of("year", 10) == mark_of("year", 10.0), mark_of("good", True) == mark_of("good", 1)
    (True, False)

    """
    kind = "boolean" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return hashlib.blake2b(json.dumps([name, kind, whole]).encode(), digest_size=12).hexdigest()
