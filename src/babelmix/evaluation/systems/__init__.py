"""Systems: everything that can be audited, by kind. See `babelmix.evaluation.systems.base` for the two protocols."""

from __future__ import annotations

from babelmix._registry import Lazy, Registry
from babelmix.evaluation.systems.base import Answer, ExactSystem, ListSystem, System
from babelmix.evaluation.systems.encoder import EncoderSystem, Sides
from babelmix.evaluation.systems.scores import ScoreMatrix
from babelmix.evaluation.systems.vectors import Vectors

SYSTEMS: Registry[type[System]] = Registry(
    "kind of system",
    {
        "encoder": EncoderSystem,
        # Loaded on first use: the package babelmix.search is in a layer above this one.
        "index": Lazy("babelmix.search.system:IndexSystem"),
        "scores": ScoreMatrix,
        "vectors": Vectors,
    },
)
"""The kinds of systems by name."""

__all__ = [
    "SYSTEMS",
    "Answer",
    "EncoderSystem",
    "ExactSystem",
    "ListSystem",
    "ScoreMatrix",
    "Sides",
    "System",
    "Vectors",
]
