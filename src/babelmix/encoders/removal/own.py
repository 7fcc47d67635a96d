"""Methods that users add with `extend.removal`: functions of embeddings by language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from babelmix.encoders.removal import METHODS, Embedded, RemovalMethod
from babelmix.encoders.removal.affine import affine
from babelmix.errors import EncoderError

ByLanguage = Mapping[str, npt.NDArray[np.float32]]
"""Embeddings of each language, float32, shape (texts, dimension)."""

Fitted = npt.NDArray[np.floating] | tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]] | torch.nn.Module
"""A matrix, a matrix and an offset, or a module."""


Fit = Callable[[ByLanguage, ByLanguage, int], Fitted]
"""A function of the embeddings of passages, the embeddings of queries, and the rank; see `babelmix.extend.removal`."""


def register_method(
    name: str, fit: Fit, *, takes_away: str = "", usual_rank: Callable[[int], int] | None = None
) -> None:
    """Add a method to `METHODS`.

    Args:
        name: the name to use it by.
        fit: see `babelmix.extend.removal`.
        takes_away: what the method takes away, in a few words.
        usual_rank: from the number of languages to the default rank; None: the method has no rank.

    Raises:
        ConfigError: babelmix itself has a method of this name.

    """

    def fit_module(embedded: Embedded, rank: int) -> torch.nn.Module:
        members = embedded.members()
        # An encoder that embeds queries and passages alike has one kind.
        queries, passages = (
            {lang: kinds[kind].astype(np.float32) for lang, kinds in zip(embedded.langs, members, strict=True)}
            for kind in (0, -1)
        )
        return _as_module(name, fit(passages, queries, rank), embedded.vectors.shape[1])

    METHODS.register(name, RemovalMethod(fit_module, takes_away or name, usual_rank=usual_rank))


def _as_module(name: str, fitted: Fitted, dimension: int) -> torch.nn.Module:
    if isinstance(fitted, torch.nn.Module):
        return fitted
    pair: Any = fitted if isinstance(fitted, tuple) else (fitted, np.zeros(dimension))
    matrix, offset = (np.asarray(one, dtype=np.float64) for one in pair)
    if matrix.shape != (dimension, dimension) or offset.shape != (dimension,):
        raise EncoderError(
            f"the method {name!r} returned arrays of the shapes {matrix.shape} and {offset.shape}; embeddings of dimension "
            f"{dimension} need ({dimension}, {dimension}) and ({dimension},)"
        )
    if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        raise EncoderError(f"the method {name!r} returned numbers that are NaN or infinite")
    return affine(matrix, offset)


__all__ = ["ByLanguage", "Fit", "Fitted", "register_method"]
