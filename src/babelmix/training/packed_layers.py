"""The layers of BERT and XLM-RoBERTa on packed tokens: the tokens of all texts in one matrix, without padding.

Linear layers, norms and GELU work on the tokens of all texts at once. Attention works on groups of texts of similar length, so
that a short text is not padded to the length of a long one. The weights stay in float32. In bfloat16, each weight is rounded once
per step, and its gradient is summed in float32. What one layer passes on to the next is in float32 too.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import gelu, layer_norm, linear

GROUP = 16
"""Texts that attention pads to one length."""

_VALUES = 1 << 16
"""Dropout compares numbers of 16 bits. So a rate is rounded to a multiple of 1 / 65,536."""


class Casts:
    """Weights in the type of the computation. A weight is converted again only after it has changed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[list[int], torch.Tensor]] = {}

    def __call__(self, parameters: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """The parameters, one below the other, without gradient."""
        key = (dtype, *(id(one) for one in parameters))
        versions = [one._version for one in parameters]
        kept = self._kept.get(key)
        if kept is None or kept[0] != versions:
            with torch.no_grad():
                joined = parameters[0].detach() if len(parameters) == 1 else torch.cat(list(parameters))
                kept = self._kept[key] = (versions, joined.to(dtype))
        return kept[1]

    def clear(self) -> None:
        """Forget all of them."""
        self._kept.clear()


class _Linear(torch.autograd.Function):
    """A linear layer whose weight is given twice: as it is multiplied, and as the parameters that get the gradient."""

    @staticmethod
    def forward(
        context: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *parameters: torch.Tensor
    ) -> torch.Tensor:
        context.save_for_backward(x, weight)
        context.rows = [len(one) for one in parameters[: len(parameters) // 2]]
        return linear(x, weight, bias)

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = context.saved_tensors
        gradient, rows = gradients[0], context.rows
        needed = context.needs_input_grad[3:]
        back = gradient @ weight if context.needs_input_grad[0] else None
        weights: list[torch.Tensor | None] = [None] * len(rows)
        biases: list[torch.Tensor | None] = [None] * len(rows)
        if any(needed[: len(rows)]):
            weights = list(torch.split((gradient.T @ x).float(), rows))
        if any(needed[len(rows) :]):
            biases = list(torch.split(gradient.sum(0, dtype=torch.float32), rows))
        found = [one if wanted else None for one, wanted in zip([*weights, *biases], needed, strict=True)]
        return back, None, None, *found


class Masks:
    """The random masks of dropout in one forward pass.

    All of them follow from one number of torch's generator. So a pass that starts from the same state has the same masks.
    """

    def __init__(self) -> None:
        self._random: np.random.Generator | None = None

    def drop(self, x: torch.Tensor, rate: float) -> tuple[torch.Tensor, float]:
        """Set a share of the entries to 0.

        Args:
            x: the entries, any shape.
            rate: the share, in [0, 1).

        Returns:
            The entries, and the factor by which they are still to be multiplied, so that their expectation stays the same.

        """
        count = round(rate * _VALUES)
        if count == 0:
            return x, 1.0
        if self._random is None:
            seed = int(torch.randint(2**62, ()))
            self._random = np.random.Generator(np.random.SFC64(seed))
        words = self._random.integers(0, 2**63, size=math.ceil(x.numel() / 4), dtype=np.int64, endpoint=False)
        # 63 bits are random; the highest is made so too.
        words <<= 1
        numbers = torch.from_numpy(words).view(torch.int16)[: x.numel()].view(x.shape)
        return x.masked_fill(numbers < count - _VALUES // 2, 0.0), _VALUES / (_VALUES - count)


@dataclass(frozen=True)
class Group:
    """Texts of similar length.

    Args:
        start: the place of the first token of the group.
        tokens: how many tokens the group has.
        texts: how many texts.
        length: the number of tokens of the longest one.
        there: for each text and place, whether there is a token, shape (texts, length); None if all have the same length.
        places: the places of the tokens in the padded group, shape (tokens,).

    """

    start: int
    tokens: int
    texts: int
    length: int
    there: torch.Tensor | None
    places: torch.Tensor | None


def groups_of(lengths: Sequence[int]) -> list[Group]:
    """Groups of at most `GROUP` texts.

    Args:
        lengths: the tokens of each text, sorted.

    Examples:
        >>> [(group.texts, group.length, group.there is None) for group in groups_of([2] * 16 + [3, 7])]
        [(16, 2, True), (2, 7, False)]

    """
    groups: list[Group] = []
    start = 0
    for first in range(0, len(lengths), GROUP):
        own = lengths[first : first + GROUP]
        there = places = None
        if own[0] != own[-1]:
            there = torch.arange(own[-1])[None] < torch.tensor(own)[:, None]
            places = there.flatten().nonzero()[:, 0]
        groups.append(Group(start, sum(own), len(own), own[-1], there, places))
        start += sum(own)
    return groups


class PackedLayers:
    """The layers of a BERT or XLM-RoBERTa of transformers.

    Args:
        model: the model. Its parameters are used as they are when a pass starts.

    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.casts = Casts()

    def __call__(
        self,
        ids: torch.Tensor,
        positions: torch.Tensor,
        kinds: torch.Tensor,
        lengths: Sequence[int],
        dtype: torch.dtype,
        *,
        training: bool,
    ) -> torch.Tensor:
        """The last hidden states.

        Args:
            ids: the token ids of all texts, one text after the other, int64, shape (tokens,).
            positions: the number of the position vector of each token, shape (tokens,).
            kinds: the token type of each token, shape (tokens,).
            lengths: the number of tokens of each text, sorted.
            dtype: the type of matrix products, attention and GELU. Sums and norms are in float32.
            training: whether there is dropout.

        Returns:
            float32, shape (tokens, dimension).

        """
        masks = Masks()

        def drop(x: torch.Tensor, module: torch.nn.Dropout) -> tuple[torch.Tensor, float]:
            return masks.drop(x, module.p) if training else (x, 1.0)

        first = self._model.embeddings
        x = first.word_embeddings(ids) + first.token_type_embeddings(kinds) + first.position_embeddings(positions)
        x, scale = drop(_norm(x, first.LayerNorm), first.dropout)
        x = x * scale if scale != 1 else x
        groups = groups_of(lengths)
        for layer in self._model.encoder.layer:
            own, after = layer.attention.self, layer.attention.output
            together = self._linear(x.to(dtype), own.query, own.key, own.value)
            heads = own.num_attention_heads
            inner = functools.partial(drop, module=own.dropout)
            attended = torch.cat([_attend(together, group, heads, inner) for group in groups])
            y, scale = drop(self._linear(attended, after.dense), after.dropout)
            x = _norm(torch.add(x, y, alpha=scale), after.LayerNorm)
            wide = gelu(self._linear(x.to(dtype), layer.intermediate.dense))
            y, scale = drop(self._linear(wide, layer.output.dense), layer.output.dropout)
            x = _norm(torch.add(x, y, alpha=scale), layer.output.LayerNorm)
        return x

    def _linear(self, x: torch.Tensor, *layers: Any) -> torch.Tensor:
        """Linear layers with the same input; their outputs are side by side."""
        weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
        found: torch.Tensor = _Linear.apply(  # type: ignore[no-untyped-call]
            x, self.casts(weights, x.dtype), self.casts(biases, x.dtype), *weights, *biases
        )
        return found


def _norm(x: torch.Tensor, module: torch.nn.LayerNorm) -> torch.Tensor:
    return layer_norm(x, x.shape[-1:], module.weight, module.bias, module.eps)


def _attend(
    together: torch.Tensor, group: Group, heads: int, drop: Callable[[torch.Tensor], tuple[torch.Tensor, float]]
) -> torch.Tensor:
    """Attention within each text of a group.

    Args:
        together: queries, keys and values of all tokens side by side, shape (tokens, 3 * dimension).
        group: the group.
        heads: the number of heads.
        drop: dropout of the attention weights.

    Returns:
        Shape (tokens of the group, dimension).

    """
    part = together[group.start : group.start + group.tokens]
    if group.places is not None:
        part = part.new_zeros(group.texts * group.length, part.shape[1]).index_copy(0, group.places, part)
    width = part.shape[1] // 3 // heads
    parts = part.view(group.texts, group.length, 3, heads, width).permute(2, 0, 3, 1, 4)
    query, key, value = parts.reshape(3, group.texts * heads, group.length, width).unbind(0)
    scores = torch.bmm(query * width**-0.5, key.transpose(1, 2))
    if group.there is not None:
        by_text = scores.view(group.texts, heads, group.length, group.length)
        scores = by_text.masked_fill(~group.there[:, None, None, :], -torch.inf).view_as(scores)
    shares, scale = drop(torch.softmax(scores, -1))
    found = torch.bmm(shares, value).view(group.texts, heads, group.length, width).transpose(1, 2)
    flat = found.reshape(group.texts * group.length, heads * width)
    if group.places is not None:
        flat = flat.index_select(0, group.places)
    return flat * scale if scale != 1 else flat


__all__ = ["GROUP", "Casts", "Group", "Masks", "PackedLayers", "groups_of"]
