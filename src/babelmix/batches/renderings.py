"""Other renderings (translations): for each row, draw a row of the same item in another language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from babelmix.batches.keyed import uniforms
from babelmix.batches.negatives import RowsByLanguage
from babelmix.batches.pool import Ints, draw_columns

if TYPE_CHECKING:
    from babelmix.corpus import Corpus

NONE = -1
"""The row number of a missing rendering: the item has no other language."""


class OtherRenderings:
    """Draws, for each row of one side of a corpus, a row of the same item in another language.

    The language is drawn by weight from the item's other languages. If the item has several rows in it, one is drawn uniformly.

    Args:
        corpus: a corpus of texts.
        side: `queries` or `passages`.
        weights: positive weights by language. None: all languages weigh the same.

    """

    def __init__(self, corpus: Corpus, side: str, weights: Mapping[str, float] | None = None) -> None:
        table = corpus.queries if side == "queries" else corpus.passages
        coded = [table[column].combine_chunks().dictionary_encode() for column in ("item", "lang")]
        self._item, self._lang = (column.indices.to_numpy().astype(np.int64) for column in coded)
        items, langs = (len(column.dictionary) for column in coded)
        names = coded[1].dictionary.to_pylist()
        self._weights = np.array([1.0 if weights is None else weights[name] for name in names])
        self._rows = RowsByLanguage(self._item, self._lang, items, langs)

    def draw(self, rows: Ints, key: int, *, first: int = 0, of: int | None = None) -> Ints:
        """Draw another rendering of each row; pure in the key.

        Args:
            rows: row numbers of the side, int64, shape (rows,).
            key: 64 bits, the key of the random numbers.
            first: the position of the first row in the global batch; other ranks have the other rows.
            of: the number of rows of the global batch. None: `rows` is the whole batch.

        Returns:
            Row numbers of the side, or `NONE`, int64, shape (rows,).

        """
        chance = uniforms(key, 2 * (of or len(rows))).reshape(2, -1)[:, first : first + len(rows)]
        item = self._item[rows]
        others = self._rows.has[item] * self._weights
        others[np.arange(len(rows)), self._lang[rows]] = 0.0
        has = others.any(axis=1)
        found = np.full(len(rows), NONE, dtype=np.int64)
        lang = draw_columns(others[has], chance[0, has])
        found[has] = self._rows.pick(item[has], lang, chance[1, has])
        return found


__all__ = ["NONE", "OtherRenderings"]
