"""The service: search and writing over HTTP, and a page to search on."""

from __future__ import annotations

from babelmix.search.service.app import create_app
from babelmix.search.service.keys import Keys
from babelmix.search.service.settings import Settings

__all__ = ["Keys", "Settings", "create_app"]
