"""`parallel-sections`: your own translated pages, a row for each section with a heading and a text for each language.

The columns are `heading_LANG` and `text_LANG` (`heading_en`, `text_pt-BR`). Three more are optional: `source` and `page`, which
together name the page, and `section`, the number or name of the section on its page. Other columns, such as `level`, are not
read. The rows of a page are in reading order. An empty cell means that the section is not translated.

The query is the heading, and the passage is the text. If several pages have the same heading ("Summary"), the title of the page
is placed before it, in every language. The title is the first heading that no other page has, or else the first heading.

With `questions=` questions are made in place of the headings; see `babelmix.corpus.pseudo_questions`. With `unit=line` or
`unit=sentence` the lines or the sentences of the texts are a bitext: each is query and passage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from babelmix.corpus.aligning import Aligned, Part, align_lines, align_sentences
from babelmix.corpus.model import Corpus
from babelmix.corpus.openings import one_line
from babelmix.corpus.pseudo_questions import HEADINGS as BY_HEADINGS
from babelmix.corpus.readers._bitext import MIN_LETTERS, ParallelText, corpus_from_texts
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._parallel import ParallelPair, corpus_from_pairs
from babelmix.corpus.readers._tables import Table
from babelmix.corpus.readers._wide_texts import (
    check_choice,
    check_questions,
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
    questions: str = BY_HEADINGS,
) -> Corpus:
    """Read translated sections.

    Args:
        path: the table, or a folder with `sections.parquet`.
        langs: the languages to read; by default all.
        source_lang: the language from which the others were translated.
        machine_made: the languages whose texts are machine-translated, such as `de,fr`; `all`: all but `source_lang`.
        unit: what an item is: `section`; or `line` or `sentence` for a bitext of the lines (or items of lists) or the sentences
            that have at least 20 letters. Translations with another number of lines or sentences are left out and counted.
        questions: what asks for a section: `headings`, `templates`, `cloze` or `mixed`; see `babelmix.corpus.pseudo_questions`.

    Returns:
        The corpus. A group is a page.

    Raises:
        ReaderError: a column is missing or is of no language, two rows are the same section, an option is unknown, or the file is
            malformed.

    """
    check_choice("unit", unit, UNITS)
    check_questions(questions, unit == SECTION)
    return parse(
        table_of(path, FILE),
        langs=langs,
        source_lang=source_lang,
        machine_made=machine_made,
        unit=unit,
        questions=questions,
    )


def parse(
    table: Table,
    *,
    langs: str | Sequence[str] | None = None,
    source_lang: str = "en",
    machine_made: str = "",
    unit: str = SECTION,
    questions: str = BY_HEADINGS,
) -> Corpus:
    """Turn a table into a corpus (a pure function).

    Args:
        table: the table.
        langs: see `read`, as all other arguments.
        source_lang: the source language.
        machine_made: the machine-made languages.
        unit: what an item is.
        questions: what asks.

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
        corpus = corpus_from_pairs(
            _pairs(sections, source_lang), name=table.stem, source_lang=source_lang, meta=meta, questions=questions
        )
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
        lines = _counted(align_lines(one.text, source_lang), left_out, one.item)
        for number, line in enumerate(lines, 1):
            name = f"{one.item}.{number}"
            if unit == LINE:
                yield ParallelText(name, one.page, {lang: part.text for lang, part in line.items()})
                continue
            of_line = _counted(align_sentences(line, one.text, source_lang), left_out, name)
            for place, sentence in enumerate(of_line, 1):
                yield ParallelText(f"{name}.{place}", one.page, {lang: part.text for lang, part in sentence.items()})


def _counted(aligned: Aligned, left_out: LeftOut, item: str) -> list[dict[str, Part]]:
    for lang in aligned.unlike:
        left_out.add("translations with other parts", f"{lang}: {item}")
    return aligned.parts


__all__ = ["FILE", "UNITS", "Section", "parse", "read"]
