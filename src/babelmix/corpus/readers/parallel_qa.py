"""`parallel-qa`: your own translated question-answer set, a file or a configuration a language.

A folder of files named by language tag (`de.jsonl`, `de.csv`, `de.tsv`, `de.parquet`, or `de.json` in SQuAD's format,
whose columns are `id`, `question`, `answer`, `context` and `title`), or a hub data set with a configuration a language.
Rows with one id are translations of each other; an id that a language lacks is not translated into it. Passages that
are the same in every language, as a paragraph with several questions is, are one item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._records import get_text, json_document, json_lines, read_utf8, text_lines
from babelmix.corpus.readers._rows import Rows, corpus_from_tables
from babelmix.corpus.readers._sources import ask_hub, is_hub_name, pick_langs, source_folder
from babelmix.corpus.readers._squad import squad_rows
from babelmix.corpus.readers.table import frame_of_csv, frame_of_parquet
from babelmix.errors import ReaderError

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet")

NumberedRows = Iterable[tuple[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class Columns:
    """Which column holds what; without `group` the passage is the group."""

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
        path: the folder, or the name of a hub data set.
        langs: the languages wanted; by default all there are.
        query: the column of the question.
        passage: the column of the answer, or of the paragraph that holds it.
        id: the column that is the same in all translations of a pair.
        group: the column of what a split must keep together, such as `title`; by default the passage.
        split: the split of a hub data set.

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
    for file in sorted(file for file in folder.iterdir() if file.suffix in SUFFIXES):
        if not is_language_tag(file.stem):
            raise ReaderError("is not named by a BCP 47 language tag, as de.jsonl and pt-BR.csv are", file=file)
        if file.stem in files:
            raise ReaderError(f"is in {file.stem!r}, and so is {files[file.stem].name}; take one away", file=file)
        files[file.stem] = file
    if not files:
        raise ReaderError(f"holds no file named by language with a suffix of {', '.join(SUFFIXES)}", file=folder)
    picked = pick_langs(langs, list(files), path)
    return parse({lang: _rows(files[lang]) for lang in picked}, files, columns, name=folder.name)


def _rows(file: Path) -> NumberedRows:
    if file.suffix == ".jsonl":
        return json_lines(text_lines(file), file)
    if file.suffix == ".json":
        return squad_rows(json_document(file), file)
    if file.suffix == ".parquet":
        return enumerate(frame_of_parquet(file).iter_rows(named=True), 1)
    separator = "\t" if file.suffix == ".tsv" else ","
    frame, lines = frame_of_csv(read_utf8(file), separator, file)
    return zip(lines, frame.iter_rows(named=True), strict=True)


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
        rows: by language, rows with their numbers.
        files: what to call each language's source in an error.
        columns: which column holds what.
        name: the corpus's name.

    Raises:
        ReaderError: see `read`.

    """
    columns = columns or Columns()
    pairs: dict[str, _Pair] = {}
    for lang, numbered in rows.items():
        for number, row in numbered:
            _add(row, lang, number, files[lang], columns, pairs)
    queries, passages = Rows(), Rows()
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
    item = _name(row, columns.id, file, number)
    group = _name(row, columns.group, file, number) if columns.group else ""
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


def _name(row: Mapping[str, Any], column: str, file: str | Path, number: int) -> str:
    value = row.get(column)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(row, column, file, number)


def _text(row: Mapping[str, Any], column: str, file: str | Path, number: int) -> str:
    if column not in row:
        raise ReaderError(f"is missing; there are {', '.join(row)}", file=file, row=number, field=column)
    if row[column] is None:
        raise ReaderError("is empty; leave out what is not translated", file=file, row=number, field=column)
    return get_text(row, column, file=file, row=number)
