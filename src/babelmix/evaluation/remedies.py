"""What would help against language bias, estimated from the embeddings at hand.

Two remedies are tried on some of the queries, which a hash draws (`babelmix.evaluation.drawn`), against all passages.

- `removal`: `babelmix debias` with the method `centred`, fitted on texts of the corpus itself. The real one is to be fitted on
  other texts, so the estimate is on the bright side.
- `balanced`: the search policy `balanced`. The score of a passage becomes (score - mean) / standard deviation, over the query's
  scores with passages of the same language. An index keeps a part of the covariance; here both moments are those of a sample.

Both change scores only, which are computed once for both, chunk by chunk: the cost is that of ranking the drawn queries, and
memory does not grow with the corpus.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from babelmix.corpus import IMAGE, Corpus
from babelmix.corpus.copies import Copies
from babelmix.encoders.removal import LEAST
from babelmix.encoders.removal.centred import centred_subspace, usual_rank
from babelmix.evaluation.chunks import read
from babelmix.evaluation.drawn import drawn_queries
from babelmix.evaluation.matrix import Matrix
from babelmix.evaluation.measure_info import MULTI_MAP, RANK_DISTANCE, SAME_LANGUAGE_SHARE, SHARE_AT
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.metrics import RankedLists, metric
from babelmix.evaluation.ranks import IntArray, RankTable, excluded_pairs, numbered
from babelmix.evaluation.significance import estimates

QUERIES = 300
"""The most queries that are drawn."""

TEXTS = 500
"""The most passages, and the most queries, of one language that the removal is fitted on, as in `babelmix debias`."""

SAMPLE = 1000
"""The most passages of one language from which the moments of its scores are computed, as in `babelmix.search.calibration`."""

MIN_ROWS = 20
"""A language with fewer passages gets the moments of all languages together, as in `babelmix.search.calibration`."""

_CHUNK = 4096
"""Passages that are scored in one step."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Removal:
    """Scores without the directions that `centred` takes away.

    Args:
        directions: orthonormal, float32, shape (directions, dimension).
        asked: the drawn queries along the directions, float32, shape (queries, directions).
        scaled: whether embeddings are scaled to length one again, as for cosine.

    """

    directions: Floats
    asked: Floats
    scaled: bool

    def scores(self, plain: Floats, vectors: Floats, lang: IntArray) -> Floats:
        del lang
        along = vectors @ self.directions.T
        found = plain - self.asked @ along.T
        if self.scaled:
            # A vector that lies in the directions has no length left, and no score.
            found /= np.sqrt(np.maximum(1 - np.einsum("ij,ij->i", along, along), 1e-9))
        return found

    def of_pairs(self, plain: Floats, vectors: Floats, lang: IntArray, row: IntArray) -> Floats:
        del lang
        along = vectors @ self.directions.T
        found = plain - np.einsum("ij,ij->i", self.asked[row], along)
        if self.scaled:
            found /= np.sqrt(np.maximum(1 - np.einsum("ij,ij->i", along, along), 1e-9))
        return found


@dataclass(frozen=True)
class _Balanced:
    """Scores that the policy `balanced` compares.

    Args:
        mean: the mean score of each query with the passages of a language, float32, shape (queries, languages).
        spread: the standard deviation, above 0, of the same shape.

    """

    mean: Floats
    spread: Floats

    def scores(self, plain: Floats, vectors: Floats, lang: IntArray) -> Floats:
        del vectors
        found = plain - self.mean[:, lang]
        found /= self.spread[:, lang]
        return found

    def of_pairs(self, plain: Floats, vectors: Floats, lang: IntArray, row: IntArray) -> Floats:
        del vectors
        found: Floats = (plain - self.mean[row, lang]) / self.spread[row, lang]
        return found


