"""The rank table: for every query and relevant passage, how many passages of each language outrank it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from babelmix._checksums import CHECKSUMS, damaged_file, has_checksums
from babelmix._files import replacing_file
from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies, copies_of_answers, rows_of_pairs
from babelmix.corpus.joins import Joins, joins_of_ranks
from babelmix.corpus.query_groups import QueryGroups, groups_of_queries
from babelmix.errors import AuditError
from babelmix.evaluation.audit_facts import AuditFacts

SHARE_CUTOFFS = (1, 5, 10, 20)
"""The k for which a table counts the languages of the first k answers."""

SAVED = ("ranks.parquet", "queries.parquet", "metrics.json")
"""The files from which a saved audit is loaded. The report is made from them."""

IntArray = npt.NDArray[np.int64]

_VALUE = "value:"
"""The prefix of a column of `RankTable.values` in `queries.parquet`."""


@dataclass(frozen=True, eq=False)
class RankTable:
    """The result of one pass over all scores; every metric of an audit follows from it.

    Queries without a relevant passage count in the language shares only.

    Args:
        query_langs: languages of the queries, sorted; `query_lang` indexes it.
        passage_langs: languages of the passages, sorted; every `language` axis below follows it.
        pool_sizes: passages per language, int64, shape (languages,).
        query_item: item of each query row, shape (queries,).
        query_group: group of each query row, shape (queries,).
        query_lang: int64, shape (queries,).
        pair_query: query row of each pair, ascending, int64, shape (pairs,). A pair is a query and one of its relevant passages.
        pair_passage: passage row of each pair, int64, shape (pairs,).
        pair_lang: language of the passage of each pair, int64, shape (pairs,).
        pair_grade: how relevant the passage is, from 1 on, int64, shape (pairs,).
        outranking_counts: int32, shape (pairs, languages): how many passages of a language outrank the pair's passage.
        top: int32, shape (queries, cut-offs, languages): languages of the first k answers in the pool of all languages.
        cutoffs: the k of `top`.
        about: the facts of the audit, such as encoder and corpus; a mapping becomes `AuditFacts`.
        excluded: int32, shape (queries, languages): how many passages of a language are excluded for the query. They are
            counted neither in `outranking_counts` nor in `top`. None if no passage is excluded.
        first: int32, shape (queries, the largest cut-off or the number of passages): the passage rows of the first answers in
            the pool of all languages, -1 for none. None for audits of earlier versions.
        first_item: int32, as `first`: a number for the item of each of these passages; translations of one passage have the same
            number. -1 for none.
        values: values per query that need scores, not only ranks, by the name of the bias metric that reads them: float64, shape
            (queries,), NaN for none.

    """

    query_langs: tuple[str, ...]
    passage_langs: tuple[str, ...]
    pool_sizes: IntArray
    query_item: npt.NDArray[np.object_]
    query_group: npt.NDArray[np.object_]
    query_lang: IntArray
    pair_query: IntArray
    pair_passage: IntArray
    pair_lang: IntArray
    pair_grade: IntArray
    outranking_counts: npt.NDArray[np.int32]
    top: npt.NDArray[np.int32]
    cutoffs: tuple[int, ...]
    about: AuditFacts
    excluded: npt.NDArray[np.int32] | None = None
    first: npt.NDArray[np.int32] | None = None
    first_item: npt.NDArray[np.int32] | None = None
    values: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "about", AuditFacts.of(self.about))

    @property
    def above(self) -> npt.NDArray[np.int32]:
        """The former name of `outranking_counts`; deprecated."""
        warnings.warn("RankTable.above is now outranking_counts", DeprecationWarning, stacklevel=2)
        return self.outranking_counts

    def pools(self, query: IntArray) -> IntArray:
        """The number of candidate passages in each language, for some query rows, shape (rows, languages)."""
        if self.excluded is None:
            return np.broadcast_to(self.pool_sizes, (len(query), len(self.pool_sizes)))
        return self.pool_sizes - self.excluded[query]

    def rank_in_all(self) -> IntArray:
        """Zero-based rank of each pair's passage among all passages, shape (pairs,)."""
        return self.outranking_counts.sum(axis=1, dtype=np.int64)

    def rank_in_own(self) -> IntArray:
        """Zero-based rank of each pair's passage among the passages of its own language, shape (pairs,)."""
        return self.outranking_counts[np.arange(len(self.outranking_counts)), self.pair_lang].astype(np.int64)

    def joins(self) -> Joins:
        """How many queries have right answers in several languages."""
        return joins_of_ranks(
            self.query_lang,
            self.pair_query,
            self.pair_lang,
            query_langs=self.query_langs,
            passage_langs=self.passage_langs,
        )

    @cached_property
    def groups(self) -> QueryGroups:
        """The groups of the queries, over which intervals and tests are computed."""
        return groups_of_queries(self.query_item, self.query_group, self.pair_query, self.pair_passage)

    def save(self, folder: Path) -> None:
        """Write `ranks.parquet` (one row per pair) and `queries.parquet` (one row per query), each file atomically."""
        pairs: dict[str, Any] = {
            "query_row": self.pair_query,
            "passage_row": self.pair_passage,
            "passage_lang": pa.DictionaryArray.from_arrays(self.pair_lang.astype(np.int32), list(self.passage_langs)),
        }
        if (self.pair_grade != 1).any():
            pairs["grade"] = self.pair_grade
        pairs |= {f"above:{lang}": self.outranking_counts[:, i] for i, lang in enumerate(self.passage_langs)}
        queries: dict[str, Any] = {
            "item": pa.array(self.query_item, pa.large_string()),
            "group": pa.array(self.query_group, pa.large_string()),
            "lang": pa.DictionaryArray.from_arrays(self.query_lang.astype(np.int32), list(self.query_langs)),
        }
        queries |= {
            f"top{k}:{lang}": self.top[:, c, i]
            for c, k in enumerate(self.cutoffs)
            for i, lang in enumerate(self.passage_langs)
        }
        if self.excluded is not None:
            queries |= {f"excluded:{lang}": self.excluded[:, i] for i, lang in enumerate(self.passage_langs)}
        for name, first in (("first", self.first), ("first_item", self.first_item)):
            if first is not None:
                flat = pa.array(first.astype(np.int32).reshape(-1))
                queries[name] = pa.FixedSizeListArray.from_arrays(flat, first.shape[1])
        queries |= {f"{_VALUE}{name}": values for name, values in self.values.items()}
        # Checksums are written last; see `Audit.save`.
        (folder / CHECKSUMS).unlink(missing_ok=True)
        facts = {"pool_sizes": self.pool_sizes.tolist(), "cutoffs": list(self.cutoffs), "about": self.about.as_json()}
        for name, columns in (("ranks", pairs), ("queries", queries)):
            table = pa.table(columns).replace_schema_metadata({"babelmix": json.dumps(facts)})
            with replacing_file(folder / f"{name}.parquet") as temporary:
                pq.write_table(table, temporary, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> RankTable:
        """Read a folder that `save` wrote.

        Raises:
            AuditError: the folder is no audit, its files are damaged, or they belong to two different audits.

        """
        for name in ("ranks.parquet", "queries.parquet"):
            if not (folder / name).is_file():
                raise AuditError(f"{folder}: is not a finished audit (there is no {name}); run  babelmix audit  again")
        # Earlier versions wrote no checksums.
        if has_checksums(folder) and (bad := damaged_file(folder, SAVED)) is not None:
            raise AuditError(f"{folder}: {bad} is damaged, or of another audit; run  babelmix audit  again")
        try:
            pairs, queries = pq.read_table(folder / "ranks.parquet"), pq.read_table(folder / "queries.parquet")
            metadata = pairs.schema.metadata[b"babelmix"]
            # Compared as bytes: NaN is not equal to itself.
            if queries.schema.metadata[b"babelmix"] != metadata:
                raise AuditError(
                    f"{folder}: ranks.parquet and queries.parquet are of two audits, as the second was stopped while it was "
                    "written; run  babelmix audit  again"
                )
            facts = json.loads(metadata)
            passage_langs = tuple(n.removeprefix("above:") for n in pairs.column_names if n.startswith("above:"))
            query_lang = queries["lang"].combine_chunks()
            # Parquet may change the order of the dictionary.
            names = sorted(query_lang.dictionary.to_pylist())
            index = {name: i for i, name in enumerate(names)}
            columns = [queries[f"top{k}:{lang}"].to_numpy() for k in facts["cutoffs"] for lang in passage_langs]
            top = np.stack(columns, axis=1).reshape(queries.num_rows, len(facts["cutoffs"]), len(passage_langs))
            passage_index = {name: i for i, name in enumerate(passage_langs)}
            table = cls(
                query_langs=tuple(names),
                passage_langs=passage_langs,
                pool_sizes=np.array(facts["pool_sizes"], dtype=np.int64),
                query_item=np.array(queries["item"].to_pylist(), dtype=object),
                query_group=np.array(queries["group"].to_pylist(), dtype=object),
                query_lang=np.array([index[name] for name in query_lang.to_pylist()], dtype=np.int64),
                pair_query=pairs["query_row"].to_numpy(),
                pair_passage=pairs["passage_row"].to_numpy(),
                pair_lang=np.array([passage_index[n] for n in pairs["passage_lang"].to_pylist()], dtype=np.int64),
                pair_grade=(
                    pairs["grade"].to_numpy()
                    if "grade" in pairs.column_names
                    else np.ones(pairs.num_rows, dtype=np.int64)
                ),
                outranking_counts=np.stack([pairs[f"above:{lang}"].to_numpy() for lang in passage_langs], axis=1),
                top=top.astype(np.int32),
                cutoffs=tuple(facts["cutoffs"]),
                about=AuditFacts.of(facts["about"]),
                excluded=_excluded_columns(queries, passage_langs),
                first=_first_column(queries, "first"),
                first_item=_first_column(queries, "first_item"),
                values={
                    name.removeprefix(_VALUE): queries[name].to_numpy()
                    for name in queries.column_names
                    if name.startswith(_VALUE)
                },
            )
            _check_rows(table)
            return table
        except (OSError, KeyError, ValueError, TypeError, pa.ArrowException) as error:
            raise AuditError(
                f"{folder}: the audit's files are damaged ({error}); run  babelmix audit  again"
            ) from error


def _check_rows(table: RankTable) -> None:
    """Check that the pairs refer to rows of the table and are sorted. Files of earlier versions have no checksums.

    Raises:
        ValueError: a pair refers to no query or pairs are not sorted, or the counts do not fit the languages.

    """
    rows = table.pair_query
    if len(rows) and (rows.min() < 0 or rows.max() >= len(table.query_lang) or (np.diff(rows) < 0).any()):
        raise ValueError("the pairs are not of its queries, in order")
    if len(table.pool_sizes) != len(table.passage_langs) or (table.outranking_counts < 0).any():
        raise ValueError("the counts are not of its languages")


def _excluded_columns(queries: pa.Table, langs: tuple[str, ...]) -> npt.NDArray[np.int32] | None:
    names = [f"excluded:{lang}" for lang in langs]
    if names[0] not in queries.column_names:
        return None
    return np.stack([queries[name].to_numpy() for name in names], axis=1).astype(np.int32)


def _first_column(queries: pa.Table, name: str) -> npt.NDArray[np.int32] | None:
    if name not in queries.column_names:
        return None
    width = queries.schema.field(name).type.list_size
    flat = queries[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.astype(np.int32).reshape(queries.num_rows, width)


def numbered(names: npt.NDArray[np.object_]) -> IntArray:
    """Number names by their sorted order; equal names have the same number, from 0 on, int64, shape (names,)."""
    # Not with numpy, which would pad every name to the length of the longest.
    return pl.Series(names.tolist(), dtype=pl.String).rank("dense").to_numpy().astype(np.int64) - 1


def relevant_pairs(corpus: Corpus, *, copies: Copies = "wrong") -> tuple[IntArray, IntArray, IntArray]:
    """All pairs of a query row and a relevant passage row; with `copies="relevant"`, copies of them are relevant too.

    Returns:
        Query rows, passage rows and grades, int64, shape (pairs,), sorted by query row, then passage row.

    """
    pairs = rows_of_pairs(corpus, "qrels")
    if copies == "relevant":
        pairs = pl.concat([pairs, copies_of_answers(corpus)]).sort("query", "passage")
    query, passage, grade = (pairs[name].to_numpy().astype(np.int64) for name in ("query", "passage", "grade"))
    return query, passage, grade


def excluded_pairs(corpus: Corpus, *, copies: Copies = "wrong") -> tuple[IntArray, IntArray]:
    """All pairs of a query row and an excluded passage row; with `copies="excluded"`, copies of answers are excluded too.

    Returns:
        Query rows and passage rows, int64, shape (pairs,), sorted by query row, then passage row.

    """
    pairs = rows_of_pairs(corpus, "excluded")
    if copies == "excluded":
        pairs = pl.concat([pairs, copies_of_answers(corpus).select("query", "passage")]).sort("query", "passage")
    query, passage = (pairs[name].to_numpy().astype(np.int64) for name in ("query", "passage"))
    return query, passage
