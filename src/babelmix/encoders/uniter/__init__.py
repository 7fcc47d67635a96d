"""UNITER: a transformer that reads a text and an image together and scores how well they match.

This is our implementation of Chen et al., ECCV 2020, arXiv 1909.11740. With grid features instead of a detector's regions,
results are reported as "UNITER, grid features". Training and reports of UNITER are optional; a reader who does not need
pictures can skip this package.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from babelmix.encoders.uniter.config import UniterConfig
from babelmix.encoders.uniter.regions import Regions, grid_regions, read_regions

if TYPE_CHECKING:
    from babelmix.encoders.uniter.checkpoint import load, load_checkpoint, save
    from babelmix.encoders.uniter.heads import Uniter
    from babelmix.encoders.uniter.scoring import UniterScores, score_matrix, score_pairs
    from babelmix.encoders.uniter.tokenizer import WordPiece, learn_vocabulary

__all__ = [
    "Regions",
    "Uniter",
    "UniterConfig",
    "UniterScores",
    "WordPiece",
    "grid_regions",
    "learn_vocabulary",
    "load",
    "load_checkpoint",
    "read_regions",
    "save",
    "score_matrix",
    "score_pairs",
]

# Loaded on first use: torch takes seconds to import, and regions can be read without it.
_HOMES = {
    "Uniter": "heads", "UniterScores": "scoring", "WordPiece": "tokenizer", "learn_vocabulary": "tokenizer",
    "load": "checkpoint", "load_checkpoint": "checkpoint", "save": "checkpoint", "score_matrix": "scoring",
    "score_pairs": "scoring",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"babelmix.encoders.uniter.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
