"""Use an encoder on a collection: an index, and search under a language policy."""

from __future__ import annotations

from babelmix.search.documents import open_rows
from babelmix.search.index import Changes, Index
from babelmix.search.indexing import Indexed, index_rows
from babelmix.search.policies import POLICIES, Policy
from babelmix.search.rows import Hit, Row, Where
from babelmix.search.searcher import MODES, Searcher

__all__ = [
    "MODES",
    "POLICIES",
    "Changes",
    "Hit",
    "Index",
    "Indexed",
    "Policy",
    "Row",
    "Searcher",
    "Where",
    "index_rows",
    "open_rows",
]
