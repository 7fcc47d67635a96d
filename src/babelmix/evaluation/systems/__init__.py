"""Systems: everything that can be audited, by kind. See `babelmix.evaluation.systems.base` for the two protocols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix._lazy import imported_name
from babelmix._registry import Lazy, Registry
from babelmix.evaluation.systems.base import Answer, ExactSystem, ListSystem, System

if TYPE_CHECKING:
    from babelmix.evaluation.systems.encoder import EncoderSystem, Sides
    from babelmix.evaluation.systems.function import Search
    from babelmix.evaluation.systems.run_file import Run
    from babelmix.evaluation.systems.scores import ScoreMatrix
    from babelmix.evaluation.systems.vectors import Vectors

SYSTEMS: Registry[type[System]] = Registry(
    "kind of system",
    {
        # Loaded on first use: torch and sentence-transformers take seconds to import.
        "encoder": Lazy("babelmix.evaluation.systems.encoder:EncoderSystem"),
        # Also because the package babelmix.search is in a layer above this one.
        "index": Lazy("babelmix.search.system:IndexSystem"),
        "function": Lazy("babelmix.evaluation.systems.function:Search"),
        "run": Lazy("babelmix.evaluation.systems.run_file:Run"),
        "scores": Lazy("babelmix.evaluation.systems.scores:ScoreMatrix"),
        "service": Lazy("babelmix.search.remote:ServiceSystem"),
        "vectors": Lazy("babelmix.evaluation.systems.vectors:Vectors"),
    },
)
"""The kinds of systems by name."""

__all__ = [
    "SYSTEMS",
    "Answer",
    "EncoderSystem",
    "ExactSystem",
    "ListSystem",
    "Run",
    "ScoreMatrix",
    "Search",
    "Sides",
    "System",
    "Vectors",
]

_HOMES = {
    "EncoderSystem": "encoder",
    "Run": "run_file",
    "ScoreMatrix": "scores",
    "Search": "function",
    "Sides": "encoder",
    "Vectors": "vectors",
}


def __getattr__(name: str) -> Any:
    return imported_name(__name__, _HOMES, name)
