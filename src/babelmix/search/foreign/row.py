"""What is read of a collection: its rows, and a filter in its own words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from babelmix.search.rows import Value


@dataclass(frozen=True)
class ForeignRow:
    """A row of a collection, without its vector.

    Args:
        id: what identifies the row, as a text.
        item: the value of the column `item` of the address; without it the id.
        lang: the language as the collection writes it; None: it has none.
        text: the text; None if it was not asked for, or if there is none.
        fields: the metadata of the row, if texts were asked for.

    """

    id: str
    item: str
    lang: str | None
    text: str | None = None
    fields: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A filter in the words of the collection.

    Args:
        langs: the languages as the collection writes them, where None stands for rows without a language; None: all rows.
        ids: the ids of the rows in the languages, if languages are detected; None: all rows.
        fields: for each column the allowed values; `item` is the item.

    """

    langs: tuple[str | None, ...] | None = None
    ids: tuple[str, ...] | None = None
    fields: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether no row can pass."""
        return self.langs == () or self.ids == ()


class Readable(Protocol):
    """What gives rows: see `babelmix.search.foreign.engine.ForeignEngine`."""

    def rows(self, *, texts: bool = False) -> Iterator[ForeignRow]: ...  # noqa: D102
    def count_languages(self) -> Mapping[str | None, int]: ...  # noqa: D102


__all__ = ["Asked", "ForeignRow", "Readable"]
