"""From an address to an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from babelmix.errors import SearchError
from babelmix.search.engines.base import Engine
from babelmix.search.engines.edge import MARKER, EdgeEngine
from babelmix.search.engines.milvus import MilvusEngine
from babelmix.search.engines.milvus_server import Place

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def _place(address: str) -> Path | Place:
    url = _URL.match(address)
    if url is None:
        return Path(address)
    if url[1] not in ("http", "https"):
        raise SearchError(f"{address}: is no address of an index; an index is a folder, or  http://HOST:PORT/NAME")
    return Place.parse(address)


def create_engine(address: str, dimension: int, about: dict[str, Any]) -> Engine:
    """Make an empty store.

    Args:
        address: a folder that is not there yet, or the URL of a Milvus server with a name, `http://HOST:PORT/NAME`.
        dimension: of the vectors.
        about: the facts to keep with it.

    Raises:
        SearchError: there is one already, or it cannot be made there.
        MissingExtraError: the engine is not installed.

    """
    place = _place(address)
    if isinstance(place, Place):
        return MilvusEngine.create(place, dimension, about)
    return EdgeEngine.create(place, dimension, about)


def open_engine(address: str) -> Engine:
    """Open a store.

    Raises:
        SearchError: there is none, it is damaged, its server does not answer, or another process has its folder open.
        MissingExtraError: the engine is not installed.

    """
    place = _place(address)
    return MilvusEngine.open(place) if isinstance(place, Place) else EdgeEngine.open(place)


def exists(address: str) -> bool:
    """Whether there is an index.

    Raises:
        SearchError: its server does not answer.
        MissingExtraError: the engine is not installed.

    """
    place = _place(address)
    return MilvusEngine.exists(place) if isinstance(place, Place) else (place / MARKER).is_file()
