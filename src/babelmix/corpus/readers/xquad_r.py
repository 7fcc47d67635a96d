"""`xquad-r`: LAReQA's XQuAD-R, 1,190 questions in eleven languages (see `_lareqa`).

A passage is a sentence, as in LAReQA, or with `unit=paragraph` a whole paragraph, as in SHIFT (arXiv 2606.18801). A paragraph is
one item with a translation in each language. With `pool=shift` the corpus is SHIFT's pool XQuAD-8: paragraphs in eight languages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._lareqa import check_counts, files_of_folder, read_sentences
from babelmix.corpus.readers._paragraphs import ParagraphPool, is_shift, pick_queries
from babelmix.corpus.readers._records import get_field, json_document
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

QUESTIONS = 1190
"""The number of questions in each language (arXiv 2408.10536, Table 10)."""

CANDIDATES = {
    "ar": 1222, "de": 1276, "el": 1234, "en": 1180, "es": 1215, "hi": 1244,
    "ru": 1219, "th": 852, "tr": 1167, "vi": 1209, "zh": 1196,
}  # fmt: skip
"""The number of candidate sentences in each language (arXiv 2408.10536, Table 10); 13,014 in all."""

PARAGRAPHS = 240
"""The number of paragraphs in each language (arXiv 1910.11856)."""

SHIFT_LANGS = ("ar", "de", "en", "es", "hi", "ru", "vi", "zh")
"""The languages of SHIFT's pool. It leaves out Greek, Thai and Turkish."""

UNITS = ("sentence", "paragraph")


def read(
    path: str,
    *,
    unit: str = "sentence",
    langs: Sequence[str] | None = None,
    queries: Sequence[str] | None = None,
    pool: str = "",
    check: bool = True,
) -> Corpus:
    """Read XQuAD-R.

    Args:
        path: a folder, such as LAReQA's `xquad-r`, or the name of a Hugging Face data set.
        unit: what a passage is: `sentence` or `paragraph`.
        langs: the languages to read; by default all.
        queries: the languages whose queries are read, such as `en`; by default all.
        pool: `shift` reads SHIFT's pool: paragraphs, in the languages `SHIFT_LANGS` unless `langs` says others.
        check: compare the counts with the published table. Turn it off for other data in the same format.

    Raises:
        ReaderError: there is no such folder, language or unit, a file is malformed, or a count differs from the published one.

    """
    if unit not in UNITS:
        raise ReaderError(f"the option unit is {' or '.join(UNITS)}, not {unit!r}", file=path)
    shift = is_shift(pool, path)
    there = files_of_folder(path, "XQuAD-R")
    picked = pick_langs(SHIFT_LANGS if shift and langs is None else langs, list(there), path)
    files = {lang: there[lang] for lang in picked}
    asked = pick_queries(queries, picked, path)
    title, licence = "XQuAD-R", "CC BY-SA 4.0"
    if unit == "paragraph" or shift:
        documents = {lang: json_document(file) for lang, file in files.items()}
        corpus = parse_paragraphs(documents, files, queries=asked, file=path)
        if check:
            counts = dict.fromkeys(CANDIDATES, (QUESTIONS, PARAGRAPHS))
            check_counts(corpus, title, counts, files, "paragraphs", asked)
        return corpus.named(corpus.name, licence=licence, **({"pool": pool} if shift else {}))
    sentences = {lang: (QUESTIONS, candidates) for lang, candidates in CANDIDATES.items()} if check else None
    return read_sentences(files, title, sentences, queries=asked, name="xquad-r", licence=licence)


def parse_paragraphs(
    documents: Mapping[str, Any],
    files: Mapping[str, str | Path],
    *,
    queries: Sequence[str] | None = None,
    file: str = "xquad-r",
) -> Corpus:
    """Turn LAReQA documents into a corpus of whole paragraphs (a pure function).

    Paragraphs with the same questions are translations of each other, and one item. A group is an article.

    Args:
        documents: the parsed JSON of each language.
        files: the name of each language's source in errors.
        queries: the languages whose queries are read; by default all.
        file: the name of the whole source in errors.

    Raises:
        ReaderError: a field is missing, a paragraph or a question is blank, or a question occurs twice in a language.

    """
    pool = ParagraphPool(prefix="paragraph")
    for lang, document in documents.items():
        where, number = files[lang], 0
        seen: set[str] = set()
        for place, article in enumerate(get_field(document, "data", list, file=where, row=None)):
            group = f"{lang}/{place}"
            for paragraph in get_field(article, "paragraphs", list, file=where, row=None):
                number += 1
                text = _text(paragraph, "context", where, number)
                pool.add(None, lang, text, group, str(number))
                for question in get_field(paragraph, "qas", list, file=where, row=number, unit="paragraph"):
                    item = _text(question, "id", where, number)
                    if item in seen:
                        raise ReaderError(f"question {item!r} occurs twice", file=where, row=number, field="id")
                    seen.add(item)
                    pool.add(item, lang, text, group, str(number))
                    asked = _text(question, "question", where, number)
                    if queries is None or lang in queries:
                        pool.ask(item, lang, asked, group)
    meta = {"source": "LAReQA", "unit": "paragraph", "evaluation_only": True}
    return pool.corpus(joined=True, name="xquad-r", meta=meta, file=file)


def _text(record: Any, key: str, file: str | Path, number: int) -> str:
    text: str = get_field(record, key, str, file=file, row=number, unit="paragraph")
    if not text.strip():
        raise ReaderError(f"is empty in paragraph {number}", file=file, row=number, field=key)
    return text
