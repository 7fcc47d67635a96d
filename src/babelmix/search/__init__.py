"""Use an encoder on a collection: an index, and search under a language policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix._lazy import imported_name

if TYPE_CHECKING:
    from babelmix.search.building import IndexReport, build_index, delete_items
    from babelmix.search.changes import Changes
    from babelmix.search.documents import open_rows
    from babelmix.search.hits import Hits
    from babelmix.search.index import Index
    from babelmix.search.indexing import Indexed, index_rows
    from babelmix.search.options import MODES
    from babelmix.search.policies import POLICIES, Policy
    from babelmix.search.rows import Hit, Row, Where
    from babelmix.search.searcher import Searcher, open_index
    from babelmix.search.serving import serve

__all__ = [
    "MODES",
    "POLICIES",
    "Changes",
    "Hit",
    "Hits",
    "Index",
    "IndexReport",
    "Indexed",
    "Policy",
    "Row",
    "Searcher",
    "Where",
    "build_index",
    "delete_items",
    "index_rows",
    "open_index",
    "open_rows",
    "serve",
]

# Imported on first use: a search does not need what reads a collection.
_HOMES = {
    "MODES": "options",
    "POLICIES": "policies",
    "Changes": "changes",
    "Hit": "rows",
    "Hits": "hits",
    "Index": "index",
    "IndexReport": "building",
    "Indexed": "indexing",
    "Policy": "policies",
    "Row": "rows",
    "Searcher": "searcher",
    "Where": "rows",
    "build_index": "building",
    "delete_items": "building",
    "index_rows": "indexing",
    "open_index": "searcher",
    "open_rows": "documents",
    "serve": "serving",
}


def __getattr__(name: str) -> Any:
    return imported_name(__name__, _HOMES, name)
