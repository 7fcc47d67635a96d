"""Build a corpus from rows that are added one by one, also for pools of millions of passages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from babelmix.corpus.model import Corpus
from babelmix.corpus.schema import GRADE, OWN_ID, QREL_COLUMNS, QREL_SCHEMA, ROW_COLUMNS, ROW_SCHEMA, pairs_table
from babelmix.errors import CorpusError, ReaderError

BATCH = 50_000


class SideBuilder:
    """Collects the rows of one side of a corpus. At most `BATCH` rows are Python objects; the rest are Arrow."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._columns: tuple[list[str], ...] = tuple([] for _ in ROW_COLUMNS)
        self._ids: list[pa.Array] = []
        self._open: list[str | None] = []
        self._apart = False

    def add(self, item: str, lang: str, text: str, group: str, name: str | None = None) -> None:
        """Add a row. `name` is its id in the source, by which others name it; None: it has none."""
        self._open.append(name)
        self._apart = self._apart or name not in (None, item)
        for column, cell in zip(self._columns, (item, lang, text, group), strict=True):
            column.append(cell)
        if len(self._columns[0]) >= BATCH:
            self._close()

    def _close(self) -> None:
        arrays = [pa.array(column, pa.large_string()) for column in self._columns]
        self._batches.append(pa.RecordBatch.from_arrays(arrays, schema=ROW_SCHEMA))
        for column in self._columns:
            column.clear()
        self._ids.append(pa.array(self._open, pa.large_string()))
        self._open.clear()

    def table(self) -> pa.Table:
        """All rows added so far, as an Arrow table."""
        self._close()
        table = pa.Table.from_batches(self._batches, schema=ROW_SCHEMA)
        return table.append_column(OWN_ID, pa.chunked_array(self._ids)) if self._apart else table


def corpus_from_tables(
    queries: pa.Table,
    passages: pa.Table,
    qrels: Mapping[tuple[str, str], int],
    negatives: Iterable[tuple[str, str]],
    *,
    name: str,
    meta: Mapping[str, Any],
    file: str | Path,
    excluded: Iterable[tuple[str, str]] = (),
) -> Corpus:
    """Build a corpus. An error names the source.

    Args:
        queries: the queries, from `SideBuilder.table`.
        passages: the passages, from `SideBuilder.table`.
        qrels: the grade of each relevant pair of a query item and a passage item.
        negatives: pairs that are not relevant, without repeats.
        name: the name of the corpus.
        meta: facts about the source.
        file: the name of the source in errors.
        excluded: pairs whose passage is no candidate for the query, without repeats.

    Raises:
        ReaderError: the rows or pairs break the data model, or no pair is relevant.

    """
    if not qrels:
        counted = ", ".join(f"{what}: {number:,}" for what, number in meta.get("left_out", {}).items())
        raise ReaderError(f"holds no relevant pair{f' (left out: {counted})' if counted else ''}", file=file)
    columns = {column: [pair[i] for pair in qrels] for i, column in enumerate(QREL_COLUMNS)}
    try:
        return Corpus(
            queries, passages, pa.table({**columns, GRADE: list(qrels.values())}, schema=QREL_SCHEMA),
            name, dict(meta), pairs_table(negatives), pairs_table(excluded),
        )  # fmt: skip
    except CorpusError as error:
        raise ReaderError(str(error), file=file) from error
