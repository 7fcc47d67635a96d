"""The data model: queries, passages and qrels in many languages, with items and groups."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from babelmix._lists import as_list
from babelmix.corpus.languages import IMAGE, canonical_language, in_range, match_languages
from babelmix.corpus.schema import (
    GRADE,
    OPTIONAL,
    QREL_COLUMNS,
    REQUIRED,
    canonical_rows,
    optional_pairs_table,
    pairs_table,
    parts_of,
    qrels_table,
    rows_table,
    table_of_qrels,
    table_of_rows,
)
from babelmix.corpus.storage import read_tables, save_tables
from babelmix.errors import CorpusError, ReaderError

COPIES_KEY = "copies"
"""The key of `meta` that counts copies of right answers, see `babelmix.corpus.copies`."""

READ_AS = "languages_read_as"
"""The key of `meta` that counts rows whose language had another tag: `{"eng": {"as": "en", "rows": 12}}`."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """Parallel queries and passages, and which passage answers which query.

    An *item* is a meaning and its rows are renderings of it, usually one per language; several rows per (item, lang)
    and missing languages are both allowed. Relevance is between items: a passage is relevant in every language in
    which it exists.

    Args:
        queries: Arrow table with string columns `item`, `lang` (BCP 47), `text` and `group`. A row that is a picture
            has `lang` `zxx`, no text, and `image`, a struct of `bytes` (an encoded picture) or `path` (of a file), as in
            `datasets.Image`. A column `digest`, by which equal pictures are known, is added where it is missing.
        passages: the same columns.
        qrels: Arrow table with string columns `query_item` and `passage_item`, and optionally `grade`, a whole number
            from 1 on: how relevant the passage is, as in TREC's qrels (1 where the column is missing).
        name: what reports call the corpus.
        meta: JSON-serialisable facts about the source (licence, version, machine-made translations, split).
        negatives: Arrow table with string columns `query_item` and `passage_item`: hard negatives, passages judged or
            mined as not relevant to a query. Given None, it is an empty table.
        excluded: Arrow table with the same columns: passages that are no candidates for a query, such as the query itself
            where it stands in its own pool (BEIR's `ignore_identical_ids`). They are neither right nor wrong. Given None, it
            is an empty table.

    Raises:
        CorpusError: a table breaks the data model; the message names table, row and column.

    """

    queries: pa.Table
    passages: pa.Table
    qrels: pa.Table
    name: str = "corpus"
    meta: Mapping[str, Any] = field(default_factory=dict)
    negatives: pa.Table = None
    excluded: pa.Table = None

    def __post_init__(self) -> None:
        read_as: dict[str, dict[str, Any]] = {}
        object.__setattr__(self, "queries", canonical_rows(rows_table(self.queries, "queries"), read_as))
        object.__setattr__(self, "passages", canonical_rows(rows_table(self.passages, "passages"), read_as))
        if read_as:
            object.__setattr__(self, "meta", {**self.meta, READ_AS: {**self.meta.get(READ_AS, {}), **read_as}})
        object.__setattr__(self, "qrels", qrels_table(self.qrels))
        object.__setattr__(self, "negatives", optional_pairs_table(self.negatives, "negatives", self.qrels))
        object.__setattr__(self, "excluded", optional_pairs_table(self.excluded, "excluded", self.qrels))
        for column, side in zip(QREL_COLUMNS, ("queries", "passages"), strict=True):
            items = pc.unique(getattr(self, side)["item"])
            for name in ("qrels", *OPTIONAL):
                pairs = getattr(self, name)
                known = pc.is_in(pairs[column], value_set=items)
                if not pc.all(known, min_count=0).as_py():
                    row = int(pc.index(known, False).as_py())
                    raise CorpusError(
                        f"{name}, row {row + 1}, column {column!r}: item {pairs[column][row].as_py()!r} has no row in "
                        f"{side}"
                    )

    @classmethod
    def from_rows(
        cls,
        queries: Sequence[Mapping[str, Any]],
        passages: Sequence[Mapping[str, Any]],
        qrels: Sequence[tuple[str, str] | tuple[str, str, int]],
        *,
        name: str = "corpus",
        meta: Mapping[str, Any] | None = None,
        negatives: Sequence[tuple[str, str]] = (),
        excluded: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """Build a corpus from plain rows; a row without `group` is its own group, a qrel without a grade has grade 1.

        A picture's row has `image`: the bytes of a file, or its path.
        """
        return cls(
            table_of_rows(queries, "queries"), table_of_rows(passages, "passages"), table_of_qrels(qrels),
            name, dict(meta or {}), pairs_table(negatives), pairs_table(excluded),
        )  # fmt: skip

    @property
    def langs(self) -> tuple[str, ...]:
        """All languages of either side, sorted."""
        return tuple(
            sorted({*pc.unique(self.queries["lang"]).to_pylist(), *pc.unique(self.passages["lang"]).to_pylist()})
        )

    @property
    def has_images(self) -> bool:
        """Whether either side has pictures."""
        return IMAGE in self.langs

    def is_images(self, side: str) -> bool:
        """Whether some of `queries` or `passages` are pictures."""
        return IMAGE in getattr(self, side)["lang"].unique().to_pylist()

    @property
    def is_graded(self) -> bool:
        """Whether some passages are more relevant than others."""
        return bool(pc.any(pc.not_equal(self.qrels[GRADE], 1), min_count=0).as_py())

    def __repr__(self) -> str:
        negatives = f"{self.negatives.num_rows:,} negatives, " if self.negatives.num_rows else ""
        negatives += f"{self.excluded.num_rows:,} excluded pairs, " if self.excluded.num_rows else ""
        return (
            f"Corpus({self.name!r}: {self.queries.num_rows:,} queries, {self.passages.num_rows:,} passages, "
            f"{self.qrels.num_rows:,} qrels, {negatives}{len(self.langs)} languages)"
        )

    def reversed(self) -> Corpus:
        """The corpus with its sides swapped: passages look for queries (image to text, answer to question)."""
        swapped = list(reversed(QREL_COLUMNS))
        qrels = self.qrels.select([*swapped, GRADE]).rename_columns([*QREL_COLUMNS, GRADE])
        others = [getattr(self, name).select(swapped).rename_columns(list(QREL_COLUMNS)) for name in OPTIONAL]
        way = "image to text" if self.is_images("passages") else "reversed"
        return Corpus(self.passages, self.queries, qrels, f"{self.name} ({way})", self.meta, *others)

    def only_langs(self, langs: str | Sequence[str]) -> Corpus:
        """The corpus restricted to some languages; pictures, which have none, stay.

        Args:
            langs: a language or several, each with its regions and scripts: `en` keeps en, en-US and en-GB (RFC 4647).

        Raises:
            CorpusError: a language is not in the corpus, or none is named.

        """
        keep = pa.array([*match_languages(langs, self.langs, self.name), IMAGE], pa.large_string())
        return self._subset(pc.is_in(self.queries["lang"], keep), pc.is_in(self.passages["lang"], keep), self.name)

    def only_groups(self, groups: str | Sequence[str], name: str | None = None) -> Corpus:
        """The corpus restricted to rows of some groups; a qrel or a negative needs both of its sides."""
        keep = pa.array(as_list(groups, "groups", CorpusError), pa.large_string())
        return self._subset(
            pc.is_in(self.queries["group"], keep), pc.is_in(self.passages["group"], keep), name or self.name
        )

    def _subset(self, query_mask: pa.ChunkedArray, passage_mask: pa.ChunkedArray, name: str) -> Corpus:
        queries, passages = self.queries.filter(query_mask), self.passages.filter(passage_mask)
        left, right = pc.unique(queries["item"]), pc.unique(passages["item"])

        def both_there(pairs: pa.Table) -> pa.Table:
            return pairs.filter(pc.and_(pc.is_in(pairs["query_item"], left), pc.is_in(pairs["passage_item"], right)))

        others = [both_there(getattr(self, other)) for other in OPTIONAL]
        # What was counted over all rows holds no more.
        meta = {key: value for key, value in self.meta.items() if key != COPIES_KEY}
        return Corpus(queries, passages, both_there(self.qrels), name, meta, *others)

    def contents(self, side: str) -> set[str]:
        """The distinct texts, and digests of pictures, of `queries` or `passages`."""
        table = getattr(self, side)
        names = ["text", "digest"] if "digest" in table.column_names else ["text"]
        return {content for name in names for content in table[name].unique().to_pylist() if content is not None}

    def first_texts(self, side: str, lang: str | None) -> dict[str, str]:
        """The first text of each item that has one in a language, of `queries` or `passages`.

        `en` means texts in en-US and en-GB too, after those in en; None means no language, so no text.
        """
        own: dict[str, str] = {}
        regional: dict[str, str] = {}
        for row in getattr(self, side).select(["item", "lang", "text"]).to_pylist():
            if lang is not None and row["text"] is not None and in_range(row["lang"], lang):
                (own if row["lang"] == canonical_language(lang) else regional).setdefault(row["item"], row["text"])
        return {**regional, **own}

    def named(self, name: str, **meta: Any) -> Corpus:
        """The same tables under another name, with facts added to `meta`."""
        return self._called(name, {**self.meta, **meta})

    def without_facts(self, *keys: str) -> Corpus:
        """The same tables with some facts taken out of `meta`."""
        return self._called(self.name, {key: value for key, value in self.meta.items() if key not in keys})

    def _called(self, name: str, meta: Mapping[str, Any]) -> Corpus:
        # Nothing in the tables changes, so nothing is checked again.
        other = copy.copy(self)
        object.__setattr__(other, "name", name)
        object.__setattr__(other, "meta", meta)
        return other

    def fingerprint(self) -> str:
        """SHA-256 over all rows in order: two corpora with the same fingerprint hold the same data."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()
        # A corpus without negatives or excluded pairs keeps the fingerprint it had before there were any.
        others = [table for table in (getattr(self, name) for name in OPTIONAL) if table.num_rows]
        if self.excluded.num_rows:
            digest.update(b"\x1dexcluded\x1d")  # or the pairs might be taken for negatives
        for table in (self.queries, self.passages, self.qrels, *others):
            for column in table.column_names:
                # A picture's content is known by its digest.
                if (column == GRADE and not self.is_graded) or column == "image":
                    continue
                digest.update(f"\x1e{column}\x1e".encode())
                for start, part in parts_of(table[column]):
                    digest.update(("\x1f" if start else "").encode())
                    digest.update("\x1f".join(map(str, part.to_pylist())).encode())
        return digest.hexdigest()

    def counts(self) -> pl.DataFrame:
        """Rows per language: columns `lang`, `queries`, `passages` (int)."""
        sides = [
            pl.DataFrame(pl.from_arrow(table.select(["lang"]))).group_by("lang").len(name)
            for name, table in (("queries", self.queries), ("passages", self.passages))
        ]
        return sides[0].join(sides[1], on="lang", how="full", coalesce=True).fill_null(0).sort("lang")

    def save(self, folder: str | Path, *, format: str = "parquet", keep_existing: bool = False) -> None:
        """Write the corpus as a folder: one Parquet or Arrow file for each table, and `corpus.json`.

        The folder appears complete or not at all. Pictures are written into the tables, also those that were files. Empty
        `negatives` and `excluded` have no file.

        Args:
            folder: where to write. A corpus that is there already is replaced.
            format: `"parquet"` (small) or `"arrow"` (uncompressed; `load` memory-maps it).
            keep_existing: if another process writes the same folder first, keep its corpus.

        Raises:
            ConfigError: the format is unknown.
            BabelmixError: the folder holds other files, or cannot be written to.
            WriteError: the disk is full.

        """
        save_tables(
            Path(folder), self.tables(), {"name": self.name, "fingerprint": self.fingerprint(), "meta": dict(self.meta)},
            format, keep_existing=keep_existing,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: str | Path) -> Corpus:
        """Read a folder that `save` wrote. Arrow files are memory-mapped.

        Raises:
            ReaderError: the folder is not a corpus, or a file in it is damaged.

        """
        folder = Path(folder)
        tables, about = read_tables(folder)
        try:
            return cls(**tables, name=about["name"], meta=about["meta"])
        except CorpusError as error:
            raise error if isinstance(error, ReaderError) else ReaderError(str(error), file=folder) from error
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise ReaderError(f"cannot be read as a corpus ({error})", file=folder) from error

    def tables(self) -> dict[str, pa.Table]:
        """The tables by their names, without optional ones that are empty."""
        tables = {name: getattr(self, name) for name in (*REQUIRED, *OPTIONAL)}
        return {name: table for name, table in tables.items() if name in REQUIRED or table.num_rows}
