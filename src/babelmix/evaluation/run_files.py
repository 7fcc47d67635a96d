"""Read run files: the ranked lists of a search engine, as TREC runs, CSV, TSV, JSON lines, Parquet or Arrow.

- A TREC run has a line `QUERY Q0 PASSAGE RANK SCORE TAG` for each answer, separated by blanks or tabs. Any file whose suffix is
  not one of the others is read as a TREC run. It may be compressed.
- A table has a row for each answer, with the columns `query` and `passage`, and `score` or `rank` or both (also under the names
  that TREC, BEIR, ranx and PyTerrier use, such as `qid` and `docno`). `query_lang` and `lang` may say the languages.
- JSON lines and Parquet may also have a row for each query: `query` and `answers`, a list of ids, best first. In JSON lines, an
  answer may also be `[ID, SCORE]`, or an object with `id` (or `item` and `lang`) and `score`.

Where there are scores, they decide, as in trec_eval: the highest first, compared as float32; of equal scores the greater passage
id first. Where there are none, the ranks decide; where there are none either, the order of the file.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix.corpus.readers._records import json_lines, text_lines
from babelmix.corpus.readers._tables import Table, is_table, read_table
from babelmix.corpus.readers._unpacking import is_packed, kind_of, opened
from babelmix.errors import ReaderError

QUERY = ("query", "query_id", "query-id", "qid", "q_id", "topic")
"""The names that a column of query ids may have."""

PASSAGE = ("passage", "passage_id", "corpus-id", "corpus_id", "doc", "doc_id", "docid", "docno", "item", "id")
"""The names that a column of passage ids may have."""

ANSWERS = ("answers", "passages", "results", "hits", "docs")
"""The names that a column of lists of answers may have."""

_FIELDS = ("query", "q0", "passage", "rank", "score", "tag")
_TREC = dict(zip(_FIELDS, (pl.String, pl.String, pl.String, pl.Int64, pl.Float64, pl.String), strict=True))


@dataclass(frozen=True, eq=False)
class RunLines:
    """The answers of a run file, in the order of the file.

    Args:
        file: the file.
        query: the id of the query of each answer, strings, shape (answers,).
        passage: the id of each passage, strings, shape (answers,).
        score: float64, shape (answers,); None if the file has no scores.
        rank: int64, shape (answers,); None if the file has no ranks.
        lines: the number of the line or row of each answer; None if they are 1, 2, 3, ...

    """

    file: Path
    query: pl.Series
    passage: pl.Series
    score: npt.NDArray[np.float64] | None
    rank: npt.NDArray[np.int64] | None
    lines: Sequence[int] | None = None

    def line(self, place: int) -> int:
        """The number of the line of an answer, from 1."""
        return place + 1 if self.lines is None else int(self.lines[place])


def read_run(file: str | Path) -> RunLines:
    """Read a run file.

    Raises:
        ReaderError: there is no such file, or it is malformed. The message names the file, the line and the field.

    """
    path = Path(file)
    if not path.is_file():
        raise ReaderError("there is no such file", file=path)
    if not is_table(path):
        return _read_trec(path)
    if kind_of(path) in (".jsonl", ".ndjson"):
        found = _read_flat_json(path)
        return _of_records(path) if found is None else found
    if kind_of(path) == ".parquet":
        found = _read_parquet(path)
        if found is not None:
            return found
    return _of_table(read_table(path))


def _read_trec(file: Path) -> RunLines:
    """Read a TREC run, quickly if it is as most are, or else line by line."""
    frame = _quick_trec(file)
    if frame is None:
        return _slow_trec(file)
    score = frame["score"].to_numpy()
    if not np.isfinite(score).all():
        return _slow_trec(file)
    return RunLines(file, frame["query"], frame["passage"], score, frame["rank"].to_numpy())


def _quick_trec(file: Path) -> pl.DataFrame | None:
    """The columns of a run that has one separator everywhere; None if it has not, or has any error."""
    try:
        source: Any = file
        if is_packed(file):
            with opened(file) as lines:
                source = lines.read()
        with file.open("rb") if not is_packed(file) else io.BytesIO(source) as lines:
            first = lines.readline()
        frame = pl.read_csv(
            source, has_header=False, separator="\t" if b"\t" in first else " ", quote_char=None, schema=_TREC,
            truncate_ragged_lines=False,
        )  # fmt: skip
    except Exception:  # polars raises many types; the slow way names the line
        return None
    if frame.height == 0 or any(frame.null_count().row(0)):
        return None
    # A blank at the end of a line, or an NUL, is for the slow way.
    return frame


def _slow_trec(file: Path) -> RunLines:
    query: list[str] = []
    passage: list[str] = []
    rank: list[int] = []
    score: list[float] = []
    numbers: list[int] = []
    for number, line in enumerate(text_lines(file), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != len(_FIELDS):
            raise ReaderError(
                f"has {len(cells)} fields, not {len(_FIELDS)}: QUERY Q0 PASSAGE RANK SCORE TAG; a table needs one of the "
                "suffixes .csv, .tsv, .jsonl, .parquet and .arrow",
                file=file, row=number,
            )  # fmt: skip
        query.append(cells[0])
        passage.append(cells[2])
        rank.append(int(_number(cells[3], file, number, "rank", whole=True)))
        score.append(_number(cells[4], file, number, "score"))
        numbers.append(number)
    if not query:
        raise ReaderError("holds no answers", file=file)
    return RunLines(
        file, pl.Series(query, dtype=pl.String), pl.Series(passage, dtype=pl.String), np.array(score),
        np.array(rank, dtype=np.int64), numbers,
    )  # fmt: skip


def _number(cell: Any, file: Path, row: int, name: str, *, whole: bool = False) -> float:
    try:
        value = float("nan") if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value) or (whole and not value.is_integer()):
        raise ReaderError(
            f"holds {cell!r}, but a {'whole' if whole else 'finite'} number is needed", file=file, row=row, field=name
        )
    return value


def _name_in(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in names), None)


def _needed(names: Sequence[str], wanted: Sequence[str], file: Path) -> str:
    if (found := _name_in(names, wanted)) is None:
        raise ReaderError(
            f"is missing; the columns are {', '.join(names)}, and this one may be called {', '.join(wanted)}",
            file=file, field=wanted[0],
        )  # fmt: skip
    return found


def _read_parquet(file: Path) -> RunLines | None:
    """A Parquet file with a list of ids for each query; None if it has no such column."""
    try:
        schema = pl.read_parquet_schema(file)
        answers = _name_in(list(schema), ANSWERS)
        if answers is None or schema[answers] != pl.List(pl.String):
            return None
        frame = pl.read_parquet(file)
    except Exception:  # the usual way names the error
        return None
    query = _needed(frame.columns, QUERY, file)
    frame = frame.with_row_index("row", offset=1)
    if frame[query].has_nulls() or frame[answers].has_nulls():
        row = frame.filter(pl.col(query).is_null() | pl.col(answers).is_null())["row"][0]
        raise ReaderError("is empty", file=file, row=row, field=query)
    frame = frame.explode(answers, empty_as_null=False)
    return RunLines(
        file, _id(frame[query].cast(pl.String), _text(frame, "query_lang")), frame[answers], None, None,
        frame["row"].to_list(),
    )  # fmt: skip


def _text(frame: pl.DataFrame, name: str) -> pl.Series | None:
    return frame[name].cast(pl.String) if name in frame.columns else None


def _id(name: pl.Series, lang: pl.Series | None) -> pl.Series:
    """The ids of rows that are named by an item and a language."""
    if lang is None:
        return name
    return pl.DataFrame({"name": name, "lang": lang}).select(pl.concat_str("name", pl.lit("/"), "lang"))["name"]


def _read_flat_json(file: Path) -> RunLines | None:
    """JSON lines with a record for each answer, read by polars; None if they are not so, or have any error."""
    if is_packed(file):
        return None
    try:
        frame = pl.read_ndjson(file)
    except Exception:  # the slow way names the line
        return None
    query, passage = _name_in(frame.columns, QUERY), _name_in(frame.columns, PASSAGE)
    plain = [query, passage, *(name for name in ("query_lang", "lang") if name in frame.columns)]
    numbers = [name for name in ("score", "rank") if name in frame.columns]
    if query is None or passage is None or _name_in(frame.columns, ANSWERS) is not None:
        return None
    if any(frame[name].dtype != pl.String or frame[name].has_nulls() for name in plain if name is not None):
        return None
    if any(not frame[name].dtype.is_numeric() or frame[name].has_nulls() for name in numbers):
        return None
    if "rank" in frame.columns and not frame["rank"].dtype.is_integer():
        return None
    score = frame["score"].cast(pl.Float64).to_numpy() if "score" in frame.columns else None
    with file.open("rb") as lines:
        blank = frame.height != sum(1 for _ in lines)
    if blank or (score is not None and not np.isfinite(score).all()):
        return None
    rank = frame["rank"].cast(pl.Int64).to_numpy() if "rank" in frame.columns else None
    return RunLines(
        file, _id(frame[query], _text(frame, "query_lang")), _id(frame[passage], _text(frame, "lang")), score, rank
    )


def _of_records(file: Path) -> RunLines:
    """JSON lines of any accepted form, record by record."""
    query: list[str] = []
    passage: list[str] = []
    score: list[float | None] = []
    rank: list[float | None] = []
    numbers: list[int] = []
    for number, record in json_lines(text_lines(file), file):
        names = list(record)
        asked = _named(record, _needed(names, QUERY, file), "query_lang", file, number)
        listed = _name_in(names, ANSWERS)
        answers: list[Any] = [record] if listed is None else record[listed]
        if not isinstance(answers, list):
            raise ReaderError("is no list of answers", file=file, row=number, field=listed)
        for answer in answers:
            name, value, place = _answer(answer, file, number, listed)
            query.append(asked)
            passage.append(name)
            score.append(value)
            rank.append(place)
            numbers.append(number)
    if not query:
        raise ReaderError("holds no answers", file=file)
    return RunLines(
        file, pl.Series(query, dtype=pl.String), pl.Series(passage, dtype=pl.String), _complete(score, file, numbers, "score"),
        None if (places := _complete(rank, file, numbers, "rank")) is None else places.astype(np.int64), numbers,
    )  # fmt: skip


def _answer(answer: Any, file: Path, row: int, listed: str | None) -> tuple[str, float | None, float | None]:
    """The id, the score and the rank of an answer of JSON lines."""
    if isinstance(answer, list) and len(answer) == 2 and listed is not None:
        return _as_id(answer[0], file, row, listed), _number(answer[1], file, row, listed), None
    if not isinstance(answer, dict):
        return _as_id(answer, file, row, listed or "passage"), None, None
    name = _named(answer, _needed(list(answer), PASSAGE, file), "lang", file, row)
    value = answer.get("score")
    place = answer.get("rank")
    return (
        name,
        None if value is None else _number(value, file, row, "score"),
        None if place is None else _number(place, file, row, "rank", whole=True),
    )


def _named(record: dict[str, Any], name: str, lang: str, file: Path, row: int) -> str:
    found = _as_id(record[name], file, row, name)
    return found if record.get(lang) is None else f"{found}/{_as_id(record[lang], file, row, lang)}"


def _as_id(value: Any, file: Path, row: int, name: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value:
        raise ReaderError(f"holds {value!r}, but an id is needed", file=file, row=row, field=name)
    return value


def _complete(
    values: Sequence[float | None], file: Path, numbers: Sequence[int], name: str
) -> npt.NDArray[np.float64] | None:
    """Numbers of all answers or of none."""
    if all(value is None for value in values):
        return None
    if None in values:
        raise ReaderError(
            "is missing here, but not elsewhere; give it for each answer or for none",
            file=file, row=numbers[values.index(None)], field=name,
        )  # fmt: skip
    return np.array(values, dtype=np.float64)


def _of_table(table: Table) -> RunLines:
    """A CSV, TSV, Parquet or Arrow table with a row for each answer."""
    file, names = table.file, table.names
    query, passage = (_needed(names, wanted, file) for wanted in (QUERY, PASSAGE))
    texts = {name: table.texts(name) for name in (query, passage, "query_lang", "lang") if name in names}
    for name in (query, passage):
        if texts[name].has_nulls():
            raise table.error("is empty", int(texts[name].is_null().arg_true()[0]), name)
    if not len(texts[query]):
        raise ReaderError("holds no answers", file=file)
    numbers: dict[str, npt.NDArray[np.float64] | None] = {"score": None, "rank": None}
    for name in numbers:
        if name in names:
            cells = zip(table.lines, table.cells(name), strict=True)
            numbers[name] = np.array([_number(cell, file, row, name, whole=name == "rank") for row, cell in cells])
    rank = numbers["rank"]
    return RunLines(
        file, _id(texts[query], texts.get("query_lang")), _id(texts[passage], texts.get("lang")), numbers["score"],
        None if rank is None else rank.astype(np.int64), table.lines,
    )  # fmt: skip


__all__ = ["RunLines", "read_run"]
