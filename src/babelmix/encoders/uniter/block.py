"""BERT's transformer block (Devlin et al., NAACL 2019), with the weights' published names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from babelmix.encoders.uniter.config import UniterConfig

EPSILON = 1e-12
"""Of every layer normalisation, as in BERT."""


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
    """A linear layer whose result is added to what it was made from, and normalised."""

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
    """Self-attention and a feed-forward network, each added to its input and normalised afterwards.

    Args:
        config: the model's shape.

    """

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.attention = _Attention(config)
        self.intermediate = _Intermediate(config)
        self.output = _Output(config.intermediate_size, config)

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor | None = None, *, first_only: bool = False
    ) -> torch.Tensor:
        """New states of every position, or of the first one alone, which costs far less.

        Args:
            hidden: floating, shape (sequences, positions, width).
            mask: floating, shape (sequences, 1, 1, positions), added to the attention's logits: 0 or very small.
            first_only: give the first position's state alone.

        Returns:
            floating, shape (sequences, positions or 1, width).

        """
        asking = hidden[:, :1] if first_only else hidden
        attended = self.attention(asking, hidden, mask)
        return self.output(self.intermediate(attended), attended)


class Encoder(nn.Module):
    """A stack of blocks.

    Args:
        config: the model's shape.

    """

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Block(config) for _ in range(config.layers))

    def forward(
        self, hidden: torch.Tensor, mask: torch.Tensor | None = None, *, first_only: bool = False
    ) -> torch.Tensor:
        """As `Block`; with `first_only` the last block gives the first position alone, the others all."""
        last = len(self.layer) - 1
        for number, block in enumerate(self.layer):
            hidden = block(hidden, mask, first_only=first_only and number == last)
        return hidden
