"""An index over a corpus, which may lack languages or have several rows per item and language."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

import numpy as np

from babelmix._lists import as_list
from babelmix.batches.clusters import NumberedCorpus, clusters_by_language, languages_of
from babelmix.batches.corpus_pools import (
    CorpusPairs,
    DifferentPool,
    PictureRows,
    RenderingsPool,
    SamePool,
    TwoCaptionsPool,
)
from babelmix.batches.negatives import HardNegatives, RowsByLanguage
from babelmix.batches.pool import Floats, Ints, Pool
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.corpus import Corpus


class CorpusIndex:
    """An index over any corpus. Items may lack languages or have several rows in one, and queries may have several passages.

    A picture fits queries in all languages. So a monolingual batch of pictures has captions in one language. A cross-lingual
    batch has one caption per picture, and each row draws its language.

    A bitext, in which each text is query and passage, has no monolingual batches: in its own language a text would find itself.

    Args:
        corpus: the training corpus.
        langs: the languages to draw. Each is a range (`en` includes en-US). None: all languages of the corpus.
        hard_negatives: whether every row gets a hard negative, if the corpus has any; see `babelmix.batches.negatives`.
        text_only: languages whose captions are never in a batch with pictures, only with other captions.

    Raises:
        PlanError: a language is not in the corpus, there is no training pair, queries are pictures, only some passages are
            pictures, `text_only` names all languages or the corpus has no pictures for it, or a corpus of pictures has hard
            negatives.

    Examples:
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
        from babelmix.corpus.labels import LABELS, TRANSLATIONS

        if langs is not None:
            corpus = corpus.only_langs(match_languages(langs, corpus.langs, corpus.name, PlanError))
        self.langs = languages_of(corpus)
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
        numbered = NumberedCorpus.of(corpus)
        queries, passages = numbered.queries, numbered.passages
        if len(numbered.pair_query) == 0:
            raise PlanError(f"{corpus.name}: there is no training pair in {', '.join(self.langs)}")
        query_cluster, passage_cluster = numbered.clusters()
        order = np.argsort(query_cluster[numbered.pair_query], kind="stable")
        pair_query, pair_passage = numbered.pair_query[order], numbered.pair_passage[order]
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
            hard = HardNegatives(
                query_item=queries.item, query_cluster=query_cluster, passage_lang=passages.lang,
                passage_cluster=passage_cluster, rows=cast(RowsByLanguage, passage_rows),
                negatives=numbered.pairs_in(corpus.negatives),
            )  # fmt: skip
        self.pairs = CorpusPairs(
            query=pair_query, passage=pair_passage, cluster=query_cluster[pair_query],
            query_item=queries.item, query_lang=queries.lang, query_rows=query_rows, passage_rows=passage_rows,
            query_has=query_rows.has & self._beside_passages, hard_negatives=hard,
        )  # fmt: skip
        self._both = self.pairs.query_has[self.pairs.query] & passage_rows.has[self.pairs.passage]
        if corpus.meta.get(LABELS) == TRANSLATIONS:
            # In its own language a text of a bitext finds itself, which teaches nothing.
            self._both = np.zeros_like(self._both)

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
        return clusters_by_language(self.pairs.cluster, self._both)

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
        return clusters_by_language(self.pairs.cluster, self.pairs.query_rows.has[self.pairs.query])

    @property
    def max_renderings(self) -> int:
        """See `CaptionIndex.max_renderings`."""
        return int(self._beside_passages.sum())

    def renderings(self, weights: Floats, k: int | None = None) -> Pool:
        """See `CaptionIndex.renderings`."""
        langs = np.flatnonzero(self._beside_passages)
        enough = self.pairs.query_has[self.pairs.query].sum(axis=1) >= (k or len(langs))
        return RenderingsPool(self.pairs, np.flatnonzero(enough), langs, weights, k)


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


__all__ = ["CorpusIndex"]
