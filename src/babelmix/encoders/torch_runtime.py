"""Run the transformer of a `SentenceTransformer` with an engine other than torch. All other modules stay."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from babelmix.encoders.runtime import InParts, Run


class Runtime(torch.nn.Module):
    """Replaces a transformers model inside its `SentenceTransformer`; `babelmix.encoders.runtime.runtime_of` finds it.

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
        self.config = config
        self.engine = InParts(whole, parts, cores, name, layout)
        self._weights = weights

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
        return {"last_hidden_state": torch.from_numpy(self.engine(input_ids.numpy(), attention_mask.numpy()))}


__all__ = ["Runtime"]
