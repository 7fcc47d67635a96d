"""Documents and queries in a table: one row per text, or one row per item with a column for each language.

A long table has the columns `lang` and `text`, and optionally `item` (or `id`), `title` and `group`. If it has both `item` and
`id`, `id` names the row and `item` the meaning that translations share. A wide table has columns such as `text_de`, `title_de`
and `text_en`; `heading_de` is the same as `title_de`. Other columns are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from babelmix.corpus.languages import is_language_tag, not_a_tag, respelled
from babelmix.corpus.openings import TITLES
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._tables import Table
from babelmix.errors import ReaderError

_WIDE = re.compile(r"^(?P<what>title|heading|text)[_.:](?P<lang>.+)$")


@dataclass(frozen=True)
class Document:
    """A text of an item in one language.

    Args:
        item: the name of the meaning; translations have the same.
        lang: the language, a BCP 47 tag.
        text: the text, without its title.
        title: the title; empty if there is none.
        group: the page or article that the item is part of.
        id: the name of the row; the item if the rows have no names of their own.
        row: the number of the row in errors.

    """

    item: str
    lang: str
    text: str
    title: str
    group: str
    id: str
    row: int


def is_wide(table: Table) -> bool:
    """Whether a table has a column of texts for each language: `text_de`."""
    return "lang" not in table.names and any(
        found["what"] == "text" and is_language_tag(found["lang"]) for found in map(_WIDE.match, table.names) if found
    )


def documents_of(
    table: Table, *, lang: str = "", what: str = "text", queries: bool = False, left_out: LeftOut | None = None
) -> Iterator[Document]:
    """Yield the documents, or the queries, of a table.

    Args:
        table: the table.
        lang: the language of rows without one of their own; empty: every row needs one.
        what: the column of the texts.
        queries: whether they are queries: without a column for the item, `group` says which are translations of each other.
        left_out: counts rows without a text, which are then left out. None: such a row is an error.

    Raises:
        ReaderError: a column is missing, a language is missing or unknown, a text is empty, or an id occurs twice.

    """
    if lang and not is_language_tag(lang):
        raise ReaderError(f"the option lang: {not_a_tag(lang)}", file=table.file)
    found = _wide(table) if is_wide(table) else _long(table, lang, what, queries)
    seen: dict[str, int] = {}
    for one in found:
        if not one.text.strip():
            if left_out is None:
                raise ReaderError("is empty; leave the row out", file=table.file, row=one.row, field=what)
            left_out.add("rows without a text", f"{table.file.name}, row {one.row}")
            continue
        if one.id and (before := seen.setdefault(one.id, one.row)) != one.row:
            raise ReaderError(
                f"{one.id!r} is already the id of row {before}", file=table.file, row=one.row, field="id"
            )
        yield one
    if not table.lines:
        raise ReaderError("holds no rows", file=table.file)


def _long(table: Table, lang: str, what: str, queries: bool) -> Iterator[Document]:
    names = set(table.names)
    if what not in names:
        raise ReaderError(f"is missing; there are {', '.join(table.names)}", file=table.file, field=what)
    if "lang" not in names and not lang:
        raise ReaderError(
            "is missing: add the language of each text as a BCP 47 tag, such as de; if all are in one language, say it with the "
            "option  lang  of the reader, as in  ?lang=de",
            file=table.file, field="lang",
        )  # fmt: skip
    item = next((name for name in ("item", "id") if name in names), "")
    item = item or ("group" if queries and "group" in names else "")
    own_ids = "id" in names and item == "item"
    title = next((name for name in TITLES if name in names), "")
    wanted = {
        "item": item, "lang": "lang" if "lang" in names else "", "text": what, "title": title,
        "group": "group" if "group" in names else "", "id": "id" if own_ids else "",
    }  # fmt: skip
    absent: list[str | None] = [None] * len(table.lines)
    cells = [table.texts(name).to_list() if name else absent for name in wanted.values()]
    for place, row in enumerate(table.lines):
        one: Mapping[str, str | None] = dict(zip(wanted, (column[place] for column in cells), strict=True))
        tag = one["lang"] or lang
        if tag and queries:
            # A log comes from someone else's database, like a foreign collection.
            tag = respelled(tag)
        if not tag or not is_language_tag(tag):
            why = not_a_tag(tag) if tag else "is empty: add the language of the text, such as de"
            raise ReaderError(why, file=table.file, row=row, field="lang")
        if item and not (one["item"] or "").strip():
            raise ReaderError("is empty", file=table.file, row=row, field=item)
        name = one["item"] or str(place + 1)
        yield Document(name, tag, one["text"] or "", one["title"] or "", one["group"] or name, one["id"] or "", row)


def _wide(table: Table) -> Iterator[Document]:
    columns: dict[str, dict[str, str]] = {}
    for name in table.names:
        found = _WIDE.match(name)
        if found and is_language_tag(found["lang"]):
            kind = "text" if found["what"] == "text" else "title"
            columns.setdefault(found["lang"], {}).setdefault(kind, name)
    item = next((name for name in ("item", "id") if name in table.names), "")
    items = table.texts(item).to_list() if item else [str(place + 1) for place in range(len(table.lines))]
    groups = table.texts("group").to_list() if "group" in table.names else [None] * len(items)
    texts = {name: table.texts(name).to_list() for of in columns.values() for name in of.values()}
    for place, row in enumerate(table.lines):
        if not (items[place] or "").strip():
            raise ReaderError("is empty", file=table.file, row=row, field=item)
        name = str(items[place])
        for lang, of in columns.items():
            text = texts[of["text"]][place] if "text" in of else None
            # An empty cell means that the text does not exist in this language.
            if text is not None and text.strip():
                title = texts[of["title"]][place] if "title" in of else None
                yield Document(name, lang, text, title or "", groups[place] or name, "", row)


__all__ = ["Document", "documents_of", "is_wide"]
