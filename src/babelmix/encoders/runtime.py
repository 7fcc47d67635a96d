"""An encoder's transformer, run by another engine than torch in the same place of the same `SentenceTransformer`."""

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
"""Token ids and attention mask, both shape (texts, tokens), to embeddings of tokens, shape (texts, tokens, dimension)."""

TOKENS = 256
"""Of a part of a batch, about: enough to keep a core busy, and little enough that texts of one length come together."""

PASS = 128
"""Texts of a forward pass at least, which are then cut by their tokens."""


class Runtime(torch.nn.Module):
    """What stands in the place of a transformers model, which sentence-transformers goes on to feed and to pool.

    Texts of a batch are put in order of their tokens and cut into parts, so that a short text is not padded to the longest;
    parts are run side by side, each on one core, which wastes less than one part on all cores.

    Args:
        config: of the transformers model.
        whole: runs one part on all cores.
        parts: runs a part on one core; as many run at once as there are cores.
        cores: how many.
        name: of engine and precision, as in `onnx-int8`.
        weights: the digest that all weights of the encoder have been added to.

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
        """A copy of the digest of the encoder's float32 weights, to go on with."""
        return self._weights.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Runtime:
        """Itself: nothing changes it, and engines cannot be copied."""
        return self

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
        """Embed tokens; those of padding become zero.

        Args:
            input_ids: int64, shape (texts, tokens).
            attention_mask: the same shape.

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
    """Rows in parts of about so many tokens with their padding, longest texts first."""
    order = np.argsort(-lengths, kind="stable")
    cuts = []
    start = 0
    while start < len(order):
        count = max(1, round(tokens / max(1, int(lengths[order[start]]))))
        cuts.append(order[start : start + count])
        start += count
    return cuts


def runtime_of(encoder: SentenceTransformer) -> Runtime | None:
    """What runs an encoder's transformer in torch's place, if anything does."""
    model = getattr(next(iter(encoder.children()), None), "model", None)
    return model if isinstance(model, Runtime) else None


def backend_of(encoder: SentenceTransformer) -> str:
    """`torch`, or the engine and precision of an encoder's transformer, as in `onnx-int8`."""
    found = runtime_of(encoder)
    return "torch" if found is None else found.name


def store_suffix(encoder: SentenceTransformer) -> str:
    """What tells embeddings of an encoder apart from those of the same weights in torch."""
    found = runtime_of(encoder)
    return "" if found is None else f"-{found.name}-{found.layout}"


__all__ = ["PASS", "Run", "Runtime", "backend_of", "runtime_of", "store_suffix"]
