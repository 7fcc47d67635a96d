"""Types of what an engine is given and returns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
"""Token ids or an attention mask, shape (texts, tokens)."""

TokenVectors = npt.NDArray[np.float32]
"""Embeddings of tokens, shape (texts, tokens, dimension)."""

Run = Callable[[Ids, Ids], TokenVectors]
"""A function of token ids and attention mask that embeds the tokens."""

__all__ = ["Ids", "Run", "TokenVectors"]
