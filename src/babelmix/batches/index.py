"""Indexes over listed rows: a corpus of any coverage, or a table of ready pairs.

Here a cluster joins the query and the passages of its qrels, and all items that share a text.
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
from babelmix.batches.corpus_pools import (
    CorpusPairs,
    DifferentPool,
    PictureRows,
    RenderingsPool,
    SamePool,
    TwoCaptionsPool,
)
from babelmix.batches.keyed import uniforms
from babelmix.batches.negatives import HardNegatives, RowsByLanguage
from babelmix.batches.pool import ClusterPool, Floats, Ints, Pool
from babelmix.errors import PlanError

if TYPE_CHECKING:
    import pyarrow as pa

    from babelmix.corpus import Corpus


_IMAGE = "zxx"
"""The value of `corpus.IMAGE`, which is not imported: a plan over a `RegularIndex` needs none of the libraries of a corpus."""


def clusters_of(corpus: Corpus) -> tuple[Ints, Ints]:
    """The cluster of each query item and of each passage item.

    Items of one cluster are never in one batch together: they are joined by a qrel or by a common text.

    Args:
        corpus: of texts or of pictures with captions.

    Returns:
        The clusters of the query items, int64, shape (query items,), and of the passage items, int64, shape (passage items,).
        Items are in the order of their first row. Both sides share one numbering.

    Example:
        >>> from babelmix.corpus import Corpus
        >>> rows = [{"item": str(i), "lang": "en", "text": text} for i, text in enumerate(["save", "open", "save"])]
        >>> answers = [row | {"text": f"answer {row['item']}"} for row in rows]
        >>> queries, passages = clusters_of(Corpus.from_rows(rows, answers, [(str(i), str(i)) for i in range(3)]))
        >>> bool(queries[0] == queries[2] == passages[0]), bool(queries[0] == queries[1])
        (True, False)

    """
    return _clusters(*_coded(corpus))


@dataclass(frozen=True)
class _Coded:
    """One side of a corpus in numbers: the item and the language of each row, and the items."""

    item: Ints
    lang: Ints
    items: pl.Series
    frame: pl.DataFrame


def _coded(corpus: Corpus) -> tuple[_Coded, _Coded, Ints, Ints]:
    langs = _languages_of(corpus)
    # A picture has no language; its number is never used.
    lang_code = {lang: i for i, lang in enumerate(langs)} | ({_IMAGE: 0} if corpus.has_images else {})
    sides = []
    for table in (corpus.queries, corpus.passages):
        frame = pl.DataFrame(pl.from_arrow(table.select(["item", "lang", "text"])))
        if "digest" in table.column_names:
            # The digest stands for the content of a picture; only a malicious text could equal it.
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
    """Whether the passages are pictures.

    Raises:
        PlanError: only some passages are pictures, or the queries are.

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


def _clusters(queries: _Coded, passages: _Coded, pair_query: Ints, pair_passage: Ints) -> tuple[Ints, Ints]:
    offset = len(queries.items)
    left, right = [pair_query], [pair_passage + offset]
    # Items of one side that share a text are joined, even if the languages differ: names are often left untranslated.
    for side, start in ((queries, 0), (passages, offset)):
        nodes, firsts = _links(side.frame["text"].str.strip_chars(), side.item + start)
        left.append(nodes)
        right.append(firsts)
    return _components(np.concatenate(left), np.concatenate(right), offset, offset + len(passages.items))


def _links(key: pl.Series, node: Ints) -> tuple[Ints, Ints]:
    """Edges that join all nodes of one key: each node, and the first node of its key."""
    frame = pl.DataFrame({"key": key, "node": node})
    linked = frame.with_columns(first=pl.col("node").min().over("key"))
    return linked["node"].to_numpy().astype(np.int64), linked["first"].to_numpy().astype(np.int64)


def _components(left: Ints, right: Ints, split: int, size: int) -> tuple[Ints, Ints]:
    clusters = components(left, right, size)
    return clusters[:split], clusters[split:]


