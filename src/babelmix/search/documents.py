"""Where rows come from: the passages of a corpus, or a file of the user's own documents.

A file of documents is CSV, TSV, JSONL or Parquet with a row a rendering:

| column | |
|---|---|
| `item` (or `id`) | the meaning; rows of one item are renderings of it |
| `lang` | BCP 47; a picture's is `zxx`, or empty |
| `text` | the passage |
| `image` | in place of it a picture: a path from the file's own folder |
| `group` | optional: what belongs together |
| any other | metadata to filter by: texts, numbers, true and false; empty cells are left out, and 00123 is a text |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from babelmix.corpus import IMAGE, Corpus, canonical_language, match_languages, open_corpus
from babelmix.corpus.images import bytes_of, digest_of
from babelmix.corpus.model import READ_AS
from babelmix.corpus.names import FileNames
from babelmix.corpus.readers.table import SUFFIXES, frame_of_parquet
from babelmix.errors import PictureError, ReaderError, SearchError, first_line
from babelmix.search.rows import Row

_BATCH = 4096
_OWN = ("item", "lang", "text", "image", "group")


@dataclass(frozen=True)
class Rows:
    """Rows of a collection, item by item.

    Args:
        name: what to call the collection.
        count: how many rows there are.
        items: gives, each time it is called, the rows of one item after the other.
        corpus: whose passages they are, if any's.
        read_as: rows whose language had another tag, as in a corpus's `meta["languages_read_as"]`.

    """

    name: str
    count: int
    items: Callable[[], Iterator[list[Row]]]
    corpus: Corpus | None = None
    read_as: Mapping[str, Any] = field(default_factory=dict)


def open_rows(source: str, *, langs: str | list[str] | None = None, columns: Mapping[str, str] | None = None) -> Rows:
    """Find the rows of what a person typed: a file of documents, or a corpus, whose passages are taken.

    Args:
        source: a path, or a corpus as in `open_corpus`.
        langs: only these languages, each a range (`en` means en-US too); pictures stay.
        columns: metadata columns that an index has, and their types, which cells of a CSV do not tell.

    Raises:
        ReaderError: there is no such file or corpus, or it is malformed; the message names file, row and column.

    """
    file = Path(source)
    if file.suffix in SUFFIXES and file.is_file():
        frame = _frame(file, columns or {})
        heads = set(frame.columns)
        if {"text", "image"} & heads and "side" not in heads and not {"query", "passage"} <= heads:
            return rows_of_documents(frame, file, langs)
    corpus = open_corpus(source)
    return rows_of_corpus(corpus if langs is None else corpus.only_langs(langs))


def sampled_texts(rows: Rows, count: int) -> dict[str, list[str]]:
    """Texts of each language, in an order that depends on nothing but the texts; the first so many.

    Args:
        rows: of a collection; pictures are passed over.
        count: texts of a language at most.

    """
    if rows.corpus is not None:
        return _sampled(_texts_of(rows.corpus.passages), count)
    return _sampled(((row.lang, row.text) for item in rows.items() for row in item), count)


def sampled_queries(rows: Rows, count: int) -> dict[str, list[str]]:
    """The same of the queries of the corpus whose passages the rows are; of other collections none."""
    return {} if rows.corpus is None else _sampled(_texts_of(rows.corpus.queries), count)


def _texts_of(table: pa.Table) -> Iterator[tuple[str, str | None]]:
    for batch in table.select(["lang", "text"]).to_batches(max_chunksize=_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _sampled(texts: Iterable[tuple[str, str | None]], count: int) -> dict[str, list[str]]:
    drawn: dict[str, list[tuple[str, str]]] = {}
    for lang, text in texts:
        if text is not None:
            # The smallest digests are as good as drawn by lot, and a text that comes twice comes once.
            best = drawn.setdefault(lang, [])
            best.append((digest_of(text.encode("utf-8", "surrogatepass")), text))
            if len(best) > 2 * count:
                drawn[lang] = sorted(set(best))[:count]
    return {lang: [text for _, text in sorted(set(best))[:count]] for lang, best in sorted(drawn.items())}


def rows_of_corpus(corpus: Corpus) -> Rows:
    """The passages of a corpus."""
    table = corpus.passages
    frame = pl.DataFrame(pl.from_arrow(table.select(["item"]))).with_row_index("row")
    order = frame.sort("item", maintain_order=True)

    def items() -> Iterator[list[Row]]:
        for _, part in order.group_by("item", maintain_order=True):
            rows = []
            for number in part["row"]:
                cells = table.slice(number, 1).to_pylist()[0]
                try:
                    image = bytes_of(cells["image"]) if cells.get("image") is not None else None
                    rows.append(Row(cells["item"], cells["lang"], cells["text"], image, cells["group"]))
                except PictureError as error:
                    raise ReaderError(str(error), file=corpus.name, row=number + 1, field="image") from error
                except SearchError as error:
                    raise ReaderError(str(error), file=corpus.name, row=number + 1) from error
            yield rows

    return Rows(corpus.name, table.num_rows, items, corpus, corpus.meta.get(READ_AS, {}))


def rows_of_documents(frame: pl.DataFrame, file: Path, langs: str | list[str] | None = None) -> Rows:
    """The rows of a table of documents.

    Args:
        frame: the columns named above.
        file: the file, from whose folder pictures are found, and whose name errors give.
        langs: only these languages, each a range (`en` means en-US too); pictures stay.

    Raises:
        ReaderError: a column is missing, or its values are of a wrong type.

    """
    if "id" in frame.columns and "item" not in frame.columns:
        frame = frame.rename({"id": "item"})
    for name in ("item", "lang"):
        if name not in frame.columns:
            raise ReaderError(f"is missing; there are {', '.join(frame.columns)}", file=file, field=name)
    for name, kind in frame.schema.items():
        if name in _OWN and kind not in (pl.String, pl.Null) and not (name in ("item", "group") and kind.is_integer()):
            raise ReaderError(f"is to hold texts, not {kind}", file=file, field=name)
        if name not in _OWN and not (kind in (pl.String, pl.Boolean, pl.Null) or kind.is_numeric()):
            raise ReaderError(f"is to hold texts, numbers, true or false, not {kind}", file=file, field=name)
    first = 2 if file.suffix in (".csv", ".tsv") else 1
    number = "row"
    while number in frame.columns:
        number += "_"
    frame = frame.with_columns(pl.col("item").cast(pl.String)).with_row_index(number, offset=first)
    if "group" in frame.columns:
        frame = frame.with_columns(pl.col("group").cast(pl.String))
    # An empty cell of a CSV is an empty text.
    frame = frame.with_columns(
        pl.when(pl.col(pl.String).str.len_bytes() == 0).then(None).otherwise(pl.col(pl.String)).name.keep()
    )
    if frame.height == 0:
        raise ReaderError("holds no rows", file=file)
    if langs is not None:
        there = frame["lang"].drop_nulls().unique().sort().to_list()
        wanted = match_languages(langs, there, str(file), ReaderError)
        is_picture = pl.col("lang").is_null() | (pl.col("lang") == IMAGE)
        frame = frame.filter(pl.col("lang").is_in(wanted) | is_picture)
    frame = frame.sort("item", maintain_order=True)
    pictures = FileNames(file.parent)

    def items() -> Iterator[list[Row]]:
        for _, part in frame.group_by("item", maintain_order=True):
            yield [_row(cells.pop(number), cells, file, pictures) for cells in part.iter_rows(named=True)]

    tags = frame["lang"].drop_nulls().value_counts().sort("lang").iter_rows()
    read_as = {tag: {"as": lang, "rows": rows} for tag, rows in tags if (lang := canonical_language(tag)) != tag}
    return Rows(file.stem, frame.height, items, read_as=read_as)


def _row(number: int, cells: dict[str, Any], file: Path, pictures: FileNames) -> Row:
    own = {name: cells.pop(name, None) for name in _OWN}
    for name in ("item", "lang"):
        if own[name] is None and not (name == "lang" and own["image"] is not None):
            raise ReaderError("is empty", file=file, row=number, field=name)
    try:
        image = bytes_of({"path": str(pictures.find(own["image"]))}) if own["image"] is not None else None
        fields = {name: value for name, value in cells.items() if value is not None}
        return Row(own["item"], own["lang"] or IMAGE, own["text"], image, own["group"] or "", fields)
    except PictureError as error:
        raise ReaderError(str(error), file=file, row=number, field="image") from error
    except SearchError as error:
        raise ReaderError(str(error), file=file, row=number) from error


def _frame(file: Path, columns: Mapping[str, str]) -> pl.DataFrame:
    if file.suffix == ".parquet":
        return frame_of_parquet(file)
    try:
        if file.suffix in (".jsonl", ".ndjson"):
            return pl.read_ndjson(file, infer_schema_length=None)
        separator = "\t" if file.suffix == ".tsv" else ","
        heads = pl.read_csv(file, n_rows=0, separator=separator).columns
        known = {"id", *_OWN, *(name for name, kind in columns.items() if kind == "text")}
        frame = pl.read_csv(
            file,
            separator=separator,
            infer_schema_length=None,
            schema_overrides={name: pl.String for name in heads if name in known},
        )
        if not (numbers := [name for name, kind in frame.schema.items() if kind.is_numeric()]):
            return frame
        # 00123 is a code, not a number.
        written = pl.read_csv(file, separator=separator, columns=numbers, infer_schema=False)
        return frame.with_columns(column for column in written if column.str.contains("^[+-]?0[0-9]").any())
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise ReaderError(f"cannot be read as a table ({first_line(error)})", file=file) from error
