"""BERT's transformer block (Devlin et al., NAACL 2019). Weights have their published names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from babelmix.encoders.uniter.config import UniterConfig

EPSILON = 1e-12
"""Epsilon of every layer normalisation, as in BERT."""


class _SelfAttention(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.attention_dropout
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, asking: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        def by_head(states: torch.Tensor) -> torch.Tensor:
            return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)

        mixed = F.scaled_dot_product_attention(
            by_head(self.query(asking)),
            by_head(self.key(hidden)),
            by_head(self.value(hidden)),
            attn_mask=mask,
            dropout_p=self.dropout if self.training else 0.0,
        )
        return mixed.transpose(1, 2).flatten(2)


class _Output(nn.Module):
    """A linear layer with a residual connection and layer normalisation."""

    def __init__(self, width: int, config: UniterConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, states: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dropout(self.dense(states)) + before)


class _Attention(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.self = _SelfAttention(config)
        self.output = _Output(config.hidden_size, config)

    def forward(self, asking: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return self.output(self.self(asking, hidden, mask), asking)


class _Intermediate(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return F.gelu(self.dense(hidden))


class Block(nn.Module):
    """Self-attention and a feed-forward network, each with a residual connection and layer normalisation after it.

    Args:
        config: the configuration of the model.

    """

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _Output(config.intermediate_size, config)

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor | None = None, *, first_only: bool = False
    ) -> torch.Tensor:
        """Compute new states of all positions, or of the first position only, which is much cheaper.

        Args:
            hidden: floating, shape (sequences, positions, width).
            mask: added to the attention logits, 0 or a large negative number, floating, shape (sequences, 1, 1, positions).
            first_only: compute only the state of the first position.

        Returns:
            floating, shape (sequences, positions or 1, width).

        """
        asking = hidden[:, :1] if first_only else hidden
        attended = self.attention(asking, hidden, mask)
        return self.output(self.intermediate(attended), attended)


class Encoder(nn.Module):
    """A stack of blocks.

    Args:
        config: the configuration of the model.

    """

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Block(config) for _ in range(config.layers))

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor | None = None, *, first_only: bool = False
    ) -> torch.Tensor:
        """Like `Block.forward`. With `first_only`, the last block computes only the first position."""
        last = len(self.layer) - 1
        for number, block in enumerate(self.layer):
            hidden = block(hidden, mask, first_only=first_only and number == last)
        return hidden
