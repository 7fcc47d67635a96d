"""Indexes over what is listed row by row: a corpus of any coverage, or a table of ready pairs.

Here a class joins the two sides of a qrel, all passages of one query, and items that share a text.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse

from babelmix.batches.keyed import uniforms
from babelmix.batches.negatives import HardNegatives, RowsByLanguage
from babelmix.batches.pool import ClassPool, Floats, Ints, Pool, choose
from babelmix.errors import PlanError

if TYPE_CHECKING:
    import pyarrow as pa

    from babelmix.corpus import Corpus


def classes_of(corpus: Corpus) -> tuple[Ints, Ints]:
    """The class of each query item and each passage item, by order of first appearance in the corpus.

    Returns:
        int64, shape (query items,), and int64, shape (passage items,); one numbering for both.

    """
    return _classes(*_coded(corpus))


@dataclass(frozen=True)
class _Coded:
    """A side of a corpus in numbers: item and language of each row, and its items."""

    item: Ints
    lang: Ints
    items: pl.Series
    frame: pl.DataFrame


def _coded(corpus: Corpus) -> tuple[_Coded, _Coded, Ints, Ints]:
    lang_code = {lang: i for i, lang in enumerate(corpus.langs)}
    sides = []
    for table in (corpus.queries, corpus.passages):
        frame = pl.DataFrame(pl.from_arrow(table.select(["item", "lang", "text"])))
        items = frame["item"].unique(maintain_order=True)
        lang = frame["lang"].replace_strict(lang_code, return_dtype=pl.Int64).to_numpy()
        sides.append(_Coded(_numbers_of(table["item"], items), lang.astype(np.int64), items, frame))
    ends = [
        _numbers_of(corpus.qrels[column], side.items)
        for column, side in zip(("query_item", "passage_item"), sides, strict=True)
    ]
    return sides[0], sides[1], ends[0], ends[1]


def _numbers_of(names: pa.ChunkedArray, items: pl.Series) -> Ints:
    """The position in `items` of each name, int64, the same length."""
    numbers = pl.DataFrame({"item": items, "code": np.arange(len(items))})
    named = pl.DataFrame({"item": pl.from_arrow(names)})
    return named.join(numbers, on="item", how="left", maintain_order="left")["code"].to_numpy().astype(np.int64)


def _classes(queries: _Coded, passages: _Coded, pair_query: Ints, pair_passage: Ints) -> tuple[Ints, Ints]:
    offset = len(queries.items)
    left, right = [pair_query], [pair_passage + offset]
    # Items that share a text on one side are joined, in whatever languages they have it: names stay untranslated.
    for side, start in ((queries, 0), (passages, offset)):
        nodes, firsts = _links(side.frame["text"].str.strip_chars(), side.item + start)
        left.append(nodes)
        right.append(firsts)
    return _components(np.concatenate(left), np.concatenate(right), offset, offset + len(passages.items))


def _links(key: pl.Series, node: Ints) -> tuple[Ints, Ints]:
    """Each node with the first node of its key: the edges that join all nodes of one key."""
    frame = pl.DataFrame({"key": key, "node": node})
    linked = frame.with_columns(first=pl.col("node").min().over("key"))
    return linked["node"].to_numpy().astype(np.int64), linked["first"].to_numpy().astype(np.int64)


def _components(left: Ints, right: Ints, split: int, size: int) -> tuple[Ints, Ints]:
    graph = scipy.sparse.coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(size, size))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    classes: Ints = np.asarray(labels, dtype=np.int64)
    return classes[:split], classes[split:]


class CorpusIndex:
    """An index over a corpus: any coverage, several rows per item and language, several passages per query.

    Args:
        corpus: the training corpus.
        langs: the languages to draw; by default all.
        hard_negatives: give every row a hard negative, if the corpus has any; see `batches.negatives`.

    Raises:
        PlanError: a language is not in the corpus, or no pair is left.

    """

    def __init__(self, corpus: Corpus, langs: Sequence[str] | None = None, *, hard_negatives: bool = False) -> None:
        if langs is not None and (missing := sorted(set(langs) - set(corpus.langs))):
            raise PlanError(f"{corpus.name} has no {', '.join(missing)}; it has {', '.join(corpus.langs)}")
        corpus = corpus if langs is None else corpus.only_langs(langs)
        self.langs = corpus.langs
        self.name = corpus.name
        queries, passages, pair_query, pair_passage = _coded(corpus)
        if len(pair_query) == 0:
            raise PlanError(f"{corpus.name}: there is no training pair in {', '.join(self.langs)}")
        query_class, passage_class = _classes(queries, passages, pair_query, pair_passage)
        order = np.argsort(query_class[pair_query], kind="stable")
        self.pair_query, self.pair_passage = pair_query[order], pair_passage[order]
        self.pair_class = query_class[self.pair_query]
        self.query_rows = RowsByLanguage(queries.item, queries.lang, len(queries.items), len(self.langs))
        self.passage_rows = RowsByLanguage(passages.item, passages.lang, len(passages.items), len(self.langs))
        self._both = self.query_rows.has[self.pair_query] & self.passage_rows.has[self.pair_passage]
        self.hard_negatives: HardNegatives | None = None
        if hard_negatives and corpus.negatives.num_rows:
            pairs = [
                _numbers_of(corpus.negatives[column], side.items)
                for column, side in zip(("query_item", "passage_item"), (queries, passages), strict=True)
            ]
            self.hard_negatives = HardNegatives(
                query_item=queries.item, query_class=query_class, passage_lang=passages.lang, passage_class=passage_class,
                rows=self.passage_rows, negatives=(pairs[0], pairs[1]), name=corpus.name,
            )  # fmt: skip

    @property
    def classes(self) -> int:
        """See `PairIndex.classes`."""
        return len(np.unique(self.pair_class))

    @property
    def rows(self) -> tuple[int, int]:
        """See `PairIndex.rows`."""
        return len(self.query_rows.order), len(self.passage_rows.order)

    @property
    def sources(self) -> tuple[str, ...]:
        """See `PairIndex.sources`: none."""
        return ()

    def mono_sizes(self) -> Ints:
        """See `PairIndex.mono_sizes`."""
        return self._mono_sizes

    @cached_property
    def _mono_sizes(self) -> Ints:
        return _classes_by_language(self.pair_class, self._both)

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """See `PairIndex.same`."""
        keep = self._both.any(axis=1) if lang is None else self._both[:, lang]
        return _SamePool(self, np.flatnonzero(keep), weights, lang)

    def different(self, weights: Floats) -> Pool:
        """See `PairIndex.different`."""
        query, passage = self.query_rows.has[self.pair_query], self.passage_rows.has[self.pair_passage]
        # There is an ordered pair of different languages unless both sides have one and the same language only.
        count_query, count_passage = query.sum(axis=1), passage.sum(axis=1)
        only_one = (count_query == 1) & (count_passage == 1) & (query & passage).any(axis=1)
        return _DifferentPool(self, np.flatnonzero((count_query > 0) & (count_passage > 0) & ~only_one), weights)


class _CorpusPool(ClassPool):
    """Pairs of a `CorpusIndex`, gathered by class."""

    def __init__(self, index: CorpusIndex, pairs: Ints, weights: Floats) -> None:
        self._index, self._pairs, self._weights = index, pairs, weights
        _, self._first, self._count = np.unique(index.pair_class[pairs], return_index=True, return_counts=True)

    def __len__(self) -> int:
        return len(self._first)

    def pick(self, classes: Ints, key: int) -> tuple[Ints, Ints]:
        """See `ClassPool.pick`: any pair of the class, its languages by weight, and any row of those."""
        index = self._index
        # Chance for the pair, the query's and the passage's row, the query's and the passage's language.
        chance = uniforms(key, 5 * len(classes)).reshape(5, -1)
        pair = self._pairs[self._first[classes] + (chance[0] * self._count[classes]).astype(np.int64)]
        query, passage = index.pair_query[pair], index.pair_passage[pair]
        query_lang, passage_lang = self._langs(query, passage, chance[3:])
        query_rows = index.query_rows.pick(query, query_lang, chance[1])
        return query_rows, index.passage_rows.pick(passage, passage_lang, chance[2])

    def negatives(self, query_rows: Ints, passage_rows: Ints, key: int) -> Ints | None:
        """See `ClassPool.negatives`."""
        hard = self._index.hard_negatives
        return None if hard is None else hard.draw(query_rows, passage_rows, key)

    @abstractmethod
    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        """Languages of both sides of pairs, or one for all; chance has shape (2, batch)."""


class _SamePool(_CorpusPool):
    """Pairs with both sides in one language: one for all, or each its own."""

    def __init__(self, index: CorpusIndex, pairs: Ints, weights: Floats, lang: int | None) -> None:
        super().__init__(index, pairs, weights)
        self._lang = lang

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        if self._lang is not None:
            return self._lang, self._lang
        both = self._index.query_rows.has[query] & self._index.passage_rows.has[passage]
        lang = choose(np.where(both, self._weights, 0.0), chance[0])
        return lang, lang


class _DifferentPool(_CorpusPool):
    """Pairs with the sides in different languages."""

    def __init__(self, index: CorpusIndex, pairs: Ints, weights: Floats) -> None:
        super().__init__(index, pairs, weights)
        # Weights of the languages that differ from one, shape (one, languages).
        self._others = np.where(np.eye(len(weights), dtype=bool), 0.0, weights)

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        # P(a, b) ~ w_a w_b for a != b: draw a by its share, then b among the others.
        has = self._index.passage_rows.has[passage]
        share = self._index.query_rows.has[query] * self._weights * (has @ self._others.T)
        query_lang = choose(share, chance[0])
        return query_lang, choose(np.where(has, self._others[query_lang], 0.0), chance[1])


def _classes_by_language(classes: Ints, has: npt.NDArray[np.bool_]) -> Ints:
    """How many distinct classes have each language, given the classes and languages of pairs; shape (languages,)."""
    return np.array([len(np.unique(classes[column])) for column in has.T], dtype=np.int64)


class RowIndex:
    """An index over a table whose rows are ready pairs with a language on each side.

    This is the shape of a data set for a stock sentence-transformers trainer: `pick` returns one row number twice.

    Args:
        item: the item of each row: rows of one item are translations of each other.
        query_lang: language of each row's query.
        passage_lang: language of each row's passage.
        query: the queries' texts, if copies are to be kept out of a batch too.
        passage: the passages' texts, likewise.

    Raises:
        PlanError: the columns differ in length or are empty.

    """

    def __init__(
        self,
        item: Sequence[str],
        query_lang: Sequence[str],
        passage_lang: Sequence[str],
        query: Sequence[str] | None = None,
        passage: Sequence[str] | None = None,
    ) -> None:
        if not len(item) == len(query_lang) == len(passage_lang) or not len(item):
            raise PlanError("the columns item, query_lang and passage_lang must have one length, and some rows")
        self.langs = tuple(sorted({*query_lang, *passage_lang}))
        tags = pl.Enum(self.langs)
        self.query_lang, self.passage_lang = (
            pl.Series(list(column), dtype=tags).to_physical().to_numpy().astype(np.int64)
            for column in (query_lang, passage_lang)
        )
        left, right = [], []
        rows = np.arange(len(item))
        for texts in (item, query, passage):
            if texts is None:
                continue
            nodes, firsts = _links(pl.Series(list(texts)), rows)
            left.append(nodes)
            right.append(firsts)
        self.row_class, _ = _components(np.concatenate(left), np.concatenate(right), len(rows), len(rows))

    @property
    def classes(self) -> int:
        """See `PairIndex.classes`."""
        return len(np.unique(self.row_class))

    @property
    def rows(self) -> tuple[int, int]:
        """See `PairIndex.rows`: the same table twice."""
        return len(self.row_class), len(self.row_class)

    @property
    def sources(self) -> tuple[str, ...]:
        """See `PairIndex.sources`: none."""
        return ()

    def mono_sizes(self) -> Ints:
        """See `PairIndex.mono_sizes`."""
        same = self.query_lang == self.passage_lang
        has = same[:, None] & (self.query_lang[:, None] == np.arange(len(self.langs)))
        return _classes_by_language(self.row_class, has)

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """See `PairIndex.same`."""
        keep = self.query_lang == self.passage_lang
        rows = np.flatnonzero(keep if lang is None else keep & (self.query_lang == lang))
        return _RowPool(self, rows, weights[self.query_lang[rows]])

    def different(self, weights: Floats) -> Pool:
        """See `PairIndex.different`."""
        rows = np.flatnonzero(self.query_lang != self.passage_lang)
        return _RowPool(self, rows, weights[self.query_lang[rows]] * weights[self.passage_lang[rows]])


class _RowPool(ClassPool):
    """Rows of a `RowIndex`, gathered by class.

    Args:
        index: of the rows.
        rows: the pool's, int64, shape (rows,).
        weights: positive, of the languages of each row, shape (rows,).

    """

    def __init__(self, index: RowIndex, rows: Ints, weights: Floats) -> None:
        order = np.argsort(index.row_class[rows], kind="stable")
        self._rows = rows[order]
        classes = index.row_class[self._rows]
        _, self._first, count = np.unique(classes, return_index=True, return_counts=True)
        # Several rows of a class in one pair of languages share that pair's weight.
        pair = (classes * len(index.langs) + index.query_lang[self._rows]) * len(index.langs)
        _, place, size = np.unique(pair + index.passage_lang[self._rows], return_inverse=True, return_counts=True)
        share = weights[order] / size[place]
        # Scaled to one a class, so that the running sum loses nothing however much weights differ between classes.
        whole = np.repeat(np.add.reduceat(share, self._first), count) if len(rows) else share
        self._edges = np.cumsum(share / whole)
        self._last = self._first + count - 1

    def __len__(self) -> int:
        return len(self._first)

    def pick(self, classes: Ints, key: int) -> tuple[Ints, Ints]:
        """See `ClassPool.pick`; a row is drawn by its language's weight, or by the product of its two languages'."""
        first, last = self._first[classes], self._last[classes]
        # Class c ends at the edge c + 1, so its rows share the numbers from c on.
        found = np.searchsorted(self._edges, classes + uniforms(key, len(classes)), side="right")
        chosen = self._rows[np.clip(found, first, last)]
        return chosen, chosen
