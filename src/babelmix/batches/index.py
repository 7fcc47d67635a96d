"""What a plan draws from: classes of items that may not be each other's negatives, and their pairs by language.

A *class* joins items that a batch must not hold together: the two sides of a qrel, all passages of one query, and items
that share a text. A batch draws distinct classes, so neither a translation nor a copy of a row's
positive is ever one of its negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl
import scipy.sparse

from babelmix.corpus import Corpus
from babelmix.errors import PlanError

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Pool(Protocol):
    """Classes that can fill one kind of batch."""

    def __len__(self) -> int:
        """How many classes there are."""
        ...

    def pick(self, classes: Ints, chance: Floats, weights: Floats) -> tuple[Ints, Ints]:
        """Choose a query row and a passage row for each class.

        Args:
            classes: positions in this pool, int64, shape (batch,).
            chance: uniform numbers, shape (5, batch): for the pair, the query's and the passage's language, their rows.
            weights: of the languages, shape (languages,).

        Returns:
            Query rows and passage rows, int64, shape (batch,).

        """
        ...


class PairIndex(Protocol):
    """An index over training pairs by language."""

    langs: tuple[str, ...]

    def same(self, lang: int | None) -> Pool:
        """Pairs with query and passage in one language: that of index `lang`, or each row its own if None."""
        ...

    def different(self) -> Pool:
        """Pairs with query and passage in different languages, each row its own ordered pair."""
        ...


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
        codes = frame.select("item").join(
            pl.DataFrame({"item": items, "code": np.arange(len(items))}), on="item", how="left", maintain_order="left"
        )["code"]
        lang = frame["lang"].replace_strict(lang_code, return_dtype=pl.Int64).to_numpy()
        sides.append(_Coded(codes.to_numpy().astype(np.int64), lang.astype(np.int64), items, frame))
    qrels = pl.DataFrame(pl.from_arrow(corpus.qrels))
    ends = []
    for column, side in zip(("query_item", "passage_item"), sides, strict=True):
        numbers = pl.DataFrame({column: side.items, "code": np.arange(len(side.items))})
        joined = qrels.select(column).join(numbers, on=column, how="left", maintain_order="left")
        ends.append(joined["code"].to_numpy().astype(np.int64))
    return sides[0], sides[1], ends[0], ends[1]


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

    Raises:
        PlanError: a language is not in the corpus, or no pair is left.

    """

    def __init__(self, corpus: Corpus, langs: Sequence[str] | None = None) -> None:
        if langs is not None and (missing := sorted(set(langs) - set(corpus.langs))):
            raise PlanError(f"{corpus.name} has no {', '.join(missing)}; it has {', '.join(corpus.langs)}")
        corpus = corpus if langs is None else corpus.only_langs(langs)
        self.langs = corpus.langs
        self.name = corpus.name
        queries, passages, pair_query, pair_passage = _coded(corpus)
        if len(pair_query) == 0:
            raise PlanError(f"{corpus.name}: there is no training pair in {', '.join(self.langs)}")
        query_class, _ = _classes(queries, passages, pair_query, pair_passage)
        order = np.argsort(query_class[pair_query], kind="stable")
        self.pair_query, self.pair_passage = pair_query[order], pair_passage[order]
        self.pair_class = query_class[self.pair_query]
        self.query_rows = _RowsByLanguage(queries.item, queries.lang, len(queries.items), len(self.langs))
        self.passage_rows = _RowsByLanguage(passages.item, passages.lang, len(passages.items), len(self.langs))

    def same(self, lang: int | None) -> Pool:
        """See `PairIndex.same`."""
        both = self.query_rows.has[self.pair_query] & self.passage_rows.has[self.pair_passage]
        return _CorpusPool(self, np.flatnonzero(both.any(axis=1) if lang is None else both[:, lang]), "same", lang)

    def different(self) -> Pool:
        """See `PairIndex.different`."""
        query, passage = self.query_rows.has[self.pair_query], self.passage_rows.has[self.pair_passage]
        # There is an ordered pair of different languages unless both sides have one and the same language only.
        count_query, count_passage = query.sum(axis=1), passage.sum(axis=1)
        only_one = (count_query == 1) & (count_passage == 1) & (query & passage).any(axis=1)
        return _CorpusPool(
            self, np.flatnonzero((count_query > 0) & (count_passage > 0) & ~only_one), "different", None
        )


class _RowsByLanguage:
    """Rows of one side by (item, language): `order[first[item, lang] : + count[item, lang]]`."""

    def __init__(self, item: Ints, lang: Ints, items: int, langs: int) -> None:
        key = item * langs + lang
        self.order = np.argsort(key, kind="stable")
        count = np.bincount(key, minlength=items * langs)
        self.first = (np.cumsum(count) - count).reshape(items, langs)
        self.count = count.reshape(items, langs)
        self.has = self.count > 0

    def pick(self, item: Ints, lang: Ints, chance: Floats) -> Ints:
        """A row of each (item, language), any of several with equal chance."""
        offset = (chance * self.count[item, lang]).astype(np.int64)
        return self.order[self.first[item, lang] + offset]


