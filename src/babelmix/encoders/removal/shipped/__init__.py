"""Removals that come with babelmix: statistics of known encoders, so that language can be taken out before anything is fitted.

`benchmarks/shipped.py` fits them. NOTICE.md in this folder says on which texts, and under which licence.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from babelmix.encoders.known import E5_OFFLINE, USE_OFFLINE

if TYPE_CHECKING:
    from babelmix.encoders.removal import AnyRemoval

NAMES = {E5_OFFLINE: E5_OFFLINE, "intfloat/multilingual-e5-small": E5_OFFLINE, USE_OFFLINE: USE_OFFLINE}
"""The file of an encoder, by the encoder's name. `e5-small-offline` has the weights of multilingual-e5-small in 4 bits."""


def shipped_removal(encoder: str) -> AnyRemoval | None:
    """The removal that comes with babelmix for an encoder.

    Args:
        encoder: the name of an encoder as `load_encoder` takes it, or its fingerprint
            (`babelmix.encoders.fingerprints.fingerprint`).

    Returns:
        The removal; None if babelmix has none for this encoder. A trained encoder has another fingerprint, so it has none.

    Examples:
        >>> removal = shipped_removal("e5-small-offline")
        >>> removal.method, len(removal.langs), shipped_removal("another encoder")
        ('linear-map', 37, None)

    """
    from babelmix.encoders.removal import load_removal

    file = _folder() / f"{NAMES.get(encoder) or _fingerprints().get(encoder, '-')}.safetensors"
    return load_removal(file) if file.is_file() else None


def shipped_names() -> list[str]:
    """The names of the encoders that have a shipped removal, sorted."""
    return sorted(name for name, file in NAMES.items() if (_folder() / f"{file}.safetensors").is_file())


@cache
def _fingerprints() -> dict[str, str]:
    """The name of the file for each fingerprint."""
    file = _folder() / "fingerprints.json"
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def _folder() -> Path:
    return Path(str(resources.files(__name__)))


__all__ = ["NAMES", "shipped_names", "shipped_removal"]
