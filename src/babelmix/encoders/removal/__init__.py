"""Methods that take language out of embeddings. Each is a function that is fitted on embedded texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from babelmix._registry import Lazy, Registry
from babelmix.encoders.removal.embedded import LEAST, Array, Embedded, complete
from babelmix.encoders.removal.files import FILE, read_removal
from babelmix.encoders.removal.fitted import Removal
from babelmix.encoders.removal.protocol import AnyRemoval
from babelmix.errors import ArgumentError, EncoderError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class RemovalOptions:
    """The options of a fit. A method ignores those that it does not have.

    Args:
        rank: how many directions; 0: the method's default.
        pivot: where the languages are moved to: `mean` of all languages, or a language.
        ridge: how strongly a linear map is drawn towards the identity; 0: chosen on held-out translations.
        centre: of `offsets`, `own-means` and `linear-map`: the share of the mean of all languages that is subtracted beside the
            differences between languages. None: 0, 1, and chosen on held-out translations.
        seed: of what is drawn or trained.
        pairs: of `auto`: a removal that was fitted on translations of other texts.

    """

    rank: int = 0
    pivot: str = "mean"
    ridge: float = 0.0
    centre: float | None = None
    seed: int = 0
    pairs: AnyRemoval | None = None


@dataclass(frozen=True)
class RemovalMethod:
    """A way to take language out of embeddings.

    Args:
        fit: takes embedded texts, `ready` and `complete`, and options; returns what is fitted. Call it by `fit_removal`.
        takes_away: what the method takes away.
        source: the paper.
        usual_rank: the default number of directions for a number of languages; None: the method has no rank.
        needs_pairs: whether it needs texts that are translations of each other (`Embedded.item`).
        fit_module: of a method that is a module and works on encoders only: takes embedded texts, which are `ready`, and a rank.

    """

    fit: Callable[[Embedded, RemovalOptions], AnyRemoval]
    takes_away: str
    source: str = ""
    usual_rank: Callable[[int], int] | None = None
    needs_pairs: bool = False
    fit_module: Callable[[Embedded, int], torch.nn.Module] | None = None

    def fit_removal(self, embedded: Embedded, options: RemovalOptions | None = None) -> AnyRemoval:
        """Fit the method on vectors whose languages are known.

        Args:
            embedded: the vectors; under cosine they are divided by their lengths. A language with few queries is fitted on its
                passages in their place; see `complete`.
            options: None: the defaults.

        Returns:
            What is fitted. Its `facts` have the languages whose passages stood for queries, under `queries_from_passages`.

        Raises:
            EncoderError: there are fewer than two languages, too few texts of one, no translations for a method that needs them,
                or an option does not fit.

        """
        if len(np.unique(embedded.lang)) < 2:
            raise EncoderError(f"there are texts in {len(np.unique(embedded.lang))} languages; two or more are needed")
        if self.needs_pairs and embedded.item is None:
            raise EncoderError(
                "this method is fitted on translations; give a corpus whose items exist in several languages"
            )
        whole, moved = complete(embedded.ready())
        made = self.fit(whole, options or RemovalOptions())
        return made.with_facts({**made.facts, "queries_from_passages": moved}) if moved else made

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


ReadRemoval = Callable[[Path, Mapping[str, Any], Mapping[str, npt.NDArray[np.float32]]], AnyRemoval]
"""Makes a removal of a file, what the file says about itself, and its arrays."""

METHODS: Registry[RemovalMethod] = Registry(
    "method of language removal",
    {
        "centred": Lazy("babelmix.encoders.removal.centred:METHOD"),
        "subspace": Lazy("babelmix.encoders.removal.subspace:METHOD"),
        "whiten": Lazy("babelmix.encoders.removal.whitening:METHOD"),
        "means": Lazy("babelmix.encoders.removal.by_language:MEANS"),
        "components": Lazy("babelmix.encoders.removal.by_language:COMPONENTS"),
        "offsets": Lazy("babelmix.encoders.removal.offsets:METHOD"),
        "linear-map": Lazy("babelmix.encoders.removal.linear_map:METHOD"),
        "langsae": Lazy("babelmix.encoders.removal.langsae:METHOD"),
        "own-means": Lazy("babelmix.encoders.removal.own_means:METHOD"),
        "auto": Lazy("babelmix.encoders.removal.auto:METHOD"),
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


FORMS: Registry[ReadRemoval] = Registry(
    "form of a removal",
    {
        "affine": Lazy("babelmix.encoders.removal.fitted:Removal.from_file"),
        "sparse": Lazy("babelmix.encoders.removal.langsae:SparseRemoval.from_file"),
    },
)
"""What reads a removal's file, by the form that the file states."""


def load_removal(file: str | Path) -> AnyRemoval:
    """Read a removal that `save` wrote.

    Args:
        file: a safetensors file, or a folder that `debias` or `frontier` wrote, with the file in it.

    Raises:
        EncoderError: the file is not there, or is no removal that this version reads.

    Examples:
        >>> load_removal("removal.safetensors").apply(vectors, "de", "passage")  # doctest: +SKIP

    """
    file = Path(file) / FILE if Path(file).is_dir() else file
    form, about, arrays = read_removal(file)
    if form not in FORMS:
        raise EncoderError(f"{file}: is a removal of the form {form!r}; this version reads {', '.join(FORMS)}")
    return FORMS[form](Path(file), about, arrays)


__all__ = [
    "FORMS", "LEAST", "METHODS", "AnyRemoval", "Array", "Embedded", "Removal", "RemovalMethod", "RemovalOptions", "complete",
    "load_removal", "removal_method",
]  # fmt: skip
