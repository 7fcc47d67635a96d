"""Encoders: load or make one by name, encode texts and pictures with it, take language out of its embeddings."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from babelmix.encoders.known import KNOWN

if TYPE_CHECKING:
    from babelmix.encoders.embed import encode
    from babelmix.encoders.fingerprints import fingerprint
    from babelmix.encoders.loading import load_encoder, load_model

__all__ = ["KNOWN", "encode", "fingerprint", "load_encoder", "load_model"]

# Imported on first use: sentence-transformers takes seconds to import, and `babelmix data` does not need it.
_HOMES = {"encode": "embed", "fingerprint": "fingerprints", "load_encoder": "loading", "load_model": "loading"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"babelmix.encoders.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
