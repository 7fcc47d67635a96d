"""The protocol of a reranker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]


class Reranker(Protocol):
    """Scores passages for a query; it reads both together, unlike an encoder. Several threads may call it.

    Attributes:
        name: the name of the model, or the URL of the service.

    """

    name: str

    def scores(self, query: str, texts: Sequence[str]) -> Scores:
        """The scores of passages for a query, higher is better, float32, shape (texts,)."""
        ...


__all__ = ["Reranker", "Scores"]
