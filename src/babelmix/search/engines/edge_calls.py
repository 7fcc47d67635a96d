"""Calls of the library `qdrant_edge`: its errors, and the room that it needs on the disk."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babelmix.errors import BabelmixError, EngineError, first_line, require

_ROOM = 64 << 20
"""Bytes that have to be free on the disk before a write. The library maps files into memory; a page that does not fit on the disk
kills the process without a message."""


def read_object(file: Path) -> dict[str, Any]:
    """Read the facts of an index.

    Raises:
        EngineError: the file is damaged.

    """
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EngineError(f"{file}: is damaged ({first_line(error)}); make the index again") from error
    if not isinstance(about, dict):
        raise EngineError(f"{file}: is damaged (it holds no object); make the index again")
    return about


def check_room(folder: Path, address: str, size: int) -> None:
    """Raise unless the disk of a folder has room for so many more bytes.

    Raises:
        EngineError: there is too little room.

    """
    free = shutil.disk_usage(folder).free
    if free < _ROOM + size:
        raise EngineError(
            f"{address}: its disk has {free >> 20:,} MiB left, and {(_ROOM + size) >> 20:,} have to be free; make room, and try "
            "again"
        )


@contextlib.contextmanager
def blaming(address: str, what: str) -> Iterator[None]:
    """Turn the exceptions of the library, and panics of its Rust code, into `EngineError`."""
    try:
        yield
    except (BabelmixError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic is not an Exception
        # The library raises a plain Exception for everything: only its words tell this one.
        if "WouldBlock" in str(error):
            raise EngineError(
                f"{address}: this index is open already, in another process or in this one; close it there, or wait"
            ) from error
        raise EngineError(f"{address}: cannot be {what} ({first_line(error)})") from error


def library() -> Any:
    """The library.

    Raises:
        MissingExtraError: it is not installed.

    """
    return require("qdrant_edge", "search", "An index in a folder")