def remedies(
    table: RankTable,
    corpus: Corpus,
    queries: Matrix,
    passages: Matrix,
    *,
    similarity: str,
    copies: Copies = "wrong",
    limit: int = QUERIES,
) -> dict[str, Any] | None:
    """Estimate what removal of language and the policy `balanced` would change.

    Args:
        table: the rank table of the embeddings.
        corpus: the corpus of the embeddings.
        queries: floating, shape (queries, dimension), in row order; may be memory-mapped.
        passages: floating, shape (passages, dimension), in row order; may be memory-mapped.
        similarity: `"cosine"` or `"dot"`.
        copies: how copies of right answers were counted; see `babelmix.corpus.copies`.
        limit: the most queries that are drawn.

    Returns:
        JSON-serialisable values: `queries` (the number drawn), `systems` (by name, `now`, `removal` and `balanced`: for each
        measure `value`, `low`, `high`, and `cells` with the same by query language) and `left_out` (the remedies that could
        not be tried, with the reason). The measures are the own share of the first 10 answers, mAP in the pool of all and rank
        distance. None if the pool has one language, or pictures.

    Raises:
        NotFiniteError: an embedding is not finite.

    """
    if len(table.passage_langs) < 2 or IMAGE in (*table.query_langs, *table.passage_langs):
        return None
    rows = drawn_queries(table, limit)
    lang = pl.Series(corpus.passages["lang"].to_pylist(), dtype=pl.Enum(table.passage_langs)).to_physical()
    passage_lang = lang.to_numpy().astype(np.int64)
    asked = read(queries, rows, "query", similarity)
    tried: dict[str, _Removal | _Balanced] = {"balanced": _balanced(asked, passages, passage_lang, table, similarity)}
    left_out: dict[str, str] = {}
    directions = _directions(table, queries, passages, passage_lang, similarity)
    if isinstance(directions, str):
        left_out["removal"] = directions
    else:
        tried = {"removal": _Removal(directions, asked @ directions.T, similarity == "cosine"), **tried}
    drawn = _Drawn.of(table, corpus, rows, copies)
    found = drawn.ranked(asked, passages, passage_lang, similarity, list(tried.values()))
    first = table.top[rows, table.cutoffs.index(SHARE_AT)] if SHARE_AT in table.cutoffs else None
    systems = {"now": drawn.measured(table.rank_in_all()[drawn.pairs], first)}
    for name, (ranks, top) in zip(tried, found, strict=True):
        systems[name] = drawn.measured(ranks, top)
    return {"queries": len(rows), "systems": systems, "left_out": left_out}


