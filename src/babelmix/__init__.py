"""babelmix: measure and mend language bias in multilingual retrieval encoders.

The rooms, from the bottom: `corpus`, `encoders` and `batches`, `audit` and `training`, `experiment`, `cli`. Imports point
downward only.
"""

from __future__ import annotations

import importlib.metadata

__version__ = importlib.metadata.version("babelmix")
__all__ = ["__version__"]
