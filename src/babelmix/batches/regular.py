"""An index that needs no memory: every pair exists in every language, so row numbers are computed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from babelmix.batches.keyed import derive_key, integers, uniforms
from babelmix.batches.pool import Categorical, ClusterPool, Floats, Ints, Pool
from babelmix.errors import PlanError

ROUNDS = 64
"""Rounds of drawing substitutes before the index gives up on a batch without clashes."""
SUBSTITUTES = 64
"""The least number of substitutes in a round."""

IntArray = npt.NDArray[np.integer]


class RegularIndex:
    """An index over fully parallel data: every pair exists in every language.

    Row `lang * pairs + pair` is pair number `pair` in language number `lang`, on both sides, as in one file per language,
    concatenated. If you have a column or a file per language, `locate` gives the pair and the language of a row.

    The index needs no memory per pair, so 40 million pairs cost as much as 40. If several pairs share a query or a passage (the
    40 million pairs of mMARCO share half a million queries), give the items: then no batch has two pairs of one query item or of
    one passage item. A pair that clashes with an earlier pair of its batch is replaced by a random pair. The replacement is pure
    in (seed, step) too, but a pair may then be drawn more than once in a pass over the pairs.

    Unlike `CorpusIndex`, this index does not know which other passages are relevant to a query. Suppose a passage p answers the
    queries q1 and q2. Then a batch may have the pair (q1, p) and another pair of q2, and p is a false negative of q2.

    Args:
        pairs: the number of pairs.
        langs: the languages, in the order of the files or columns.
        query: the query item of every pair, integers, shape (pairs,); may be memory-mapped.
        passage: the passage item of every pair, integers, shape (pairs,); may be memory-mapped.

    Raises:
        PlanError: there is no pair or no language, a language is named twice, or the items are not one integer for each pair.

    Examples:
        >>> index = RegularIndex(pairs=10, langs=["de", "en"])
        >>> pairs, langs = index.locate(np.array([3, 13]))
        >>> pairs.tolist(), langs.tolist()
        ([3, 3], [0, 1])

    """

    def __init__(
        self, pairs: int, langs: Sequence[str], *, query: IntArray | None = None, passage: IntArray | None = None
    ) -> None:
        if pairs < 1:
            raise PlanError(f"an index needs at least one pair, not {pairs}")
        if isinstance(langs, str) or not langs or len(set(langs)) < len(langs):
            raise PlanError(f"name every language once, at least one, as in ['de', 'en']; not {langs!r}")
        for side, items in (("query", query), ("passage", passage)):
            if items is not None and (items.shape != (pairs,) or not np.issubdtype(items.dtype, np.integer)):
                raise PlanError(
                    f"{side} items: expected {pairs} integers, one a pair; got {items.dtype} of shape {items.shape}"
                )
        self.pairs, self.langs = pairs, tuple(langs)
        self._items = tuple(items for items in (query, passage) if items is not None)

    @property
    def clusters(self) -> int:
        """See `PairIndex.clusters`: each pair is a cluster."""
        return self.pairs

    @property
    def rows(self) -> tuple[int, int]:
        """See `PairIndex.rows`."""
        return self.pairs * len(self.langs), self.pairs * len(self.langs)

    @property
    def sources(self) -> tuple[str, ...]:
        """See `PairIndex.sources`: none."""
        return ()

    def locate(self, rows: Ints) -> tuple[Ints, Ints]:
        """The pair and the language of rows.

        Args:
            rows: query rows or passage rows of a batch, int64, any shape.

        Returns:
            Numbers of pairs, and numbers of languages in `langs`; both int64, the same shape.

        """
        langs, pairs = np.divmod(rows, self.pairs)
        return pairs, langs

    def mono_sizes(self) -> Ints:
        """See `PairIndex.mono_sizes`: all pairs in every language."""
        return np.full(len(self.langs), self.pairs, dtype=np.int64)

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """See `PairIndex.same`."""
        numbers = np.arange(len(self.langs)) if lang is None else np.array([lang])
        return _RegularPool(self, numbers, numbers, weights[numbers])

    def different(self, weights: Floats, passage_weights: Floats | None = None) -> Pool:
        """See `PairIndex.different`."""
        query, passage = np.divmod(np.arange(len(self.langs) ** 2), len(self.langs))
        share = weights[query] * (weights if passage_weights is None else passage_weights)[passage]
        keep = (query != passage) & (share > 0)
        return _RegularPool(self, query[keep], passage[keep], share[keep])

    def without_clashes(self, pairs: Ints, key: int) -> Ints:
        """Replace every pair that shares an item with an earlier pair.

        Args:
            pairs: int64, shape (batch,).
            key: 64 bits, the key of the stream of substitutes.

        Returns:
            int64, shape (batch,); pairs that do not clash are left as they are.

        Raises:
            PlanError: no batch without clashes was found; there seem to be too few distinct items.

        """
        if not self._items:
            return pairs
        keep = self._first_of_their_items(pairs)
        drawn = 0
        for _ in range(ROUNDS):
            empty = np.flatnonzero(~keep)
            if not len(empty):
                return pairs
            count = max(SUBSTITUTES, len(empty))
            substitutes = integers(key, self.pairs, count, first=drawn)
            drawn += count
            kept = pairs[keep]
            fresh = self._first_of_their_items(np.concatenate([kept, substitutes]))[len(kept) :]
            found = substitutes[fresh][: len(empty)]
            pairs, keep = pairs.copy(), keep.copy()
            pairs[empty[: len(found)]] = found
            keep[empty[: len(found)]] = True
        raise PlanError(
            f"a batch of {len(pairs)} distinct queries and passages was not found in {ROUNDS} rounds of drawing: the "
            "pairs share too few items; use a smaller batch size or more data"
        )

    def _first_of_their_items(self, pairs: Ints) -> npt.NDArray[np.bool_]:
        """Whether each pair is the first with its query item and the first with its passage item, bool, shape (batch,)."""
        first = np.ones(len(pairs), dtype=bool)
        for items in self._items:
            found = np.asarray(items[pairs])
            order = np.argsort(found, kind="stable")
            found = found[order]
            first[order[1:][found[1:] == found[:-1]]] = False
        return first


class _RegularPool(ClusterPool):
    """All pairs, in some ordered pairs of languages.

    Args:
        index: the index of the pairs.
        query_lang: numbers of the queries' languages, int64, shape (language pairs,).
        passage_lang: numbers of the passages' languages, int64, shape (language pairs,).
        weights: positive weights of the language pairs, shape (language pairs,).

    """

    def __init__(self, index: RegularIndex, query_lang: Ints, passage_lang: Ints, weights: Floats) -> None:
        self._index = index
        self._starts = query_lang * index.pairs, passage_lang * index.pairs
        self._draw_langs = Categorical(weights) if len(weights) > 1 else None

    def __len__(self) -> int:
        return self._index.pairs if len(self._starts[0]) else 0

    def pick(self, clusters: Ints, key: int) -> tuple[Ints, Ints]:
        """See `ClusterPool.pick`."""
        pairs = self._index.without_clashes(clusters, derive_key(key, "substitutes"))
        query_starts, passage_starts = self._starts
        if self._draw_langs is None:
            return pairs + query_starts[0], pairs + passage_starts[0]
        drawn = self._draw_langs(uniforms(key, len(pairs)))
        return pairs + query_starts[drawn], pairs + passage_starts[drawn]


__all__ = ["RegularIndex"]
