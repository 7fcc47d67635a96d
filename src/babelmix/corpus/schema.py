"""The tables of a corpus: their columns, their Arrow schemas, and the checks of their rows.

A corpus has five Arrow tables:

- `queries` and `passages`: a row for each text or picture, with the columns `ROW_COLUMNS` (and `IMAGE_COLUMNS`);
- `qrels`: pairs of a query item and a passage item that is relevant to it, with a `grade`;
- `negatives` and `excluded`: further pairs of items, which may be missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from babelmix.corpus.images import IMAGE_TYPE, picture_keys
from babelmix.corpus.languages import IMAGE, canonical_language, check_language_tags
from babelmix.errors import CorpusError

ROW_COLUMNS = ("item", "lang", "text", "group")
"""The columns of a side (queries or passages)."""

IMAGE_COLUMNS = ("image", "digest")
"""The columns that a side with pictures has besides `ROW_COLUMNS`."""

OWN_ID = "id"
"""The column of a side that has other ids of its rows, such as those of a search engine. It may be missing."""

QREL_COLUMNS = ("query_item", "passage_item")
"""The columns of every table of pairs."""

GRADE = "grade"
"""The column of qrels that says how relevant a passage is."""

REQUIRED = ("queries", "passages", "qrels")
"""The tables that every corpus has."""

OPTIONAL = ("negatives", "excluded")
"""The tables of pairs that may be missing."""

ROW_SCHEMA = pa.schema([(name, pa.large_string()) for name in ROW_COLUMNS])
PICTURE_SCHEMA = pa.schema([*ROW_SCHEMA, ("image", IMAGE_TYPE), ("digest", pa.large_string())])
QREL_SCHEMA = pa.schema([*((name, pa.large_string()) for name in QREL_COLUMNS), (GRADE, pa.int32())])
PAIR_SCHEMA = pa.schema([(name, pa.large_string()) for name in QREL_COLUMNS])

ROWS_AT_ONCE = 1 << 16
"""Rows that are copied at once when a column is checked or hashed. This bounds the memory."""


def as_table(given: Any, name: str) -> pa.Table:
    """Convert an argument to an Arrow table: a polars `DataFrame`, or another table that Arrow can read.

    Raises:
        CorpusError: the argument is no table.

    """
    if isinstance(given, pa.Table):
        return given
    if isinstance(given, pl.DataFrame):
        return given.to_arrow()
    if hasattr(given, "__arrow_c_stream__"):
        return pa.table(given)
    raise CorpusError(f"{name}: give an Arrow table or a DataFrame, not {type(given).__name__}")


def rows_table(table: pa.Table, side: str) -> pa.Table:
    """Check the rows of `queries` or `passages` and cast them to the schema.

    Args:
        table: the rows.
        side: `queries` or `passages`, for messages.

    Raises:
        CorpusError: a column is missing, a cell is empty, or a language tag is unknown.

    """
    table = as_table(table, side)
    missing = [name for name in ROW_COLUMNS if name not in table.column_names]
    if missing:
        raise CorpusError(f"{side}: column {missing[0]!r} is missing; there are {', '.join(table.column_names)}")
    pictures = "image" in table.column_names and table["image"].null_count < table.num_rows
    ids = table[OWN_ID].cast(pa.large_string()) if OWN_ID in table.column_names else None
    table = _with_digests(table, side) if pictures else table.select(list(ROW_COLUMNS)).cast(ROW_SCHEMA)
    for name in ROW_COLUMNS:
        for start, part in parts_of(table[name]):
            empty = pc.is_null(part)
            if name == "text":
                empty = pc.or_(empty, pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(part)), 0))
                empty = pc.fill_null(empty, True)
                if pictures:
                    empty = pc.and_(empty, pc.is_null(table["image"].slice(start, len(part))))
            if pc.any(empty, min_count=0).as_py():
                row = start + int(pc.index(empty, True).as_py())
                raise CorpusError(f"{side}, row {row + 1}, column {name!r}: is empty; leave the row out instead")
    _check_languages_of_pictures(table, side, pictures)
    check_language_tags(pc.unique(table["lang"]).to_pylist(), f"{side}, column 'lang'")
    if ids is None or ids.null_count == len(ids):
        return table
    again = pl.Series(pl.from_arrow(ids)).drop_nulls()
    if again.n_unique() < len(again):
        name = again.filter(again.is_duplicated())[0]
        raise CorpusError(f"{side}, column {OWN_ID!r}: two rows have the id {name!r}; give each row its own, or none")
    return table.append_column(OWN_ID, ids)


def _with_digests(table: pa.Table, side: str) -> pa.Table:
    """A side with pictures. A missing column `digest` is computed."""
    if "digest" not in table.column_names:
        table = table.append_column("digest", pa.array(picture_keys(table["image"], side), pa.large_string()))
    return table.select([*ROW_COLUMNS, *IMAGE_COLUMNS]).cast(PICTURE_SCHEMA)


def canonical_rows(table: pa.Table, read_as: dict[str, dict[str, Any]]) -> pa.Table:
    """Replace each language tag by its canonical form. `read_as` counts the rows that changed, by their old tag."""
    counts = pc.value_counts(table["lang"].combine_chunks()).to_pylist() if table.num_rows else []
    for tag, rows in ((one["values"], one["counts"]) for one in counts):
        if (other := canonical_language(tag)) != tag:
            entry = read_as.setdefault(tag, {"as": other, "rows": 0})
            entry["rows"] += rows
    changes = {one["values"]: canonical_language(one["values"]) for one in counts}
    if all(tag == other for tag, other in changes.items()):
        return table
    lang = pl.Series(pl.from_arrow(table["lang"])).replace(changes).to_arrow()
    return table.set_column(table.column_names.index("lang"), "lang", lang.cast(pa.large_string()))


def _check_languages_of_pictures(table: pa.Table, side: str, pictures: bool) -> None:
    """Raise unless each row is either a picture, or a text with a language."""
    is_picture = pc.is_valid(table["image"]) if pictures else pa.repeat(False, table.num_rows)
    wrong = pc.not_equal(pc.equal(table["lang"], IMAGE), is_picture)
    both = pc.and_(is_picture, pc.is_valid(table["text"]))
    for bad, what in (
        (wrong, f"a picture's language is {IMAGE!r}, and nothing else has it"),
        (both, "is a picture and a text; make two rows of it"),
    ):
        if pc.any(bad, min_count=0).as_py():
            row = int(pc.index(bad, True).as_py())
            raise CorpusError(f"{side}, row {row + 1}, column 'lang': {table['lang'][row].as_py()!r}, {what}")


def parts_of(column: pa.ChunkedArray) -> Iterator[tuple[int, pa.ChunkedArray]]:
    """Cut a column into parts of `ROWS_AT_ONCE` rows. Yields the number of the first row with each part."""
    for start in range(0, len(column), ROWS_AT_ONCE):
        yield start, column.slice(start, ROWS_AT_ONCE)


def qrels_table(table: pa.Table) -> pa.Table:
    """Check qrels and cast them to the schema. A missing grade is 1.

    Raises:
        CorpusError: a column is missing, a grade is no whole number from 1 on, or a pair is listed twice.

    """
    table = as_table(table, "qrels")
    _check_pair_columns(table, "qrels")
    if GRADE not in table.column_names:
        table = table.append_column(GRADE, pa.array([1] * table.num_rows, pa.int32()))
    try:
        table = table.select([*QREL_COLUMNS, GRADE]).cast(QREL_SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CorpusError(f"qrels: cannot be read as two items and a whole number ({error})") from error
    good = pc.fill_null(pc.greater_equal(table[GRADE], 1), False)
    if not pc.all(good, min_count=0).as_py():
        row = int(pc.index(good, False).as_py())
        raise CorpusError(
            f"qrels, row {row + 1}, column {GRADE!r}: {table[GRADE][row].as_py()} is not a whole number from 1 on; leave out "
            "what is not relevant"
        )
    _check_pairs_differ(table, "qrels")
    return table


def table_of_rows(rows: Iterable[Mapping[str, Any]], side: str) -> pa.Table:
    """A table of `queries` or `passages` from dicts.

    Args:
        rows: dicts with `item`, `lang` and `text`, and perhaps `group` (by default the item), `image` (the bytes of a
            file, or its path) and `id`.
        side: `queries` or `passages`, for messages.

    Raises:
        CorpusError: a row is no dict, has no item, or a value is not a text.

    """
    columns: dict[str, list[Any]] = {name: [] for name in (*ROW_COLUMNS, "image")}
    ids: list[str | None] = []
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise CorpusError(f"{side}, row {number}: is a {type(row).__name__}, not a dict with item, lang and text")
        if "item" not in row:
            raise CorpusError(f"{side}, row {number}, column 'item': is missing")
        for name in ROW_COLUMNS:
            value = row.get(name, row["item"] if name == "group" else None)
            if not isinstance(value, str | None):
                raise CorpusError(f"{side}, row {number}, column {name!r}: holds {value!r}, but a text is needed")
            columns[name].append(value)
        if not isinstance(row.get(OWN_ID), str | None):
            raise CorpusError(f"{side}, row {number}, column {OWN_ID!r}: holds {row[OWN_ID]!r}, but a text is needed")
        ids.append(row.get(OWN_ID))
        picture = row.get("image")
        columns["image"].append(
            {"bytes": picture} if isinstance(picture, bytes) else picture and {"path": str(picture)}
        )
    if any(picture is not None for picture in columns["image"]):
        table = pa.table(columns, schema=PICTURE_SCHEMA.remove(PICTURE_SCHEMA.get_field_index("digest")))
    else:
        table = pa.table({name: columns[name] for name in ROW_COLUMNS}, schema=ROW_SCHEMA)
    known = any(name is not None for name in ids)
    return table.append_column(OWN_ID, pa.array(ids, pa.large_string())) if known else table


def table_of_qrels(pairs: Iterable[tuple[str, str] | tuple[str, str, int]]) -> pa.Table:
    """A table of qrels from tuples `(query_item, passage_item)` or `(query_item, passage_item, grade)`.

    Raises:
        CorpusError: an element is not such a tuple, or has values of other types.

    """
    listed = list(pairs)
    for number, pair in enumerate(listed, 1):
        if isinstance(pair, str) or len(pair) not in (2, 3):
            raise CorpusError(
                f"qrels, row {number}: {pair!r} is not a pair of a query's and a passage's item, with or without a grade"
            )
    columns = {
        "query_item": [pair[0] for pair in listed],
        "passage_item": [pair[1] for pair in listed],
        GRADE: [pair[2] if len(pair) > 2 else 1 for pair in listed],
    }
    try:
        return pa.table(columns, schema=QREL_SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise CorpusError(f"qrels: cannot be read as two items and a whole number ({error})") from error


def pairs_table(pairs: Iterable[tuple[str, str]]) -> pa.Table:
    """A table of `negatives` or `excluded` from pairs of a query item and a passage item."""
    listed = list(pairs)
    return pa.table(
        {column: [pair[i] for pair in listed] for i, column in enumerate(QREL_COLUMNS)}, schema=PAIR_SCHEMA
    )


def optional_pairs_table(table: pa.Table | None, name: str, qrels: pa.Table) -> pa.Table:
    """Check `negatives` or `excluded` and cast them to the schema.

    Args:
        table: the pairs. None gives an empty table.
        name: `negatives` or `excluded`, for messages.
        qrels: the relevant pairs, none of which may be in the table.

    Raises:
        CorpusError: a column is missing, a pair is listed twice, or a pair is relevant.

    """
    if table is None:
        return PAIR_SCHEMA.empty_table()
    table = as_table(table, name)
    _check_pair_columns(table, name)
    try:
        table = table.select(list(QREL_COLUMNS)).cast(PAIR_SCHEMA)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise CorpusError(f"{name}: cannot be read as two items ({error})") from error
    _check_pairs_differ(table, name)
    if not table.num_rows:
        return table
    frame = pl.DataFrame(pl.from_arrow(table)).with_row_index("row")
    both = frame.join(pl.DataFrame(pl.from_arrow(qrels)), on=QREL_COLUMNS, how="semi").sort("row")
    if both.height:
        row, query, passage = both.row(0)
        raise CorpusError(
            f"{name}, row {row + 1}: the pair {query!r}, {passage!r} is also in qrels; a passage is relevant to a "
            "query or it is not, so leave one of the two out"
        )
    return table


def _check_pair_columns(table: pa.Table, name: str) -> None:
    missing = [column for column in QREL_COLUMNS if column not in table.column_names]
    if missing:
        raise CorpusError(f"{name}: column {missing[0]!r} is missing; there are {', '.join(table.column_names)}")


def _check_pairs_differ(table: pa.Table, name: str) -> None:
    unique = table.group_by(list(QREL_COLUMNS), use_threads=False).aggregate([])
    if unique.num_rows != table.num_rows:
        frame = pl.DataFrame(pl.from_arrow(table))
        row = int(frame.select(QREL_COLUMNS).is_duplicated().arg_true()[0])
        pair = frame.row(row)
        raise CorpusError(f"{name}, row {row + 1}: the pair {pair[0]!r}, {pair[1]!r} is listed more than once")
