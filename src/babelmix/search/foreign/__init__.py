"""Vectors in a store that babelmix did not make: a table of PostgreSQL, a collection of Qdrant."""

from __future__ import annotations

from babelmix.search.foreign.address import Address
from babelmix.search.foreign.base import ForeignStore, Key, Page
from babelmix.search.foreign.opening import STORES, is_address, open_store

__all__ = ["STORES", "Address", "ForeignStore", "Key", "Page", "is_address", "open_store"]
