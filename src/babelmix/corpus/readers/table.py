"""`table`: your own CSV, TSV, JSONL, Parquet or Arrow file, wide or long.

A wide table has one row for each item. Its columns are one of:

- `query_de`, `passage_de`, `query_fr`, `passage_fr`, ...: one query column and one passage column for each language;
- `de`, `fr`, ...: one text for each language, which is both query and passage (parallel sentences);
- `de`, `fr`, ... and `side`, which is `query` or `passage`: two rows for each item.

A long table has one row for each item and language. Its columns are `item`, `lang`, `query` and `passage`, or `item`, `lang`,
`side` and `text`.

`item` (or `id`) identifies the meaning. A wide table without it numbers its rows. If a long table has both, `id` names the row,
for run files and vectors from elsewhere. `group` is optional. An empty cell of a CSV, or a null of another format, means that the
text does not exist in this language. A blank text is an error.

Other columns of a long table are not read. In a wide table, any other column of texts is an error, because its name may be a
misspelt language. Columns of numbers, booleans, lists, objects, dates or categories are not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from babelmix.corpus.languages import check_distinct, is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._join_columns import join_note
from babelmix.corpus.readers._rows import RowChecks, layout_of, no_queries
from babelmix.corpus.readers._tables import Table, read_table
from babelmix.corpus.readers._unpacking import stem_of
from babelmix.errors import CorpusError, ReaderError

_SIDE_COLUMN = re.compile(r"^(query|passage)[_.:](.+)$")
_RESERVED = ("item", "id", "group", "lang", "side", "text", "query", "passage")


def read(path: str) -> Corpus:
    """Read a table from a file.

    Args:
        path: the file.

    Raises:
        ReaderError: the file cannot be read, or breaks the layout above. The message names the file, the row and the column. A
            row's number is the line on which it begins, or for Parquet and Arrow its position, from 1 on.

    """
    return corpus_of(read_table(Path(path)), path)


def corpus_of(table: Table, source: str = "table") -> Corpus:
    """Turn a table into a corpus.

    Args:
        table: the table.
        source: the name of the table in errors and in `meta`.

    Raises:
        ReaderError: the table breaks the layout above.

    """
    layout, frame = layout_of(table), _frame(table)
    if layout == "documents" and "lang" in table.names:
        raise no_queries(table)
    corpus = parse(frame, source, table.lines, table.names)
    notes = [*table.notes]
    if "lang" in table.names:
        item = "item" if "item" in table.names else "id"
        others = [name for name in table.names if name not in _RESERVED or name == "group"]
        notes += filter(None, [join_note(table, item, others)])
    return replace(corpus, meta={**corpus.meta, "notes": notes}) if notes else corpus


def _frame(table: Table) -> pl.DataFrame:
    """The columns that are read, as texts."""
    if "lang" in table.names:
        wanted = [name for name in table.names if name in _RESERVED]
    else:
        wanted = [name for name in table.names if _is_known(name) or table.may_be_texts(name)]
    return pl.DataFrame({name: table.texts(name) for name in wanted})


def _is_known(name: str) -> bool:
    match = _SIDE_COLUMN.match(name)
    return name in _RESERVED or is_language_tag(match.group(2) if match else name)


def parse(frame: pl.DataFrame, file: str, lines: Sequence[int], there: Sequence[str]) -> Corpus:
    """Turn a table of strings into a corpus (a pure function).

    Args:
        frame: the string columns described above.
        file: the name of the source in errors.
        lines: the number of each row in errors.
        there: the columns of the source in errors, with those that are not read.

    Raises:
        ReaderError: the table breaks the layout above.

    """
    if not lines:
        raise ReaderError("has no rows", file=file)
    if "id" in frame.columns and "item" not in frame.columns:
        if any(len(name) == 2 and name != "id" and is_language_tag(name) for name in frame.columns):
            raise ReaderError(
                "may mean the item or Indonesian; rename the column of the item to 'item'", file=file, field="id"
            )
        frame = frame.rename({"id": "item"})
    checks = RowChecks(file)
    long = "lang" in frame.columns
    rows = list(_long_rows(frame, file, lines, checks) if long else _wide_rows(frame, file, lines, checks, there))
    sides: dict[str, list[dict[str, str]]] = {"query": [], "passage": []}
    for number, side, row, column in rows:
        checks.text(row["item"], row["lang"], row["text"], number, side=side, field=column)
        checks.group(row["item"], row["group"], number)
        sides[side].append(row)
    for some in sides.values():
        # Ids that do not tell the rows apart are no ids of rows.
        if len({one.get("id") for one in some}) < len(some):
            for one in some:
                one.pop("id", None)
    items = [{row["item"] for row in sides[side]} for side in ("query", "passage")]
    for this, other, have in (("query", "passage", items[0] - items[1]), ("passage", "query", items[1] - items[0])):
        if have:
            orphan = next(entry for entry in rows if entry[1] == this and entry[2]["item"] in have)
            raise ReaderError(
                f"item {orphan[2]['item']!r} has a {this} but no {other} in any language", file=file, row=orphan[0]
            )
    try:
        return Corpus.from_rows(
            sides["query"], sides["passage"], [(item, item) for item in dict.fromkeys(r["item"] for r in sides["query"])],
            name=stem_of(Path(file)), meta={"source": file, "one_text_per_language": _is_parallel_text(frame)},
        )  # fmt: skip
    except CorpusError as error:
        raise ReaderError(str(error), file=file) from error


def _is_parallel_text(frame: pl.DataFrame) -> bool:
    return (
        "lang" not in frame.columns and "side" not in frame.columns and not any(map(_SIDE_COLUMN.match, frame.columns))
    )


Entry = tuple[int, str, dict[str, str], str]


def _wide_rows(
    frame: pl.DataFrame, file: str, lines: Sequence[int], checks: RowChecks, there: Sequence[str]
) -> Iterator[Entry]:
    columns: list[tuple[str, tuple[str, ...], str]] = []
    unknown: list[str] = []
    for name in frame.columns:
        match = _SIDE_COLUMN.match(name)
        lang = match.group(2) if match else name
        if name in ("item", "group", "side") and not match:
            continue
        if name in _RESERVED and not match:
            raise ReaderError(
                f"names no language; a wide table has columns {name}_<tag> or <tag>, and a long table has a column lang",
                file=file, field=name,
            )  # fmt: skip
        if not is_language_tag(lang):
            unknown.append(name)
            continue
        columns.append((name, (match.group(1),) if match else ("query", "passage"), lang))
    if not columns:
        raise ReaderError(
            "there is no language column: name the columns  item, lang, text  (articles, for which  babelmix data make-queries  "
            "makes queries), or  item, lang, query, passage, or  query_en, passage_en  with language tags such as en and "
            f"pt-BR; the columns are {', '.join(there)}",
            file=file,
        )
    if unknown:
        raise ReaderError(
            "is neither a language tag (de, pt-BR) nor query_<tag> or passage_<tag>; rename the column or remove it",
            file=file, field=unknown[0],
        )  # fmt: skip
    for side in ("query", "passage"):
        of_side = [lang for _, sides, lang in columns if side in sides]
        check_distinct(of_side, f"columns of {side} texts", partial(ReaderError, file=file))
    has_side = "side" in frame.columns
    seen: dict[tuple[str, str], int] = {}
    for place, (number, row) in enumerate(zip(lines, frame.iter_rows(named=True), strict=True), 1):
        item = checks.item(row["item"], number) if "item" in frame.columns else str(place)
        side = _side(row, file, number) if has_side else ""
        if (item, side) in seen:
            raise ReaderError(
                f"{item!r} is already the item of row {seen[item, side]}; an item has one row in a wide file",
                file=file, row=number, field="item",
            )  # fmt: skip
        seen[item, side] = number
        for name, sides, lang in columns:
            if row[name] is None:
                continue
            for one in (side,) if has_side else sides:
                yield number, one, _rendering(item, lang, row[name], row), name


def _long_rows(frame: pl.DataFrame, file: str, lines: Sequence[int], checks: RowChecks) -> Iterator[Entry]:
    by_side = "side" in frame.columns
    for needed in ("item", "side", "text") if by_side else ("item", "query", "passage"):
        if needed not in frame.columns:
            raise ReaderError(f"is missing; the columns are {', '.join(frame.columns)}", file=file, field=needed)
    for number, row in zip(lines, frame.iter_rows(named=True), strict=True):
        item, lang = checks.item(row["item"], number), checks.lang(row["lang"], number)
        texts = {_side(row, file, number): "text"} if by_side else {"query": "query", "passage": "passage"}
        found = {side: column for side, column in texts.items() if row[column] is not None}
        if not found:
            raise ReaderError("has no text", file=file, row=number, field=next(iter(texts.values())))
        for side, column in found.items():
            yield number, side, _rendering(item, lang, row[column], row), column


def _rendering(item: str, lang: str, text: str, row: dict[str, Any]) -> dict[str, str]:
    found = {"item": item, "lang": lang, "text": text, "group": row.get("group") or item}
    return found | {"id": row["id"]} if row.get("id") else found


def _side(row: dict[str, Any], file: str, number: int) -> str:
    if row["side"] not in ("query", "passage"):
        raise ReaderError(f"{row['side']!r} is neither 'query' nor 'passage'", file=file, row=number, field="side")
    return str(row["side"])
