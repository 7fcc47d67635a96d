"""`parallel-sections`: your own translated pages, a row for each section with a heading and a text for each language.

The columns are `heading_LANG` and `text_LANG` (`heading_en`, `text_pt-BR`). Three more are optional: `source` and `page`, which
together name the page, and `section`, the number or name of the section on its page. Other columns, such as `level`, are not
read. The rows of a page are in reading order. An empty cell means that the section is not translated.

The query is the heading, and the passage is the text. If several pages have the same heading ("Summary"), the title of the page
is placed before it, in every language. The title is the first heading that no other page has, or else the first heading.

With `unit=line` or `unit=sentence` the lines or the sentences of the texts are a bitext: each is query and passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from babelmix.corpus.model import Corpus
from babelmix.corpus.openings import one_line
from babelmix.corpus.readers._bitext import (
    MIN_LETTERS,
    ParallelText,
    aligned_parts,
    aligned_sentences,
    corpus_from_texts,
    lines_of,
)
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._parallel import ParallelPair, corpus_from_pairs
from babelmix.corpus.readers._tables import Table
from babelmix.corpus.readers._wide_texts import (
    check_choice,
    chosen_langs,
    columns_of_texts,
    machine_made_langs,
    table_of,
)
from babelmix.errors import ReaderError

FILE = "sections.parquet"
"""The table in a folder."""

UNITS = SECTION, LINE, SENTENCE = ("section", "line", "sentence")
"""What an item is."""

_COLUMN = re.compile(r"^(heading|text)_(.+)$")


@dataclass(frozen=True)
class Section:
    """A section of a page: its heading and its text in several languages."""

    item: str
    page: str
    heading: dict[str, str]
    text: dict[str, str]


def read(
    path: str,
    *,
    langs: str | Sequence[str] | None = None,
    source_lang: str = "en",
    machine_made: str = "",
    unit: str = SECTION,
) -> Corpus:
    """Read translated sections.

    Args:
        path: the table, or a folder with `sections.parquet`.
        langs: the languages to read; by default all.
        source_lang: the language from which the others were translated.
        machine_made: the languages whose texts are machine-translated, such as `de,fr`; `all`: all but `source_lang`.
        unit: what an item is: `section`; or `line` or `sentence` for a bitext of the lines (or items of lists) or the sentences
            that have at least 20 letters. Translations with another number of lines or sentences are left out and counted.

    Returns:
        The corpus. A group is a page.

    Raises:
        ReaderError: a column is missing or is of no language, two rows are the same section, an option is unknown, or the file is
            malformed.

    """
    check_choice("unit", unit, UNITS)
    return parse(table_of(path, FILE), langs=langs, source_lang=source_lang, machine_made=machine_made, unit=unit)


def parse(
    table: Table,
    *,
    langs: str | Sequence[str] | None = None,
    source_lang: str = "en",
    machine_made: str = "",
    unit: str = SECTION,
) -> Corpus:
    """Turn a table into a corpus (a pure function).

    Args:
        table: the table.
        langs: see `read`, as all other arguments.
        source_lang: the source language.
        machine_made: the machine-made languages.
        unit: what an item is.

    """
    columns: dict[str, dict[str, str]] = {"heading": {}, "text": {}}
    for name in table.names:
        if found := _COLUMN.match(name):
            columns[found[1]][found[2]] = name
    there = list(dict.fromkeys([*columns["heading"], *columns["text"]]))
    picked, wanted = chosen_langs(there, langs, source_lang, table)
    for what, of in columns.items():
        if source_lang not in of:
            raise ReaderError("is missing", file=table.file, field=f"{what}_{source_lang}")
    made = machine_made_langs(machine_made, there, source_lang, table)
    meta = {
        "source": str(table.file),
        "machine_made": [lang for lang in made if lang in picked],
        **({"notes": table.notes} if table.notes else {}),
    }
    sections = _sections(table, columns, wanted)
    if unit == SECTION:
        corpus = corpus_from_pairs(_pairs(sections, source_lang), name=table.stem, source_lang=source_lang, meta=meta)
    else:
        left_out = LeftOut()
        corpus = corpus_from_texts(
            _parts(sections, source_lang, unit, left_out),
            name=f"{table.stem} {unit}s",
            source_lang=source_lang,
            meta={**meta, "unit": unit},
            min_letters=MIN_LETTERS,
            left_out=left_out,
        )
    return corpus if source_lang in picked else corpus.only_langs(sorted(picked))


def _sections(table: Table, columns: dict[str, dict[str, str]], wanted: Sequence[str]) -> list[Section]:
    texts = {
        what: columns_of_texts(table, {lang: name for lang, name in of.items() if lang in wanted})
        for what, of in columns.items()
    }
    keys = {
        name: table.texts(name).to_list() if name in table.names else [None] * len(table.lines)
        for name in ("source", "page", "section")
    }
    found: list[Section] = []
    seen: dict[str, int] = {}
    for place, row in enumerate(table.lines):
        page = "/".join(filter(None, (keys["source"][place], keys["page"][place])))
        number = keys["section"][place] or str(place + 1)
        item = f"{page}#{number}" if page else number
        if (before := seen.setdefault(item, row)) != row:
            raise table.error(f"{item!r} is already the section of row {before}", place, "section")
        heading, text = (
            {lang: cell for lang, cells in texts[what].items() if (cell := cells[place]) is not None}
            for what in ("heading", "text")
        )
        found.append(Section(item, page or item, {lang: one_line(cell) for lang, cell in heading.items()}, text))
    return found


def _pairs(sections: Sequence[Section], source_lang: str) -> Iterator[ParallelPair]:
    pages: dict[str, set[str]] = {}
    for one in sections:
        pages.setdefault(one.heading.get(source_lang, ""), set()).add(one.page)
    shared = {heading for heading, where in pages.items() if len(where) > 1}
    titles: dict[str, Section] = {}
    for one in sections:
        title = titles.setdefault(one.page, one)
        own = one.heading.get(source_lang, "")
        # The first heading of a page may be "Introduction".
        if own and own not in shared and title.heading.get(source_lang, "") in shared:
            titles[one.page] = one
    for one in sections:
        title, heading = titles[one.page], one.heading
        if one.heading.get(source_lang) in shared and title is not one:
            heading = {lang: f"{title.heading[lang]}: {own}" for lang, own in heading.items() if lang in title.heading}
        yield ParallelPair(one.item, one.page, heading, one.text)


def _parts(sections: Sequence[Section], source_lang: str, unit: str, left_out: LeftOut) -> Iterator[ParallelText]:
    for one in sections:
        lines = aligned_parts(
            {lang: lines_of(text) for lang, text in one.text.items()}, source_lang, left_out, one.item
        )
        for number, texts in enumerate(lines, 1):
            name = f"{one.item}.{number}"
            if unit == LINE:
                yield ParallelText(name, one.page, texts)
                continue
            for part, of in enumerate(aligned_sentences(texts, source_lang, left_out, name), 1):
                yield ParallelText(f"{name}.{part}", one.page, of)


__all__ = ["FILE", "UNITS", "Section", "parse", "read"]
