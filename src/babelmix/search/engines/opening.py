"""From an address to an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from babelmix.errors import SearchError
from babelmix.search.engines.base import Engine
from babelmix.search.engines.edge import MARKER, EdgeEngine

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _folder(address: str) -> Path:
    if _URL.match(address):
        raise SearchError(f"{address}: is no address of an index; an index is a folder")
    return Path(address)


def create_engine(address: str, dimension: int, about: dict[str, Any]) -> Engine:
    """Make an empty store.

    Args:
        address: a folder that is not there yet.
        dimension: of the vectors.
        about: the facts to keep with it.

    Raises:
        SearchError: there is one already, or it cannot be made there.
        MissingExtraError: the engine is not installed.

    """
    return EdgeEngine.create(_folder(address), dimension, about)


def open_engine(address: str) -> Engine:
    """Open a store.

    Raises:
        SearchError: there is none, it is damaged, or another process has it open.
        MissingExtraError: the engine is not installed.

    """
    return EdgeEngine.open(_folder(address))


def exists(address: str) -> bool:
    """Whether there is an index."""
    return (_folder(address) / MARKER).is_file()
