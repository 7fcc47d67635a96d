"""The engine that runs an encoder, and how it runs a batch: in parts of similar length. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import hashlib

Ids = npt.NDArray[np.int64]
Run = Callable[[Ids, Ids], npt.NDArray[np.float32]]
"""A function of token ids and attention mask, int64, shape (texts, tokens); returns float32, (texts, tokens, dimension)."""

TOKENS = 256
"""Approximate tokens in a part of a batch: enough to keep a core busy, few enough that its texts have similar lengths."""

PASS = 128
"""The smallest batch, in texts. Batches are then split into parts by tokens."""


class InParts:
    """Runs a batch in parts. Its texts are sorted by length and split, so that a short text is not padded to the longest.

    The parts run at the same time, each on one core. This is faster than one part on all cores.

    Args:
        whole: runs one part on all cores.
        parts: runs a part on one core; each core runs one part at a time.
        cores: the number of cores.
        name: engine and precision, as in `onnx-int8`.
        layout: the version of the export, see `babelmix.encoders.backends.LAYOUT`.

    """

    def __init__(self, whole: Run, parts: Run, cores: int, name: str, layout: int) -> None:
        self.name, self.layout = name, layout
        self._whole, self._parts = whole, parts
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="forward") if cores > 1 else None

    def __deepcopy__(self, memo: dict[int, Any]) -> InParts:
        """Return itself: it never changes, and engines cannot be copied."""
        return self

    def __call__(self, ids: Ids, mask: Ids) -> npt.NDArray[np.float32]:
        """Embed tokens. The embeddings of padding have no meaning.

        Args:
            ids: token ids, int64, shape (texts, tokens).
            mask: attention mask, int64, shape (texts, tokens).

        Returns:
            float32, shape (texts, tokens, dimension).

        """
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


class Engine(Protocol):
    """What stands in for a transformers model: `babelmix.encoders.torch_runtime.Runtime`."""

    engine: InParts

    def weights(self) -> hashlib._Hash:
        """A copy of the digest of the encoder's float32 weights; the caller may add to it."""
        ...


def runtime_of(encoder: Any) -> Engine | None:
    """The engine that runs the encoder's transformer; None for torch.

    Args:
        encoder: any encoder.

    """
    children = getattr(encoder, "children", None)
    model = getattr(next(iter(children()), None), "model", None) if children is not None else None
    return model if isinstance(getattr(model, "engine", None), InParts) else None


def backend_of(encoder: Any) -> str:
    """`torch`, or engine and precision, as in `onnx-int8`."""
    found = runtime_of(encoder)
    return "torch" if found is None else found.engine.name


def store_suffix(encoder: Any) -> str:
    """Added to the fingerprint in the cache, so that engines do not share embeddings; empty for torch."""
    found = runtime_of(encoder)
    return "" if found is None else f"-{found.engine.name}-{found.engine.layout}"


__all__ = ["PASS", "TOKENS", "Engine", "Ids", "InParts", "Run", "backend_of", "runtime_of", "store_suffix"]
