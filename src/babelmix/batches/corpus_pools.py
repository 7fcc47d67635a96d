"""The pools of a `CorpusIndex`: pairs grouped by cluster, in one language, in two, or with several queries per passage."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from babelmix.batches.keyed import derive_key, uniforms
from babelmix.batches.negatives import HardNegatives, RowsByLanguage
from babelmix.batches.pool import ClusterPool, Drawn, Floats, Ints, draw_columns


class PictureRows:
    """Rows of pictures by item, with the methods of `RowsByLanguage`. A picture fits every language.

    Args:
        item: the item of each row, int64, shape (rows,).
        items: the number of items.
        langs: the number of languages.

    """

    def __init__(self, item: Ints, items: int, langs: int) -> None:
        self.order = np.argsort(item, kind="stable")
        self.count = np.bincount(item, minlength=items)
        self.first = np.cumsum(self.count) - self.count
        self.has = np.repeat((self.count > 0)[:, None], langs, axis=1)

    def pick(self, item: Ints, lang: Ints | int, chance: Floats) -> Ints:
        """A row of each item. Several rows of an item have equal chance, and the language does not matter."""
        del lang
        return self.order[self.first[item] + (chance * self.count[item]).astype(np.int64)]


@dataclass(frozen=True, eq=False)
class CorpusPairs:
    """The training pairs of a corpus in numbers, in the order of their clusters.

    Args:
        query: the query item of each pair, int64, shape (pairs,).
        passage: the passage item of each pair, int64, shape (pairs,).
        cluster: the cluster of each pair, int64, sorted, shape (pairs,).
        query_item: the item of each query row, int64, shape (query rows,).
        query_lang: the language of each query row, int64, shape (query rows,).
        query_rows: the query rows by item and language.
        passage_rows: the passage rows by item and language.
        query_has: whether a query item has a row in a language. Always False for `text_only` languages. Bool, shape (query items,
            languages).
        hard_negatives: draws hard negatives, or None.

    """

    query: Ints
    passage: Ints
    cluster: Ints
    query_item: Ints
    query_lang: Ints
    query_rows: RowsByLanguage
    passage_rows: RowsByLanguage | PictureRows
    query_has: npt.NDArray[np.bool_]
    hard_negatives: HardNegatives | None


class CorpusPool(ClusterPool):
    """Some pairs of a corpus, grouped by cluster.

    Args:
        pairs: all pairs of the corpus.
        chosen: the numbers of the pool's pairs, int64, sorted, shape (pool pairs,).
        weights: the weights of the languages, shape (languages,).

    """

    def __init__(self, pairs: CorpusPairs, chosen: Ints, weights: Floats) -> None:
        self._all, self._chosen, self._weights = pairs, chosen, weights
        _, self._first, self._count = np.unique(pairs.cluster[chosen], return_index=True, return_counts=True)

    def __len__(self) -> int:
        return len(self._first)

    def pick(self, clusters: Ints, key: int) -> tuple[Ints, Ints]:
        """See `ClusterPool.pick`: any pair of the cluster, its languages by weight, and any rows in these languages."""
        # Random numbers for the pair, the query row, the passage row, the query language and the passage language.
        chance = uniforms(key, 5 * len(clusters)).reshape(5, -1)
        pair = self._chosen[self._first[clusters] + (chance[0] * self._count[clusters]).astype(np.int64)]
        query, passage = self._all.query[pair], self._all.passage[pair]
        query_lang, passage_lang = self._langs(query, passage, chance[3:])
        query_rows = self._all.query_rows.pick(query, query_lang, chance[1])
        return query_rows, self._all.passage_rows.pick(passage, passage_lang, chance[2])

    def negatives(self, query_rows: Ints, passage_rows: Ints, key: int) -> Ints | None:
        """See `ClusterPool.negatives`."""
        hard = self._all.hard_negatives
        return None if hard is None else hard.draw(query_rows, passage_rows, key)

    @abstractmethod
    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        """The languages of both sides of pairs, or one language for all. `chance` has the shape (2, batch)."""


class SamePool(CorpusPool):
    """Pairs with both sides in one language. All rows have the same language, or each row draws its own."""

    def __init__(self, pairs: CorpusPairs, chosen: Ints, weights: Floats, lang: int | None) -> None:
        super().__init__(pairs, chosen, weights)
        self._lang = lang

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        if self._lang is not None:
            return self._lang, self._lang
        both = self._all.query_has[query] & self._all.passage_rows.has[passage]
        lang = draw_columns(np.where(both, self._weights, 0.0), chance[0])
        return lang, lang


def _others(weights: Floats) -> Floats:
    """For each language the weights of all other languages, shape (languages, languages)."""
    return np.where(np.eye(len(weights), dtype=bool), 0.0, weights)


class DifferentPool(CorpusPool):
    """Pairs with both sides in different languages.

    Args:
        pairs: all pairs of the corpus.
        chosen: the numbers of the pool's pairs, int64, sorted, shape (pool pairs,).
        weights: the weights of the queries' languages, shape (languages,).
        passage_weights: the weights of the passages' languages, shape (languages,).

    """

    def __init__(self, pairs: CorpusPairs, chosen: Ints, weights: Floats, passage_weights: Floats) -> None:
        super().__init__(pairs, chosen, weights)
        self._others = _others(passage_weights)

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        # P(a, b) ~ weight of a * weight of b, for a != b: draw a by its marginal, then b from the other languages.
        has = self._all.passage_rows.has[passage]
        share = self._all.query_rows.has[query] * self._weights * (has @ self._others.T)
        query_lang = draw_columns(share, chance[0])
        return query_lang, draw_columns(np.where(has, self._others[query_lang], 0.0), chance[1])


class TwoCaptionsPool(CorpusPool):
    """Pictures with two captions in different languages, or such captions without their picture.

    Args:
        pairs: all pairs of the corpus.
        chosen: the numbers of the pool's pairs, int64, sorted, shape (pool pairs,).
        weights: the weights of the languages, shape (languages,). A language of weight 0 is not drawn.
        pictures: whether the batch has the pictures together with their captions.

    """

    def __init__(self, pairs: CorpusPairs, chosen: Ints, weights: Floats, *, pictures: bool = True) -> None:
        super().__init__(pairs, chosen, weights)
        self._pictures = pictures
        self._others = _others(weights)

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """See `Pool.draw`. Of the languages a, b of a picture's captions, P(a, b) ~ weight of a * weight of b, for a != b."""
        drawn = super().draw(seed, step, size)
        item = self._all.query_item[drawn.query_rows]
        chance = uniforms(derive_key(seed, "second captions", step), 2 * size).reshape(2, -1)
        lang = draw_columns(
            np.where(self._all.query_rows.has[item], self._others[self._all.query_lang[drawn.query_rows]], 0.0),
            chance[0],
        )
        second = self._all.query_rows.pick(item, lang, chance[1])
        passages = drawn.passage_rows if self._pictures else drawn.passage_rows[:0]
        return Drawn(drawn.query_rows, passages, second_rows=second)

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        has = self._all.query_rows.has[query] & (self._weights > 0)
        return draw_columns(has * self._weights * (has @ self._others.T), chance[0]), 0


