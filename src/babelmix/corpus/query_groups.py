"""Which queries belong together: the unit of intervals and tests.

A corpus may name groups, such as pages or articles. If it names none, every query item is its own group. Then two queries with a
common relevant passage would count as independent, although the same passage decides both: intervals would be too narrow. So
without named groups, queries that qrels join are one group, directly or through other queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from babelmix._components import components
from babelmix.corpus.model import Corpus

IntArray = npt.NDArray[np.int64]

MOST = 0.5
"""If one joined group would hold more than this share of the queries, queries are not joined: too few groups would be left."""


@dataclass(frozen=True, eq=False)
class QueryGroups:
    """The groups of queries.

    Args:
        number: the group of each query row, from 0 on, int64, shape (queries,).
        items: the number of query items with a relevant passage; of all query items if the corpus names groups.
        joined: the number of groups that these items form with the qrels; None if the corpus names groups.
        largest: the share of these items in the largest of these groups, from 0 to 1.

    """

    number: IntArray
    items: int = 0
    joined: int | None = None
    largest: float = 0.0

    @property
    def fell_back(self) -> bool:
        """Whether queries count as independent, because one joined group would hold most of them."""
        return self.joined is not None and self.joined < self.items and self.largest > MOST

    def note(self) -> str | None:
        """A sentence about joined queries, or about a corpus that names one group only; None if there is nothing to say.

        Examples:
            >>> QueryGroups(np.zeros(0, dtype=np.int64), items=900, joined=488, largest=0.01).note()[:54]
            'the corpus names no groups, and some of its 900 query '

        """
        if self.joined is None and self.items > 1 and not self.number.any():
            return (
                f"all {self.items:,} query items are in one group: nothing can be resampled, so intervals have no width and "
                "tests find nothing. Leave  group  out, or give each page or article a group of its own (see docs/data.md)"
            )
        if self.joined is None or self.joined == self.items:
            return None
        if self.fell_back:
            return (
                f"the corpus names no groups, and the qrels join {self.largest:.0%} of its {self.items:,} query items into one "
                "group, through passages that are relevant to several of them. Intervals and tests count each query item as "
                "independent, so they are too narrow. Give the queries a  group  (see docs/data.md)"
            )
        return (
            f"the corpus names no groups, and some of its {self.items:,} query items share relevant passages: intervals and "
            f"tests count the {self.joined:,} groups into which the qrels join them. If all queries of a page or an article "
            "belong together, give them a  group  (see docs/data.md)"
        )


def groups_of_queries(
    item: npt.NDArray[np.object_], group: npt.NDArray[np.object_], pair_query: IntArray, pair_passage: IntArray
) -> QueryGroups:
    """Find the groups of queries.

    Args:
        item: the item of each query row, shape (queries,).
        group: its group in the corpus, shape (queries,).
        pair_query: the query row of each pair of a query and a relevant passage, int64, shape (pairs,).
        pair_passage: the passage row of each pair, int64, shape (pairs,).

    Returns:
        The groups of the corpus, numbered by their sorted names. If each group is one item, the groups that common relevant
        passages join, numbered in the order of their first names, unless one of them would hold more than `MOST` of the queries.

    Examples:
        >>> names = np.array(["a", "b", "c", "d", "e", "f"], dtype=object)
        >>> rows = np.arange(6)
        >>> groups_of_queries(names, names, rows, np.array([7, 8, 7, 9, 6, 5])).number.tolist()
        [0, 1, 0, 2, 3, 4]

    """
    # Not with numpy, which would pad every name to the length of the longest.
    own = pl.Series(group.tolist(), dtype=pl.String).rank("dense").to_numpy().astype(np.int64) - 1
    if not len(own) or not (item == group).all():
        return QueryGroups(own, len(set(item.tolist())))
    count = int(own.max()) + 1
    left = own[pair_query]
    # Passages get the numbers after those of the items.
    passage = np.unique(pair_passage, return_inverse=True)[1].reshape(-1) + count
    labels = components(left, passage, count + int(passage.max(initial=count - 1)) - count + 1)[:count]
    answered = np.unique(left)
    sizes = np.bincount(labels[answered]) if len(answered) else np.zeros(1, dtype=np.int64)
    found = QueryGroups(own, len(answered), int((sizes > 0).sum()), float(sizes.max() / max(len(answered), 1)))
    if found.fell_back or found.joined == found.items:
        return found
    return QueryGroups(labels[own], found.items, found.joined, found.largest)


def groups_of_corpus(corpus: Corpus, queries: pa.Table | None = None) -> QueryGroups:
    """Find the groups of the queries of a corpus.

    Args:
        corpus: the corpus.
        queries: some rows of its queries; None: all.

    """
    table = corpus.queries if queries is None else queries
    item, group = (np.array(table[name].to_pylist(), dtype=object) for name in ("item", "group"))
    qrels = pl.DataFrame(pl.from_arrow(corpus.qrels)).select(
        pl.col("query_item"), pl.col("passage_item").rank("dense").cast(pl.Int64).alias("passage")
    )
    rows = pl.DataFrame(
        {"item": item.tolist(), "query": np.arange(len(item), dtype=np.int64)}, schema_overrides={"item": pl.String}
    )
    pairs = rows.join(qrels, left_on="item", right_on="query_item")
    return groups_of_queries(item, group, pairs["query"].to_numpy(), pairs["passage"].to_numpy())


__all__ = ["MOST", "QueryGroups", "groups_of_corpus", "groups_of_queries"]
