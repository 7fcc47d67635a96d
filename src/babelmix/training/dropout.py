"""Dropout at another rate than the encoder's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

_NAMES = ("attention_dropout", "dropout_prob", "dropout")
"""Under these names, some of transformers' modules keep a rate as a number."""


@contextlib.contextmanager
def dropout_rate(encoder: torch.nn.Module, rate: float | None) -> Iterator[None]:
    """Within this context, all dropout of an encoder in training mode has this rate.

    Args:
        encoder: the encoder.
        rate: the share of activations that are set to 0; None: the encoder's own rates.

    Examples:
        >>> module = torch.nn.Dropout(0.1)
        >>> with dropout_rate(module, 0.0):
        ...     module.p
        0.0
        >>> module.p
        0.1

    """
    own: list[tuple[torch.nn.Module, str, float]] = []
    for module in encoder.modules() if rate is not None else ():
        names = ("p",) if isinstance(module, torch.nn.Dropout) else _NAMES
        own += [(module, name, value) for name in names if isinstance(value := vars(module).get(name), float)]
    try:
        for module, name, _ in own:
            setattr(module, name, rate)
        yield
    finally:
        for module, name, value in own:
            setattr(module, name, value)


__all__ = ["dropout_rate"]
