"""Ranked lists beside the qrels: what the measures of ranked lists are computed from, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from babelmix.corpus import Corpus
from babelmix.corpus.copies import Copies
from babelmix.corpus.languages import canonical_language
from babelmix.corpus.query_groups import groups_of_queries
from babelmix.corpus.row_ids import row_ids, rows_of_ids
from babelmix.corpus.schema import QREL_COLUMNS
from babelmix.errors import AuditError
from babelmix.evaluation.metrics import RankedLists
from babelmix.evaluation.ranks import excluded_pairs, numbered, relevant_pairs

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


Unknown = Literal["error", "wrong"]
"""What to do with answers whose passage is not in the corpus."""

UNDETERMINED = "und"
"""The language of an answer whose passage is not in the corpus, if its system does not say the language."""


@dataclass(frozen=True, eq=False)
class AnswerTable:
    """Ranked lists as columns, a row for each answer: the lists of the queries one after the other, each the best first.

    Args:
        query: the number of the query, ascending, int64, shape (answers,).
        passage: the passage row of each answer in the corpus, int64, shape (answers,); -1 for a passage that it does not have.
        lang: the language of each answer, strings, shape (answers,). It is only needed where the corpus does not have the
            passage. None: these are in an unknown language.
        score: the score of each answer, float64, shape (answers,); None without scores.

    """

    query: Integers
    passage: Integers
    lang: pl.Series | None = None
    score: Floats | None = None


@dataclass(frozen=True, eq=False)
class JudgedLists:
    """The first k answers to each query, compared with the qrels.

    Passages that are excluded for a query are not among its answers. A relevant passage that is not among them is *missing*: its
    rank is unknown, but it is at least `depth` and below the size of the pool.

    Args:
        k: the largest number of answers to a query.
        langs: the languages of passages and answers; every `languages` axis and every language number follows it.
        query_lang: the language of each query, strings, shape (queries,).
        group: the number of the group of each query, int64, shape (queries,).
        pool: how many passages each query has in each language, without those that are excluded, int64, shape (queries,
            languages).
        query: the query of each answer, ascending, int64, shape (answers,).
        rank: the rank of each answer, from 0, int64, shape (answers,).
        passage: the passage row of each answer, -1 for a passage that is not in the corpus, int64, shape (answers,).
        lang: the language of each answer, int64, shape (answers,).
        grade: the grade of each answer, 0 if it is not relevant, int64, shape (answers,).
        pair_query: the query of each relevant pair of a query and a passage, ascending, int64, shape (pairs,).
        pair_passage: the passage row of each pair, int64, shape (pairs,).
        pair_lang: the language of its passage, int64, shape (pairs,).
        pair_grade: its grade, int64, shape (pairs,).
        pair_rank: the rank of its passage, from 0; -1 if it is missing, int64, shape (pairs,).
        judged: whether the corpus has qrels at all. Otherwise only measures that need none have a value.
        item: a number for the item of each answer, -1 for a passage that is not in the corpus, int64, shape (answers,).
        query_item: a number for the item of each query, int64, shape (queries,). Without it nothing is known about translations.
        pair_item: a number for the item of the passage of each pair, int64, shape (pairs,).
        reads: whether the searcher of each query reads each language, bool, shape (queries, languages); None: no searcher is
            assumed. See `babelmix.evaluation.reader_measures`.
        alone: the lists of a search in the searchers' languages alone; None: there is no such search to compare with.

    """

    k: int
    langs: tuple[str, ...]
    query_lang: npt.NDArray[np.object_]
    group: Integers
    pool: Integers
    query: Integers
    rank: Integers
    passage: Integers
    lang: Integers
    grade: Integers
    pair_query: Integers
    pair_passage: Integers
    pair_lang: Integers
    pair_grade: Integers
    pair_rank: Integers
    judged: bool
    item: Integers | None = None
    query_item: Integers | None = None
    pair_item: Integers | None = None
    reads: npt.NDArray[np.bool_] | None = None
    alone: JudgedLists | None = None

    @property
    def queries(self) -> int:
        """The number of queries."""
        return len(self.query_lang)

    @cached_property
    def own(self) -> Integers:
        """The number of each query's own language; -1 if no passage has this language; shape (queries,)."""
        numbers = {lang: number for number, lang in enumerate(self.langs)}
        return np.array([numbers.get(lang, -1) for lang in self.query_lang], dtype=np.int64)

    @cached_property
    def depth(self) -> Integers:
        """The number of answers to each query, at most k, shape (queries,)."""
        return np.bincount(self.query, minlength=self.queries)

    @cached_property
    def sizes(self) -> Integers:
        """The number of passages that each query could find, shape (queries,)."""
        missing = np.bincount(self.pair_query[self.pair_rank < 0], minlength=self.queries)
        # A system may hold passages that the corpus does not have.
        return np.maximum(self.pool.sum(axis=1), self.depth + missing)

    @cached_property
    def wanted(self) -> Integers:
        """How many relevant passages each query has in each language, shape (queries, languages)."""
        return self.counted(self.pair_query, self.pair_lang)

    @cached_property
    def missing(self) -> Integers:
        """How many of them are not among the answers, shape (queries, languages)."""
        gone = self.pair_rank < 0
        return self.counted(self.pair_query[gone], self.pair_lang[gone])

    def found(self, k: int) -> Integers:
        """How many relevant passages in each language are among the first k answers, shape (queries, languages)."""
        here = (self.pair_rank >= 0) & (self.pair_rank < k)
        return self.counted(self.pair_query[here], self.pair_lang[here])

    def given(self, k: int) -> Integers:
        """How many of the first k answers are in each language, shape (queries, languages)."""
        here = self.rank < k
        return self.counted(self.query[here], self.lang[here])

    @cached_property
    def best(self) -> Integers:
        """The rank of the best relevant passage in each language, from 0; -1 if all are missing; shape (queries, languages)."""
        best = np.full((self.queries, len(self.langs)), np.iinfo(np.int64).max)
        here = self.pair_rank >= 0
        np.minimum.at(best, (self.pair_query[here], self.pair_lang[here]), self.pair_rank[here])
        best[best == np.iinfo(np.int64).max] = -1
        return best

    def unknown(self, k: int) -> Integers:
        """How many of the first k places of the pool the list does not show, shape (queries,)."""
        return np.maximum(np.minimum(k, self.sizes) - self.depth, 0)

    @cached_property
    def left(self) -> Integers:
        """How many passages in each language are not among the answers, shape (queries, languages)."""
        return np.maximum(self.pool - self.given(self.k), 0)

    def ranked(self, *, best: bool) -> tuple[Integers, RankedLists]:
        """The queries that have relevant passages, and the ranks of these.

        Args:
            best: missing passages come right after the list, the highest grades first. Otherwise they come at the end of the
                pool, the highest grades last.

        Returns:
            The numbers of the queries, and their ranked lists.

        """
        rank = self.pair_rank.copy()
        gone = np.flatnonzero(rank < 0)
        if len(gone):
            query, grade = self.pair_query[gone], self.pair_grade[gone]
            gone = gone[np.lexsort((-grade if best else grade, query))]
            query = self.pair_query[gone]
            starts = np.flatnonzero(np.diff(query, prepend=-1))
            counts = np.diff(np.append(starts, len(query)))
            number = np.arange(len(query)) - np.repeat(starts, counts)
            first = self.depth[query] if best else self.sizes[query] - np.repeat(counts, counts)
            rank[gone] = first + number
        order = np.lexsort((rank, self.pair_query))
        starts = np.flatnonzero(np.diff(self.pair_query, prepend=-1))
        return self.pair_query[starts], RankedLists(rank[order], starts, self.pair_grade[order])

    def counted(self, query: Integers, lang: Integers) -> Integers:
        """Count entries by query and language, shape (queries, languages)."""
        width = len(self.langs)
        return np.bincount(query * width + lang, minlength=self.queries * width).reshape(self.queries, width)


