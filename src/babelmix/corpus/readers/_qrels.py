"""The lines of a file of qrels, in the form of TREC or BEIR."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from babelmix.corpus.readers._records import text_lines
from babelmix.errors import ReaderError

HEADS = ("score", "relevance", "rel", "label", "grade")
"""The names of the column of scores in a header."""


def qrel_cells(file: Path) -> Iterator[tuple[int, tuple[str, str, str]]]:
    """Yield the number, and the query id, passage id and score, of each line of a file of qrels.

    Raises:
        ReaderError: a line has another number of columns.

    """
    for number, line in enumerate(text_lines(file), 1):
        if not line.strip():
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        if len(cells) == 4:  # TREC's: query, iteration, document, relevance
            del cells[1]
        if len(cells) != 3:
            raise ReaderError(f"has {len(cells)} columns, not query-id, corpus-id, score", file=file, row=number)
        yield number, (cells[0], cells[1], cells[2].strip())


def grade_of(score: str, file: Path, row: int) -> int:
    """The score of a judgement.

    Raises:
        ReaderError: it is no whole number.

    """
    try:
        value = float(score)
    except ValueError:
        raise ReaderError(f"{score!r} is not a number", file=file, row=row, field="score") from None
    if not (value.is_integer() and abs(value) < 2**31):
        raise ReaderError(f"{score!r} is not a whole number", file=file, row=row, field="score")
    return int(value)


__all__ = ["HEADS", "grade_of", "qrel_cells"]
