"""`belebele`: Belebele (Bandarkar et al., ACL 2024), 900 questions about 488 passages, parallel in 122 languages.

A folder, or `facebook/belebele` on the Hugging Face hub, has `data/CODE.jsonl` with a FLORES-200 code such as `eng_Latn`. The
query is the question, and the passage is the text that it is about. The answers to choose from are not read. The item of a
passage is its `link`; the item of a query is the link with `question_number`. The link is the group. If the records of one link
have different texts, each text is a row, and `meta["passages_with_several_texts"]` counts such passages.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import langcodes

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._records import get_field, get_text, json_lines, text_lines
from babelmix.corpus.readers._sources import pick_langs, source_folder
from babelmix.errors import ReaderError

_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


def read(path: str, *, langs: str | Sequence[str] | None = None) -> Corpus:
    """Read Belebele.

    Args:
        path: the folder, or `facebook/belebele` on the Hugging Face hub.
        langs: the languages to read, as BCP 47 tags; by default all in the folder.

    Raises:
        ReaderError: a file is not named by a language, is malformed, or holds a question twice.

    """
    folder = source_folder(path, ["data/*.jsonl"], "Belebele is a folder of files such as data/eng_Latn.jsonl")
    folder = folder / "data" if (folder / "data").is_dir() else folder
    files: dict[str, Path] = {}
    for file in sorted(folder.glob("*.jsonl")):
        tag = flores_tag(file.stem)
        if tag is None:
            raise ReaderError("has a name that is not a FLORES-200 code, such as eng_Latn.jsonl", file=file)
        if tag in files:
            raise ReaderError(f"is in {tag!r}, and so is {files[tag].name}; remove one of them", file=file)
        files[tag] = file
    if not files:
        raise ReaderError("holds no file such as eng_Latn.jsonl", file=folder)
    picked = pick_langs(langs, sorted(files), path)
    records = {lang: json_lines(text_lines(files[lang]), files[lang]) for lang in picked}
    return parse(records, files, file=path)


def flores_tag(code: str) -> str | None:
    """The usual BCP 47 tag of a FLORES-200 code, or None if the text is no such code.

    The main language of a macrolanguage gets the tag of the macrolanguage (`arb` becomes `ar`). Other members keep theirs.
    The usual script of a language is left out.

    Example:
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
    file: str = "belebele",
) -> Corpus:
    """Turn records into a corpus (a pure function).

    Args:
        records: the records of each language, with their row numbers. Their fields are `link`, `question_number`,
            `flores_passage` and `question`.
        files: the name of each language's source in errors.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: a field is missing, or a question occurs twice.

    """
    queries, passages = SideBuilder(), SideBuilder()
    qrels: dict[tuple[str, str], int] = {}
    several = 0
    for lang, rows in records.items():
        texts: dict[str, set[str]] = {}
        seen: set[str] = set()
        where = files[lang]
        for number, record in rows:
            link = get_text(record, "link", file=where, row=number)
            place = record.get("question_number")
            if not isinstance(place, str):  # older files have a text
                place = get_field(record, "question_number", int, file=where, row=number)
            item = f"{link}#{place}"
            if item in seen:
                raise ReaderError(
                    f"question {place} of {link} occurs twice", file=where, row=number, field="question_number"
                )
            seen.add(item)
            queries.add(item, lang, get_text(record, "question", file=where, row=number), link)
            text = get_text(record, "flores_passage", file=where, row=number)
            versions = texts.setdefault(link, set())
            if text not in versions:
                versions.add(text)
                passages.add(link, lang, text, link)
            qrels[item, link] = 1
        several += sum(len(versions) > 1 for versions in texts.values())
    meta = {
        "source": "Belebele", "licence": "CC BY-SA 4.0", "evaluation_only": True,
        "passages_with_several_texts": several,
    }  # fmt: skip
    return corpus_from_tables(queries.table(), passages.table(), qrels, [], name="belebele", meta=meta, file=file)
