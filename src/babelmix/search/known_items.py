"""An index as a collection without queries: its texts ask for themselves, as the index stores them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from babelmix.corpus import Corpus
from babelmix.corpus.asking import ask_log, check_of_log
from babelmix.corpus.known_items import ASKS, known_items
from babelmix.corpus.openings import TITLES
from babelmix.corpus.query_logs import read_log
from babelmix.corpus.readers._documents import Document
from babelmix.errors import ArgumentError, CorpusError
from babelmix.search.engines.opening import foreign_engine
from babelmix.search.foreign.engine import ForeignEngine
from babelmix.search.index import Index
from babelmix.search.rows import Where

_AT_ONCE = 64
"""Items that are read at once."""


def documents_of_index(index: Index | ForeignEngine) -> Iterator[Document]:
    """Yield the texts of an index, or of someone else's collection.

    The title is the column that the address of a collection names, or a metadata column `title` or `heading`, if there is one.
    """
    title = _title_of(index)
    if isinstance(index, ForeignEngine):
        for row in sorted(index.rows(texts=True), key=lambda row: (row.item, row.id)):
            if row.text:
                lang = index.tag(row.id, row.lang)
                # A log of clicks names rows by their ids.
                own = row.id if row.id != row.item else ""
                yield Document(row.item, lang, row.text, str(row.fields.get(title, "")), row.item, own, 0)
        return
    items = iter(sorted(index.items()))
    # Every row has the dot product 0 with this vector, so that all rows of the items are found.
    nothing = np.zeros((1, index.about.dimension), dtype=np.float32)
    while some := list(islice(items, _AT_ONCE)):
        count = len(index.engine.digests(some))
        for hit in index.engine.nearest(nothing, [Where(None, {"item": tuple(some)})], count, exact=True)[0]:
            if hit.text is not None:
                yield Document(hit.item, hit.lang, hit.text, str(hit.fields.get(title, "")), hit.group, "", 0)


def corpus_at(
    address: str,
    queries_from: str | Path = "auto",
    *,
    items: int | None = None,
    langs: str | Sequence[str] | None = None,
    **of_log: Any,
) -> Corpus:
    """Make a corpus of the rows of an index, or of someone else's collection, as `corpus_of_index` does.

    Raises:
        SearchError: there is no such index.

    """
    kind = foreign_engine(address)
    with Index.open(address) if kind is None else closing(kind.open(address)) as found:
        return corpus_of_index(found, queries_from, items=items, langs=langs, **of_log)


def corpus_of_index(
    index: Index | ForeignEngine,
    queries_from: str | Path = "auto",
    *,
    items: int | None = None,
    langs: str | Sequence[str] | None = None,
    **of_log: Any,
) -> Corpus:
    """Make a corpus whose passages are the rows of an index as it stores them.

    Args:
        index: the index, or the engine of someone else's collection.
        queries_from: `titles` (the column of titles), `headings`, `sentences` or `auto`, or `templates`,
            `cloze` or `mixed`; see `babelmix.corpus.known_items`. A heading or a sentence stays in the text that it asks for,
            because the index holds it.
            Or a file with a log of queries or clicks, see `babelmix.corpus.readers.folder`.
        items: the most items that parts of texts ask for; 0: all; None: 2,000.
        langs: parts of texts in these languages ask; None: in all.
        of_log: with a log: `lang`, `min_clicks` and `grades`, see `babelmix.corpus.readers.folder.corpus_of_log`.

    Raises:
        ArgumentError: `queries_from` is neither a part of texts nor a file, or an argument is for a log only.
        CorpusError: there is no column of titles, no text has what asks, or no query is left.

    """
    if queries_from == "titles" and not _title_of(index):
        raise CorpusError(_no_titles(index))
    documents, name = documents_of_index(index), f"{index.address} known items"
    if isinstance(queries_from, str) and queries_from in ASKS:
        if of_log:
            raise ArgumentError(
                next(iter(of_log)), "is for a log of queries or clicks: the rows of an index have languages"
            )
        return known_items(documents, ask=queries_from, items=items, langs=langs, name=name, keep=True)
    check_of_log(items)
    log = read_log(queries_from)
    return ask_log([replace(one, title="") for one in documents], log, name=index.address, **of_log)


def _title_of(index: Index | ForeignEngine) -> str:
    if isinstance(index, ForeignEngine):
        return index.title
    return next((name for name in TITLES if index.columns.get(name) == "text"), "")


def _no_titles(index: Index | ForeignEngine) -> str:
    names = " or ".join(TITLES)
    if isinstance(index, ForeignEngine):
        advice = f"name the one of the titles in the address:  ?title=COLUMN  (columns: {', '.join(index.titles) or 'none'})"
    else:
        advice = "index documents that have one"
    return f"{index.address}: no column is called {names}; {advice}, or let something else ask:  --queries-from auto"


__all__ = ["corpus_at", "corpus_of_index", "documents_of_index"]
