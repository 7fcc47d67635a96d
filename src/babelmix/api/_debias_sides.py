"""Vectors in the order of their file, with the language and the item of each row: what `debias` fits and applies removals on."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix._lists import as_list
from babelmix.corpus import Corpus, canonical_language, is_language_tag, match_languages
from babelmix.corpus.languages import respelled
from babelmix.corpus.readers._tables import read_table
from babelmix.corpus.row_ids import rows_of_ids
from babelmix.errors import ArgumentError, ConfigError, ReaderError, VectorsError
from babelmix.evaluation.systems import Vectors
from babelmix.evaluation.vector_files import Decoded, VectorSource, decoded, open_vectors

Integers = npt.NDArray[np.int64]

_COLUMNAR = (".parquet", ".arrow", ".feather", ".ipc")
"""The suffixes of files that may have the vectors and the languages of their rows in columns."""


@dataclass(frozen=True, eq=False)
class Side:
    """The vectors of one side, in the order of their file.

    Args:
        kind: `query` or `passage`.
        values: float32, shape (rows, dimension), decoded when they are read.
        ids: the ids of the rows, strings, shape (rows,); None: they have none.
        names: the languages.
        lang: the number of each row's language in `names`, -1: unknown, int64, shape (rows,).
        item: the number of what each row says, int64, shape (rows,): rows of one number are translations of each other. None: no
            translations are known.

    """

    kind: str
    values: Decoded
    ids: pl.Series | None
    names: tuple[str, ...]
    lang: Integers
    item: Integers | None

    def __len__(self) -> int:
        return len(self.values)

    def forget(self) -> None:
        """Give back the memory of what was read of a mapped file: it counts as memory of the process until then."""
        source = self.values.source
        # Only files that are opened here: the mapping of a caller may hold changes.
        pages = getattr(source.values, "_mmap", None) if isinstance(source.place, Path) else None
        if pages is not None and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED)

    @property
    def plural(self) -> str:
        """`queries` or `passages`."""
        return "queries" if self.kind == "query" else "passages"

    def langs(self, rows: slice) -> list[str | None]:
        """The languages of some rows."""
        names = [*self.names, None]
        return [names[number] for number in self.lang[rows].tolist()]

    def counts(self) -> dict[str | None, int]:
        """The number of rows of each language that has any; None: of an unknown language."""
        found = np.bincount(self.lang + 1, minlength=len(self.names) + 1).tolist()
        return {name: count for name, count in zip([*self.names, None], [*found[1:], found[0]], strict=True) if count}


def open_sides(
    vectors: Vectors,
    corpus: Corpus | None,
    *,
    queries_langs: str | Path | None = None,
    passages_langs: str | Path | None = None,
) -> tuple[Side | None, Side | None]:
    """Open both sides of vectors; a side without vectors is None.

    Args:
        vectors: the vectors. One of its sides may be None.
        corpus: the corpus whose rows they are; None: languages come from files, or from ids such as `page-7/de`.
        queries_langs: a table with the languages of the queries; see `open_side`.
        passages_langs: the same for the passages.

    Raises:
        VectorsError: a file cannot be read, the language of a passage is unknown, or both sides differ in dimension.
        ConfigError: the vectors are packed bits.

    """
    if vectors.similarity == "hamming":
        raise ConfigError(
            "language is taken out of numbers, not of packed bits; give the vectors that the bits came from"
        )
    if vectors.queries is None and vectors.passages is None:
        raise ArgumentError("vectors", "are missing: give those of the passages, of the queries, or both")
    queries, passages = (
        None if given is None else open_side(given, kind, corpus, ids=ids, scales=scales, langs=langs)
        for given, kind, ids, scales, langs in (
            (vectors.queries, "query", vectors.query_ids, vectors.query_scales, queries_langs),
            (vectors.passages, "passage", vectors.passage_ids, vectors.passage_scales, passages_langs),
        )
    )
    if queries is not None and passages is not None and queries.values.shape[1] != passages.values.shape[1]:
        raise VectorsError(
            f"has {queries.values.shape[1]} values in a vector, but {passages.values.source.place} has "
            f"{passages.values.shape[1]}; both sides need the vectors of one encoder",
            file=queries.values.source.place,
        )
    return queries, passages


def open_side(
    given: Any,
    kind: str,
    corpus: Corpus | None,
    *,
    ids: Any = None,
    scales: Any = None,
    langs: str | Path | None = None,
) -> Side:
    """Open the vectors of one side, and find the language of each row.

    It is in the table `langs` (columns `lang`, and `id`, or `item`, to match rows by; else row n is that of vector n), in the
    corpus, in ids such as `page-7/de`, or in the column `lang` of the file of vectors itself: the first of these that there is.
    The language of a query may be unknown.

    Args:
        given: the vectors, as in `babelmix.evaluation.vector_files.open_vectors`.
        kind: `query` or `passage`.
        corpus: the corpus whose rows they are.
        ids: their ids, or a file of them.
        scales: their scales, or a file of them.
        langs: a table with the languages: CSV, TSV, JSONL, Parquet or Arrow.

    Raises:
        VectorsError: a file cannot be read or does not fit, or the language of a passage is unknown.

    """
    plural = "queries" if kind == "query" else "passages"
    source = open_vectors(given, plural, ids=ids, scales=scales)
    if source.kind == "uint8":
        raise source.error("holds bytes (uint8); give the numbers that they came from: float32, or int8 with scales")
    values = Decoded(source)
    own = Path(given) if isinstance(given, (str, Path)) else None
    if langs is not None:
        tags, item = _of_table(Path(langs), source)
    elif corpus is not None:
        tags, item = _of_corpus(source, corpus, plural)
    elif source.ids is not None and (found := _of_ids(source.ids))[0].null_count() < len(source.ids):
        tags, item = found
    elif own is not None and own.suffix.lower() in _COLUMNAR and "lang" in read_table(own).names:
        tags, item = _of_table(own, source)
    else:
        tags, item = pl.Series([None] * len(values), dtype=pl.String), None
    tags = _canonical(tags)
    if kind == "passage" and tags.has_nulls():
        row = int(cast(int, tags.is_null().arg_max()))
        what = f"the id {source.ids[row]!r} names none" if source.ids is not None else "there are no ids"
        raise source.error(
            f"the language of this passage is unknown ({what}); name the corpus, give ids such as 'page-7/de', or a table with "
            "the columns id and lang",
            row,
        )
    names = tuple(tags.drop_nulls().unique().sort().to_list())
    lang = tags.replace_strict(list(names), list(range(len(names))), default=-1, return_dtype=pl.Int64)
    return Side(kind, values, source.ids, names, lang.to_numpy(), None if item is None else _numbers(item))


def only(side: Side, langs: str | list[str]) -> list[str]:
    """The languages of a side that ranges mean: `en` is en-US too.

    Raises:
        ConfigError: a range means none of them.

    """
    return match_languages(
        as_list(langs, "langs", empty=False), side.names, str(side.values.source.place), ConfigError
    )


def _of_table(file: Path, source: VectorSource) -> tuple[pl.Series, pl.Series | None]:
    try:
        table = read_table(file)
        if "lang" not in table.names:
            raise ReaderError(f"has the columns {', '.join(table.names)}, and no column 'lang'", file=file)
        named = {name: table.texts(name) for name in ("id", "item", "lang") if name in table.names}
    except ReaderError as error:
        raise VectorsError(str(error)) from error
    item = named.get("item")
    if source.ids is not None and "id" in named:
        frame = pl.DataFrame(named).unique("id", keep="first")
        found = pl.DataFrame({"id": source.ids}).join(frame, on="id", how="left", maintain_order="left")
        if found["lang"].has_nulls():
            row = int(cast(int, found["lang"].is_null().arg_max()))
            raise VectorsError(
                f"has no language for the id {source.ids[row]!r} of {source.place}; add its row", file=file
            )
        return found["lang"], found["item"] if item is not None else _of_ids(source.ids)[1]
    if len(named["lang"]) != len(source.values):
        raise VectorsError(
            f"has {len(named['lang']):,} rows, but {source.place} has {len(source.values):,} vectors; without ids, row n is "
            "that of vector n; give both ids",
            file=file,
        )
    return named["lang"], item


def _of_corpus(source: VectorSource, corpus: Corpus, plural: str) -> tuple[pl.Series, pl.Series | None]:
    table = getattr(corpus, plural)
    lang, item = (cast(pl.Series, pl.from_arrow(table[name])).cast(pl.String) for name in ("lang", "item"))
    if source.ids is None:
        # Without ids, vector n is that of row n; this says what is wrong if there are not as many.
        decoded(source, corpus, plural)
        return lang, item
    rows = rows_of_ids(source.ids, table)
    spelled = _of_ids(source.ids)
    tags, items = lang.gather(rows).fill_null(spelled[0]), item.gather(rows).fill_null(spelled[1])
    if tags.has_nulls():
        row = int(cast(int, tags.is_null().arg_max()))
        raise VectorsError(
            f"the id {source.ids[row]!r} is of none of the {plural} of {corpus.name}; an id is an item and a language, such as "
            f"'{item[0]}/{lang[0]}'",
            file=source.ids_place or source.place, row=source.line(row),
        )  # fmt: skip
    return tags, items


def _of_ids(ids: pl.Series) -> tuple[pl.Series, pl.Series]:
    """The languages and items in ids such as `page-7/de` and `page-7/de/2`; null where an id is none."""
    parts = ids.str.extract_groups(r"^(?<item>.*)/(?<lang>[A-Za-z][^/]*)(?:/\d+)?$").struct.unnest()
    tags = [tag for tag in parts["lang"].drop_nulls().unique() if is_language_tag(tag)]
    lang = parts.select(pl.when(pl.col("lang").is_in(tags)).then("lang").alias("lang"))["lang"]
    return lang, parts["item"]


def _canonical(tags: pl.Series) -> pl.Series:
    spelled = {tag: respelled(tag) for tag in tags.drop_nulls().unique()}
    found = {tag: canonical_language(known) for tag, known in spelled.items() if is_language_tag(known)}
    bad = [tag for tag in tags.drop_nulls().unique().sort() if tag not in found]
    if bad:
        raise VectorsError(f"{bad[0]!r} is no language tag; write BCP 47, such as de or pt-BR")
    return tags.replace_strict(found, default=None, return_dtype=pl.String)


def _numbers(item: pl.Series) -> Integers:
    """Numbers of items in the order of their names; an item that is missing has a number of its own."""
    names = item.cast(pl.String)
    whole = pl.select(
        pl.coalesce(names, pl.concat_str(pl.lit("\0"), pl.int_range(len(names)).cast(pl.String)))
    ).to_series()
    return (whole.rank("dense").cast(pl.Int64) - 1).to_numpy()


__all__ = ["Side", "only", "open_side", "open_sides"]
