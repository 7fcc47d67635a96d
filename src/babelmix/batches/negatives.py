"""Hard negatives: passages that look like an answer to a query but are not.

arXiv 2408.10536 trains on triplets of a query, an answer and such a passage, and does not say in which language the hard negative
is. Here it is in the language of the answer, so that an encoder cannot tell the two apart by language.
"""

from __future__ import annotations

import numpy as np

from babelmix.batches.keyed import derive_key, integers, uniforms
from babelmix.batches.pool import Floats, Ints

_TRIES = 64
"""How often to draw a random passage for a row without a usable negative of its own."""


class RowsByLanguage:
    """Rows of one side by (item, language): `order[first[item, lang] : + count[item, lang]]`.

    Args:
        item: the item of each row, int64, shape (rows,).
        lang: the language of each row, int64, shape (rows,).
        items: the number of items.
        langs: the number of languages.

    """

    def __init__(self, item: Ints, lang: Ints, items: int, langs: int) -> None:
        key = item * langs + lang
        self.order = np.argsort(key, kind="stable")
        count = np.bincount(key, minlength=items * langs)
        self.first = (np.cumsum(count) - count).reshape(items, langs)
        self.count = count.reshape(items, langs)
        self.has = self.count > 0

    def pick(self, item: Ints, lang: Ints | int, chance: Floats) -> Ints:
        """A row of each (item, language). Several such rows have equal chance."""
        offset = (chance * self.count[item, lang]).astype(np.int64)
        return self.order[self.first[item, lang] + offset]


class HardNegatives:
    """Draws a hard negative for each row of a batch.

    A negative is never from a cluster that is in the batch: it could be the right answer of another row. A row gets a random
    passage in the language of its answer if it has no negatives, or if none of them is usable. If no such passage is found, the
    row gets the negative of another row. In the loss, every query sees the negatives of all rows.

    Args:
        query_item: the item of each query row, int64, shape (query rows,).
        query_cluster: the cluster of each query item, int64, shape (query items,).
        passage_lang: the language of each passage row, int64, shape (passage rows,).
        passage_cluster: the cluster of each passage item, int64, shape (passage items,).
        rows: the passage rows by item and language.
        negatives: query items, and the passage items that are their negatives; both int64, shape (negatives,).

    """

    def __init__(
        self,
        query_item: Ints,
        query_cluster: Ints,
        passage_lang: Ints,
        passage_cluster: Ints,
        rows: RowsByLanguage,
        negatives: tuple[Ints, Ints],
    ) -> None:
        self._query_item, self._query_cluster = query_item, query_cluster
        self._passage_lang, self._passage_cluster, self._rows = passage_lang, passage_cluster, rows
        order = np.argsort(negatives[0], kind="stable")
        self._passage = negatives[1][order]
        self._count = np.bincount(negatives[0], minlength=len(query_cluster))
        self._first = np.cumsum(self._count) - self._count

    def draw(self, query_rows: Ints, passage_rows: Ints, key: int) -> Ints | None:
        """Draw a passage row for each row, int64, shape (batch,). None if no negative was found for any row. Pure in the key.

        Args:
            query_rows: the query rows of the batch, int64, shape (batch,).
            passage_rows: the passage rows of the batch, int64, shape (batch,).
            key: 64 bits, the key of the random numbers.

        """
        query, lang = self._query_item[query_rows], self._passage_lang[passage_rows]
        taken = np.unique(self._query_cluster[query])
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
            drawn = integers(derive_key(key, "random", turn), len(self._passage_cluster), len(open_rows))
            self._keep(chosen, open_rows, drawn, lang, taken)
        own = chosen >= 0
        if not own.any():
            return None
        rows = np.empty_like(chosen)
        rows[own] = self._rows.pick(chosen[own], lang[own], chance[1][own])
        rows[~own] = np.resize(rows[own], len(rows) - int(own.sum()))
        return rows

    def _keep(self, chosen: Ints, rows: Ints, passages: Ints, lang: Ints, taken: Ints) -> None:
        """Take the passages that exist in the language of their row and whose cluster is not in the batch."""
        good = (self._rows.count[passages, lang[rows]] > 0) & ~np.isin(self._passage_cluster[passages], taken)
        chosen[rows[good]] = passages[good]


__all__ = ["HardNegatives", "RowsByLanguage"]
