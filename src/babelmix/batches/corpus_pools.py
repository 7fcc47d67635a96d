"""The pools of a `CorpusIndex`: pairs gathered by class, in one language, in two, or with several captions a picture."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from babelmix.batches.keyed import derive_key, uniforms
from babelmix.batches.pool import ClassPool, Drawn, Floats, Ints, choose

if TYPE_CHECKING:
    from babelmix.batches.index import CorpusIndex


class PictureRows:
    """Rows of pictures by item; a picture goes with every language. The counterpart of `RowsByLanguage`.

    Args:
        item: of each row, int64, shape (rows,).
        items: how many items there are.
        langs: how many languages there are.

    """

    def __init__(self, item: Ints, items: int, langs: int) -> None:
        self.order = np.argsort(item, kind="stable")
        self.count = np.bincount(item, minlength=items)
        self.first = np.cumsum(self.count) - self.count
        self.has = np.repeat((self.count > 0)[:, None], langs, axis=1)

    def pick(self, item: Ints, lang: Ints | int, chance: Floats) -> Ints:
        """A row of each item, any of several with equal chance, whatever the language."""
        del lang
        return self.order[self.first[item] + (chance * self.count[item]).astype(np.int64)]


class CorpusPool(ClassPool):
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


class SamePool(CorpusPool):
    """Pairs with both sides in one language: one for all, or each its own."""

    def __init__(self, index: CorpusIndex, pairs: Ints, weights: Floats, lang: int | None) -> None:
        super().__init__(index, pairs, weights)
        self._lang = lang

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        if self._lang is not None:
            return self._lang, self._lang
        both = self._index.query_has[query] & self._index.passage_rows.has[passage]
        lang = choose(np.where(both, self._weights, 0.0), chance[0])
        return lang, lang


def _others(weights: Floats) -> Floats:
    """Weights of the languages that differ from one, shape (one, languages)."""
    return np.where(np.eye(len(weights), dtype=bool), 0.0, weights)


class DifferentPool(CorpusPool):
    """Pairs with the sides in different languages."""

    def __init__(self, index: CorpusIndex, pairs: Ints, weights: Floats) -> None:
        super().__init__(index, pairs, weights)
        self._others = _others(weights)

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        # P(a, b) ~ w_a w_b for a != b: draw a by its share, then b among the others.
        has = self._index.passage_rows.has[passage]
        share = self._index.query_rows.has[query] * self._weights * (has @ self._others.T)
        query_lang = choose(share, chance[0])
        return query_lang, choose(np.where(has, self._others[query_lang], 0.0), chance[1])


class TwoCaptionsPool(CorpusPool):
    """Pictures with two captions in different languages, or such captions without their picture.

    Args:
        index: of the pairs.
        pairs: the pool's, int64, shape (pairs,).
        weights: of the languages, 0 for those that are not drawn, shape (languages,).
        pictures: whether the picture stands beside its captions.

    """

    def __init__(self, index: CorpusIndex, pairs: Ints, weights: Floats, *, pictures: bool = True) -> None:
        super().__init__(index, pairs, weights)
        self._pictures = pictures
        self._others = _others(weights)

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """See `Pool.draw`; P(a, b) ~ w_a w_b for a != b, of the languages a picture has captions in."""
        drawn = super().draw(seed, step, size)
        item = self._index.query_item[drawn.query_rows]
        chance = uniforms(derive_key(seed, "second captions", step), 2 * size).reshape(2, -1)
        lang = choose(
            np.where(self._index.query_rows.has[item], self._others[self._index.query_lang[drawn.query_rows]], 0.0),
            chance[0],
        )
        second = self._index.query_rows.pick(item, lang, chance[1])
        passages = drawn.passage_rows if self._pictures else drawn.passage_rows[:0]
        return Drawn(drawn.query_rows, passages, second_rows=second)

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        has = self._index.query_rows.has[query] & (self._weights > 0)
        return choose(has * self._weights * (has @ self._others.T), chance[0]), 0


class RenderingsPool(CorpusPool):
    """Passages with a query in each of K languages: pictures with captions, or texts in a language drawn by weight.

    Args:
        index: of the pairs.
        pairs: the pool's, of queries in at least K languages, int64, shape (pairs,).
        langs: numbers of the languages, int64, shape (languages,).
        weights: of all languages, shape (all languages,).
        k: how many are drawn for each passage, by weight, without replacement; None: all.

    """

    def __init__(self, index: CorpusIndex, pairs: Ints, langs: Ints, weights: Floats, k: int | None = None) -> None:
        super().__init__(index, pairs, weights)
        self._of, self._k = langs, k

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """See `Pool.draw`: `size` passage rows, and K query rows for each, side by side, in the order in which they are drawn.

        All languages are in their own order.
        """
        drawn = super().draw(seed, step, size)
        item = self._index.query_item[drawn.query_rows]
        if self._k is None:
            langs = np.tile(self._of, (size, 1))
        else:
            chance = uniforms(derive_key(seed, "languages of renderings", step), self._k * size).reshape(self._k, size)
            langs = self._some_langs(item, chance)
        item = np.repeat(item, langs.shape[1])
        chance = uniforms(derive_key(seed, "renderings", step), len(item))
        query_rows = self._index.query_rows.pick(item, langs.ravel(), chance)
        return Drawn(query_rows, drawn.passage_rows, negative_rows=drawn.negative_rows)

    def _some_langs(self, item: Ints, chance: Floats) -> Ints:
        """K different languages of each item, one after another by weight, int64, shape (items, K)."""
        left = np.where(self._index.query_has[item], self._weights, 0.0)
        langs = np.empty((len(item), len(chance)), dtype=np.int64)
        for place, row in enumerate(chance):
            langs[:, place] = choose(left, row)
            left[np.arange(len(item)), langs[:, place]] = 0.0
        return langs

    def _langs(self, query: Ints, passage: Ints, chance: Floats) -> tuple[Ints | int, Ints | int]:
        # The query's row says which item it is, and is drawn again.
        query_lang = self._index.query_has[query].argmax(axis=1)
        return query_lang, choose(np.where(self._index.passage_rows.has[passage], self._weights, 0.0), chance[1])


__all__ = [
    "CorpusPool",
    "DifferentPool",
    "PictureRows",
    "RenderingsPool",
    "SamePool",
    "TwoCaptionsPool",
]