@dataclass(frozen=True)
class _Drawn:
    """The drawn queries, their relevant pairs and their excluded pairs.

    Args:
        table: the rank table.
        rows: the query rows, ascending, int64, shape (queries,).
        pairs: the numbers of their pairs in the table, int64, shape (pairs,).
        row: the number of the drawn query of each pair, int64, shape (pairs,).
        excluded: the number of the drawn query, and the passage row, of each excluded pair, int64, shape (2, pairs).

    """

    table: RankTable
    rows: IntArray
    pairs: IntArray
    row: IntArray
    excluded: npt.NDArray[np.int64]

    @classmethod
    def of(cls, table: RankTable, corpus: Corpus, rows: IntArray, copies: Copies) -> _Drawn:
        place = np.full(len(table.query_lang), -1, dtype=np.int64)
        place[rows] = np.arange(len(rows))
        pairs = np.flatnonzero(place[table.pair_query] >= 0)
        query, passage = excluded_pairs(corpus, copies=copies)
        kept = place[query] >= 0
        return cls(table, rows, pairs, place[table.pair_query[pairs]], np.stack([place[query[kept]], passage[kept]]))

    def ranked(
        self,
        asked: Floats,
        passages: Matrix,
        lang: IntArray,
        similarity: str,
        tried: Sequence[_Removal | _Balanced],
    ) -> list[tuple[IntArray, IntArray]]:
        """For each remedy the ranks of the pairs, from 0, and the languages of the first answers, shape (queries, languages)."""
        relevant = self.table.pair_passage[self.pairs]
        distinct, of_pair = np.unique(relevant, return_inverse=True)
        own = [np.empty(len(relevant), dtype=np.float32) for _ in tried]
        for start in range(0, len(distinct), _CHUNK):
            vectors = read(passages, distinct[start : start + _CHUNK], "passage", similarity)
            here = np.flatnonzero((of_pair >= start) & (of_pair < start + _CHUNK))
            of_here, row = vectors[of_pair[here] - start], self.row[here]
            plain = np.einsum("ij,ij->i", asked[row], of_here)
            for scores, remedy in zip(own, tried, strict=True):
                scores[here] = remedy.of_pairs(plain, of_here, lang[relevant[here]], row)
        ranks = [np.zeros(len(relevant), dtype=np.int64) for _ in tried]
        best = [_Best(len(self.rows)) for _ in tried]
        starts = np.searchsorted(self.row, np.arange(len(self.rows) + 1))
        for start in range(0, len(lang), _CHUNK):
            here = np.arange(start, min(start + _CHUNK, len(lang)))
            vectors = read(passages, here, "passage", similarity)
            plain = (torch.from_numpy(asked) @ torch.from_numpy(vectors).T).numpy()
            query, passage = self.excluded
            out = (passage >= start) & (passage <= here[-1])
            inside = np.flatnonzero((relevant >= start) & (relevant <= here[-1]))
            for number, remedy in enumerate(tried):
                grid = remedy.scores(plain, vectors, lang[here])
                grid[query[out], passage[out] - start] = -np.inf
                # A passage does not outrank itself: its score is that of the pair, without the rounding of the product.
                grid[self.row[inside], relevant[inside] - start] = own[number][inside]
                in_order = np.sort(grid, axis=1)
                best[number].update(grid, in_order, lang[here])
                for one in range(len(self.rows)):
                    mine = slice(starts[one], starts[one + 1])
                    ranks[number][mine] += len(here) - np.searchsorted(in_order[one], own[number][mine], side="right")
        languages = len(self.table.passage_langs)
        return [(found, one.languages(languages)) for found, one in zip(ranks, best, strict=True)]

    def measured(self, ranks: IntArray, first: npt.NDArray[np.integer[Any]] | None) -> dict[str, Any]:
        """The measures, with intervals.

        Args:
            ranks: the ranks of the pairs, from 0, int64, shape (pairs,).
            first: the languages of the first answers, integers, shape (queries, languages).

        """
        found = {}
        group = numbered(self.table.query_group)[self.rows]
        own = np.array([_place(lang, self.table.passage_langs) for lang in self.table.query_langs])
        own_of = own[self.table.query_lang[self.rows]]
        if first is not None:
            there = np.flatnonzero((own_of >= 0) & (first.sum(axis=1) > 0))
            shares = first[there, own_of[there]] / first[there].sum(axis=1)
            found[SAME_LANGUAGE_SHARE] = self._measure(SAME_LANGUAGE_SHARE, there, shares, group)
        if len(ranks):
            order = np.lexsort((ranks, self.row))
            starts = np.flatnonzero(np.diff(self.row[order], prepend=-1))
            lists = RankedLists(ranks[order], starts, self.table.pair_grade[self.pairs][order])
            found[MULTI_MAP] = self._measure(MULTI_MAP, self.row[order][starts], metric("mAP")(lists), group)
            far = np.iinfo(np.int64).max
            best = np.full((len(self.rows), len(self.table.passage_langs)), far)
            np.minimum.at(best, (self.row, self.table.pair_lang[self.pairs]), ranks)
            several = np.flatnonzero((best < far).sum(axis=1) > 1)
            spread = np.where(best < far, best, -1).max(axis=1) - best.min(axis=1)
            found[RANK_DISTANCE] = self._measure(RANK_DISTANCE, several, spread[several].astype(np.float64), group)
        known = {name: one for name, one in found.items() if len(one.values)}
        return {
            name: {**_plain(macro), "cells": {cell: _plain(one) for cell, one in cells.items()}}
            for name, (macro, cells) in estimates(known).items()
        }

    def _measure(self, name: str, query: IntArray, values: npt.NDArray[np.float64], group: IntArray) -> Measure:
        setting, _, what = name.partition("/")
        used, cell = np.unique(self.table.query_lang[self.rows[query]], return_inverse=True)
        return Measure(setting, what, tuple(self.table.query_langs[i] for i in used), cell, group[query], values)


