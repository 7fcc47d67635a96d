"""`libreoffice-help`: help pages of LibreOffice, translated by people and aligned by the ids of their blocks (MPL-2.0).

The source is the installed Debian packages `libreoffice-help-*` (HTML), or a Parquet file with the columns `page`, `block`, `tag`
and one column for each language (null = not translated). The query is a heading, and the passage is the text up to the next
heading. If several pages have the same heading ("Example"), the title of the page is placed before it, in every language. British
English is left out, because it hardly differs from American English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.pseudo_questions import HEADINGS as BY_HEADINGS
from babelmix.corpus.readers._bitext import MIN_LETTERS, ParallelText, corpus_from_texts
from babelmix.corpus.readers._parallel import ParallelPair, corpus_from_pairs
from babelmix.corpus.readers._sources import pick_langs
from babelmix.corpus.readers._tables import frame_of_parquet
from babelmix.corpus.readers._wide_texts import check_choice, check_questions
from babelmix.errors import ReaderError, first_line, require

DEBIAN_FOLDER = Path("/usr/share/libreoffice/help")
SOURCE = "en-US"
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
UNITS = SECTION, BLOCK = ("section", "block")
"""What an item is."""

MIN_COVERED = 0.5
"""A passage is kept in a language if its translated blocks have this share of the English characters."""

_SPACE = re.compile(r"\s+")
_WORD = re.compile(r"[^\W\d_]{2}|[\u3040-\u9fff\uac00-\ud7af]")


def read(
    path: str | None = None,
    *,
    langs: str | Sequence[str] | None = None,
    unit: str = SECTION,
    questions: str = BY_HEADINGS,
) -> Corpus:
    """Read LibreOffice's help.

    Args:
        path: `blocks.parquet`, its folder, or a folder with one folder for each language; by default Debian's.
        langs: the languages to read (`en` is American English); by default all.
        unit: what an item is: `section`; or `block`, for a bitext of the translated paragraphs that have at least 20 letters:
            each is query and passage.
        questions: what asks for a section: `headings`, `templates`, `cloze` or `mixed`; see `babelmix.corpus.pseudo_questions`.

    Raises:
        ReaderError: there is no such file or folder, a column, a language or English is missing, or an option is unknown.

    """
    check_choice("unit", unit, UNITS)
    check_questions(questions, unit == SECTION)
    source = Path(path) if path is not None else DEBIAN_FOLDER
    if (source / "blocks.parquet").is_file():
        source /= "blocks.parquet"
    if source.is_dir():
        blocks = blocks_from_html(source)
    elif source.is_file():
        blocks = frame_of_parquet(source)
    elif path is None:
        raise ReaderError(
            "LibreOffice's help is not installed: run  apt install libreoffice-help-en-us libreoffice-help-de  (and "
            "other languages), or give a blocks.parquet",
            file=source,
        )
    else:
        raise ReaderError("there is no such file or folder", file=source)
    return parse(blocks, langs=langs, unit=unit, questions=questions, file=str(source))


def parse(
    blocks: pl.DataFrame,
    *,
    langs: str | Sequence[str] | None = None,
    unit: str = SECTION,
    questions: str = BY_HEADINGS,
    file: str = "blocks",
) -> Corpus:
    """Turn blocks into a corpus (a pure function).

    Args:
        blocks: the string columns `page`, `block`, `tag` and one for each language. The blocks of a page are in reading order.
        langs: see `read`.
        unit: see `read`.
        questions: see `read`.
        file: the name of the source in errors.

    """
    for column in ("page", "block", "tag", SOURCE):
        if column not in blocks.columns:
            raise ReaderError("is missing", file=file, field=column)
    for column, kind in blocks.schema.items():
        if kind not in (pl.String, pl.Null):
            raise ReaderError(f"holds {kind}, but a text is needed", file=file, field=column)
    available = [name for name in blocks.columns if name not in ("page", "block", "tag", "en-GB")]
    if unknown := [name for name in available if not is_language_tag(name)]:
        raise ReaderError("is not a BCP 47 language tag", file=file, field=unknown[0])
    columns = {("en" if name == SOURCE else name): name for name in available}
    if langs is not None:
        langs = pick_langs(langs, list(columns), file)
        columns = {lang: name for lang, name in columns.items() if lang in langs or lang == "en"}
    meta = {"source": "LibreOffice help", "licence": "MPL-2.0", "machine_made": []}
    if unit == BLOCK:
        corpus = corpus_from_texts(
            _paragraphs(blocks, columns),
            name="libreoffice-help blocks",
            source_lang="en",
            meta={**meta, "unit": unit},
            min_letters=MIN_LETTERS,
        )
    else:
        pairs = _pairs(blocks, columns)
        corpus = corpus_from_pairs(pairs, name="libreoffice-help", source_lang="en", meta=meta, questions=questions)
    return corpus if langs is None or "en" in langs else corpus.only_langs(sorted(langs))


Row = dict[str, str | None]


def _pairs(blocks: pl.DataFrame, columns: dict[str, str]) -> Iterator[ParallelPair]:
    # A few pages have a block id twice. The second block cannot be aligned, so its section is left out.
    sections = list({(s[0]["page"], s[0]["block"]): (s, title) for s, title in reversed(_sections(blocks))}.values())[
        ::-1
    ]
    shared = _headings_of_several_pages(sections)
    pairs = (_pair(section, title, columns, shared) for section, title in sections)
    return (pair for pair in pairs if pair is not None)


def _paragraphs(blocks: pl.DataFrame, columns: dict[str, str]) -> Iterator[ParallelText]:
    """The blocks that are no headings. Of blocks with the same id on a page, the first."""
    seen: set[tuple[str, str]] = set()
    for row in blocks.iter_rows(named=True):
        key = (row["page"], row["block"])
        if row["tag"] in HEADINGS or not row[SOURCE] or key in seen:
            continue
        seen.add(key)
        texts = {lang: row[column] for lang, column in columns.items() if row[column]}
        yield ParallelText(f"{row['page']}#{row['block']}", str(row["page"]), texts)


def _sections(blocks: pl.DataFrame) -> list[tuple[list[Row], Row]]:
    """Each heading with the blocks under it, and the first heading of the page."""
    sections: list[tuple[list[Row], Row]] = []
    page: str | None = None
    title: Row = {}
    for row in blocks.iter_rows(named=True):
        if row["page"] != page:
            page, title = row["page"], {}
        if row["tag"] in HEADINGS:
            title = title or row
            sections.append(([row], title))
        elif title:
            sections[-1][0].append(row)
    return sections


def _headings_of_several_pages(sections: list[tuple[list[Row], Row]]) -> set[str | None]:
    pages: dict[str | None, set[str | None]] = {}
    for section, _ in sections:
        pages.setdefault(section[0][SOURCE], set()).add(section[0]["page"])
    return {heading for heading, where in pages.items() if len(where) > 1}


def _pair(section: list[Row], title: Row, columns: dict[str, str], shared: set[str | None]) -> ParallelPair | None:
    heading, *body = section
    total = sum(len(block[SOURCE] or "") for block in body)
    if not total or not heading[SOURCE]:
        return None
    prefixed = heading[SOURCE] in shared and title is not heading
    query: dict[str, str] = {}
    passage: dict[str, str] = {}
    for lang, column in columns.items():
        head, first = heading[column], title[column]
        if head and not prefixed:
            query[lang] = head
        elif head and first:
            query[lang] = f"{first}: {head}"
        covered = sum(len(block[SOURCE] or "") for block in body if block[column])
        if covered >= MIN_COVERED * total:
            passage[lang] = " ".join(text for block in body if (text := block[column]))
    return ParallelPair(f"{heading['page']}#{heading['block']}", str(heading["page"]), query, passage)


def blocks_from_html(root: Path) -> pl.DataFrame:
    """Read the HTML pages of the Debian packages into a table like `blocks.parquet`.

    Args:
        root: the folder with `en-US` and other languages. Each has `text/**/*.html`.

    Raises:
        ReaderError: there is no English, which is needed for the alignment.

    """
    html = require("lxml.html", "offline", "Reading LibreOffice's HTML help")
    if not (root / SOURCE / "text").is_dir():
        raise ReaderError(f"holds no {SOURCE}/text: install libreoffice-help-en-us too", file=root)
    langs = sorted(
        folder.name for folder in root.iterdir() if (folder / "text").is_dir() and is_language_tag(folder.name)
    )
    columns: dict[str, list[str | None]] = {name: [] for name in ("page", "block", "tag", *langs)}
    for file in sorted((root / SOURCE / "text").rglob("*.html")):
        page = file.relative_to(root / SOURCE / "text").as_posix()
        parsed = {lang: _blocks_of(root / lang / "text" / page, html) for lang in langs}
        for block, (tag, english) in parsed[SOURCE].items():
            columns["page"].append(page)
            columns["block"].append(block)
            columns["tag"].append(tag)
            for lang in langs:
                text = parsed[lang].get(block, ("", ""))[1]
                columns[lang].append(text if text and (lang == SOURCE or text != english) else None)
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))


def _blocks_of(file: Path, html: object) -> dict[str, tuple[str, str]]:
    if not file.is_file():
        return {}
    try:
        tree = html.fromstring(file.read_bytes(), parser=html.HTMLParser(encoding="utf-8"))  # type: ignore[attr-defined]
    except html.etree.LxmlError as error:  # type: ignore[attr-defined]
        raise ReaderError(f"is not readable HTML ({first_line(error)})", file=file) from error
    blocks: dict[str, tuple[str, str]] = {}
    for node in tree.iter("p", *HEADINGS):
        name = node.get("id")
        text = _SPACE.sub(" ", node.text_content()).strip()
        # Code, and numbers in table cells, are the same in every language.
        if "code" in (node.get("class") or "") or not _WORD.search(text):
            continue
        if name and text and name not in blocks:
            blocks[name] = (node.tag, text)
    return blocks
