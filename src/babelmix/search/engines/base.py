"""What every engine does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from babelmix.search.rows import Hit, Point, Vectors, Where


class Engine(Protocol):
    """A store of rows with vectors. All vectors are compared by dot product: cosine means that they have length one."""

    address: str
    """Where it is, as a person wrote it."""

    has_words: bool
    """Whether it can search by words (BM25)."""

    shared: bool
    """Whether several processes may have it open, and write, at once."""

    def about(self) -> dict[str, Any]:
        """The facts kept with the index."""

    def remember(self, about: dict[str, Any]) -> None:
        """Replace the facts, whole or not at all."""

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:
        """Item and digest of every row that is there of these items, by row id."""

    def put(self, points: Sequence[Point]) -> None:
        """Write rows, over those of the same id; when it returns they survive a kill of the process."""

    def remove(self, ids: Sequence[str]) -> None:
        """Remove rows by id; when it returns they stay removed after a kill of the process."""

    def nearest(self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False) -> list[list[Hit]]:
        """The rows with the largest dot products, best first; equal scores by id (which come last is the engine's).

        Args:
            vectors: float32, shape (searches, dimension).
            wheres: what each search may find.
            k: how many rows at most.
            exact: compare with every row, not through a graph.

        """

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:
        """The rows with the largest BM25 scores, best first; rows that share no word are not there.

        Raises:
            SearchError: the engine has no BM25.

        """

    def sample(self, lang: str, count: int) -> Vectors:
        """Vectors of some rows of a language, float32, shape (at most count, dimension)."""

    def langs(self) -> dict[str, int]:
        """How many rows each language has, sorted by language."""

    def items(self) -> Iterator[str]:
        """The names of all items, each once, in no order."""

    def settle(self) -> None:
        """Build the graph of what was written since the last time; searches are exact and slower before."""

    def close(self) -> None:
        """Let go of files and connections."""
