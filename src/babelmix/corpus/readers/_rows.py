"""The checks of your own files, which `data`, `audit`, `train` and `index` share: the same verdict, the same sentence.

A table has queries and passages; a file of documents has passages only. Both have rows with an item, a language and a text.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from babelmix.corpus.languages import canonical_language, is_language_tag, not_a_tag
from babelmix.errors import ReaderError

if TYPE_CHECKING:
    from babelmix.corpus.readers._tables import Table

MAX_NAME = 512
"""The most characters of the name of an item or a group."""

MAX_TEXT = 1_000_000
"""The most bytes of a text."""

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f]")

_PAIRED = ("positive", "negative", "answer", "document", "context", "response")
_TEXTS = ("body", "content", "article", "description", "contents")
_CAPTIONS = ("caption", "captions", "alt")


def layout_of(table: Table) -> Literal["corpus", "documents"]:
    """Whether a table is a corpus with queries, or a file of documents, which have none.

    Raises:
        ReaderError: the columns are those of another format; the message names the reader or the column that fits.

    """
    names = set(table.names)
    if {"_id", "text"} <= names:
        raise ReaderError(
            f"has the columns of BEIR's corpus.jsonl ({', '.join(table.names)}): give the folder that also has queries.jsonl and "
            "qrels/, as in  beir=FOLDER; to index the documents alone, rename _id to item and add a column lang",
            file=table.file,
        )
    if {"query", "passage"} <= names or "side" in names:
        return "corpus"
    captions = names & {*_CAPTIONS} or {name for name in names if name.startswith("caption")}
    if ("image" in names or "image_id" in names) and "item" not in names and (captions or "image_id" in names):
        if {"image_id", "lang", "text"} <= names and Path(table.file).suffix.lower() in (".jsonl", ".ndjson"):
            raise ReaderError(
                f"has pictures and captions ({', '.join(table.names)}): read it with  "
                f"{shlex.quote(f'captions={table.file}')}",
                file=table.file,
            )
        raise ReaderError(
            f"has pictures and captions ({', '.join(table.names)}): write a JSON line for each caption, with image_id, image, "
            "lang and text, and read it with  captions=FILE",
            file=table.file,
        )
    if {"text", "image"} & names:
        return "documents"
    if "query" in names and (pair := [name for name in table.names if name in _PAIRED]):
        raise ReaderError(
            f"has pairs of a query and a text ({', '.join(table.names)}): name the columns  item, lang, query, passage  (one row "
            f"per text; {pair[0]!r} is the passage), or  query_en, passage_en  for one language",
            file=table.file,
        )
    if "query" in names and "item" not in names:
        raise ReaderError(
            f"has queries without passages ({', '.join(table.names)}): a log of queries or clicks goes beside the articles, as in"
            f"  babelmix audit MODEL -c articles.jsonl --queries-from {table.file}  (clicks: a column clicked_id); a corpus has "
            "a column passage",
            file=table.file,
        )
    if "lang" in names and (text := [name for name in table.names if name in ("title", *_TEXTS)]):
        raise ReaderError(
            f"there is no column of the texts ({', '.join(table.names)}): name it  text, as {text[-1]!r} may be meant",
            file=table.file,
        )
    return "corpus"


def no_queries(table: Table) -> ReaderError:
    """The error for a file of documents where a corpus is needed."""
    return ReaderError(
        f"has documents without queries ({', '.join(table.names)}): babelmix index takes it; for an audit, make queries with  "
        f"babelmix data make-queries {table.file} --out FOLDER, or add the columns query and passage",
        file=table.file,
    )


def no_column(table: Table, name: str, there: Collection[str], hint: str | None = None) -> ReaderError:
    """The error for a missing column."""
    more = f"; {hint}" if hint else ""
    return ReaderError(f"is missing; the columns are {', '.join(there)}{more}", file=table.file, field=name)


class RowChecks:
    """Checks rows one after the other.

    Args:
        file: the name of the file in errors.

    """

    def __init__(self, file: str | Path) -> None:
        self._file = file
        self._seen: dict[tuple[str, str, str, str], int] = {}
        self._groups: dict[str, str] = {}

    def item(self, item: str | None, row: int) -> str:
        """Check the name of an item.

        Raises:
            ReaderError: the name is blank, too long, or has a control character.

        """
        if item is None or not item.strip():
            raise ReaderError("is empty", file=self._file, row=row, field="item")
        return self._name(item, row, "item")

    def lang(self, lang: str | None, row: int) -> str:
        """Check a language.

        Raises:
            ReaderError: there is none, or it is no language tag.

        """
        if lang is None or not lang.strip():
            raise ReaderError("is empty", file=self._file, row=row, field="lang")
        if not is_language_tag(lang):
            raise ReaderError(not_a_tag(lang), file=self._file, row=row, field="lang")
        return lang

    def text(self, item: str, lang: str, text: str, row: int, *, side: str, field: str) -> None:
        """Check a text.

        Args:
            item: its item.
            lang: its language.
            text: the text.
            row: the number of its row.
            side: `query` or `passage`.
            field: the name of its column.

        Raises:
            ReaderError: the text is blank or too long, or the file has it twice.

        """
        if not text.strip():
            raise ReaderError(
                "is blank; write the text, or leave the cell empty", file=self._file, row=row, field=field
            )
        # A character has four bytes at most.
        if 4 * len(text) > MAX_TEXT and (size := len(text.encode("utf-8", "replace"))) > MAX_TEXT:
            raise ReaderError(
                f"has {size:,} bytes; cut the text into passages of at most {MAX_TEXT:,}",
                file=self._file,
                row=row,
                field=field,
            )
        key = (side, item, canonical_language(lang), text)
        if key in self._seen:
            raise ReaderError(
                f"repeats row {self._seen[key]}: the same item, language and text",
                file=self._file,
                row=row,
                field=field,
            )
        self._seen[key] = row

    def group(self, item: str, group: str, row: int) -> None:
        """Check the group of an item.

        Raises:
            ReaderError: the item is in another group elsewhere, or the name is too long or has a control character.

        """
        if (before := self._groups.setdefault(item, group)) != group:
            raise ReaderError(
                f"item {item!r} is in group {group!r} here and {before!r} elsewhere",
                file=self._file,
                row=row,
                field="group",
            )
        self._name(group, row, "group")

    def next_item(self) -> None:
        """Forget the rows so far, where all rows of an item are together: a large file does not stay in memory."""
        self._seen.clear()
        self._groups.clear()

    def _name(self, name: str, row: int, field: str) -> str:
        if len(name) > MAX_NAME:
            raise ReaderError(
                f"has {len(name):,} characters; at most {MAX_NAME}", file=self._file, row=row, field=field
            )
        if found := _CONTROLS.search(name):
            raise ReaderError(
                f"character {found.start() + 1} is U+{ord(found[0]):04X}, a control character; take it out",
                file=self._file, row=row, field=field,
            )  # fmt: skip
        return name


__all__ = ["MAX_NAME", "MAX_TEXT", "RowChecks", "layout_of", "no_column", "no_queries"]
