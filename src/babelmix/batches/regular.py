"""An index without memory: every pair exists in every language, and a row's number is arithmetic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from babelmix.batches.keyed import derive_key, integers, uniforms
from babelmix.batches.pool import ClassPool, Floats, Ints, Pool, Wheel
from babelmix.errors import PlanError

ROUNDS = 64
"""How often substitutes are drawn before a batch without clashes is given up."""
SUBSTITUTES = 64
"""At least so many at a time."""

IntArray = npt.NDArray[np.integer]


class RegularIndex:
    """An index over fully parallel data: `pairs` pairs, each of them in all of `langs`.

    Row `lang * pairs + pair` is pair `pair` in the language of number `lang`, on both sides: one file per language, put
    end to end. With a column or a file per language instead, `locate` gives pair and language of a row.

    It needs no memory per pair, so 40 million pairs cost what 40 do. Where several pairs share a query or a passage
    (40 million pairs of mMARCO share half a million queries), give the item of every pair: no batch then holds two pairs of one
    query item or one passage item. A pair that clashes with an earlier one of its batch gives its place to a pair drawn
    at random, itself pure in (seed, step); such pairs are seen out of turn. Unlike `CorpusIndex` this does not know which
    other passages are relevant to a query: a passage that answers two queries and is listed with both may still stand
    beside one while the other has another positive.

    Args:
        pairs: how many there are.
        langs: the languages, in the order of the files or columns.
        query: the query item of every pair, integers, shape (pairs,); may be memory-mapped.
        passage: the passage item of every pair, likewise.

    Raises:
        PlanError: no pair, no language, a language twice, or items that are not one integer a pair.

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
    def classes(self) -> int:
        """See `PairIndex.classes`: a pair is a class."""
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
        """Pair and language number of rows.

        Args:
            rows: query rows or passage rows of a batch, int64, any shape.

        Returns:
            Pairs and numbers of languages in `langs`, both int64, the same shape.

        """
        langs, pairs = np.divmod(rows, self.pairs)
        return pairs, langs

    def mono_sizes(self) -> Ints:
        """See `PairIndex.mono_sizes`: all pairs in every language."""
        return np.full(len(self.langs), self.pairs, dtype=np.int64)

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """See `PairIndex.same`."""
        # Numbers of (query language, passage language), a * languages + b.
        twice = np.arange(len(self.langs)) * (len(self.langs) + 1)
        return _RegularPool(self, twice if lang is None else twice[lang : lang + 1], weights)

    def different(self, weights: Floats) -> Pool:
        """See `PairIndex.different`."""
        number = np.arange(len(self.langs) ** 2)
        return _RegularPool(self, number[number % (len(self.langs) + 1) > 0], weights)

    def without_clashes(self, pairs: Ints, key: int) -> Ints:
        """Pairs with those that share an item with an earlier one replaced.

        Args:
            pairs: shape (batch,).
            key: of the stream of substitutes.

        Returns:
            int64, shape (batch,): as given wherever nothing clashes.

        Raises:
            PlanError: there seem to be too few distinct items.

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
        """Whether a pair is the first of the given ones with its query, and with its passage; shape (batch,)."""
        first = np.ones(len(pairs), dtype=bool)
        for items in self._items:
            found = np.asarray(items[pairs])
            order = np.argsort(found, kind="stable")
            found = found[order]
            first[order[1:][found[1:] == found[:-1]]] = False
        return first


class _RegularPool(ClassPool):
    """All pairs, in some of the ordered pairs of languages."""

    def __init__(self, index: RegularIndex, lang_pairs: Ints, weights: Floats) -> None:
        self._index = index
        query_lang, passage_lang = np.divmod(lang_pairs, len(index.langs))
        self._starts = query_lang * index.pairs, passage_lang * index.pairs
        # A row in one language weighs what the language does, a row in two what both do.
        share = np.where(query_lang == passage_lang, weights[query_lang], weights[query_lang] * weights[passage_lang])
        self._wheel = Wheel(share) if len(lang_pairs) > 1 else None

    def __len__(self) -> int:
        return self._index.pairs if len(self._starts[0]) else 0

    def pick(self, classes: Ints, key: int) -> tuple[Ints, Ints]:
        """See `ClassPool.pick`."""
        pairs = self._index.without_clashes(classes, derive_key(key, "substitutes"))
        if self._wheel is None:
            rows = pairs + self._starts[0][0]
            return rows, rows
        drawn = self._wheel(uniforms(key, len(pairs)))
        query_starts, passage_starts = self._starts
        return pairs + query_starts[drawn], pairs + passage_starts[drawn]
