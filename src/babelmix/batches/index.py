"""Indexes over what is listed row by row: a corpus of any coverage, or a table of ready pairs.

Here a class joins the two sides of a qrel, all passages of one query, and items that share a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix._components import components
from babelmix._lists import as_list
from babelmix.batches.corpus_pools import DifferentPool, PictureRows, RenderingsPool, SamePool, TwoCaptionsPool
from babelmix.batches.keyed import uniforms
from babelmix.batches.negatives import HardNegatives, RowsByLanguage
from babelmix.batches.pool import ClassPool, Floats, Ints, Pool
from babelmix.errors import PlanError

if TYPE_CHECKING:
    import pyarrow as pa

    from babelmix.corpus import Corpus


_IMAGE = "zxx"
"""`corpus.IMAGE`; the corpus's libraries are many, and a plan over other indexes does without them."""


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
    langs = _languages_of(corpus)
    # A picture has no language; which number stands for it is never looked at.
    lang_code = {lang: i for i, lang in enumerate(langs)} | ({_IMAGE: 0} if corpus.has_images else {})
    sides = []
    for table in (corpus.queries, corpus.passages):
        frame = pl.DataFrame(pl.from_arrow(table.select(["item", "lang", "text"])))
        if "digest" in table.column_names:
            # A picture's content is its digest, which no text could be but by malice.
            frame = frame.with_columns(text=pl.coalesce(pl.Series(pl.from_arrow(table["digest"])), "text"))
        items = frame["item"].unique(maintain_order=True)
        lang = frame["lang"].replace_strict(lang_code, return_dtype=pl.Int64).to_numpy()
        sides.append(_Coded(_numbers_of(table["item"], items), lang.astype(np.int64), items, frame))
    ends = [
        _numbers_of(corpus.qrels[column], side.items)
        for column, side in zip(("query_item", "passage_item"), sides, strict=True)
    ]
    return sides[0], sides[1], ends[0], ends[1]


def _languages_of(corpus: Corpus) -> tuple[str, ...]:
    return tuple(lang for lang in corpus.langs if lang != _IMAGE)


def _has_picture_passages(corpus: Corpus) -> bool:
    """Whether passages are pictures.

    Raises:
        PlanError: some are and some are not, or queries are.

    """
    if corpus.is_images("queries"):
        raise PlanError(f"{corpus.name}: queries are pictures; training pairs have the picture as the passage")
    pictures = corpus.is_images("passages")
    if pictures and len(corpus.passages["lang"].unique()) > 1:
        raise PlanError(f"{corpus.name}: some passages are pictures and some are texts; make two corpora of them")
    return pictures


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
    classes = components(left, right, size)
    return classes[:split], classes[split:]


