"""The protocol of an engine, which every vector store implements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from babelmix.errors import SearchError
from babelmix.search.rows import Hit, Point, Vectors, Where

Correct = Callable[[Vectors, Sequence[str]], Vectors]
"""A function that makes corrected vectors, from vectors and their languages."""


@dataclass(frozen=True, eq=False)
class Candidates:
    """Rows that a search by corrected vectors found, in any order. Most of them are dropped, so their hits are made when needed.

    Args:
        scores: the dot products of the rows' own vectors with the query.
        langs: the languages of the rows.
        hit: makes the hit of a row, from its place.

    """

    scores: Sequence[float]
    langs: Sequence[str]
    hit: Callable[[int], Hit]

    def __len__(self) -> int:
        return len(self.scores)


class Engine(Protocol):
    """A store of rows with vectors. Its constructors are `create` and `open`.

    Write your own as a subclass, and register it with `babelmix.extend.engine`. `has_words`, `shared`, `read_only`,
    `has_corrected`, `with_words`, `points`, `settle` and everything about corrected vectors have defaults; define all others.
    `babelmix.search.engines.contract.check_engine` tests an engine.

    Vectors are compared by dot product. They have length one where the encoder's similarity is cosine.
    """

    address: str
    """The address of the store, as the user wrote it."""

    has_words: bool = False
    """Whether the store can search by words (BM25)."""

    max_text: int | None = None
    """The most bytes of a text that the store can hold; None: no limit of its own."""

    shared: bool = False
    """Whether several processes may open the store and write to it at the same time."""

    has_corrected: bool = False
    """Whether the store can keep corrected vectors beside the vectors, see `babelmix.search.corrected`. Each language is searched
    alone under the policy `balanced` otherwise."""

    read_only: bool = False
    """Whether the store is read and never written, because babelmix did not make it; see `babelmix.search.foreign.engine`."""

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> Self:
        """Make an empty store and open it.

        Args:
            address: the address of the store, with its scheme.
            dimension: the dimension of the vectors.
            about: the facts to keep with the store, JSON-serialisable.

        Raises:
            SearchError: there is a store already, or none can be made at this address.

        """
        ...

    @classmethod
    def open(cls, address: str) -> Self:
        """Open a store that `create` made.

        Raises:
            SearchError: there is no store, or it cannot be opened.

        """
        ...

    @classmethod
    def exists(cls, address: str) -> bool:
        """Whether there is a store.

        Raises:
            SearchError: this cannot be determined, for example because a server does not answer.

        """
        ...

    def about(self) -> dict[str, Any]:
        """The facts kept with the store."""
        ...

    def remember(self, about: dict[str, Any]) -> None:
        """Replace the facts, either completely or not at all."""

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:
        """The item and the digest of every stored row of these items, by row id."""
        ...

    def put(self, points: Sequence[Point]) -> None:
        """Write rows; a row with the same id is replaced. When this returns, the rows survive a kill of the process.

        A row without a corrected vector has none after this, even if it had one.
        """

    def remove(self, ids: Sequence[str]) -> None:
        """Remove rows by id. When this returns, they stay removed after a kill of the process."""

    def nearest(self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False) -> list[list[Hit]]:
        """The rows with the largest dot products.

        Args:
            vectors: one vector per search, float32, shape (searches, dimension).
            wheres: one filter per search.
            k: the most rows per search.
            exact: compare with every row, without an approximate graph.

        Returns:
            The rows of each search, best first. Rows with equal scores are in the order of their ids.

        """
        ...

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:
        """The rows with the largest BM25 scores, best first. Rows that share no word with the text are not among them.

        Raises:
            SearchError: the engine has no BM25.

        """
        raise SearchError(f"{self.address}: this engine has no BM25; use the mode 'dense'")

    def nearest_corrected(self, vectors: Vectors, wheres: Sequence[Where], k: int) -> list[Candidates]:
        """The rows with the largest dot products by their corrected vectors. Rows without one are not found.

        Args:
            vectors: see `nearest`.
            wheres: see `nearest`.
            k: the most rows per search.

        Returns:
            The rows of each search, with the dot products of their own vectors as scores.

        """
        raise SearchError(f"{self.address}: this engine has no corrected vectors")

    def uncorrected_count(self) -> int:
        """The number of rows that have no corrected vector. It is asked for before each search by corrected vectors."""
        return 0

    def correct(self, make: Correct) -> Iterator[int]:
        """Give a corrected vector to each row that has none, some rows at a time.

        Args:
            make: makes corrected vectors.

        Yields:
            The number of rows that were written. They survive a kill of the process.

        """
        del make
        raise SearchError(f"{self.address}: this engine has no corrected vectors")

    def forget_corrected(self, lang: str) -> None:
        """Remove the corrected vectors of a language."""
        del lang

    def sample(self, lang: str, count: int) -> Vectors:
        """Vectors of some rows of a language, the same rows each time, float32, shape (at most count, dimension)."""
        ...

    def points(self, langs: Sequence[str] | None = None) -> Iterator[Point]:
        """All rows with their vectors, digests and thumbnails, page by page, in any order.

        A row that is a picture has its thumbnail in place of the picture.

        Args:
            langs: only rows of these languages; None: all.

        Raises:
            SearchError: the engine cannot give vectors back.

        """
        raise SearchError(f"{self.address}: this engine does not give its vectors back")

    def langs(self) -> dict[str, int]:
        """The number of rows of each language, sorted by language; languages without rows are left out."""
        ...

    def items(self) -> Iterator[str]:
        """The names of all items, each once, in any order."""
        ...

    def settle(self) -> None:
        """Build the graph of the rows written since the last call. Until then searches compare with these rows exactly."""
        return

    def close(self) -> None:
        """Release files and connections."""