class CorpusIndex:
    """An index over a corpus of any coverage: several rows per item and language, several passages per query.

    A picture fits queries in all languages. So a monolingual batch of pictures has captions in one language, and a cross-lingual
    batch has one caption a picture, each in a language of its own.

    Args:
        corpus: the training corpus.
        langs: the languages to draw. Each is a range (`en` includes en-US). None: all languages of the corpus.
        hard_negatives: whether every row gets a hard negative, if the corpus has any; see `babelmix.batches.negatives`.
        text_only: languages whose captions are never in a batch with pictures, only with other captions.

    Raises:
        PlanError: a language is not in the corpus, all languages are in `text_only`, there is no training pair, queries are
            pictures, or only some passages are pictures.

    Example:
        >>> from babelmix.corpus import Corpus
        >>> rows = [{"item": str(i), "lang": lang, "text": f"{lang} {i}"} for i in range(4) for lang in ("de", "en")]
        >>> queries = [row | {"text": row["text"] + "?"} for row in rows]
        >>> index = CorpusIndex(Corpus.from_rows(queries, rows, [(str(i), str(i)) for i in range(4)]))
        >>> index.langs, index.clusters, index.mono_sizes().tolist()
        (('de', 'en'), 4, [4, 4])

    """

    def __init__(
        self,
        corpus: Corpus,
        langs: str | Sequence[str] | None = None,
        *,
        hard_negatives: bool = False,
        text_only: str | Sequence[str] = (),
    ) -> None:
        # Imported here: a plan over a `RegularIndex` needs none of the libraries of a corpus.
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
                f"{corpus.name}: text_only names every language, so no batch could have a picture; leave one language out"
            )
        self.name = corpus.name
        queries, passages, pair_query, pair_passage = _coded(corpus)
        if len(pair_query) == 0:
            raise PlanError(f"{corpus.name}: there is no training pair in {', '.join(self.langs)}")
        query_cluster, passage_cluster = _clusters(queries, passages, pair_query, pair_passage)
        order = np.argsort(query_cluster[pair_query], kind="stable")
        query_rows = RowsByLanguage(queries.item, queries.lang, len(queries.items), len(self.langs))
        passage_rows: RowsByLanguage | PictureRows = (
            PictureRows(passages.item, len(passages.items), len(self.langs))
            if self.pictures
            else RowsByLanguage(passages.item, passages.lang, len(passages.items), len(self.langs))
        )
        self._beside_passages = np.array([lang not in text_only for lang in self.langs])
        hard: HardNegatives | None = None
        if hard_negatives and self.pictures and corpus.negatives.num_rows:
            raise PlanError(f"{corpus.name}: hard negatives are for texts, not for pictures; turn hard_negatives off")
        if hard_negatives and corpus.negatives.num_rows:
            judged = [
                _numbers_of(corpus.negatives[column], side.items)
                for column, side in zip(("query_item", "passage_item"), (queries, passages), strict=True)
            ]
            hard = HardNegatives(
                query_item=queries.item, query_cluster=query_cluster, passage_lang=passages.lang,
                passage_cluster=passage_cluster, rows=cast(RowsByLanguage, passage_rows), negatives=(judged[0], judged[1]),
            )  # fmt: skip
        self.pairs = CorpusPairs(
            query=pair_query[order], passage=pair_passage[order], cluster=query_cluster[pair_query[order]],
            query_item=queries.item, query_lang=queries.lang, query_rows=query_rows, passage_rows=passage_rows,
            query_has=query_rows.has & self._beside_passages, hard_negatives=hard,
        )  # fmt: skip
        self._both = self.pairs.query_has[self.pairs.query] & passage_rows.has[self.pairs.passage]

    @cached_property
    def clusters(self) -> int:
        """See `PairIndex.clusters`."""
        return len(np.unique(self.pairs.cluster))

    @property
    def rows(self) -> tuple[int, int]:
        """See `PairIndex.rows`."""
        return len(self.pairs.query_rows.order), len(self.pairs.passage_rows.order)

    @property
    def sources(self) -> tuple[str, ...]:
        """See `PairIndex.sources`: there are none."""
        return ()

    def mono_sizes(self) -> Ints:
        """See `PairIndex.mono_sizes`."""
        return self._mono_sizes

    @cached_property
    def _mono_sizes(self) -> Ints:
        return _clusters_by_language(self.pairs.cluster, self._both)

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """See `PairIndex.same`."""
        keep = self._both.any(axis=1) if lang is None else self._both[:, lang]
        return SamePool(self.pairs, np.flatnonzero(keep), weights, lang)

    def different(self, weights: Floats, passage_weights: Floats | None = None) -> Pool:
        """See `PairIndex.different`."""
        if self.pictures:
            if passage_weights is not None:
                raise PlanError(f"{self.name}: pictures have no language, so no batch can ask for one; use cross")
            # Pictures have no language: cross-lingual only means that each caption has its own.
            return self.same(None, weights)
        if passage_weights is None:
            passage_weights = weights
        query = self.pairs.query_rows.has[self.pairs.query] & (weights > 0)
        passage = self.pairs.passage_rows.has[self.pairs.passage] & (passage_weights > 0)
        # There is an ordered pair of different languages, unless both sides have only one language and it is the same.
        count_query, count_passage = query.sum(axis=1), passage.sum(axis=1)
        only_one = (count_query == 1) & (count_passage == 1) & (query & passage).any(axis=1)
        chosen = np.flatnonzero((count_query > 0) & (count_passage > 0) & ~only_one)
        return DifferentPool(self.pairs, chosen, weights, passage_weights)

    def paired(self, weights: Floats) -> Pool:
        """See `CaptionIndex.paired`."""
        has = self.pairs.query_has[self.pairs.query]
        return TwoCaptionsPool(self.pairs, np.flatnonzero(has.sum(axis=1) > 1), weights * self._beside_passages)

    def translations(self, weights: Floats) -> Pool:
        """See `CaptionIndex.translations`: in all languages, `text_only` ones too."""
        has = self.pairs.query_rows.has[self.pairs.query]
        return TwoCaptionsPool(self.pairs, np.flatnonzero(has.sum(axis=1) > 1), weights, pictures=False)

    def caption_sizes(self) -> Ints:
        """See `CaptionIndex.caption_sizes`."""
        return _clusters_by_language(self.pairs.cluster, self.pairs.query_rows.has[self.pairs.query])

    @property
    def max_renderings(self) -> int:
        """See `CaptionIndex.max_renderings`."""
        return int(self._beside_passages.sum())

    def renderings(self, weights: Floats, k: int | None = None) -> Pool:
        """See `CaptionIndex.renderings`."""
        langs = np.flatnonzero(self._beside_passages)
        enough = self.pairs.query_has[self.pairs.query].sum(axis=1) >= (k or len(langs))
        return RenderingsPool(self.pairs, np.flatnonzero(enough), langs, weights, k)


