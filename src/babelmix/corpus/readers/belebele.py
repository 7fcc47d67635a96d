"""`belebele`: Belebele (Bandarkar et al., ACL 2024), 900 questions about 488 passages, parallel in 122 languages.

A folder, or `facebook/belebele` on the Hugging Face hub, has `data/CODE.jsonl` with a FLORES-200 code such as `eng_Latn`. The
query is the question, and the passage is the text that it is about. The answers to choose from are not read. The item of a
passage is its `link`; the item of a query is the link with `question_number`. The link is the group. If the records of one link
have different texts, each text is a row, and `meta["passages_with_several_texts"]` counts such passages.

With `pool=shift` the corpus is SHIFT's pool Belebele-14 (arXiv 2606.18801), with the peculiarities of its code: `arabic=acm`,
`first_language` and `by_question`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import langcodes

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._paragraphs import ParagraphPool, is_shift, pick_queries
from babelmix.corpus.readers._records import get_field, get_text, json_lines, text_lines
from babelmix.corpus.readers._sources import pick_langs, source_folder
from babelmix.errors import ReaderError

_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")

SHIFT_LANGS = ("ar", "de", "nl", "en", "es", "fr", "hi", "id", "it", "ja", "pt", "ru", "vi", "zh")
"""The languages of SHIFT's pool, in its order. Its code writes `dt` for Dutch (`nl`)."""

ARABIC = {"arb": "arb_Arab", "acm": "acm_Arab"}
"""The file that is read as `ar`, by the value of the option `arabic`: Standard or Mesopotamian Arabic."""

_META: dict[str, Any] = {"source": "Belebele", "licence": "CC BY-SA 4.0", "evaluation_only": True}


def read(
    path: str,
    *,
    langs: str | Sequence[str] | None = None,
    queries: str | Sequence[str] | None = None,
    pool: str = "",
    arabic: str = "arb",
    first_language: bool = False,
    by_question: bool = False,
) -> Corpus:
    """Read Belebele.

    Args:
        path: the folder, or `facebook/belebele` on the Hugging Face hub.
        langs: the languages to read, as BCP 47 tags; by default all in the folder.
        queries: the languages whose queries are read, such as `en`; by default all.
        pool: `shift` reads SHIFT's pool: the languages `SHIFT_LANGS` unless `langs` says others, with the three options below.
        arabic: which file is `ar`: `arb` (Standard Arabic) or `acm` (Mesopotamian Arabic; the file of Standard Arabic is then
            not read).
        first_language: a text that occurs in several languages is one passage, in the language that comes first.
        by_question: a question's relevant passages are the texts of its own records. By default they are all texts of its link.

    Raises:
        ReaderError: a file is not named by a language, is malformed, or holds a question twice.

    """
    shift = is_shift(pool, path)
    if arabic not in ARABIC:
        raise ReaderError(f"the option arabic is {' or '.join(ARABIC)}, not {arabic!r}", file=path)
    folder = source_folder(path, ["data/*.jsonl"], "Belebele is a folder of files such as data/eng_Latn.jsonl")
    folder = folder / "data" if (folder / "data").is_dir() else folder
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*.jsonl")):
        tag = flores_tag(file.stem)
        if arabic == "acm" or shift:
            if file.stem == ARABIC["arb"]:
                continue
            tag = "ar" if file.stem == ARABIC["acm"] else tag
        if tag is None:
            raise ReaderError("has a name that is not a FLORES-200 code, such as eng_Latn.jsonl", file=file)
        if tag in files:
            raise ReaderError(f"is in {tag!r}, and so is {files[tag].name}; remove one of them", file=file)
        files[tag] = file
    if not files:
        raise ReaderError("holds no file such as eng_Latn.jsonl", file=folder)
    if shift and langs is None:
        if missing := [lang for lang in SHIFT_LANGS if lang not in files]:
            raise ReaderError(f"SHIFT's pool also has {', '.join(missing)}, whose files are missing here", file=folder)
        picked = list(SHIFT_LANGS)  # exactly these: a range such as "zh" would also select zh-Hant
    else:
        picked = pick_langs(langs, sorted(files), path)
    asked = pick_queries(queries, picked, path)
    records = {lang: json_lines(text_lines(files[lang]), files[lang]) for lang in picked}
    if first_language or by_question or shift:
        quirks = {"first_language": first_language or shift, "by_question": by_question or shift}
        return parse_pool(records, files, **quirks, queries=asked, pool=pool, file=path)
    return parse(records, files, queries=asked, file=path)


