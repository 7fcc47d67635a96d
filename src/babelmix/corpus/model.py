"""The data model: queries, passages and qrels in many languages, with items and groups."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from babelmix._lists import as_list
from babelmix.corpus.joins import Joins, joins_of
from babelmix.corpus.labels import LABELS, LOST
from babelmix.corpus.languages import IMAGE, match_languages
from babelmix.corpus.row_ids import row_ids
from babelmix.corpus.row_texts import digest_of_tables, first_texts
from babelmix.corpus.schema import (
    GRADE,
    OPTIONAL,
    QREL_COLUMNS,
    REQUIRED,
    canonical_rows,
    optional_pairs_table,
    pairs_table,
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
    """Queries and passages in several languages, and which passage answers which query.

    An *item* is a meaning. Each row is a text (or a picture) in one language, and all rows of an item are translations of each
    other. An item may have several rows in one language, and may lack languages. Relevance is between items: a relevant passage
    is relevant in every language that it has. A *group* holds items that must stay together, such as all passages of one page:
    `split` never divides a group.

    Use `Corpus.from_rows` to make a corpus from dicts, and `load_corpus` to read one from a file.

    Args:
        queries: an Arrow table or polars `DataFrame` with the string columns `item`, `lang` (BCP 47), `text` and `group`. A
            picture has the language `zxx`, no text, and a value in the column `image`: a struct of `bytes` (an encoded
            picture) or `path` (of a file), as in `datasets.Image`. A column `digest` identifies equal pictures; it is computed
            if it is missing.
        passages: a table with the same columns.
        qrels: a table with the string columns `query_item` and `passage_item`. An optional column `grade` says how relevant the
            passage is, a whole number from 1 on, as in TREC's qrels. By default all grades are 1.
        name: the name of the corpus in reports.
        meta: facts about the source that JSON can hold (licence, version, machine-made translations, split).
        negatives: a table with the string columns `query_item` and `passage_item`: hard negatives, which are passages that were
            judged or mined as not relevant to the query. None is an empty table.
        excluded: a table with the same columns: passages that are no candidates for the query, such as the query itself if the
            pool contains it (BEIR's `ignore_identical_ids`). They count neither as right nor as wrong. None is an empty table.

    Raises:
        CorpusError: a table breaks the data model. The message names the table, the row and the column.

    Examples:
        >>> import polars as pl
        >>> queries = pl.DataFrame({"item": ["1"], "lang": ["en"], "text": ["dog"], "group": ["1"]})
        >>> passages = pl.DataFrame({"item": ["1"], "lang": ["de"], "text": ["Hund"], "group": ["1"]})
        >>> qrels = pl.DataFrame({"query_item": ["1"], "passage_item": ["1"]})
        >>> Corpus(queries, passages, qrels, name="tiny")
        Corpus('tiny': 1 queries, 1 passages, 1 qrels, 2 languages)

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
        """Make a corpus from dicts.

        Args:
            queries: one dict for each text, with `item`, `lang` and `text`. `group` is optional; by default it is the item. A
                picture has `image` in place of `text`: the bytes of a file, or its path.
            passages: dicts with the same keys.
            qrels: tuples `(query_item, passage_item)` or `(query_item, passage_item, grade)`. The default grade is 1.
            name: the name of the corpus in reports.
            meta: facts about the source that JSON can hold.
            negatives: tuples `(query_item, passage_item)` of hard negatives.
            excluded: tuples `(query_item, passage_item)` of passages that are no candidates for the query.

        Returns:
            The corpus.

        Raises:
            CorpusError: a row breaks the data model. The message names the table, the row and the column.

        Examples:
            >>> queries = [{"item": "1", "lang": "en", "text": "dog"}, {"item": "1", "lang": "fr", "text": "chien"}]
            >>> passages = [{"item": "1", "lang": "de", "text": "Hund"}, {"item": "2", "lang": "de", "text": "Katze"}]
            >>> Corpus.from_rows(queries, passages, [("1", "1")], name="pets")
            Corpus('pets': 2 queries, 2 passages, 1 qrels, 3 languages)

        """
        return cls(
            table_of_rows(queries, "queries"), table_of_rows(passages, "passages"), table_of_qrels(qrels),
            name, dict(meta or {}), pairs_table(negatives), pairs_table(excluded),
        )  # fmt: skip

    @property
    def langs(self) -> tuple[str, ...]:
        """The languages of queries and passages together, sorted. Pictures add `zxx`."""
        return tuple(
            sorted({*pc.unique(self.queries["lang"]).to_pylist(), *pc.unique(self.passages["lang"]).to_pylist()})
        )

    @property
    def has_images(self) -> bool:
        """Whether the queries or the passages contain pictures."""
        return IMAGE in self.langs

    def is_images(self, side: str) -> bool:
        """Whether a side (`queries` or `passages`) contains pictures."""
        return IMAGE in getattr(self, side)["lang"].unique().to_pylist()

    @property
    def is_graded(self) -> bool:
        """Whether some relevant passages have a grade other than 1."""
        return bool(pc.any(pc.not_equal(self.qrels[GRADE], 1), min_count=0).as_py())

    @property
    def notes(self) -> list[str]:
        """Sentences that a user should read before results: `meta["notes"]` of the reader, and translations that are not joined.

        Examples:
            >>> rows = [{"item": f"1-{lang}", "lang": lang, "text": "1"} for lang in ("de", "en")]
            >>> Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows]).notes[0][:58]
            'none of the 2 items of the passages exists in two language'

        """
        note = self.joins.note()
        return [*self.meta.get("notes", []), *([] if note is None else [note])]

    @cached_property
    def joins(self) -> Joins:
        """How many right answers exist in several languages."""
        return joins_of(self.queries, self.passages, self.qrels)

    def __repr__(self) -> str:
        negatives = f"{self.negatives.num_rows:,} negatives, " if self.negatives.num_rows else ""
        negatives += f"{self.excluded.num_rows:,} excluded pairs, " if self.excluded.num_rows else ""
        return (
            f"Corpus({self.name!r}: {self.queries.num_rows:,} queries, {self.passages.num_rows:,} passages, "
            f"{self.qrels.num_rows:,} qrels, {negatives}{len(self.langs)} languages)"
        )

    def reversed(self) -> Corpus:
        """The corpus with queries and passages swapped, for example to retrieve texts with pictures.

        Examples:
            >>> queries, passages = [{"item": "1", "lang": "en", "text": "dog"}], [{"item": "p", "lang": "de", "text": "Hund"}]
            >>> Corpus.from_rows(queries, passages, [("1", "p")]).reversed().queries["text"].to_pylist()
            ['Hund']

        """
        swapped = list(reversed(QREL_COLUMNS))
        qrels = self.qrels.select([*swapped, GRADE]).rename_columns([*QREL_COLUMNS, GRADE])
        others = [getattr(self, name).select(swapped).rename_columns(list(QREL_COLUMNS)) for name in OPTIONAL]
        way = "image to text" if self.is_images("passages") else "reversed"
        return Corpus(self.passages, self.queries, qrels, f"{self.name} ({way})", self.meta, *others)

    def only_langs(self, langs: str | Sequence[str]) -> Corpus:
        """The corpus restricted to some languages. Pictures are kept.

        Args:
            langs: one language or several. Each one includes its regions and scripts: `en` keeps en, en-US and en-GB (RFC
                4647).

        Returns:
            The corpus. A qrel, a negative or an excluded pair is kept if both of its items still have a row.

        Raises:
            CorpusError: a language is not in the corpus, or the list is empty.

        Examples:
            >>> rows = [{"item": "1", "lang": lang, "text": "a"} for lang in ("de", "en-GB", "en-US")]
            >>> Corpus.from_rows(rows, rows, [("1", "1")]).only_langs("en").langs
            ('en-GB', 'en-US')

        """
        keep = pa.array([*match_languages(langs, self.langs, self.name), IMAGE], pa.large_string())
        return self._subset(pc.is_in(self.queries["lang"], keep), pc.is_in(self.passages["lang"], keep), self.name)

    def only_groups(self, groups: str | Sequence[str], name: str | None = None) -> Corpus:
        """The corpus restricted to some groups.

        Args:
            groups: one group or several.
            name: the name of the new corpus; by default the old one.

        Returns:
            The corpus. A qrel, a negative or an excluded pair is kept if both of its items still have a row.

        Examples:
            >>> rows = [{"item": item, "lang": "en", "text": item, "group": item[0]} for item in ("a1", "a2", "b1")]
            >>> Corpus.from_rows(rows, rows, [(row["item"], row["item"]) for row in rows]).only_groups("a")
            Corpus('corpus': 2 queries, 2 passages, 2 qrels, 1 languages)

        """
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
        # The number of copies may have changed.
        meta = {key: value for key, value in self.meta.items() if key != COPIES_KEY}
        qrels = both_there(self.qrels)
        if self.qrels.num_rows and not qrels.num_rows:
            # Without this, an audit would take it for a corpus that never had qrels.
            meta[LABELS] = LOST
        return Corpus(queries, passages, qrels, name, meta, *others)

    def contents(self, side: str) -> set[str]:
        """The distinct texts and picture digests of a side.

        Args:
            side: `queries` or `passages`.

        Examples:
            >>> rows = [{"item": item, "lang": "en", "text": "dog"} for item in ("1", "2")]
            >>> Corpus.from_rows(rows, rows, [("1", "1")]).contents("queries")
            {'dog'}

        """
        table = getattr(self, side)
        names = ["text", "digest"] if "digest" in table.column_names else ["text"]
        return {content for name in names for content in table[name].unique().to_pylist() if content is not None}

    def row_ids(self, side: str) -> list[str]:
        """The ids of the rows of a side, in row order: item and language, as in `page-7/de`.

        An item with several rows in one language has a number from its second row on, as in `page-7/de/2`. Vectors and ranked
        lists from elsewhere are matched with the corpus by these ids; see `babelmix.corpus.row_ids`.

        Args:
            side: `queries` or `passages`.

        Examples:
            >>> rows = [{"item": "page-7", "lang": lang, "text": lang} for lang in ("de", "en")]
            >>> Corpus.from_rows(rows, rows, [("page-7", "page-7")]).row_ids("passages")
            ['page-7/de', 'page-7/en']

        """
        return row_ids(getattr(self, side)).to_list()

    def first_texts(self, side: str, lang: str | None) -> dict[str, str]:
        """The first text of each item in one language.

        Args:
            side: `queries` or `passages`.
            lang: the language. A text in exactly this language is preferred to one with a region or script, so `en` gives a
                text in en if there is one, and else one in en-US or en-GB. None gives no texts.

        Returns:
            A text for each item that has one in this language.

        Examples:
            >>> rows = [{"item": "1", "lang": "en-US", "text": "color"}, {"item": "1", "lang": "en", "text": "colour"}]
            >>> Corpus.from_rows(rows, rows, [("1", "1")]).first_texts("queries", "en")
            {'1': 'colour'}

        """
        return first_texts(getattr(self, side), lang)

    def named(self, name: str, **meta: Any) -> Corpus:
        """The same corpus with another name. Keyword arguments are added to `meta`."""
        return self._called(name, {**self.meta, **meta})

    def without_facts(self, *keys: str) -> Corpus:
        """The same corpus without some keys of `meta`."""
        return self._called(self.name, {key: value for key, value in self.meta.items() if key not in keys})

    def _called(self, name: str, meta: Mapping[str, Any]) -> Corpus:
        # The tables stay the same, so they need no second check.
        other = copy.copy(self)
        object.__setattr__(other, "name", name)
        object.__setattr__(other, "meta", meta)
        return other

    def fingerprint(self) -> str:
        """SHA-256 over all rows in order, as hexadecimal digits: corpora with the same fingerprint hold the same data.

        The name and `meta` are not part of it.
        """
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return digest_of_tables(self.tables().values(), graded=self.is_graded, excluded=self.excluded.num_rows > 0)

    def counts(self) -> pl.DataFrame:
        """Count the rows of each language.

        Returns:
            A row for each language, with the columns `lang`, `queries` and `passages`.

        Examples:
            >>> queries, passages = [{"item": "1", "lang": "en", "text": "dog"}], [{"item": "1", "lang": "de", "text": "Hund"}]
            >>> Corpus.from_rows(queries, passages, [("1", "1")]).counts().rows()
            [('de', 0, 1), ('en', 1, 0)]

        """
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
            folder: the folder to write. A corpus in it is replaced.
            format: `"parquet"` (small) or `"arrow"` (uncompressed; `load` memory-maps it).
            keep_existing: if another process writes the same folder first, keep its corpus.

        Raises:
            ConfigError: the format is unknown.
            BabelmixError: the folder holds other files, or cannot be written to.
            WriteError: the disk is full.

        Examples:
            >>> from tempfile import TemporaryDirectory
            >>> rows = [{"item": "1", "lang": "en", "text": "dog"}]
            >>> corpus = Corpus.from_rows(rows, rows, [("1", "1")])
            >>> with TemporaryDirectory() as folder:
            ...     corpus.save(f"{folder}/pets")
            ...     again = Corpus.load(f"{folder}/pets")
            >>> again.fingerprint() == corpus.fingerprint()
            True

        """
        save_tables(
            Path(folder), self.tables(), {"name": self.name, "fingerprint": self.fingerprint(), "meta": dict(self.meta)},
            format, keep_existing=keep_existing,
        )  # fmt: skip

    @classmethod
    def load(cls, folder: str | Path) -> Corpus:
        """Read a folder that `save` wrote. Arrow files are memory-mapped.

        Args:
            folder: the folder.

        Returns:
            The corpus.

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
        """The Arrow tables by name. Empty `negatives` and `excluded` are left out."""
        tables = {name: getattr(self, name) for name in (*REQUIRED, *OPTIONAL)}
        return {name: table for name, table in tables.items() if name in REQUIRED or table.num_rows}