def _clusters_by_language(clusters: Ints, has: npt.NDArray[np.bool_]) -> Ints:
    """The number of clusters with each language, from the clusters and the languages of pairs; int64, shape (languages,)."""
    return np.array([len(np.unique(clusters[column])) for column in has.T], dtype=np.int64)


class RowIndex:
    """An index over a table whose rows are ready pairs, with a language on each side.

    This is the data set of a stock sentence-transformers trainer. A batch has the same row numbers on both sides.

    Args:
        item: the item of each row. Rows of one item are translations of each other.
        query_lang: the language of each row's query.
        passage_lang: the language of each row's passage.
        query: the text of each row's query. If given, no batch has two rows with the same query.
        passage: the text of each row's passage. If given, no batch has two rows with the same passage.

    Raises:
        PlanError: the columns differ in length or are empty.

    Example:
        >>> index = RowIndex(["a", "a", "b"], ["de", "en", "en"], ["en", "en", "en"])
        >>> index.langs, index.clusters, index.mono_sizes().tolist()
        (('de', 'en'), 2, [0, 2])

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
        self.row_cluster, _ = _components(np.concatenate(left), np.concatenate(right), len(rows), len(rows))

    @cached_property
    def clusters(self) -> int:
        """See `PairIndex.clusters`."""
        return len(np.unique(self.row_cluster))

    @property
    def rows(self) -> tuple[int, int]:
        """See `PairIndex.rows`: the same table twice."""
        return len(self.row_cluster), len(self.row_cluster)

    @property
    def sources(self) -> tuple[str, ...]:
        """See `PairIndex.sources`: there are none."""
        return ()

    def mono_sizes(self) -> Ints:
        """See `PairIndex.mono_sizes`."""
        same = self.query_lang == self.passage_lang
        has = same[:, None] & (self.query_lang[:, None] == np.arange(len(self.langs)))
        return _clusters_by_language(self.row_cluster, has)

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """See `PairIndex.same`."""
        keep = self.query_lang == self.passage_lang
        rows = np.flatnonzero(keep if lang is None else keep & (self.query_lang == lang))
        return _RowPool(self, rows, weights[self.query_lang[rows]])

    def different(self, weights: Floats, passage_weights: Floats | None = None) -> Pool:
        """See `PairIndex.different`."""
        share = weights[self.query_lang] * (weights if passage_weights is None else passage_weights)[self.passage_lang]
        rows = np.flatnonzero((self.query_lang != self.passage_lang) & (share > 0))
        return _RowPool(self, rows, share[rows])


class _RowPool(ClusterPool):
    """Rows of a `RowIndex`, grouped by cluster.

    Args:
        index: the index of the rows.
        rows: the pool's rows, int64, shape (pool rows,).
        weights: the positive weights of the rows' languages, shape (pool rows,).

    """

    def __init__(self, index: RowIndex, rows: Ints, weights: Floats) -> None:
        order = np.argsort(index.row_cluster[rows], kind="stable")
        self._rows = rows[order]
        clusters = index.row_cluster[self._rows]
        _, self._first, count = np.unique(clusters, return_index=True, return_counts=True)
        # Several rows of a cluster in one pair of languages share the weight of that pair.
        pair = (clusters * len(index.langs) + index.query_lang[self._rows]) * len(index.langs)
        _, place, size = np.unique(pair + index.passage_lang[self._rows], return_inverse=True, return_counts=True)
        share = weights[order] / size[place]
        # Each cluster's weights sum to 1, so that the running sum is exact even if weights differ much between clusters.
        whole = np.repeat(np.add.reduceat(share, self._first), count) if len(rows) else share
        self._edges = np.cumsum(share / whole)
        self._last = self._first + count - 1

    def __len__(self) -> int:
        return len(self._first)

    def pick(self, clusters: Ints, key: int) -> tuple[Ints, Ints]:
        """See `ClusterPool.pick`. A row is drawn by the weight of its language, or by the product of its two weights."""
        first, last = self._first[clusters], self._last[clusters]
        # The edges of cluster c lie between c and c + 1.
        found = np.searchsorted(self._edges, clusters + uniforms(key, len(clusters)), side="right")
        chosen = self._rows[np.clip(found, first, last)]
        return chosen, chosen


__all__ = ["CorpusIndex", "RowIndex", "clusters_of"]
