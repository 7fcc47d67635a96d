"""What a store must do so that corrected vectors can be written beside the old ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

Key = Any
"""What identifies a row of a store: a number, a text, a UUID, or a tuple of these. It is hashable."""


@dataclass(frozen=True)
class Page:
    """Some rows of a store.

    Args:
        keys: of the rows.
        langs: their languages; None: a row has none.
        vectors: float32, shape (rows, dimension).

    """

    keys: list[Key]
    langs: list[str | None]
    vectors: Floats


class ForeignStore(Protocol):
    """A table or a collection with a key, a language and a vector in each row. Rows without a vector are not seen.

    Attributes:
        address: the address, without password.
        vector: the name of the vector that is read.
        dimension: its dimension.
        similarity: how the store compares, `cosine` or `dot`; None: the store does not say, or by Euclidean distance.

    """

    address: str
    vector: str
    dimension: int
    similarity: str | None

    def keys(self, size: int) -> Iterator[tuple[list[Key], list[str | None]]]:
        """Keys and languages of all rows, in pages of at most so many rows. The same rows are always in the same order."""

    def read(self, keys: Sequence[Key]) -> Floats:
        """The vectors of rows, float32, shape (keys, dimension), in the order of the keys.

        Raises:
            SearchError: a row is gone.

        """

    def mark(self, name: str) -> str | None:
        """The mark that `add` left at a vector; empty: someone else made this vector; None: there is none of this name."""

    def add(self, name: str, mark: str) -> None:
        """Add a vector that no row has yet. It has the type, dimension and similarity of the one that is read.

        Raises:
            SearchError: the name is not possible, or the store cannot add vectors.

        """

    def drop(self, name: str) -> None:
        """Remove a vector that `add` added, from all rows."""

    def left(self, name: str, size: int) -> Iterator[Page]:
        """The rows without a vector of this name, in pages of at most so many rows. Pages are written between two pages."""

    def write(self, name: str, keys: Sequence[Key], vectors: Floats) -> None:
        """Write vectors, all or none of them. The vector that is read cannot be written."""

    def next_steps(self, name: str) -> dict[str, str]:
        """What to do with the new vectors, each by a short description: index them, search them, go back."""

    def close(self) -> None:
        """Close the connection."""


__all__ = ["Floats", "ForeignStore", "Key", "Page"]
