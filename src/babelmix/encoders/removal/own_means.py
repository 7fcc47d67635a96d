"""`own-means`: subtract the mean vector of the text's language, as the collection itself has it.

It needs no translations. Where the languages of a collection are about different things, the mean is topic as well as language.
"""

from __future__ import annotations

import numpy as np
import torch

from babelmix.encoders.removal import Embedded, Removal, RemovalMethod, RemovalOptions
from babelmix.encoders.removal.by_language import removal_by_language
from babelmix.encoders.removal.telling import discriminants


def fit_removal(embedded: Embedded, options: RemovalOptions) -> Removal:
    """The mean of each language and kind. The vectors may be those of the collection that is searched."""
    del options
    means = np.array([[some.mean(axis=0) for some in kinds] for kinds in embedded.members()])
    weights, biases = discriminants(embedded)
    return Removal(
        "own-means", embedded.langs, np.stack([means[:, 0], means[:, -1]]).astype(np.float32),
        similarity=embedded.similarity, discriminants=weights.astype(np.float32), biases=biases.astype(np.float32),
    )  # fmt: skip


def _fit_module(embedded: Embedded, rank: int) -> torch.nn.Module:
    del rank
    return removal_by_language(embedded, 0)


METHOD = RemovalMethod(
    _fit_module,
    "the mean of the text's language in your collection",
    "as Libovický et al., Findings of EMNLP 2020, with known languages",
    fit_removal=fit_removal,
)

__all__ = ["METHOD", "fit_removal"]