def flores_tag(code: str) -> str | None:
    """The usual BCP 47 tag of a FLORES-200 code, or None if the text is no such code.

    The main language of a macrolanguage gets the tag of the macrolanguage (`arb` becomes `ar`). Other members keep theirs.
    The usual script of a language is left out.

    Examples:
        >>> [flores_tag(code) for code in ("eng_Latn", "zho_Hans", "zho_Hant", "arb_Arab", "arb_Latn", "ary_Arab")]
        ['en', 'zh', 'zh-Hant', 'ar', 'ar-Latn', 'ary']

    """
    if not _CODE.fullmatch(code):
        return None
    found = langcodes.Language.get(langcodes.standardize_tag(code, macro=True))
    language = langcodes.Language.make(language=found.language)
    usual = language.maximize().script
    # The usual script of Korean in CLDR is "Kore", which is Hangul with Han.
    if found.script in (None, usual) or (found.script, usual) == ("Hang", "Kore"):
        found = language
    tag = found.to_tag()
    return tag if is_language_tag(tag) else None


def parse(
    records: Mapping[str, Iterable[tuple[int, dict[str, Any]]]],
    files: Mapping[str, str | Path],
    *,
    queries: Sequence[str] | None = None,
    file: str = "belebele",
) -> Corpus:
    """Turn records into a corpus (a pure function).

    Args:
        records: the records of each language, with their row numbers. Their fields are `link`, `question_number`,
            `flores_passage` and `question`.
        files: the name of each language's source in errors.
        queries: the languages whose queries are read; by default all.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: a field is missing, or a question occurs twice.

    """
    asked, passages = SideBuilder(), SideBuilder()
    qrels: dict[tuple[str, str], int] = {}
    several = 0
    for lang, rows in records.items():
        texts: dict[str, set[str]] = {}
        for record in _records(rows, files[lang]):
            if queries is None or lang in queries:
                asked.add(record.item, lang, record.question.strip(), record.link)
                qrels[record.item, record.link] = 1
            versions = texts.setdefault(record.link, set())
            text = record.passage.strip()
            if text not in versions:
                versions.add(text)
                passages.add(record.link, lang, text, record.link)
        several += sum(len(versions) > 1 for versions in texts.values())
    meta = _META | {"passages_with_several_texts": several}
    return corpus_from_tables(asked.table(), passages.table(), qrels, [], name="belebele", meta=meta, file=file)


def parse_pool(
    records: Mapping[str, Iterable[tuple[int, dict[str, Any]]]],
    files: Mapping[str, str | Path],
    *,
    first_language: bool,
    by_question: bool,
    queries: Sequence[str] | None = None,
    pool: str = "",
    file: str = "belebele",
) -> Corpus:
    """Turn records into a pool in which passages are identified by their texts (a pure function).

    Args:
        records: as for `parse`.
        files: the name of each language's source in errors.
        first_language: see `read`.
        by_question: see `read`.
        queries: the languages whose queries are read; by default all.
        pool: the value of the option, for `meta`.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: a field is missing, or a question occurs twice.

    """
    made = ParagraphPool(first_language=first_language)
    of_link: dict[str, dict[str, None]] = {}
    texts: dict[tuple[str, str, str], None] = {}
    for lang, rows in records.items():
        for record in _records(rows, files[lang]):
            of_link.setdefault(record.link, {})[record.item] = None
            texts[record.link, lang, record.passage] = None
            made.add(record.item, lang, record.passage, record.link)
            if queries is None or lang in queries:
                made.ask(record.item, lang, record.question, record.link)
    if not by_question:
        for link, lang, text in texts:
            for item in of_link[link]:
                made.add(item, lang, text, link)
    meta = _META | {"first_language": first_language, "by_question": by_question} | ({"pool": pool} if pool else {})
    return made.corpus(joined=True, name="belebele", meta=meta, file=file)


class _Record(NamedTuple):
    """A question, its item, its passage, and the link of the passage. Texts are as they are in the file."""

    item: str
    link: str
    question: str
    passage: str


def _records(rows: Iterable[tuple[int, dict[str, Any]]], file: str | Path) -> Iterator[_Record]:
    seen: set[str] = set()
    for number, record in rows:
        link = get_text(record, "link", file=file, row=number)
        place = record.get("question_number")
        if not isinstance(place, str):  # older files have a text
            place = get_field(record, "question_number", int, file=file, row=number)
        item = f"{link}#{place}"
        if item in seen:
            raise ReaderError(
                f"question {place} of {link} occurs twice", file=file, row=number, field="question_number"
            )
        seen.add(item)
        for name in ("question", "flores_passage"):
            get_text(record, name, file=file, row=number)
        yield _Record(item, link, record["question"], record["flores_passage"])
