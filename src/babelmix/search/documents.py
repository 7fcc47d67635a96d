"""The rows to index: the passages of a corpus, or a file of documents.

A file of documents is CSV, TSV, JSONL, Parquet or Arrow. Each row is one rendering of an item: the item in one language, or as
a picture.

| column | |
|---|---|
| `item` (or `id`) | the name of the item; its rows have the same meaning |
| `lang` | BCP 47; of a picture `zxx`, or empty |
| `text` | the passage |
| `image` | instead of a text: the path of a picture, relative to the folder of the file |
| `group` | optional: items of one page or article have the same group |
| any other | metadata for filters: texts, numbers, true and false; see `metadata` for the types of CSV cells |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from babelmix._progress import progress_bar
from babelmix.corpus import IMAGE, Corpus, canonical_language, match_languages, open_corpus
from babelmix.corpus.file_names import FileNames
from babelmix.corpus.images import bytes_of, digest_of
from babelmix.corpus.model import READ_AS
from babelmix.corpus.openings import TITLES
from babelmix.corpus.readers._join_columns import join_note
from babelmix.corpus.readers._rows import RowChecks, layout_of, no_column
from babelmix.corpus.readers._tables import Table, is_table, read_table
from babelmix.errors import PictureError, ReaderError, SearchError
from babelmix.search.columns import add_types
from babelmix.search.metadata import metadata_of
from babelmix.search.rows import MAX_ROWS_OF_AN_ITEM, Row, Value, too_many_rows

_BATCH = 4096
_PICTURES = 64
"""Rows of a corpus whose pictures are in memory at the same time."""
_OWN = ("item", "lang", "text", "image", "group")


@dataclass(frozen=True)
class Survey:
    """A summary of the rows of a collection.

    Args:
        columns: the metadata columns and their types.
        has_pictures: whether there are pictures among them.
        longest: the item with the longest text and the bytes of this text; None without texts.

    """

    columns: dict[str, str]
    has_pictures: bool
    longest: tuple[str, int] | None = None


@dataclass(frozen=True)
class RowSource:
    """The rows of a collection, grouped by item.

    Args:
        name: the name of the collection, for messages.
        count: the number of rows.
        items: returns a new iterator over the items; each is the list of its rows.
        corpus: the corpus, if the rows are its passages. None for documents.
        read_as: language tags that were replaced by their canonical form, as in a corpus's `meta["languages_read_as"]`.
        notes: sentences about columns that are left out, or cells that may be meant differently.

    """

    name: str
    count: int
    items: Callable[[], Iterator[list[Row]]]
    corpus: Corpus | None = None
    read_as: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def survey(self) -> Survey:
        """A summary of the rows. The first use reads and checks all rows.

        Raises:
            ReaderError: a row is malformed, or a picture is no file; the message names file and row.
            SearchError: an item has too many rows, or a metadata column has values of several types.

        """
        columns: dict[str, str] = {}
        has_pictures = False
        longest: tuple[str, int] | None = None
        waiting = 0
        with progress_bar("checking", self.count, "rows") as bar:
            for item in self.items():
                if len(item) > MAX_ROWS_OF_AN_ITEM:
                    raise too_many_rows(item[0].item)
                for row in item:
                    add_types(columns, row)
                    has_pictures |= row.image is not None
                    # Most texts are short. Those have at most four bytes a character.
                    if row.text is not None and (longest is None or 4 * len(row.text) > longest[1]):
                        size = len(row.text.encode("utf-8", "replace"))
                        longest = (row.item, size) if longest is None or size > longest[1] else longest
                waiting += len(item)
                if waiting >= _BATCH:
                    bar.advance(waiting)
                    waiting = 0
            bar.advance(waiting)
        return Survey(columns, has_pictures, longest)


def open_rows(
    source: str, *, langs: str | list[str] | None = None, columns: Mapping[str, str] | None = None
) -> RowSource:
    """Open a collection: a file of documents, or the passages of a corpus.

    Args:
        source: a path, or a corpus as in `open_corpus`.
        langs: only these languages, each a range (`en` includes en-US); pictures stay.
        columns: the metadata columns of the index and their types; cells of a CSV are read as these types.

    Raises:
        ReaderError: there is no such file or corpus, or it is malformed; the message names file, row and column.

    """
    file = Path(source)
    if is_table(file) and file.is_file():
        table = read_table(file)
        if layout_of(table) == "documents":
            return rows_of_documents(table, langs, columns)
    corpus = open_corpus(source)
    return rows_of_corpus(corpus if langs is None else corpus.only_langs(langs))


def sampled_texts(rows: RowSource, count: int) -> dict[str, list[str]]:
    """Draw texts of each language. The choice depends on the texts alone, not on their order.

    Args:
        rows: the rows of a collection. Pictures are skipped.
        count: the most texts of a language.

    """
    if rows.corpus is not None:
        return _sampled(_texts_of(rows.corpus.passages), count)
    return _sampled(((row.lang, row.text) for item in rows.items() for row in item), count)


def sampled_queries(rows: RowSource, count: int) -> dict[str, list[str]]:
    """Draw queries of each language from the corpus of the rows. Documents have no queries, so the result is empty."""
    return {} if rows.corpus is None else _sampled(_texts_of(rows.corpus.queries), count)


def sampled_pairs(rows: RowSource, count: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Draw texts that have translations: one of each item and language. The choice depends on the names of the items alone.

    Args:
        rows: the rows of a collection. Pictures, and items in one language only, are skipped.
        count: the most texts of a language.

    Returns:
        The texts by language, and the item of each.

    """
    return _paired(((row.item, row.lang, row.text) for item in rows.items() for row in item), count)


