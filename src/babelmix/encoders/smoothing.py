"""Prepare a transformer for int8: scale the channels of activations, and find the layers that must stay in float32."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

ALPHA = 0.5
"""How much of the range moves from activations to weights, from 0 to 1."""

UNEVEN = 5.0
"""If the largest activation in a batch is more than this many times that of the median token, one scale is too coarse."""

_BATCHES, _TEXTS, _TOKENS = 4, 8, 32


class Smoothed(torch.nn.Module):
    """A linear layer whose input is divided by a scale per channel, and whose weights are multiplied by it.

    Args:
        linear: the layer; it is changed.
        scale: float32, shape (channels,).

    """

    def __init__(self, linear: torch.nn.Linear, scale: torch.Tensor) -> None:
        super().__init__()
        self.linear = linear
        self.register_buffer("inverse", 1 / scale)
        with torch.no_grad():
            linear.weight.mul_(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of the original layer, except for rounding."""
        result: torch.Tensor = self.linear(x * self.inverse)  # type: ignore[operator]
        return result


def smoothed(model: torch.nn.Module, edges: Sequence[int] = ()) -> tuple[torch.nn.Module, frozenset[str]]:
    """A copy of a transformers model that computes the same, and loses less in int8.

    Source: Xiao et al., SmoothQuant, ICML 2023, equation 4: the scale of a channel is max|x|^alpha / max|w|^(1 - alpha).
    Activations are measured on random tokens: the same channels stand out in every text.

    Args:
        model: a transformers model in float32, in evaluation mode, on the CPU.
        edges: the first and the last token id of every text.

    Returns:
        The copy, and the names of its linear layers whose activations are uneven between tokens.

    """
    made: Any = copy.deepcopy(model)
    linears = {name: layer for name, layer in made.named_modules() if isinstance(layer, torch.nn.Linear)}
    largest = _largest(made, linears, edges)
    uneven = set()
    for name, given in largest.items():
        layer = linears[name]
        # The clamps keep the scale finite for channels that are always zero.
        x = torch.stack([some.amax(dim=0) for some in given]).amax(dim=0).clamp(min=1e-5)
        w = layer.weight.detach().abs().amax(dim=0).clamp(min=1e-5)
        scale = x**ALPHA / w ** (1 - ALPHA)
        tokens = [(some / scale).amax(dim=1) for some in given]
        if sum(float(some.max() / some.median().clamp(min=1e-9)) for some in tokens) / len(tokens) > UNEVEN:
            uneven.add(f"{name}.linear")
        parent, _, own = name.rpartition(".")
        setattr(made.get_submodule(parent), own, Smoothed(layer, scale))
    return made, frozenset(uneven)


def _largest(
    model: torch.nn.Module, linears: dict[str, torch.nn.Linear], edges: Sequence[int]
) -> dict[str, list[torch.Tensor]]:
    """The absolute inputs of each layer in every batch, shape (tokens, channels)."""
    seen: dict[str, list[torch.Tensor]] = {}

    def watch(name: str) -> Any:
        return lambda _, given: seen.setdefault(name, []).append(given[0].abs().flatten(0, -2))

    hooks = [layer.register_forward_pre_hook(watch(name)) for name, layer in linears.items()]
    generator = torch.Generator().manual_seed(0)
    vocabulary = int(model.config.vocab_size)  # type: ignore[union-attr, arg-type]
    with torch.no_grad():
        for _ in range(_BATCHES):
            ids = torch.randint(0, vocabulary, (_TEXTS, _TOKENS), generator=generator)
            if edges:
                ids[:, 0], ids[:, -1] = edges[0], edges[-1]
            model(input_ids=ids, attention_mask=torch.ones_like(ids))
    for hook in hooks:
        hook.remove()
    return seen


__all__ = ["ALPHA", "UNEVEN", "Smoothed", "smoothed"]
