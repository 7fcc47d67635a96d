"""Open a reranker by its name or its URL."""

from __future__ import annotations

from babelmix.errors import ArgumentError
from babelmix.search.reranking.base import Reranker


def open_reranker(name: str, *, device: str | None = None, trust_code: bool = False) -> Reranker:
    """Open a reranker.

    Raises:
        ArgumentError: there is none of this name.

    """
    del device, trust_code
    raise ArgumentError("rerank", f"{name}: there is no such reranker")


__all__ = ["open_reranker"]
