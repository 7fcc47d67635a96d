"""`parallel-qa`: your own translated question-answer set.

The source is one of:

- a folder with one table for each language, named by language tag: `de.jsonl`, `de.csv`, `de.tsv.gz` or `de.parquet`;
- a folder with `de.json`, ... in SQuAD's format, whose columns are `id`, `question`, `answer`, `context` and `title`;
- a Hugging Face data set with one configuration for each language.

Rows with the same id are translations of each other. An id may be missing in some languages. Passages that are equal in every
language, such as a paragraph with several questions, are one item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._records import get_text, json_document
from babelmix.corpus.readers._sources import ask_hub, is_hub_name, pick_langs, source_folder
from babelmix.corpus.readers._squad import squad_rows
from babelmix.corpus.readers._tables import SUFFIXES, is_table, read_table
from babelmix.corpus.readers._unpacking import stem_of
from babelmix.errors import ReaderError

NumberedRows = Iterable[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class Columns:
    """The names of the columns. Without `group`, the passage is the group."""

    query: str = "question"
    passage: str = "answer"
    id: str = "id"
    group: str = ""


def read(
    path: str,
    *,
    langs: str | Sequence[str] | None = None,
    query: str = "question",
    passage: str = "answer",
    id: str = "id",
    group: str = "",
    split: str = "train",
) -> Corpus:
    """Read a translated question-answer set.

    Args:
        path: the folder, or the name of a Hugging Face data set.
        langs: the languages to read; by default all.
        query: the column of the question.
        passage: the column of the answer, or of the paragraph that contains it.
        id: the column with the id, which all translations of a pair share.
        group: the column of the group, which a split keeps together, such as `title`; by default the passage.
        split: the split of a Hugging Face data set.

    Raises:
        ReaderError: a column is missing, an id occurs twice in a language, a text is empty, or a file is malformed.

    """
    columns = Columns(query, passage, id, group)
    if is_hub_name(path):
        from datasets import get_dataset_config_names, load_dataset

        there = [name for name in ask_hub(path, partial(get_dataset_config_names, path)) if is_language_tag(name)]
        if not there:
            raise ReaderError("has no configuration named by a language tag, such as 'de'", file=path)
        picked = pick_langs(langs, there, path)
        rows = {lang: enumerate(ask_hub(path, partial(load_dataset, path, lang, split=split)), 1) for lang in picked}
        return parse(rows, {lang: f"{path}/{lang}" for lang in picked}, columns, name=path)
    folder = source_folder(path, [], "a translated set is a folder of files such as de.jsonl")
    files: dict[str, Path] = {}
    notes: list[str] = []
    for file in sorted(file for file in folder.iterdir() if is_table(file) or file.suffix.lower() == ".json"):
        if not is_language_tag(lang := stem_of(file)):
            raise ReaderError(
                "has a name that is not a BCP 47 language tag; rename it, as in de.jsonl or pt-BR.csv", file=file
            )
        if lang in files:
            raise ReaderError(
                f"has the language {lang!r}, and so has {files[lang].name}; remove one of them", file=file
            )
        files[lang] = file
    if not files:
        raise ReaderError(f"has no file named by language with a suffix of .json, {', '.join(SUFFIXES)}", file=folder)
    picked = pick_langs(langs, list(files), path)
    corpus = parse({lang: _rows(files[lang], notes) for lang in picked}, files, columns, name=folder.name)
    return replace(corpus, meta={**corpus.meta, "notes": notes}) if notes else corpus


def _rows(file: Path, notes: list[str]) -> NumberedRows:
    if file.suffix.lower() == ".json":
        yield from squad_rows(json_document(file), file)
        return
    table = read_table(file)
    notes += table.notes
    yield from table.records()


@dataclass
class _Pair:
    group: str
    query: dict[str, str] = field(default_factory=dict)
    passage: dict[str, str] = field(default_factory=dict)


def parse(
    rows: Mapping[str, NumberedRows],
    files: Mapping[str, str | Path],
    columns: Columns | None = None,
    *,
    name: str = "parallel-qa",
) -> Corpus:
    """Align rows by id (a pure function).

    Args:
        rows: the rows of each language, with their numbers.
        files: the name of each language's source in errors.
        columns: the names of the columns.
        name: the name of the corpus.

    Raises:
        ReaderError: see `read`.

    """
    columns = columns or Columns()
    pairs: dict[str, _Pair] = {}
    for lang, numbered in rows.items():
        for number, row in numbered:
            _add(row, lang, number, files[lang], columns, pairs)
    queries, passages = SideBuilder(), SideBuilder()
    qrels: dict[tuple[str, str], int] = {}
    known: dict[tuple[tuple[str, str], ...], str] = {}
    for item, pair in pairs.items():
        texts = tuple(pair.passage.items())
        first = known.setdefault(texts, item)
        group = pair.group or first
        if first == item:
            for lang, text in texts:
                passages.add(item, lang, text, group)
        for lang, text in pair.query.items():
            queries.add(item, lang, text, group)
        qrels[item, first] = 1
    used = {key: getattr(columns, key) for key in ("query", "passage", "id", "group")}
    meta = {"source": name, "columns": used}
    return corpus_from_tables(queries.table(), passages.table(), qrels, [], name=name, meta=meta, file=name)


def _add(
    row: Mapping[str, Any], lang: str, number: int, file: str | Path, columns: Columns, pairs: dict[str, _Pair]
) -> None:
    item = _text(row, columns.id, file, number)
    group = _text(row, columns.group, file, number) if columns.group else ""
    pair = pairs.setdefault(item, _Pair(group))
    if lang in pair.query:
        raise ReaderError(f"{item!r} occurs twice", file=file, row=number, field=columns.id)
    if pair.group != group:
        raise ReaderError(
            f"{item!r} is in {group!r} here and in {pair.group!r} in another language; the group must be the same in all",
            file=file, row=number, field=columns.group,
        )  # fmt: skip
    pair.query[lang] = _text(row, columns.query, file, number)
    pair.passage[lang] = _text(row, columns.passage, file, number)


def _text(row: Mapping[str, Any], column: str, file: str | Path, number: int) -> str:
    if column not in row:
        raise ReaderError(f"is missing; there are {', '.join(row)}", file=file, row=number, field=column)
    value = row[column]
    if value is None:
        raise ReaderError("is empty; leave out what is not translated", file=file, row=number, field=column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return get_text(row, column, file=file, row=number)
