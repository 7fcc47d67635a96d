"""Encoders: load or make one by name, encode texts and pictures with it, take language out of its embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix._lazy import imported_name
from babelmix.encoders.known import KNOWN

if TYPE_CHECKING:
    from babelmix.encoders.embed import encode
    from babelmix.encoders.fingerprints import fingerprint
    from babelmix.encoders.loading import load_encoder, load_model

__all__ = ["KNOWN", "encode", "fingerprint", "load_encoder", "load_model"]

# Imported on first use: sentence-transformers takes seconds to import, and `babelmix data` does not need it.
_HOMES = {"encode": "embed", "fingerprint": "fingerprints", "load_encoder": "loading", "load_model": "loading"}


def __getattr__(name: str) -> Any:
    return imported_name(__name__, _HOMES, name)