class _Best:
    """The first answers to some queries, over chunks."""

    def __init__(self, queries: int) -> None:
        self._scores = np.full((queries, SHARE_AT), -np.inf, dtype=np.float32)
        self._langs = np.full((queries, SHARE_AT), -1, dtype=np.int64)

    def update(self, grid: Floats, in_order: Floats, lang: IntArray) -> None:
        """Add a chunk: its scores, the same in ascending order by query, and the languages of its passages."""
        # Only what is among the first of the chunk, and better than the last that is kept, can be among the first of all.
        least = np.maximum(in_order[:, -min(SHARE_AT, grid.shape[1])], self._scores[:, -1])
        row, column = np.nonzero((grid >= least[:, None]) & np.isfinite(grid))
        queries = len(self._scores)
        rows = np.concatenate([np.repeat(np.arange(queries), SHARE_AT), row])
        scores = np.concatenate([self._scores.ravel(), grid[row, column]])
        langs = np.concatenate([self._langs.ravel(), lang[column]])
        order = np.lexsort((-scores, rows))
        first = np.searchsorted(rows[order], np.arange(queries))[:, None] + np.arange(SHARE_AT)
        self._scores, self._langs = scores[order][first], langs[order][first]

    def languages(self, count: int) -> IntArray:
        """How many of the first answers are in each language, int64, shape (queries, languages)."""
        found = np.zeros((len(self._langs), count), dtype=np.int64)
        known = self._langs >= 0
        np.add.at(found, (np.nonzero(known)[0], self._langs[known]), 1)
        return found


def _balanced(asked: Floats, passages: Matrix, lang: IntArray, table: RankTable, similarity: str) -> _Balanced:
    """The moments of the scores of each query in each language."""
    languages = len(table.passage_langs)
    mean = np.zeros((len(asked), languages), dtype=np.float32)
    variance = np.zeros_like(mean)
    for number in range(languages):
        vectors = read(passages, _some(np.flatnonzero(lang == number), SAMPLE), "passage", similarity)
        scores = (torch.from_numpy(asked) @ torch.from_numpy(vectors).T).numpy()
        mean[:, number], variance[:, number] = scores.mean(axis=1), scores.var(axis=1)
    few = table.pool_sizes < MIN_ROWS
    if few.any():
        weight = (table.pool_sizes / table.pool_sizes.sum()).astype(np.float32)
        together = mean @ weight
        mean[:, few], variance[:, few] = together[:, None], ((variance + mean**2) @ weight - together**2)[:, None]
    return _Balanced(mean, np.sqrt(np.maximum(variance, 1e-12)))


def _directions(table: RankTable, queries: Matrix, passages: Matrix, lang: IntArray, similarity: str) -> Floats | str:
    """The directions that `centred` takes away; or the reason why it cannot be fitted."""
    langs, dimension = table.passage_langs, passages.shape[1]
    small = [(name, int(size)) for name, size in zip(langs, table.pool_sizes, strict=True) if size < LEAST]
    if small:
        return f"it is fitted on {LEAST} texts of each language or more, and there are {small[0][1]} in {small[0][0]}"
    if len(langs) + 1 >= dimension:
        return f"embeddings of {dimension} dimensions are too short for {len(langs)} languages"
    members = []
    for number, name in enumerate(langs):
        kinds = [read(passages, _some(np.flatnonzero(lang == number), TEXTS), "passage", similarity)]
        asked = np.flatnonzero(table.query_lang == _place(name, table.query_langs))
        # A language without enough queries uses its passages as queries too.
        kinds.insert(0, read(queries, _some(asked, TEXTS), "query", similarity) if len(asked) >= LEAST else kinds[0])
        members.append([one.mean(axis=0, dtype=np.float64, keepdims=True) for one in kinds])
    if all(np.array_equal(first, second) for first, second in members):
        members = [[one] for one, _ in members]
    return centred_subspace(members, usual_rank(len(langs))).astype(np.float32)


def _some(rows: IntArray, count: int) -> IntArray:
    """At most `count` of the rows, at equal distances."""
    return rows if len(rows) <= count else rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]


def _place(lang: str, langs: Sequence[str]) -> int:
    return langs.index(lang) if lang in langs else -1


def _plain(estimate: Any) -> Mapping[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


__all__ = ["MIN_ROWS", "QUERIES", "SAMPLE", "TEXTS", "remedies"]