class CorpusIndex:
    """An index over a corpus: any coverage, several rows per item and language, several passages per query.

    A passage that is a picture goes with queries in all languages, so a monolingual batch of pictures has captions of one
    language and a cross-lingual one a language for each picture.

    Args:
        corpus: the training corpus.
        langs: the languages to draw, each a range (`en` means en-US too); by default all.
        hard_negatives: give every row a hard negative, if the corpus has any; see `batches.negatives`.
        text_only: languages whose captions never stand beside a picture, only beside other captions.

    Raises:
        PlanError: a language is not in the corpus, all are for captions only, no pair is left, or queries or only some passages
            are pictures.

    """

    def __init__(
        self,
        corpus: Corpus,
        langs: str | Sequence[str] | None = None,
        *,
        hard_negatives: bool = False,
        text_only: str | Sequence[str] = (),
    ) -> None:
        # Here, as a corpus's libraries are many, and a plan over other indexes does without them.
        from babelmix.corpus import match_languages

        if langs is not None:
            corpus = corpus.only_langs(match_languages(langs, corpus.langs, corpus.name, PlanError))
        self.langs = _languages_of(corpus)
        self.pictures = _has_picture_passages(corpus)
        text_only = as_list(text_only, "text_only", PlanError)
        if text_only:
            text_only = match_languages(text_only, self.langs, corpus.name, PlanError)
        if text_only and not self.pictures:
            raise PlanError(f"{corpus.name} has no pictures, so no language of it can be for captions only")
        if text_only and set(text_only) == set(self.langs):
            raise PlanError(
                f"{corpus.name}: text_only names every language, so no caption would stand beside a picture; leave one out of it"
            )
        self.name = corpus.name
        queries, passages, pair_query, pair_passage = _coded(corpus)
        if len(pair_query) == 0:
            raise PlanError(f"{corpus.name}: there is no training pair in {', '.join(self.langs)}")
        query_class, passage_class = _classes(queries, passages, pair_query, pair_passage)
        order = np.argsort(query_class[pair_query], kind="stable")
        self.pair_query, self.pair_passage = pair_query[order], pair_passage[order]
        self.pair_class = query_class[self.pair_query]
        self.query_rows: RowsByLanguage = RowsByLanguage(
            queries.item, queries.lang, len(queries.items), len(self.langs)
        )
        self.passage_rows: RowsByLanguage | PictureRows = (
            PictureRows(passages.item, len(passages.items), len(self.langs))
            if self.pictures
            else RowsByLanguage(passages.item, passages.lang, len(passages.items), len(self.langs))
        )
        self.query_item, self.query_lang = queries.item, queries.lang
        self.beside_pictures = np.array([lang not in text_only for lang in self.langs])
        self.query_has = self.query_rows.has & self.beside_pictures
        self._both = self.query_has[self.pair_query] & self.passage_rows.has[self.pair_passage]
        self.hard_negatives: HardNegatives | None = None
        if hard_negatives and self.pictures and corpus.negatives.num_rows:
            raise PlanError(f"{corpus.name}: hard negatives are for texts, not for pictures; turn hard_negatives off")
        if hard_negatives and corpus.negatives.num_rows:
            pairs = [
                _numbers_of(corpus.negatives[column], side.items)
                for column, side in zip(("query_item", "passage_item"), (queries, passages), strict=True)
            ]
            self.hard_negatives = HardNegatives(
                query_item=queries.item, query_class=query_class, passage_lang=passages.lang, passage_class=passage_class,
                rows=cast(RowsByLanguage, self.passage_rows), negatives=(pairs[0], pairs[1]),
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
        return SamePool(self, np.flatnonzero(keep), weights, lang)

    def different(self, weights: Floats) -> Pool:
        """See `PairIndex.different`."""
        if self.pictures:
            # A language for each picture is all the difference there is.
            return self.same(None, weights)
        query, passage = self.query_rows.has[self.pair_query], self.passage_rows.has[self.pair_passage]
        # There is an ordered pair of different languages unless both sides have one and the same language only.
        count_query, count_passage = query.sum(axis=1), passage.sum(axis=1)
        only_one = (count_query == 1) & (count_passage == 1) & (query & passage).any(axis=1)
        return DifferentPool(self, np.flatnonzero((count_query > 0) & (count_passage > 0) & ~only_one), weights)

    def paired(self, weights: Floats) -> Pool:
        """See `CaptionIndex.paired`."""
        has = self.query_has[self.pair_query]
        return TwoCaptionsPool(self, np.flatnonzero(has.sum(axis=1) > 1), weights * self.beside_pictures)

    def translations(self, weights: Floats) -> Pool:
        """See `CaptionIndex.translations`: of all languages, those that never stand beside a picture too."""
        has = self.query_rows.has[self.pair_query]
        return TwoCaptionsPool(self, np.flatnonzero(has.sum(axis=1) > 1), weights, pictures=False)

    def caption_sizes(self) -> Ints:
        """See `CaptionIndex.caption_sizes`."""
        return _classes_by_language(self.pair_class, self.query_rows.has[self.pair_query])

    @property
    def beside(self) -> int:
        """See `CaptionIndex.beside`."""
        return int(self.beside_pictures.sum())

    def renderings(self, weights: Floats, k: int | None = None) -> Pool:
        """See `CaptionIndex.renderings`."""
        langs = np.flatnonzero(self.beside_pictures)
        enough = self.query_has[self.pair_query].sum(axis=1) >= (k or len(langs))
        return RenderingsPool(self, np.flatnonzero(enough), langs, weights, k)


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
        for column in (item, query_lang, passage_lang, query, passage):
            if isinstance(column, str):
                raise PlanError(f"a column is a list with a text a row, not the text {column[:60]!r}")
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
