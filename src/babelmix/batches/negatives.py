"""Hard negatives: passages that look like an answer to a row's query and are none.

arXiv 2408.10536 trains on triplets of a query, an answer and such a passage, and does not say in which language the
passage is. Here it is in the answer's, so that the language of a passage never tells that it is the wrong one.
"""

from __future__ import annotations

import numpy as np

from babelmix.batches.keyed import derive_key, integers, uniforms
from babelmix.batches.pool import Floats, Ints

_TRIES = 64
"""Random passages tried for a row that has no negative of its own left."""


class RowsByLanguage:
    """Rows of one side by (item, language): `order[first[item, lang] : + count[item, lang]]`.

    Args:
        item: of each row, int64, shape (rows,).
        lang: of each row, int64, shape (rows,).
        items: how many items there are.
        langs: how many languages there are.

    """

    def __init__(self, item: Ints, lang: Ints, items: int, langs: int) -> None:
        key = item * langs + lang
        self.order = np.argsort(key, kind="stable")
        count = np.bincount(key, minlength=items * langs)
        self.first = (np.cumsum(count) - count).reshape(items, langs)
        self.count = count.reshape(items, langs)
        self.has = self.count > 0

    def pick(self, item: Ints, lang: Ints | int, chance: Floats) -> Ints:
        """A row of each (item, language), any of several with equal chance."""
        offset = (chance * self.count[item, lang]).astype(np.int64)
        return self.order[self.first[item, lang] + offset]


class HardNegatives:
    """Draws a hard negative for each row of a batch.

    A negative is never of a class that stands in the batch with a query of its own: it would be the right answer of another
    row. A row none of whose own negatives fits, or that has none, gets a random passage in its answer's language. Where the batch
    holds all of that language it shares another row's: in the loss the negatives of all rows stand beside every query.

    Args:
        query_item: item of each query row, int64, shape (query rows,).
        query_class: class of each query item, int64, shape (query items,).
        passage_lang: language of each passage row, int64, shape (passage rows,).
        passage_class: class of each passage item, int64, shape (passage items,).
        rows: the passage rows by item and language.
        negatives: query items and the passage items that are their negatives, both int64, shape (negatives,).

    """

    def __init__(
        self,
        query_item: Ints,
        query_class: Ints,
        passage_lang: Ints,
        passage_class: Ints,
        rows: RowsByLanguage,
        negatives: tuple[Ints, Ints],
    ) -> None:
        self._query_item, self._query_class = query_item, query_class
        self._passage_lang, self._passage_class, self._rows = passage_lang, passage_class, rows
        order = np.argsort(negatives[0], kind="stable")
        self._passage = negatives[1][order]
        self._count = np.bincount(negatives[0], minlength=len(query_class))
        self._first = np.cumsum(self._count) - self._count

    def draw(self, query_rows: Ints, passage_rows: Ints, key: int) -> Ints | None:
        """Passage rows, int64, shape (batch,); None if the batch leaves none. Pure in the key.

        Args:
            query_rows: of the batch, int64, shape (batch,).
            passage_rows: of the batch, int64, shape (batch,).
            key: of the chance to use, 64 bits.

        """
        query, lang = self._query_item[query_rows], self._passage_lang[passage_rows]
        taken = np.unique(self._query_class[query])
        chance = uniforms(key, 2 * len(query)).reshape(2, -1)
        count = self._count[query]
        begin = (chance[0] * count).astype(np.int64)
        chosen = np.full(len(query), -1, dtype=np.int64)
        for turn in range(int(count.max(initial=0))):
            open_rows = np.flatnonzero((chosen < 0) & (turn < count))
            if not len(open_rows):
                break
            at = self._first[query[open_rows]] + (begin[open_rows] + turn) % count[open_rows]
            self._keep(chosen, open_rows, self._passage[at], lang, taken)
        for turn in range(_TRIES):
            open_rows = np.flatnonzero(chosen < 0)
            if not len(open_rows):
                break
            drawn = integers(derive_key(key, "random", turn), len(self._passage_class), len(open_rows))
            self._keep(chosen, open_rows, drawn, lang, taken)
        own = chosen >= 0
        if not own.any():
            return None
        rows = np.empty_like(chosen)
        rows[own] = self._rows.pick(chosen[own], lang[own], chance[1][own])
        rows[~own] = np.resize(rows[own], len(rows) - int(own.sum()))
        return rows

    def _keep(self, chosen: Ints, rows: Ints, passages: Ints, lang: Ints, taken: Ints) -> None:
        """Take the passages that exist in their row's language and are of no class in the batch."""
        good = (self._rows.count[passages, lang[rows]] > 0) & ~np.isin(self._passage_class[passages], taken)
        chosen[rows[good]] = passages[good]