def sampled_query_pairs(rows: RowSource, count: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The same of the queries in the corpus of the rows; empty for documents, which have none."""
    if rows.corpus is None:
        return {}, {}
    table = rows.corpus.queries.select(["item", "lang", "text"])
    return _paired(zip(*(column.to_pylist() for column in table.columns), strict=True), count)


def _paired(
    entries: Iterable[tuple[str, str, str | None]], count: int
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    by_item: dict[str, dict[str, str]] = {}
    for item, lang, text in entries:
        if text is not None:
            by_item.setdefault(item, {}).setdefault(lang, text)
    names = sorted(
        (item for item, some in by_item.items() if len(some) > 1), key=lambda item: digest_of(item.encode())
    )
    texts: dict[str, list[str]] = {}
    items: dict[str, list[str]] = {}
    for item in names:
        for lang, text in by_item[item].items():
            if len(texts.setdefault(lang, [])) < count:
                texts[lang].append(text)
                items.setdefault(lang, []).append(item)
    return dict(sorted(texts.items())), items


def _texts_of(table: pa.Table) -> Iterator[tuple[str, str | None]]:
    for batch in table.select(["lang", "text"]).to_batches(max_chunksize=_BATCH):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _sampled(texts: Iterable[tuple[str, str | None]], count: int) -> dict[str, list[str]]:
    drawn: dict[str, list[tuple[str, str]]] = {}
    for lang, text in texts:
        if text is not None:
            # Texts with the smallest digests are a random sample. A set drops texts that occur twice.
            best = drawn.setdefault(lang, [])
            best.append((digest_of(text.encode("utf-8", "surrogatepass")), text))
            if len(best) > 2 * count:
                drawn[lang] = sorted(set(best))[:count]
    return {lang: [text for _, text in sorted(set(best))[:count]] for lang, best in sorted(drawn.items())}


def rows_of_corpus(corpus: Corpus) -> RowSource:
    """The passages of a corpus."""
    table = corpus.passages
    order = pl.DataFrame(pl.from_arrow(table.select(["item"])))["item"].arg_sort()
    at_once = _PICTURES if corpus.has_images else _BATCH

    def rows() -> Iterator[Row]:
        for start in range(0, len(order), at_once):
            numbers = order[start : start + at_once]
            for number, cells in zip(numbers, table.take(numbers.to_arrow()).to_pylist(), strict=True):
                try:
                    image = bytes_of(cells["image"]) if cells.get("image") is not None else None
                    yield Row(cells["item"], cells["lang"], cells["text"], image, cells["group"])
                except PictureError as error:
                    raise ReaderError(str(error), file=corpus.name, row=number + 1, field="image") from error
                except SearchError as error:
                    raise ReaderError(str(error), file=corpus.name, row=number + 1) from error

    return RowSource(corpus.name, table.num_rows, lambda: _by_item(rows()), corpus, corpus.meta.get(READ_AS, {}))


def rows_of_documents(
    table: Table, langs: str | list[str] | None = None, columns: Mapping[str, str] | None = None
) -> RowSource:
    """The rows of a table of documents.

    Args:
        table: the table, with the columns described in this module. Paths of pictures are relative to the folder of its file.
        langs: only these languages, each a range (`en` includes en-US); pictures stay.
        columns: the metadata columns of the index and their types.

    Raises:
        ReaderError: a column is missing, or a cell is of a wrong type.

    """
    file = table.file
    own = {name: name for name in _OWN if name in table.names}
    if "id" in table.names:
        own.setdefault("item", "id")
    for name in ("item", "lang"):
        if name not in own:
            raise no_column(table, name, table.names)
    others = [name for name in table.names if name not in own.values()]
    fields, notes = metadata_of(table, others, columns or {})
    absent = pl.Series([None] * len(table.lines), dtype=pl.String)
    texts = ((table.texts(own[name]) if name in own else absent).alias(name) for name in _OWN)
    frame = pl.DataFrame([pl.Series("row", table.lines, dtype=pl.Int64), *texts])
    # In these columns an empty text is a missing value.
    frame = frame.with_columns(pl.when(pl.col(pl.String) != "").then(pl.col(pl.String)).name.keep())
    frame = frame.with_columns(column.cells.alias(f"fields.{name}") for name, column in fields.items())
    if frame.height == 0:
        raise ReaderError("has no rows", file=file)
    notes += filter(None, [join_note(table, own["item"], [*others, "group"])])
    if title := next((name for name in TITLES if name in fields), ""):
        notes.append(
            f"{file}, field {title!r}: is kept and shown, not embedded; to search it too, put it in front of text"
        )
    if langs is not None:
        there = frame["lang"].drop_nulls().unique().sort().to_list()
        wanted = match_languages(langs, there, str(file), ReaderError)
        is_picture = pl.col("lang").is_null() | (pl.col("lang") == IMAGE)
        frame = frame.filter(pl.col("lang").is_in(wanted) | is_picture)
    frame = frame.sort("item", maintain_order=True)
    pictures = FileNames(file.parent)
    values = [(name, column.value) for name, column in fields.items()]

    def rows() -> Iterator[Row]:
        checks, last = RowChecks(file), None
        for part in frame.iter_slices(_BATCH):
            for number, item, lang, text, image, group, *cells in part.iter_rows():
                found = {
                    name: cell if value is None else value(cell)
                    for (name, value), cell in zip(values, cells, strict=True)
                    if cell is not None
                }
                if item != last:
                    checks.next_item()
                    last = item
                yield _row(checks, file, number, item, lang, text, image, group, found, pictures)

    tags = frame["lang"].drop_nulls().value_counts().sort("lang").iter_rows()
    read_as = {tag: {"as": lang, "rows": count} for tag, count in tags if (lang := canonical_language(tag)) != tag}
    return RowSource(table.stem, frame.height, lambda: _by_item(rows()), read_as=read_as, notes=(*table.notes, *notes))


def _by_item(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Group rows that are sorted by item."""
    for _, item in groupby(rows, key=lambda row: row.item):
        yield list(item)


def _row(
    checks: RowChecks,
    file: Path,
    number: int,
    item: str | None,
    lang: str | None,
    text: str | None,
    image: str | None,
    group: str | None,
    fields: dict[str, Value],
    pictures: FileNames,
) -> Row:
    name = checks.item(item, number)
    tag = checks.lang(lang, number) if image is None else lang or IMAGE
    if text is not None and image is None:
        checks.text(name, tag, text, number, side="passage", field="text")
    checks.group(name, group or name, number)
    try:
        data = bytes_of({"path": str(pictures.find(image))}) if image is not None else None
        return Row(name, tag, text, data, group or "", fields)
    except PictureError as error:
        raise ReaderError(str(error), file=file, row=number, field="image") from error
    except SearchError as error:
        raise ReaderError(str(error), file=file, row=number) from error
