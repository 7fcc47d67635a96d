"""Methods that take language out of embeddings. Each is a function that is fitted on embedded texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from babelmix._registry import Lazy, Registry
from babelmix.encoders.removal.files import read_removal
from babelmix.encoders.removal.fitted import Removal
from babelmix.encoders.removal.protocol import AnyRemoval
from babelmix.errors import ArgumentError, EncoderError

if TYPE_CHECKING:
    import torch

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Embedded:
    """The embedded texts that a method is fitted on.

    Args:
        vectors: float64, shape (texts, dimension).
        lang: number of each text's language, int64, shape (texts,).
        kind: 0 for texts that were embedded as queries, 1 for passages, int64, shape (texts,). All are 0 where the encoder
            embeds both alike.
        langs: the languages, by number.
        item: number of what each text says, int64, shape (texts,): texts of one number are translations of each other. None: no
            translations are known.
        similarity: `cosine` or `dot`: how the encoder compares. With cosine, vectors have length one.

    """

    vectors: Array
    lang: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    langs: tuple[str, ...] = ()
    item: npt.NDArray[np.int64] | None = None
    similarity: str = "cosine"

    def means_of_langs(self) -> Array:
        """Mean embedding of each language, shape (languages, dimension); queries and passages count alike."""
        return np.stack([np.mean([some.mean(axis=0) for some in kinds], axis=0) for kinds in self.members()])

    def members(self) -> list[list[Array]]:
        """The embeddings of each language, by kind; each of shape (texts, dimension)."""
        return [
            [self.vectors[(self.lang == lang) & (self.kind == kind)] for kind in range(self.kind.max() + 1)]
            for lang in range(self.lang.max() + 1)
        ]


@dataclass(frozen=True)
class RemovalOptions:
    """The options of a fit. A method ignores those that it does not have.

    Args:
        rank: how many directions; 0: the method's default.
        pivot: where the languages are moved to: `mean` of all languages, or a language.
        ridge: how strongly a linear map is drawn towards the identity.
        seed: of a method that is trained.

    """

    rank: int = 0
    pivot: str = "mean"
    ridge: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class RemovalMethod:
    """A way to take language out of embeddings.

    Args:
        fit: takes embedded texts and a rank; returns the module that is added at the end of an encoder, which knows no languages.
        takes_away: what the module takes away.
        source: the paper.
        usual_rank: the default number of directions for a number of languages; None: the method has no rank.
        fit_removal: takes embedded texts and options; returns the removal for vectors whose languages are known.
        needs_pairs: whether it needs texts that are translations of each other (`Embedded.item`).

    """

    fit: Callable[[Embedded, int], torch.nn.Module]
    takes_away: str
    source: str = ""
    usual_rank: Callable[[int], int] | None = None
    fit_removal: Callable[[Embedded, RemovalOptions], AnyRemoval] | None = None
    needs_pairs: bool = False

    def rank_for(self, name: str, rank: int, langs: int) -> int:
        """The rank that the method is fitted with.

        Args:
            name: the name of the method, for messages.
            rank: the rank that the user gave; 0: the default.
            langs: the number of languages.

        Returns:
            The rank; 0 for a method without rank.

        Raises:
            ArgumentError: the method has no rank, and one is given.

        """
        if self.usual_rank is not None:
            return rank or self.usual_rank(langs)
        if rank:
            ranked = [other for other, method in METHODS.items() if method.usual_rank is not None]
            raise ArgumentError("rank", f"{name} takes no directions away; it is of {', '.join(ranked)}")
        return 0


METHODS: Registry[RemovalMethod] = Registry(
    "method of language removal",
    {
        "centred": Lazy("babelmix.encoders.removal.centred:METHOD"),
        "subspace": Lazy("babelmix.encoders.removal.subspace:METHOD"),
        "whiten": Lazy("babelmix.encoders.removal.whitening:METHOD"),
        "means": Lazy("babelmix.encoders.removal.by_language:MEANS"),
        "components": Lazy("babelmix.encoders.removal.by_language:COMPONENTS"),
        "offsets": Lazy("babelmix.encoders.removal.offsets:METHOD"),
        "own-means": Lazy("babelmix.encoders.removal.own_means:METHOD"),
    },
)


def removal_method(name: str) -> RemovalMethod:
    """The method of a name.

    Raises:
        EncoderError: there is none.

    """
    if name not in METHODS:
        raise EncoderError(f"the method {name!r} is unknown; use {', '.join(METHODS)}")
    return METHODS[name]


FORMS: dict[str, Callable[[Path, Mapping[str, Any], Mapping[str, npt.NDArray[np.float32]]], AnyRemoval]] = {
    "affine": Removal.from_file,
}
"""What reads a removal's file, by the form that the file states."""


def load_removal(file: str | Path) -> AnyRemoval:
    """Read a removal that `save` wrote.

    Args:
        file: a safetensors file.

    Raises:
        EncoderError: the file is not there, or is no removal that this version reads.

    Example:
        >>> load_removal("removal.safetensors").apply(vectors, "de", "passage")  # doctest: +SKIP

    """
    form, about, arrays = read_removal(file)
    if form not in FORMS:
        raise EncoderError(f"{file}: is a removal of the form {form!r}; this version reads {', '.join(FORMS)}")
    return FORMS[form](Path(file), about, arrays)


__all__ = [
    "FORMS", "METHODS", "AnyRemoval", "Array", "Embedded", "Removal", "RemovalMethod", "RemovalOptions", "load_removal",
    "removal_method",
]  # fmt: skip
