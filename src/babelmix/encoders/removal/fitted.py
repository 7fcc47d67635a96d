"""A fitted removal: what takes language out of vectors whose languages are known.

`Removal` is one affine map for each kind of input (query, passage) and each language. It is fitted from vectors alone, applied to
vectors alone, and kept in a safetensors file that any library reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._vectors import unit_length
from babelmix.encoders.removal.files import AFFINE, KINDS, read_removal, write_removal
from babelmix.encoders.removal.places import Places
from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]

ANY = "*"
"""The language of a removal that treats all languages alike: it needs no language."""


@dataclass(frozen=True, eq=False)
class Removal:
    """Takes language out of vectors: `x - alpha (offset - left right x - shared x)`.

    The arrays are those of the vector's kind and language; `shared` is that of its kind.
    With the similarity cosine, vectors have length one before and after it.

    Args:
        method: the name of the method that fitted it.
        langs: the languages, in the order of the second axis of all arrays; or `("*",)` if all languages are treated alike.
        offsets: what is subtracted, float32, shape (2, languages, dimension). The first axis is query, passage.
        left: with `right`, the linear part less the identity: x moves by `left right x`. float32, shape (2, languages, dimension,
            rank); None: there is no linear part.
        right: float32, shape (2, languages, rank, dimension).
        shared: a linear part that all languages have in common, float32, shape (2, dimension, dimension); None: there is none.
        alpha: how much of it is applied: 0 changes nothing, 1 takes all of it away.
        similarity: `cosine` or `dot`.
        discriminants: what tells the language of a vector from the vector itself: the share of a language is the softmax of
            `discriminants x + biases`. float32, shape (2, languages, dimension); None: vectors without a language are left alone.
        biases: float32, shape (2, languages).
        facts: how it was fitted, JSON-serialisable: texts, pairs, pivot, source, licence.

    Raises:
        EncoderError: shapes do not fit together, or a value is not finite.

    Examples:
        >>> offsets = np.zeros((2, 2, 3), dtype=np.float32)
        >>> offsets[:, 0, 2] = 1
        >>> removal = Removal("offsets", ("de", "en"), offsets, similarity="dot")
        >>> removal.apply(np.ones((2, 3), dtype=np.float32), ["de", "en"], "passage").tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]]

    """

    method: str
    langs: tuple[str, ...]
    offsets: Floats
    left: Floats | None = None
    right: Floats | None = None
    alpha: float = 1.0
    similarity: str = "cosine"
    discriminants: Floats | None = None
    biases: Floats | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    shared: Floats | None = None

    def __post_init__(self) -> None:
        shape = (len(KINDS), len(self.langs), self.dimension)
        if self.offsets.shape != shape:
            raise EncoderError(
                f"a removal for {len(self.langs)} languages has offsets of the shape {self.offsets.shape}"
            )
        if (self.left is None) != (self.right is None) or (self.discriminants is None) != (self.biases is None):
            raise EncoderError("a removal has left and right together, and discriminants and biases together")
        if self.left is not None and self.right is not None:
            rank = self.left.shape[-1]
            if self.left.shape != (*shape, rank) or self.right.shape != (*shape[:2], rank, self.dimension):
                raise EncoderError(f"a removal has maps of the shapes {self.left.shape} and {self.right.shape}")
        square = (len(KINDS), self.dimension, self.dimension)
        for name, values, wanted in (
            ("discriminants", self.discriminants, shape), ("biases", self.biases, shape[:2]), ("shared", self.shared, square),
        ):  # fmt: skip
            if values is not None and values.shape != wanted:
                raise EncoderError(f"a removal has {name} of the shape {values.shape}")
        for name, array in self._arrays().items():
            if not np.isfinite(array).all():
                raise EncoderError(f"a removal has {name} that are not finite")

    @property
    def dimension(self) -> int:
        """The dimension of the vectors."""
        return int(self.offsets.shape[-1])

    def with_alpha(self, alpha: float) -> Removal:
        """The same removal, applied by another share."""
        return replace(self, alpha=alpha)

    def with_facts(self, facts: Mapping[str, Any]) -> Removal:
        """The same removal, with other facts."""
        return replace(self, facts=facts)

    @cached_property
    def _known(self) -> Places:
        return Places(self.langs)

    @property
    def tags(self) -> tuple[str, ...]:
        """The languages as canonical tags: `langs` may have them as a table spelled them, such as `de_DE`."""
        return self.langs if self.langs == (ANY,) else self._known.tags

    def place(self, lang: str | None) -> int:
        """The number of a language, in any spelling; -1: not fitted.

        It is that of the same tag (de_DE is de-DE), of the longest tag that it begins with (de-AT is de), or of the only one of
        the same primary language (de and de-AT are de-DE).
        """
        return 0 if self.langs == (ANY,) else self._known.of(lang)

    def places(self, langs: Sequence[str | None]) -> npt.NDArray[np.int64]:
        """The numbers of languages, int64, shape (languages,); -1: unknown, or not fitted."""
        known = {lang: self.place(lang) for lang in dict.fromkeys(langs)}
        return np.array([known[lang] for lang in langs], dtype=np.int64)

    def not_fitted(self, langs: Sequence[str | None]) -> list[str]:
        """The languages of a collection that the removal was not fitted on. Their vectors are left as they are."""
        return [lang for lang in dict.fromkeys(langs) if lang is not None and self.place(lang) < 0]

    def shares(self, vectors: Floats, langs: Sequence[str | None], kind: str) -> Floats:
        """The share of each language in each vector, float32, shape (vectors, languages).

        It is 1 for the language of the vector. Where the language is None, the shares are told from the vector, if the removal
        has discriminants. A query in a language that was not fitted is like one without; a passage in such a language has no
        share.
        """
        places = self.places(langs)
        found = np.zeros((len(vectors), len(self.langs)), dtype=np.float32)
        known = np.flatnonzero(places >= 0)
        found[known, places[known]] = 1
        as_none = {
            lang: lang is None or (kind == "query" and self._known.is_untold(lang)) for lang in dict.fromkeys(langs)
        }
        untold = np.array([as_none[lang] for lang in langs], dtype=bool) & (places < 0)
        if untold.any() and self.discriminants is not None and self.biases is not None:
            side = KINDS.index(kind)
            logits = vectors[untold] @ self.discriminants[side].T + self.biases[side]
            logits = np.exp(logits - logits.max(axis=1, keepdims=True))
            found[untold] = logits / logits.sum(axis=1, keepdims=True)
        return found

    def apply(self, vectors: npt.ArrayLike, langs: Sequence[str | None] | str | None, kind: str) -> Floats:
        """Take language out of vectors.

        Args:
            vectors: shape (vectors, dimension).
            langs: the language of each vector, or of all; None: unknown, see `shares`.
            kind: `query` or `passage`.

        Returns:
            New vectors, float32, shape (vectors, dimension); of length one if the similarity is cosine. A passage in a language
            that was not fitted is only normalised; a query in one is corrected like a query without a language, with a warning.

        Raises:
            EncoderError: the dimension is another, there are not as many languages as vectors, or the kind is unknown.

        """
        if kind not in KINDS:
            raise EncoderError(f"the kind {kind!r} is unknown; use {' or '.join(KINDS)}")
        x = np.asarray(vectors, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dimension:
            raise EncoderError(f"vectors of the shape {x.shape} do not fit a removal of dimension {self.dimension}")
        given = [langs] * len(x) if langs is None or isinstance(langs, str) else langs
        if len(given) != len(x):
            raise EncoderError(f"there are {len(x):,} vectors, and the languages of {len(given):,}")
        x = self._ready(x)
        if kind == "query" and self.langs != (ANY,):
            self._known.warn(given, self.discriminants is not None)
        shares = self.shares(x, given, kind)
        side = KINDS.index(kind)
        moved = -(shares @ self.offsets[side])
        if self.shared is not None:
            moved += shares.sum(axis=1, keepdims=True) * (x @ self.shared[side].T)
        if self.left is not None and self.right is not None:
            for lang in np.flatnonzero(shares.any(axis=0)):
                some = np.flatnonzero(shares[:, lang])
                along = x[some] @ self.right[side, lang].T
                moved[some] += shares[some, lang, None] * (along @ self.left[side, lang].T)
        return self._ready(x + np.float32(self.alpha) * moved)

    def _ready(self, x: Floats) -> Floats:
        return unit_length(x) if self.similarity == "cosine" else x

    def _arrays(self) -> dict[str, Floats]:
        named = {
            "offsets": self.offsets, "left": self.left, "right": self.right, "discriminants": self.discriminants,
            "biases": self.biases, "shared": self.shared,
        }  # fmt: skip
        return {name: values for name, values in named.items() if values is not None}

    def save(self, file: str | Path, *, dtype: str = "float32") -> Path:
        """Write a safetensors file: the arrays, and the other values as JSON in its metadata under `removal`.

        Args:
            file: the file; an existing one is replaced.
            dtype: `float32`, or `float16` for half the size.

        """
        about = {
            "method": self.method, "langs": list(self.langs), "alpha": self.alpha, "similarity": self.similarity,
            "facts": dict(self.facts),
        }  # fmt: skip
        return write_removal(file, AFFINE, about, self._arrays(), dtype)

    @classmethod
    def load(cls, file: str | Path) -> Removal:
        """Read what `save` wrote.

        Raises:
            EncoderError: the file is not there, or is not such a file.

        """
        form, about, arrays = read_removal(file)
        if form != AFFINE:
            raise EncoderError(f"{file}: is no affine removal but {form!r}; read it with  load_removal")
        return cls.from_file(Path(file), about, arrays)

    @classmethod
    def from_file(cls, place: Path, about: Mapping[str, Any], arrays: Mapping[str, Floats]) -> Removal:
        """The removal of the content of a file; see `babelmix.encoders.removal.files.read_removal`.

        Raises:
            EncoderError: the content is not that of such a file.

        """
        known = {"offsets", "left", "right", "discriminants", "biases", "shared"}
        if "offsets" not in arrays or set(arrays) - known:
            raise EncoderError(f"{place}: has the arrays {', '.join(sorted(arrays))}; make it again")
        try:
            return cls(
                about["method"], tuple(about["langs"]), alpha=float(about["alpha"]), similarity=about["similarity"],
                facts=about["facts"], **arrays,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise EncoderError(f"{place}: is damaged ({error!r}); make it again") from error


__all__ = ["ANY", "KINDS", "Removal"]
