"""Vector stores behind one small interface: Qdrant Edge in the process, in a folder; Milvus on a server, by URL."""

from __future__ import annotations

from babelmix.search.engines.base import Engine
from babelmix.search.engines.opening import create_engine, exists, open_engine

__all__ = ["Engine", "create_engine", "exists", "open_engine"]
