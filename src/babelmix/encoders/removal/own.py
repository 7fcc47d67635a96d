"""Methods that users add with `extend.removal`: functions of embeddings by language."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from babelmix.encoders.removal import METHODS, AnyRemoval, Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.affine import one_map
from babelmix.errors import EncoderError

ByLanguage = Mapping[str, npt.NDArray[np.float32]]
"""Embeddings of each language, float32, shape (texts, dimension)."""

Fitted = (
    npt.NDArray[np.floating] | tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]] | Removal | torch.nn.Module
)
"""A matrix, a matrix and an offset, a removal, or a module."""


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

    def fitted(embedded: Embedded, rank: int) -> AnyRemoval | torch.nn.Module:
        members = embedded.members()
        # An encoder that embeds queries and passages alike has one kind.
        queries, passages = (
            {lang: kinds[kind].astype(np.float32) for lang, kinds in zip(embedded.langs, members, strict=True)}
            for kind in (0, -1)
        )
        return _checked(name, fit(passages, queries, rank), embedded)

    def fit_removal(embedded: Embedded, options: RemovalOptions) -> AnyRemoval:
        rank = options.rank or (usual_rank(len(embedded.langs)) if usual_rank is not None else 0)
        found = fitted(embedded, rank)
        if isinstance(found, torch.nn.Module):
            raise EncoderError(
                f"the method {name!r} returned a module, which works in an encoder only; for vectors, let it return a matrix, "
                "a matrix and an offset, or a Removal"
            )
        return found

    def fit_module(embedded: Embedded, rank: int) -> torch.nn.Module:
        from babelmix.encoders.removal.module import module_of

        found = fitted(embedded, rank)
        return found if isinstance(found, torch.nn.Module) else module_of(found)

    METHODS.register(
        name, RemovalMethod(fit_removal, takes_away or name, usual_rank=usual_rank, fit_module=fit_module)
    )


def _checked(name: str, found: Fitted, embedded: Embedded) -> AnyRemoval | torch.nn.Module:
    if isinstance(found, torch.nn.Module):
        return found
    dimension = embedded.vectors.shape[1]
    if isinstance(found, Removal):
        if found.dimension != dimension:
            raise EncoderError(
                f"the method {name!r} returned a removal of dimension {found.dimension}, not {dimension}"
            )
        return found
    pair: Any = found if isinstance(found, tuple) else (found, np.zeros(dimension))
    matrix, offset = (np.asarray(one, dtype=np.float64) for one in pair)
    if matrix.shape != (dimension, dimension) or offset.shape != (dimension,):
        raise EncoderError(
            f"the method {name!r} returned arrays of the shapes {matrix.shape} and {offset.shape}; embeddings of dimension "
            f"{dimension} need ({dimension}, {dimension}) and ({dimension},)"
        )
    if not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        raise EncoderError(f"the method {name!r} returned numbers that are NaN or infinite")
    return one_map(name, embedded, matrix, offset)


__all__ = ["ByLanguage", "Fit", "Fitted", "register_method"]
