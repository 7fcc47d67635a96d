"""A collection that babelmix did not make, as an engine that is only read."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NoReturn, Self

import numpy as np

from babelmix._vectors import unit_length
from babelmix.corpus.openings import TITLES
from babelmix.errors import SearchError
from babelmix.search.engines.base import Correct, Engine
from babelmix.search.facts import ColumnType
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.detected import Detected
from babelmix.search.foreign.languages import Languages, tag_of
from babelmix.search.foreign.row import Asked, ForeignRow
from babelmix.search.rows import Hit, Point, Value, Vectors, Where

CORRECTED = "_debiased"
"""The end of the name that `babelmix debias --store` gives to corrected vectors."""

OPTIONS = ("id", "item", "lang", "langs", "text", "vector", "similarity", "removal", "title")
"""Options of an address that all collections have; a store may have more."""

_SECONDS = 300.0
"""The number of rows of each language is read again after so many seconds: a search asks for it each time."""

_UNIT = 1e-2
"""How far the length of a vector may be from one, in half precision too."""


class ForeignEngine(Engine):
    """A collection of someone else's, read and never written. Its constructor is `open`.

    Write a subclass for a store, and add it to `babelmix.search.foreign.opening.COLLECTIONS`. `_open` connects and sets the
    attributes; `nearest`, `rows`, `count_languages`, `draw`, `points` and `close` read. A filter is translated by `asked`, and a
    hit is made by `hit`; then languages, whether stored or detected, need no further code.
    """

    what: ClassVar[str] = "a collection"
    """What the store calls a collection, such as `a table of PostgreSQL`."""

    options: ClassVar[tuple[str, ...]] = OPTIONS
    """The options of an address."""

    read_only = True

    dimension: int
    """The dimension of the vectors."""

    similarity: Literal["cosine", "dot"] | None
    """How scores compare vectors: `cosine` (then scores are the dot products of unit vectors) or `dot`. None: the store does not
    say, and then the encoder does."""

    columns: dict[str, ColumnType]
    """The columns that a filter may name, besides `item`."""

    detects: bool = False
    """Whether no column has the language, so that it is detected from the text."""

    removal: str | None = None
    """The file of the removal that the vectors were corrected with, so that queries are corrected too; None: they are not."""

    title: str = ""
    """The column of titles: the one that the address names, or `title` or `heading`; empty: there is none."""

    def __init__(self, address: Address) -> None:
        self.address = address.shown
        self.removal = address.options.get("removal") or None
        self._said: list[str] = []
        self._languages: tuple[float, Languages] | None = None
        self._detected = Detected(self.address, address.options.get("langs"))
        self._open(address)
        vector = address.options.get("vector", "")
        if self.removal is None and vector.endswith(CORRECTED):
            self.say(
                f"The name {vector} says that language was taken out of these vectors, and queries are not corrected: add the "
                "file of the removal to the address, as in  &removal=FOLDER/removal.safetensors"
            )
        named = address.options.get("title", "").removeprefix("payload.")
        # Hits have it under the name that the page and the audits know.
        self._renamed = named if named != TITLES[0] else ""
        self.title = named or next((name for name in TITLES if name in self.titles), "")
        if named and named not in self.titles:
            self.close()
            raise SearchError(
                f"{self.address}: has no column of texts {named!r} that titles could be read from; say which one it is with  "
                f"?title=COLUMN  (columns: {', '.join(self.titles) or 'none'})"
            )

    @property
    def titles(self) -> Sequence[str]:
        """The columns of texts that may be titles: hits have them."""
        return [name for name, kind in self.columns.items() if kind == "text"]

    @classmethod
    def open(cls, address: str) -> Self:
        """Open a collection for reading.

        Args:
            address: `SCHEME://HOST/NAME`, with options after a question mark.

        Raises:
            SearchError: the address is wrong, the server does not answer, or the collection is not as the address says.
            MissingExtraError: the client of the store, or the detector of languages, is not installed.

        """
        return cls(Address.parse(address))

    @classmethod
    def is_at(cls, address: str) -> bool:
        """Whether a collection is at the address, and not an index of ours; asked only if both are possible."""
        del address
        return True

    @classmethod
    def exists(cls, address: str) -> bool:
        """True: the collection was opened.

        Raises:
            SearchError: see `open`.

        """
        cls.open(address).close()
        return True

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> Self:
        """Refuse.

        Raises:
            SearchError: always.

        """
        del dimension, about
        raise SearchError(
            f"{Address.parse(address)}: is {cls.what} and read-only here: an index is a folder, or an address of  "
            "babelmix index --help"
        )

    @abstractmethod
    def _open(self, address: Address) -> None:
        """Connect, read how the collection is made, and set `dimension`, `similarity`, `columns` and `detects`."""

    @abstractmethod
    def count_languages(self) -> Mapping[str | None, int]:
        """The number of rows of each language as the collection writes it; rows without a vector are not counted."""

    @abstractmethod
    def rows(self, *, texts: bool = False) -> Iterator[ForeignRow]:
        """All rows that have a vector, page by page, in any order.

        Args:
            texts: whether to read texts and metadata too.

        """

    @abstractmethod
    def draw(self, asked: Asked, count: int) -> Vectors:
        """Stored vectors of some rows that pass, the same ones each time, float32, shape (at most count, dimension)."""

    def some_texts(self, count: int) -> list[tuple[str, str | None, Vectors]]:
        """The text, the language as the collection writes it, and the stored vector of some rows that have a text.

        It tells whether an encoder made the vectors. An engine that does not have it gives none.
        """
        del count
        return []

    @property
    def notes(self) -> list[str]:
        """Sentences that a reader of results has to know, such as how many languages were detected."""
        found = [*self._said]
        of_languages = self._detected.note() if self.detects else self._languages and self._languages[1].note()
        if of_languages:
            found.append(of_languages)
        return found

    def say(self, note: str) -> None:
        """Add a note, once."""
        if note not in self._said:
            self._said.append(note)

    def use(self, similarity: Literal["cosine", "dot"]) -> None:
        """Compare as an encoder does, if the store does not say how."""
        if self.similarity is None:
            self.similarity = similarity

    def langs(self) -> dict[str, int]:
        """See `Engine`. Rows without a language count as `und`. The numbers are at most five minutes old."""
        if self.detects:
            return self._detected.langs(self)
        return dict(self._counted().rows)

    def _counted(self) -> Languages:
        now = time.monotonic()
        if self._languages is None or now - self._languages[0] > _SECONDS:
            self._languages = (now, Languages(self.count_languages()))
        return self._languages[1]

    def tag(self, row_id: str, lang: str | None) -> str:
        """The language tag of a row, from its id and from what the collection writes."""
        return self._detected.lang_of(row_id, self) if self.detects else tag_of(lang)

    def asked(self, where: Where) -> Asked:
        """A filter in the words of the collection."""
        fields = {"item" if name == "group" else name: values for name, values in where.fields.items()}
        if {"item", "group"} <= set(where.fields):
            fields["item"] = tuple(value for value in where.fields["item"] if value in where.fields["group"])
        if where.langs is None:
            return Asked(fields=fields)
        if self.detects:
            return Asked(None, tuple(self._detected.ids(where.langs, self)), fields)
        return Asked(tuple(self._counted().values(where.langs)), None, fields)

    def hit(
        self, row_id: str, score: float, item: str, lang: str | None, text: str | None, fields: Mapping[str, Value]
    ) -> Hit:
        """A hit of a row. The column of titles that the address names is its `title`."""
        if self._renamed:
            fields = {
                TITLES[0] if name == self._renamed else name: value
                for name, value in fields.items()
                if name != TITLES[0]
            }
        return Hit(row_id, score, item, self.tag(row_id, lang), item, text or "", "", fields)

    def best(self, hits: Iterable[Hit], k: int) -> list[Hit]:
        """Hits in the order that `Engine.nearest` promises. A vector of length zero has no cosine, so its row is left out."""
        return sorted((hit for hit in hits if not math.isnan(hit.score)), key=lambda hit: (-hit.score, hit.id))[:k]

    def sample(self, lang: str, count: int) -> Vectors:
        """See `Engine`."""
        return self.compared(self.draw(self.asked(Where((lang,))), count))

    def compared(self, vectors: Vectors) -> Vectors:
        """Stored vectors as scores compare them: of length one if the similarity is cosine; those of length zero are left out."""
        if self.similarity != "cosine" or not len(vectors):
            return vectors
        return unit_length(vectors[np.linalg.norm(vectors, axis=1) > 0])

    def items(self) -> Iterator[str]:
        """See `Engine`."""
        return iter({row.item: None for row in self.rows()})

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:
        """The items of the rows of some items, by row id. Someone else's rows have no digests of ours: they are empty."""
        wanted = set(items)
        return {row.id: (row.item, "") for row in self.rows() if row.item in wanted}

    def check_euclidean(self, vectors: Vectors) -> None:
        """Raise unless Euclidean distances order rows as cosines do: vectors have length one.

        Args:
            vectors: some vectors of the collection, shape (rows, dimension).

        Raises:
            SearchError: a vector has another length.

        """
        lengths = np.linalg.norm(vectors, axis=1)
        if (np.abs(lengths - 1) > _UNIT).any():
            raise SearchError(
                f"{self.address}: compares by Euclidean distance, and its vectors have lengths of {lengths.min():.3g} to "
                f"{lengths.max():.3g}; say how they are to be compared:  ?similarity=cosine  or  ?similarity=dot"
            )

    def about(self) -> dict[str, Any]:
        """Refuse: a collection of someone else's has no facts of ours.

        Raises:
            SearchError: always.

        """
        raise SearchError(
            f"{self.address}: is {self.what} that babelmix did not make, so it does not say which encoder made its vectors; it "
            "can be searched, served and audited with  --model NAME,  and it is never written"
        )

    def _refuse(self) -> NoReturn:
        raise SearchError(
            f"{self.address}: is read-only: babelmix did not make it, and writes nothing to it;  babelmix debias --store  writes "
            "corrected vectors beside the old ones"
        )

    def remember(self, about: dict[str, Any]) -> None:
        """Refuse; see `_refuse`."""
        self._refuse()

    def put(self, points: Sequence[Point]) -> None:
        """Refuse; see `_refuse`."""
        self._refuse()

    def remove(self, ids: Sequence[str]) -> None:
        """Refuse; see `_refuse`."""
        self._refuse()

    def correct(self, make: Correct) -> Iterator[int]:
        """Refuse; see `_refuse`."""
        self._refuse()

    def forget_corrected(self, lang: str) -> None:
        """Refuse; see `_refuse`."""
        self._refuse()


__all__ = ["OPTIONS", "Asked", "ForeignEngine", "ForeignRow"]