class RenderingsPool(CorpusPool):
    """Passages with queries in K languages. A passage is a picture, or a text in a language drawn by weight.

    Args:
        pairs: all pairs of the corpus.
        chosen: the numbers of the pool's pairs, with queries in at least K languages, int64, sorted, shape (pool pairs,).
        langs: the numbers of the languages that are not `text_only`, int64, shape (languages,).
        weights: the weights of all languages, shape (all languages,).
        k: the number of languages drawn for each passage, by weight, without replacement. None: all `langs`.

    """

    def __init__(self, pairs: CorpusPairs, chosen: Ints, langs: Ints, weights: Floats, k: int | None = None) -> None:
        super().__init__(pairs, chosen, weights)
        self._query_langs, self._k = langs, k

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """See `Pool.draw`: `size` passage rows, and K query rows in succession for each.

        The queries are in the order in which their languages are drawn; all languages are in the corpus's order.
        """
        drawn = super().draw(seed, step, size)
        item = self._all.query_item[drawn.query_rows]
        if self._k is None:
            langs = np.tile(self._query_langs, (size, 1))
        else:
            chance = uniforms(derive_key(seed, "languages of renderings", step), self._k * size).reshape(self._k, size)
            langs = self._some_langs(item, chance)
        item = np.repeat(item, langs.shape[1])
        chance = uniforms(derive_key(seed, "renderings", step), len(item))
        query_rows = self._all.query_rows.pick(item, langs.ravel(), chance)
        return Drawn(query_rows, drawn.passage_rows, negative_rows=drawn.negative_rows)

    def _some_langs(self, item: Ints, chance: Floats) -> Ints:
        """K different languages for each item, drawn one after another by weight, int64, shape (items, K)."""
        left = np.where(self._all.query_has[item], self._weights, 0.0)
        langs = np.empty((len(item), len(chance)), dtype=np.int64)
        for place, row in enumerate(chance):
            langs[:, place] = draw_columns(left, row)
            left[np.arange(len(item)), langs[:, place]] = 0.0
        return langs

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        # This query row only identifies the item; `draw` draws the queries.
        query_lang = self._all.query_has[query].argmax(axis=1)
        return query_lang, draw_columns(np.where(self._all.passage_rows.has[passage], self._weights, 0.0), chance[1])


__all__ = [
    "CorpusPairs",
    "CorpusPool",
    "DifferentPool",
    "PictureRows",
    "RenderingsPool",
    "SamePool",
    "TwoCaptionsPool",
]