class Judge:
    """Compares ranked lists with the qrels of a corpus.

    Args:
        corpus: passages and qrels.
        queries: the rows of its queries whose lists are judged; None: all.
        copies: how copies of right answers are counted; see `babelmix.corpus.copies`.

    """

    def __init__(self, corpus: Corpus, queries: pa.Table | None = None, *, copies: Copies = "wrong") -> None:
        self.whole = corpus
        self.corpus = corpus if queries is None or queries is corpus.queries else _asking(corpus, queries)
        self.queries = self.corpus.queries
        passages = pl.DataFrame(pl.from_arrow(self.corpus.passages.select(["item", "lang"])))
        self._langs = tuple(passages["lang"].unique().sort())
        self._lang = self._numbers(passages["lang"], self._langs)
        # Rows of one item and language are interchangeable in a ranked list: an item may have several.
        self._rows = passages.with_row_index("row").sort("item", "lang", "row")
        counts = self._rows.group_by("item", "lang", maintain_order=True).agg(pl.len().cast(pl.Int64).alias("count"))
        self._first = counts.with_columns((pl.col("count").cum_sum() - pl.col("count")).alias("start"))
        self._pair = relevant_pairs(self.corpus, copies=copies)
        item, group = (np.array(self.queries[name].to_pylist(), dtype=object) for name in ("item", "group"))
        self.groups = groups_of_queries(item, group, *self._pair[:2])
        self._item = numbered(np.array(self.corpus.passages["item"].to_pylist(), dtype=object))
        self._query_item = numbered(item)
        self._excluded = excluded_pairs(self.corpus, copies=copies)

    @staticmethod
    def _numbers(langs: pl.Series, known: tuple[str, ...]) -> Integers:
        return langs.cast(pl.Enum(known)).to_physical().to_numpy().astype(np.int64)

    def excluded_rows(self) -> Integers:
        """The number of passages that are excluded for each query, shape (queries,)."""
        return np.bincount(self._excluded[0], minlength=self.queries.num_rows)

    def answers(
        self,
        name: str,
        query: Sequence[int],
        item: Sequence[str],
        lang: Sequence[str],
        score: Sequence[float | None] | None = None,
        *,
        unknown: Unknown = "wrong",
    ) -> AnswerTable:
        """The answers of a system as a table.

        Args:
            name: the name of the system, for errors.
            query: the number of the query of each answer, ascending.
            item: the item of each passage, or its id, see `babelmix.corpus.row_ids`.
            lang: the language of each passage; empty where `item` is an id.
            score: the score of each answer; None without scores.
            unknown: what to do with passages that are not in the corpus: `"error"`, or `"wrong"`, which counts them as wrong.

        Raises:
            AuditError: a passage that is not in the corpus is an error, or no answer is in it, or a query has an answer twice.

        """
        numbers = np.array(query, dtype=np.int64)
        items, tags = pl.Series("item", item, dtype=pl.String), pl.Series("lang", lang, dtype=pl.String)
        canonical = {tag: canonical_language(tag) if tag else UNDETERMINED for tag in tags.unique()}
        by_id = (tags == "").to_numpy()
        tags = tags.replace(canonical) if any(tag != other for tag, other in canonical.items()) else tags
        passage = np.full(len(numbers), -1, dtype=np.int64)
        if by_id.any():
            found = rows_of_ids(items.filter(by_id), self.corpus.passages)
            passage[by_id] = found.fill_null(-1).to_numpy()
        if not by_id.all():
            there = np.flatnonzero(~by_id)
            passage[there] = self._rows_of(name, numbers[there], items.gather(there), tags.gather(there))
        if (strange := np.flatnonzero(passage < 0)).size and (unknown == "error" or len(strange) == len(numbers)):
            place = int(strange[0])
            asked = self._asked(int(numbers[place]))
            named = f"{item[place]!r}" if by_id[place] else f"{item[place]!r} in {tags[place]}"
            raise AuditError(
                f"{name}: {len(strange):,} of {len(numbers):,} answers name no passage of {self.corpus.name}, first {named} as "
                f"an answer to {asked}; an answer is the id of a passage, such as "
                f"{row_ids(self.corpus.passages.slice(0, 1))[0]!r}, or its item and its language"
            )
        scores = None if score is None or None in score else np.array(score, dtype=np.float64)
        table = AnswerTable(numbers, passage, tags, scores)
        self.check_distinct(name, table)
        return table

    def check_distinct(self, name: str, answers: AnswerTable, where: Callable[[int], str] | None = None) -> None:
        """Raise if a query has an answer twice.

        Args:
            name: the name of the system, for errors.
            answers: the answers.
            where: gives the place of an answer in a file, for errors.

        """
        known = answers.passage >= 0
        keys = pl.Series(answers.query * self.corpus.passages.num_rows + answers.passage)
        keys = keys if known.all() else keys.filter(known)
        if keys.n_unique() < len(keys):
            again = np.flatnonzero(known)[keys.is_first_distinct().not_().arg_true()]
            place = int(again[0]) if where is None else min(map(int, again))
            raise self._twice(name, int(answers.query[place]), int(answers.passage[place]), where and where(place))

    def _rows_of(self, name: str, query: Integers, item: pl.Series, lang: pl.Series) -> Integers:
        """The passage row of each answer that is named by item and language; -1 if the corpus does not have it."""
        there = pl.DataFrame({"item": item, "lang": lang}).join(
            self._first, on=["item", "lang"], how="left", maintain_order="left"
        )
        start = there["start"].fill_null(-1).to_numpy().astype(np.int64)
        count = there["count"].fill_null(1).to_numpy()
        rows = self._rows["row"].to_numpy().astype(np.int64)
        several = np.flatnonzero(count > 1)
        if len(several):
            # The nth answer of one item and language is its nth row.
            again = pl.DataFrame({"query": query[several], "start": start[several]})
            number = again.select(pl.int_range(pl.len()).over("query", "start").alias("nth"))["nth"].to_numpy()
            if (over := np.flatnonzero(number >= count[several])).size:
                place = int(several[over[0]])
                raise self._twice(name, int(query[place]), int(rows[start[place]]), None)
            start = start.copy()
            start[several] += number
        return np.where(start < 0, -1, rows[start] if len(rows) else -1)

    def _asked(self, query: int) -> str:
        """A query in words."""
        asked = self.queries.slice(query, 1).select(["item", "lang"]).to_pylist()[0]
        return f"the query {asked['item']!r} in {asked['lang']}"

    def _twice(self, name: str, query: int, passage: int, where: str | None) -> AuditError:
        found = self.corpus.passages.slice(passage, 1).select(["item", "lang"]).to_pylist()[0]
        return AuditError(
            f"{name}: the answers to {self._asked(query)} have the passage {found['item']!r} in {found['lang']} twice"
            f"{f' ({where})' if where else ''}; give each passage once, at its best rank"
        )

    def judge(self, answers: AnswerTable, k: int, pool: Mapping[str, int] | None = None) -> JudgedLists:
        """Judge the lists of a system.

        Args:
            answers: its lists.
            k: the most answers to judge.
            pool: the passages in each language that the system holds; None: those of the corpus.

        """
        passage, strange = answers.passage, np.flatnonzero(answers.passage < 0)
        tags = pl.Series([UNDETERMINED] * len(strange), dtype=pl.String)
        if answers.lang is not None:
            tags = answers.lang.gather(strange)
        langs = tuple(dict.fromkeys([*self._langs, *(pool or {}), *tags.unique().sort()]))
        lang = self._lang[passage] if len(self._lang) else passage.copy()
        lang[strange] = self._numbers(tags, langs)
        width = self.corpus.passages.num_rows
        query, keys = answers.query, answers.query * width + passage
        if len(self._excluded[0]):
            stay = ~np.isin(keys, self._excluded[0] * width + self._excluded[1]) | (passage < 0)
            query, keys, passage, lang = (column[stay] for column in (query, keys, passage, lang))
        rank = np.arange(len(query)) - np.searchsorted(query, np.arange(self.queries.num_rows))[query]
        if len(rank) and rank.max() >= k:
            near = rank < k
            query, keys, passage, lang, rank = (column[near] for column in (query, keys, passage, lang, rank))
        pair_query, pair_passage, pair_grade = self._pair
        pair_keys = pair_query * width + pair_passage
        grade, pair_rank = np.zeros(len(query), dtype=np.int64), np.full(len(pair_query), -1, dtype=np.int64)
        if len(pair_keys) and len(keys):
            place = np.minimum(np.searchsorted(pair_keys, keys), len(pair_keys) - 1)
            right = (pair_keys[place] == keys) & (passage >= 0)
            grade[right] = pair_grade[place[right]]
            pair_rank[place[right]] = rank[right]
        sizes = np.bincount(self._lang, minlength=len(langs))
        for number, name in enumerate(langs):
            sizes[number] = max(int(sizes[number]), (pool or {}).get(name, 0))
        pools = np.tile(sizes, (self.queries.num_rows, 1))
        np.subtract.at(pools, (self._excluded[0], self._lang[self._excluded[1]]), 1)
        return JudgedLists(
            k, langs, np.array(self.queries["lang"].to_pylist(), dtype=object),
            self.groups.number, pools, query, rank, passage, lang, grade,
            pair_query, pair_passage, self._lang[pair_passage], pair_grade, pair_rank, self.corpus.qrels.num_rows > 0,
            np.where(passage < 0, -1, self._item[passage]) if len(self._item) else passage, self._query_item,
            self._item[pair_passage],
        )  # fmt: skip


def _asking(corpus: Corpus, queries: pa.Table) -> Corpus:
    """The corpus with some of its queries only; the passages stay."""
    items = pc.unique(queries["item"])
    kept = [
        pairs.filter(pc.is_in(pairs[QREL_COLUMNS[0]], value_set=items)) for pairs in (corpus.qrels, corpus.excluded)
    ]
    return replace(corpus, queries=queries, qrels=kept[0], negatives=None, excluded=kept[1])


__all__ = ["UNDETERMINED", "AnswerTable", "Judge", "JudgedLists", "Unknown"]
