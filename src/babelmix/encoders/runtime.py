"""Run the transformer of a `SentenceTransformer` with an engine other than torch. All other modules stay."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer

Ids = npt.NDArray[np.int64]
Run = Callable[[Ids, Ids], npt.NDArray[np.float32]]
"""A function of token ids and attention mask, int64, shape (texts, tokens); returns float32, (texts, tokens, dimension)."""

TOKENS = 256
"""Approximate tokens in a part of a batch: enough to keep a core busy, few enough that its texts have similar lengths."""

PASS = 128
"""The smallest batch, in texts. Batches are then split into parts by tokens."""


class Runtime(torch.nn.Module):
    """Replaces a transformers model inside its `SentenceTransformer`.

    The texts of a batch are sorted by length and split into parts, so that a short text is not padded to the longest. The parts
    run at the same time, each on one core. This is faster than one part on all cores.

    Args:
        config: the configuration of the transformers model.
        whole: runs one part on all cores.
        parts: runs a part on one core; each core runs one part at a time.
        cores: the number of cores.
        name: engine and precision, as in `onnx-int8`.
        weights: a digest of all float32 weights of the encoder.
        layout: the version of the export, see `babelmix.encoders.backends.LAYOUT`.

    """

    device = torch.device("cpu")

    def __init__(
        self, config: Any, whole: Run, parts: Run, cores: int, name: str, weights: hashlib._Hash, layout: int
    ) -> None:
        super().__init__()
        self.config, self.name, self.layout = config, name, layout
        self._whole, self._parts, self._weights = whole, parts, weights
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="forward") if cores > 1 else None

    def weights(self) -> hashlib._Hash:
        """A copy of the digest of the encoder's float32 weights; the caller may add to it."""
        return self._weights.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Runtime:
        """Return itself: it never changes, and engines cannot be copied."""
        return self

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
        """Embed tokens. The embeddings of padding have no meaning.

        Args:
            input_ids: int64, shape (texts, tokens).
            attention_mask: int64, shape (texts, tokens).

        Returns:
            `last_hidden_state`: float32, shape (texts, tokens, dimension).

        """
        ids, mask = input_ids.numpy(), attention_mask.numpy()
        return {"last_hidden_state": torch.from_numpy(self._embed(ids, mask))}

    def _embed(self, ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        lengths = mask.sum(axis=1)
        padded_right = bool((mask[:, :-1] >= mask[:, 1:]).all())
        cuts = _cuts(lengths, TOKENS) if padded_right else [np.arange(len(ids))]
        if len(cuts) == 1:
            return self._whole(ids, mask)

        def run(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float32]:
            longest = int(lengths[rows].max())
            return self._parts(np.ascontiguousarray(ids[rows, :longest]), np.ascontiguousarray(mask[rows, :longest]))

        found = map(run, cuts) if self._pool is None else self._pool.map(run, cuts)
        result: npt.NDArray[np.float32] | None = None
        for rows, part in zip(cuts, found, strict=True):
            if result is None:
                result = np.zeros((*ids.shape, part.shape[2]), dtype=np.float32)
            result[rows, : part.shape[1]] = part
        assert result is not None
        return result


def _cuts(lengths: npt.NDArray[np.int64], tokens: int) -> list[npt.NDArray[np.intp]]:
    """Split rows into parts of about this many tokens, padding included. The longest texts are first."""
    order = np.argsort(-lengths, kind="stable")
    cuts = []
    start = 0
    while start < len(order):
        count = max(1, round(tokens / max(1, int(lengths[order[start]]))))
        cuts.append(order[start : start + count])
        start += count
    return cuts


def runtime_of(encoder: SentenceTransformer) -> Runtime | None:
    """The engine that runs the encoder's transformer; None for torch."""
    model = getattr(next(iter(encoder.children()), None), "model", None)
    return model if isinstance(model, Runtime) else None


def backend_of(encoder: SentenceTransformer) -> str:
    """`torch`, or engine and precision, as in `onnx-int8`."""
    found = runtime_of(encoder)
    return "torch" if found is None else found.name


def store_suffix(encoder: SentenceTransformer) -> str:
    """Added to the fingerprint in the cache, so that engines do not share embeddings; empty for torch."""
    found = runtime_of(encoder)
    return "" if found is None else f"-{found.name}-{found.layout}"


__all__ = ["PASS", "Run", "Runtime", "backend_of", "runtime_of", "store_suffix"]
