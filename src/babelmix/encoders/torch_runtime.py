"""Run the transformer of a `SentenceTransformer` with an engine other than torch. All other modules stay."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from babelmix.encoders.graph import Graph


class Runtime(torch.nn.Module):
    """Replaces a transformers model inside its `SentenceTransformer`; `babelmix.encoders.runtime.runtime_of` finds it.

    Args:
        config: the configuration of the transformers model.
        graph: runs the exported model.
        weights: a digest of all float32 weights of the encoder.

    """

    device = torch.device("cpu")

    def __init__(self, config: Any, graph: Graph, weights: hashlib._Hash) -> None:
        super().__init__()
        self.config, self.engine = config, graph
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
        return {"last_hidden_state": torch.from_numpy(self.engine.embed(input_ids.numpy(), attention_mask.numpy()))}


__all__ = ["Runtime"]
