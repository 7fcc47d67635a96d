"""From an address to an engine: a folder, or an index on a server by URL."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from babelmix.search.engines import milvus
from babelmix.search.engines.base import Engine
from babelmix.search.engines.edge import MARKER, EdgeEngine

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def create_engine(address: str, dimension: int, about: dict[str, Any]) -> Engine:
    """Make an empty store.

    Args:
        address: a folder that is not there yet, or `http://HOST:PORT/NAME` of a Milvus server.
        dimension: of the vectors.
        about: the facts to keep with it.

    Raises:
        SearchError: there is one already, or it cannot be made there.
        MissingExtraError: the engine is not installed.

    """
    if _URL.match(address):
        return milvus.MilvusEngine.create(address, dimension, about)
    return EdgeEngine.create(Path(address), dimension, about)


def open_engine(address: str) -> Engine:
    """Open a store.

    Raises:
        SearchError: there is none, it is damaged, or another process has it open.
        EngineError: its server does not answer.
        MissingExtraError: the engine is not installed.

    """
    return milvus.MilvusEngine.open(address) if _URL.match(address) else EdgeEngine.open(Path(address))


def exists(address: str) -> bool:
    """Whether there is an index.

    Raises:
        SearchError: the address is malformed.
        EngineError: its server does not answer.
        MissingExtraError: the engine is not installed.

    """
    return milvus.exists(address) if _URL.match(address) else (Path(address) / MARKER).is_file()