class _CorpusPool:
    """Pairs of a `CorpusIndex`, gathered by class."""

    def __init__(self, index: CorpusIndex, pairs: Ints, kind: str, lang: int | None) -> None:
        self._index, self._pairs, self._kind, self._lang = index, pairs, kind, lang
        _, self._first, self._count = np.unique(index.pair_class[pairs], return_index=True, return_counts=True)

    def __len__(self) -> int:
        return len(self._first)

    def pick(self, classes: Ints, chance: Floats, weights: Floats) -> tuple[Ints, Ints]:
        """See `Pool.pick`."""
        index = self._index
        pair = self._pairs[self._first[classes] + (chance[0] * self._count[classes]).astype(np.int64)]
        query, passage = index.pair_query[pair], index.pair_passage[pair]
        if self._lang is not None:
            query_lang = passage_lang = np.full(len(pair), self._lang)
        else:
            query_has, passage_has = index.query_rows.has[query] * weights, index.passage_rows.has[passage] * weights
            if self._kind == "same":
                query_lang = passage_lang = choose(query_has * (passage_has > 0), chance[1])
            else:
                # P(a, b) ~ w_a w_b for a != b: draw a by its share, then b among the others.
                partners = passage_has.sum(axis=1, keepdims=True) - passage_has
                query_lang = choose(query_has * partners, chance[1])
                passage_has[np.arange(len(pair)), query_lang] = 0.0
                passage_lang = choose(passage_has, chance[2])
        return index.query_rows.pick(query, query_lang, chance[3]), index.passage_rows.pick(
            passage, passage_lang, chance[4]
        )


def choose(weights: Floats, chance: Floats) -> Ints:
    """A column of each row, drawn in proportion to non-negative weights.

    Args:
        weights: shape (rows, columns); no row is all zero.
        chance: uniform numbers, shape (rows,).

    Returns:
        int64, shape (rows,).

    """
    edges = np.cumsum(weights, axis=1)
    target = chance * edges[:, -1]
    chosen = (edges <= target[:, None]).sum(axis=1)
    # Rounding may carry the target to the last edge; the last column of positive weight is then meant.
    last = weights.shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    return np.minimum(chosen, last)


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
        code = {lang: i for i, lang in enumerate(self.langs)}
        self.query_lang = np.array([code[lang] for lang in query_lang], dtype=np.int64)
        self.passage_lang = np.array([code[lang] for lang in passage_lang], dtype=np.int64)
        left, right = [], []
        rows = np.arange(len(item))
        for texts in (item, query, passage):
            if texts is None:
                continue
            nodes, firsts = _links(pl.Series(list(texts)), rows)
            left.append(nodes)
            right.append(firsts)
        self.row_class, _ = _components(np.concatenate(left), np.concatenate(right), len(rows), len(rows))

    def same(self, lang: int | None) -> Pool:
        """See `PairIndex.same`."""
        keep = self.query_lang == self.passage_lang
        rows = np.flatnonzero(keep if lang is None else keep & (self.query_lang == lang))
        return _RowPool(self, rows, same=True)

    def different(self) -> Pool:
        """See `PairIndex.different`."""
        return _RowPool(self, np.flatnonzero(self.query_lang != self.passage_lang), same=False)


class _RowPool:
    """Rows of a `RowIndex`, gathered by class."""

    def __init__(self, index: RowIndex, rows: Ints, same: bool) -> None:
        order = np.argsort(index.row_class[rows], kind="stable")
        self._index, self._rows, self._same = index, rows[order], same
        classes = index.row_class[self._rows]
        _, self._first, self._count = np.unique(classes, return_index=True, return_counts=True)
        # Several rows of a class in one pair of languages share that pair's weight.
        pair = (classes * len(index.langs) + index.query_lang[self._rows]) * len(index.langs)
        _, place, size = np.unique(pair + index.passage_lang[self._rows], return_inverse=True, return_counts=True)
        self._share = 1.0 / size[place]

    def __len__(self) -> int:
        return len(self._first)

    def pick(self, classes: Ints, chance: Floats, weights: Floats) -> tuple[Ints, Ints]:
        """See `Pool.pick`; a row is drawn by its language's weight, or by the product of its two languages'."""
        index = self._index
        chosen = np.empty(len(classes), dtype=np.int64)
        for i, (first, count) in enumerate(zip(self._first[classes], self._count[classes], strict=True)):
            rows = self._rows[first : first + count]
            weight = self._share[first : first + count] * weights[index.query_lang[rows]]
            if not self._same:
                weight = weight * weights[index.passage_lang[rows]]
            chosen[i] = rows[choose(weight[None, :], chance[1, i : i + 1])[0]]
        return chosen, chosen
