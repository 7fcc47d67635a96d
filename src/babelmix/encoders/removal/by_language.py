"""`means` and `components`: take away the mean or the main directions of the text's own language.

Both need the language of a text. Where it is unknown, a linear discriminant estimates the probability of each language from the
embedding, and the removal is weighted by these probabilities.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from babelmix.encoders.removal import Array, Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.subspace import usual_rank
from babelmix.encoders.removal.telling import discriminants
from babelmix.errors import EncoderError


def removal_by_language(
    method: str,
    embedded: Embedded,
    offsets: Array,
    left: Array | None = None,
    right: Array | None = None,
    shared: Array | None = None,
) -> Removal:
    """The removal of arrays by language and kind, with discriminants that tell the language.

    Args:
        method: the name of the method.
        embedded: what it was fitted on.
        offsets: shape (kinds, languages, dimension), with one kind or two.
        left: shape (kinds, languages, dimension, rank).
        right: shape (kinds, languages, rank, dimension).
        shared: shape (kinds, dimension, dimension).

    """
    weights, biases = discriminants(embedded)

    def of_kinds(one: Array) -> npt.NDArray[np.float32]:
        return np.stack([one[0], one[-1]]).astype(np.float32)

    return Removal(
        method, embedded.langs, of_kinds(offsets), None if left is None else of_kinds(left),
        None if right is None else of_kinds(right), similarity=embedded.similarity, discriminants=of_kinds(weights),
        biases=of_kinds(biases), shared=None if shared is None else of_kinds(shared),
    )  # fmt: skip


def means(embedded: Embedded) -> Array:
    """The mean of each kind and language, shape (kinds, languages, dimension)."""
    return np.array([[some.mean(axis=0) for some in kinds] for kinds in embedded.members()]).transpose(1, 0, 2)


def _fit_means(embedded: Embedded, options: RemovalOptions) -> Removal:
    del options
    return removal_by_language("means", embedded, means(embedded))


def _fit_components(embedded: Embedded, options: RemovalOptions) -> Removal:
    dimension = embedded.vectors.shape[1]
    rank = options.rank or usual_rank(len(embedded.langs))
    if not 1 <= rank < dimension:
        raise EncoderError(f"rank {rank} must be 1 or more, and below the dimension, {dimension}")
    # Vectors are not centred, as in the source: the first direction is nearly that of the mean.
    right = np.array(
        [
            [np.linalg.svd(some, full_matrices=False)[2][:rank] for some in kinds]
            for kinds in embedded.members()
        ]
    ).transpose(1, 0, 2, 3)  # fmt: skip
    if right.shape[2] < rank:
        raise EncoderError(f"rank {rank} needs {rank} or more texts of each language and kind")
    offsets = np.zeros((*right.shape[:2], dimension))
    return removal_by_language("components", embedded, offsets, -right.swapaxes(2, 3), right)


MEANS = RemovalMethod(_fit_means, "the mean of the text's language", "Libovický et al., Findings of EMNLP 2020")
COMPONENTS = RemovalMethod(
    _fit_components,
    "the first principal directions of the text's language",
    "LIR: Yang et al., EMNLP 2021",
    usual_rank,
)

__all__ = ["COMPONENTS", "MEANS", "means", "removal_by_language"]
