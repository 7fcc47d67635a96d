"""Qrels from a file, in the form of TREC or BEIR, for a corpus that is there already.

A line has the columns query id, passage id and score (BEIR), or the four columns of TREC: query id, iteration, passage id, score.
They are separated by tabs or blanks; a header is optional. A score of 0 or less means not relevant, and higher scores are grades.
Ids are those of rows, see `babelmix.corpus.row_ids`. Relevance is between items: if translations of a pair have different scores,
the highest counts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import polars as pl

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._qrels import HEADS, grade_of, qrel_cells
from babelmix.corpus.row_ids import row_ids, rows_of_ids
from babelmix.corpus.schema import GRADE, QREL_COLUMNS
from babelmix.errors import ReaderError


def with_qrels(corpus: Corpus, file: str | Path) -> Corpus:
    """The corpus with the qrels of a file in place of its own. Hard negatives that are relevant by the new qrels are dropped.

    Judgements of queries or passages that the corpus does not have are left out; `meta["notes"]` ends with a sentence about them.

    Raises:
        ReaderError: the file is missing or malformed, or no judgement is of this corpus, or none is relevant.

    Examples:
        >>> import pathlib, tempfile
        >>> rows = [{"item": item, "lang": "en", "text": item} for item in "ab"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "x.qrels")
        ...     _ = file.write_text("a 0 b 2")
        ...     with_qrels(Corpus.from_rows(rows, rows, []), file).qrels.to_pylist()
        [{'query_item': 'a', 'passage_item': 'b', 'grade': 2}]

    """
    path = Path(file)
    if not path.is_file():
        raise ReaderError("there is no such file", file=path)
    numbers, queries, passages, scores = [], [], [], []
    for number, (query, passage, score) in qrel_cells(path):
        if number == 1 and score.lower() in HEADS:
            continue
        numbers.append(number)
        queries.append(query)
        passages.append(passage)
        scores.append(grade_of(score, path, number))
    frame = pl.DataFrame({
        "number": numbers,
        "query": rows_of_ids(pl.Series(queries, dtype=pl.String), corpus.queries),
        "passage": rows_of_ids(pl.Series(passages, dtype=pl.String), corpus.passages),
        GRADE: pl.Series(scores, dtype=pl.Int32),
    })  # fmt: skip
    strange = frame.filter(pl.col("query").is_null() | pl.col("passage").is_null())
    note = ""
    if strange.height:
        place = numbers.index(strange["number"][0])
        side, name = ("query", queries[place]) if strange["query"][0] is None else ("passage", passages[place])
        ids = row_ids(corpus.queries if side == "query" else corpus.passages)[:1].to_list()
        note = (
            f"{path}: {strange.height:,} of {frame.height:,} judgements are of rows that {corpus.name} does not have, first in "
            f"row {numbers[place]:,}: the {side} {name!r}{f'; its first {side} is {ids[0]!r}' if ids else ''}"
        )
    if strange.height == frame.height:
        raise ReaderError(note.removeprefix(f"{path}: ") or "holds no judgements", file=path)
    kept = frame.drop_nulls().filter(pl.col(GRADE) > 0)
    if not kept.height:
        raise ReaderError(f"holds no relevant pair of {corpus.name}", file=path)
    items = [cast(pl.Series, pl.from_arrow(side["item"])) for side in (corpus.queries, corpus.passages)]
    pairs = kept.select(
        *(items[i].gather(kept[name]).alias(QREL_COLUMNS[i]) for i, name in enumerate(("query", "passage"))), GRADE
    )
    best = pairs.group_by(QREL_COLUMNS, maintain_order=True).agg(pl.col(GRADE).max())
    others = {}
    for name in ("negatives", "excluded"):
        table = pl.DataFrame(pl.from_arrow(getattr(corpus, name)))
        others[name] = table.join(best, on=QREL_COLUMNS, how="anti", maintain_order="left").to_arrow()
    notes = [*corpus.meta.get("notes", []), *([note] if note else [])]
    meta = {**corpus.meta, "qrels": str(path), **({"notes": notes} if notes else {})}
    return replace(corpus, qrels=best.to_arrow(), meta=meta, **others)


__all__ = ["with_qrels"]
