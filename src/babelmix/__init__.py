"""babelmix: measure and mend language bias in multilingual retrieval encoders.

The rooms, from the bottom: `corpus`, `encoders` and `batches`, `audit` and `training`, `experiment`, `cli`. Imports point
downward only.
"""

from __future__ import annotations

__version__: str
__all__ = ["__version__"]


def __getattr__(name: str) -> str:
    # Looked up when it is asked for: until the command line has begun, Ctrl-C is Python's, and shows a traceback.
    if name == "__version__":
        import importlib.metadata

        return importlib.metadata.version("babelmix")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
