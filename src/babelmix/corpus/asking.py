"""Queries for a collection that has none: from its own texts (known items), from a log of queries, or from clicks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from babelmix.corpus.known_items import ASKS, known_items
from babelmix.corpus.labels import ITEM_NO_LABEL, LABELS
from babelmix.corpus.model import Corpus
from babelmix.corpus.opening import open_corpus
from babelmix.corpus.query_logs import read_log
from babelmix.corpus.readers._documents import Document, documents_of, is_wide
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._tables import Table, is_table, read_table
from babelmix.corpus.readers.folder import corpus_of_log, only_passages, with_titles
from babelmix.corpus.schema import OWN_ID, ROW_COLUMNS
from babelmix.corpus.storage import is_corpus_folder
from babelmix.errors import ArgumentError, CorpusError


def ask(
    source: str | Path | Corpus,
    queries_from: str | Path,
    *,
    items: int | None = None,
    langs: str | Sequence[str] | None = None,
    **options: Any,
) -> Corpus:
    """Make a corpus of a collection and of queries from elsewhere.

    Args:
        source: the collection: a table of documents (`item`, `lang`, `text`, and optionally `title` and `group`; or `text_de`,
            `title_de`, ...), a folder with `passages.jsonl`, or a corpus, whose passages are taken.
        queries_from: `titles`, `headings`, `sentences` or `auto`: these parts of the texts ask for the rest; `templates`,
            `cloze` or `mixed`: questions that are made of them; see `babelmix.corpus.known_items`. Or a file: a log of
            queries (`text`, `lang`, optionally `item`), or of clicks (`query`, `clicked_id`, optionally `count`, `lang`,
            `item`, `position`), see `babelmix.corpus.readers.folder`. Columns with other names are named with it:
            `clicks.csv?query=COLUMN&clicked_id=COLUMN`.
        items: the most items that parts of texts ask for; 0: all; None: 2,000.
        langs: parts of texts in these languages ask; see `babelmix.corpus.known_items`.
        options: options of the reader of a corpus; of a log also `lang`, `min_clicks` and `grades`.

    Raises:
        ArgumentError: `queries_from` is neither a part of texts nor a file, or an argument is not for this kind of queries.
        ReaderError: a file is malformed; the message names file, row and field.
        CorpusError: no query is left.

    """
    named = str(queries_from)
    if isinstance(queries_from, str) and named in ASKS:
        left_out = LeftOut()
        documents, name, meta = _documents(source, options, left_out)
        return known_items(
            documents, ask=named, items=items, langs=langs, name=f"{name} known items", meta=meta,
            left_out=left_out,
        )  # fmt: skip
    check_of_log(items)
    of_log = {key: options.pop(key) for key in ("min_clicks", "grades") if key in options}
    left_out = LeftOut()
    log = read_log(queries_from)
    documents, name, meta = _documents(source, options, left_out)
    return ask_log(
        list(with_titles(documents)), log, lang=str(options.get("lang", "")), left_out=left_out, name=name, meta=meta,
        **of_log,
    )  # fmt: skip


def ask_log(passages: Sequence[Document], log: Table, *, name: str, **options: Any) -> Corpus:
    """Make a corpus of passages and a log of queries or clicks.

    Args:
        passages: the passages.
        log: the log, see `babelmix.corpus.query_logs.read_log`.
        name: the name of the collection.
        options: see `babelmix.corpus.readers.folder.corpus_of_log`.

    Raises:
        ArgumentError: `min_clicks` or `grades` is given, and the log is none of clicks.
        ReaderError: the log is malformed.

    """
    is_clicks = "clicked_id" in log.names
    for argument in ("min_clicks", "grades"):
        if not is_clicks and options.get(argument) is not None:
            raise ArgumentError(argument, f"is for a log of clicks, and {log.file.name} has no column clicked_id")
    if not is_clicks and "item" in log.names:
        meta = dict(options.get("meta") or {})
        options["meta"] = {**meta, "notes": [*meta.get("notes", []), f"{log.file.name}: {ITEM_NO_LABEL}"]}
    return corpus_of_log(
        passages, None if is_clicks else log, log if is_clicks else None, name=f"{name} {log.stem}", **options
    )


def check_of_log(items: int | None) -> None:
    """Raise if a number of items is given where a log asks."""
    if items is not None:
        raise ArgumentError("items", "is for parts of texts that ask; a log asks for what it names")


def _documents(
    source: str | Path | Corpus, options: dict[str, Any], left_out: LeftOut
) -> tuple[Iterator[Document], str, dict[str, Any]]:
    """The texts of a collection, its name, and the facts about it that hold for what is made of it."""
    if isinstance(source, Corpus):
        return _passages(source), source.name, _facts(source)
    path = Path(source)
    if path.is_file() and is_table(path):
        table = read_table(path)
        names = set(table.names)
        if is_wide(table) or ("text" in names and "side" not in names and not {"query", "passage"} <= names):
            lang = str(options.get("lang", ""))
            return documents_of(table, lang=lang, left_out=left_out), table.stem, {"source": str(source)}
    # A folder that `Corpus.save` wrote has a passages.parquet too.
    if not is_corpus_folder(path) and (table_of_folder := only_passages(path)) is not None:
        lang = str(options.get("lang", ""))
        return (
            documents_of(table_of_folder, lang=lang, left_out=left_out),
            path.resolve().name,
            {"source": str(source)},
        )
    corpus = open_corpus(str(source), **options)
    return _passages(corpus), corpus.name, _facts(corpus)


def _passages(corpus: Corpus) -> Iterator[Document]:
    if corpus.is_images("passages"):
        raise CorpusError(f"{corpus.name}: its passages are pictures, and texts are needed")
    if LABELS in corpus.meta and str(corpus.meta[LABELS]).startswith("known items"):
        raise CorpusError(f"{corpus.name}: is made of known items already; make them from the collection itself")
    names = [name for name in (*ROW_COLUMNS, OWN_ID) if name in corpus.passages.column_names]
    for batch in corpus.passages.select(names).to_batches(max_chunksize=4096):
        for row in batch.to_pylist():
            yield Document(row["item"], row["lang"], row["text"], "", row["group"], row.get(OWN_ID) or "", 0)


def _facts(corpus: Corpus) -> dict[str, Any]:
    kept = ("source", "licence", "machine_made", "evaluation_only")
    return {"source": corpus.name, **{key: corpus.meta[key] for key in kept if key in corpus.meta}}


__all__ = ["ask", "ask_log", "check_of_log"]
