"""What every fitted removal can do, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt


@runtime_checkable
class AnyRemoval(Protocol):
    """A fitted removal: it takes language out of vectors. `Removal` is one that is an affine map a language.

    `babelmix.encoders.removal.load_removal` reads each from its file.
    """

    @property
    def method(self) -> str:
        """The name of the method that fitted it."""

    @property
    def langs(self) -> tuple[str, ...]:
        """The languages that it was fitted on; `("*",)` if it treats all languages alike and needs to know none."""

    @property
    def alpha(self) -> float:
        """How much of it is applied: 0 changes nothing, 1 takes all of it away."""

    @property
    def similarity(self) -> str:
        """`cosine` or `dot`. With cosine, vectors have length one before and after it."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """How it was fitted, JSON-serialisable."""

    @property
    def dimension(self) -> int:
        """The dimension of the vectors."""

    def with_alpha(self, alpha: float) -> Self:
        """The same removal, applied by another share."""

    def with_facts(self, facts: Mapping[str, Any]) -> Self:
        """The same removal, with other facts."""

    def not_fitted(self, langs: Sequence[str | None]) -> list[str]:
        """The languages of a collection that the removal was not fitted on. Their vectors are left as they are."""

    def apply(
        self, vectors: npt.ArrayLike, langs: Sequence[str | None] | str | None, kind: str
    ) -> npt.NDArray[np.float32]:
        """Take language out of vectors; see `Removal.apply`."""

    def save(self, file: str | Path, *, dtype: str = "float32") -> Path:
        """Write a safetensors file, which `load_removal` reads."""


__all__ = ["AnyRemoval"]
