"""Vector stores behind one small interface. A new one is a module and a line in `ENGINES`.

| where | engine | address |
|---|---|---|
| in the process, in a folder | Qdrant Edge: Qdrant's engine with its write-ahead log, filterable HNSW and BM25 | a path |
| a server or a cluster | Milvus | `http://HOST:PORT/COLLECTION`, `https://...` |
"""

from __future__ import annotations

from babelmix.search.engines.base import Engine, Similarity
from babelmix.search.engines.opening import create_engine, exists, open_engine

__all__ = ["Engine", "Similarity", "create_engine", "exists", "open_engine"]
