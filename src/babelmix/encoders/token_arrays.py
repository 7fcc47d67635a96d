"""What an engine is given and returns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
"""Token ids or an attention mask, shape (texts, tokens)."""

TokenVectors = npt.NDArray[np.float32]
"""Embeddings of tokens, shape (texts, tokens, dimension)."""

Run = Callable[[Ids, Ids], TokenVectors]
"""A function of token ids and attention mask that embeds the tokens."""

Infer = Callable[[Mapping[str, npt.NDArray[Any]]], npt.NDArray[np.float32]]
"""A function of the inputs of a graph by name, that returns its first output."""

_BATCHES, _TEXTS, _TOKENS = 4, 8, 32


def sampled_tokens(vocabulary: int, edges: Sequence[int] = ()) -> list[Ids]:
    """Batches of random tokens, to measure a transformer.

    Args:
        vocabulary: the number of tokens.
        edges: the first and the last token id of every text.

    """
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, vocabulary, (_TEXTS, _TOKENS)) for _ in range(_BATCHES)]
    for ids in batches:
        if len(edges):
            ids[:, 0], ids[:, -1] = edges[0], edges[-1]
    return batches


def opened_when_called(make: Callable[[], Run]) -> Run:
    """A function that is made at its first call, once for all threads.

    Args:
        make: makes the function.

    """
    lock = threading.Lock()
    made: list[Run] = []

    def run(ids: Ids, mask: Ids) -> TokenVectors:
        if not made:
            with lock:
                if not made:
                    made.append(make())
        return made[0](ids, mask)

    return run


__all__ = ["Ids", "Run", "TokenVectors", "opened_when_called", "sampled_tokens"]
