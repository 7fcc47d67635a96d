"""An index over a table in which each row is a pair of a query and a passage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl

from babelmix._components import components
from babelmix.batches.clusters import clusters_by_language, links
from babelmix.batches.keyed import uniforms
from babelmix.batches.pool import ClusterPool, Floats, Ints, Pool
from babelmix.errors import PlanError


class RowIndex:
    """An index over a table in which each row is a pair of a query and a passage, each with a language.

    Use it for the data set of a `SentenceTransformerTrainer`. A batch has the same row numbers on both sides.

    Args:
        item: the item of each row. Rows of one item are translations of each other.
        query_lang: the language of each row's query.
        passage_lang: the language of each row's passage.
        query: the text of each row's query. If given, no batch has two rows with the same query.
        passage: the text of each row's passage. If given, no batch has two rows with the same passage.

    Raises:
        PlanError: the columns differ in length or are empty.

    Examples:
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
            nodes, firsts = links(pl.Series(list(texts)), rows)
            left.append(nodes)
            right.append(firsts)
        self.row_cluster = components(np.concatenate(left), np.concatenate(right), len(rows))

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
        return clusters_by_language(self.row_cluster, has)

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
        """See `ClusterPool.pick`. A row is drawn by its weight; see `PairIndex.same` and `PairIndex.different`."""
        first, last = self._first[clusters], self._last[clusters]
        # The edges of cluster c lie between c and c + 1.
        found = np.searchsorted(self._edges, clusters + uniforms(key, len(clusters)), side="right")
        chosen = self._rows[np.clip(found, first, last)]
        return chosen, chosen


__all__ = ["RowIndex"]
