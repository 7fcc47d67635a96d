"""Vector stores behind one small interface: Qdrant Edge in a folder, PostgreSQL, Milvus, and those of plugins."""

from __future__ import annotations

from babelmix.search.engines.base import Engine
from babelmix.search.engines.opening import ENGINES, create_engine, engine_of, exists, is_same_place, open_engine

__all__ = ["ENGINES", "Engine", "create_engine", "engine_of", "exists", "is_same_place", "open_engine"]
