"""Encoders: loading by name, the offline weights, static encoders, and encoding every text once."""

from __future__ import annotations

from babelmix.encoders.embed import encode
from babelmix.encoders.loading import KNOWN, fingerprint, load_encoder

__all__ = ["KNOWN", "encode", "fingerprint", "load_encoder"]
