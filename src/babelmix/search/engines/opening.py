"""From an address to an engine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from babelmix.errors import SearchError
from babelmix.search.engines.base import Engine

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def _is_url(address: str) -> bool:
    if not _URL.match(address):
        return False
    if not re.fullmatch(r"https?://[^/]+/[A-Za-z_][A-Za-z0-9_]{0,200}", address):
        raise SearchError(
            f"{address}: is no address of an index; write a folder, or  http://HOST:PORT/NAME  for a Milvus collection "
            "(letters, digits and _)"
        )
    return True


def create_engine(address: str, dimension: int, about: dict[str, Any]) -> Engine:
    """Make an empty store.

    Args:
        address: a folder or a Milvus collection; see `babelmix.search.engines`.
        dimension: of the vectors.
        about: the facts to keep with it.

    Raises:
        SearchError: there is one already, or it cannot be made there.
        MissingExtraError: the engine is not installed.

    """
    if _is_url(address):
        from babelmix.search.engines.milvus import MilvusEngine

        return MilvusEngine.create(address, dimension, about)
    from babelmix.search.engines.edge import EdgeEngine

    return EdgeEngine.create(Path(address), dimension, about)


def open_engine(address: str) -> Engine:
    """Open a store.

    Raises:
        SearchError: there is none, it is damaged, or another process has it open.
        MissingExtraError: the engine is not installed.

    """
    if _is_url(address):
        from babelmix.search.engines.milvus import MilvusEngine

        return MilvusEngine.open(address)
    from babelmix.search.engines.edge import EdgeEngine

    return EdgeEngine.open(Path(address))


def exists(address: str) -> bool:
    """Whether there is an index.

    Raises:
        SearchError: the server does not answer.

    """
    if _is_url(address):
        from babelmix.search.engines.milvus import MilvusEngine

        return MilvusEngine.exists(address)
    from babelmix.search.engines.edge import MARKER

    return (Path(address) / MARKER).is_file()
