"""The interface between a plan and an index: pools of clusters, and pairs drawn from a pool.

A *cluster* joins items that must not be in one batch together: items with a common qrel or a common text. A batch draws distinct
clusters of one pool. So neither a translation nor a copy of a row's positive is ever one of the row's negatives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from babelmix.batches.keyed import derive_key, permutation

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Drawn(NamedTuple):
    """The rows of a batch.

    Args:
        query_rows: int64, shape (batch,).
        passage_rows: int64, shape (batch,).
        source: the name of the source of all rows, if the index has several sources.
        negative_rows: a hard negative for each row, if the index has them, int64, shape (batch,).
        second_rows: a second caption for each row, in another language, int64, shape (batch,); see `CaptionIndex`.

    """

    query_rows: Ints
    passage_rows: Ints
    source: str | None = None
    negative_rows: Ints | None = None
    second_rows: Ints | None = None


class Pool(ABC):
    """The pairs that one kind of batch is drawn from."""

    @abstractmethod
    def __len__(self) -> int:
        """The size of the largest batch that the pool can fill."""

    @abstractmethod
    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """Draw a batch of `size` rows, at most `len(self)`; pure in (seed, step)."""

    def sources(self, size: int) -> frozenset[str]:
        """The names of the sources that can fill a batch of `size` rows; empty if the index has no sources."""
        del size
        return frozenset()

    @property
    def largest_source(self) -> str | None:
        """The source that can fill the largest batch, if the index has several sources."""
        return None


class ClusterPool(Pool):
    """Clusters of one index; the length of the pool is their number."""

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """See `Pool.draw`: the step's window in the permutation of the current pass over the clusters."""
        turn, window = divmod(step, len(self) // size)
        shuffled = permutation(len(self), derive_key(seed, "classes", turn))
        clusters = shuffled(np.arange(window * size, (window + 1) * size))
        query_rows, passage_rows = self.pick(clusters, derive_key(seed, "rows", step))
        negative_rows = self.negatives(query_rows, passage_rows, derive_key(seed, "negatives", step))
        return Drawn(query_rows, passage_rows, negative_rows=negative_rows)

    def negatives(self, query_rows: Ints, passage_rows: Ints, key: int) -> Ints | None:
        """A hard negative for each pair of a batch; None if the index has no hard negatives.

        Args:
            query_rows: the query rows that `pick` returned, int64, shape (batch,).
            passage_rows: the passage rows that `pick` returned, int64, shape (batch,).
            key: 64 bits, the key of the random numbers.

        """
        del query_rows, passage_rows, key
        return None

    @abstractmethod
    def pick(self, clusters: Ints, key: int) -> tuple[Ints, Ints]:
        """Choose a query row and a passage row for each cluster.

        Args:
            clusters: distinct positions in this pool, int64, shape (batch,).
            key: 64 bits, the key of the random numbers.

        Returns:
            Query rows and passage rows, int64, shape (batch,).

        """


@runtime_checkable
class PairIndex(Protocol):
    """An index over training pairs by language."""

    @property
    def langs(self) -> tuple[str, ...]:
        """The languages. The position of a language here is its number."""
        ...

    @property
    def clusters(self) -> int:
        """The number of clusters that have a pair, in any languages."""
        ...

    @property
    def rows(self) -> tuple[int, int]:
        """The sizes of the query table and of the passage table, which row numbers point into."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources; empty if the index is one source."""
        ...

    def mono_sizes(self) -> Ints:
        """The number of clusters with a same-language pair, by language, int64, shape (languages,)."""
        ...

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """Pairs with query and passage in one language.

        Args:
            lang: the number of the language of all rows. None: each row draws its own language.
            weights: the weights by which rows draw their language, positive, shape (languages,).

        """
        ...

    def different(self, weights: Floats, passage_weights: Floats | None = None) -> Pool:
        """Pairs with query and passage in different languages. Each row draws an ordered pair (a, b) ~ weights[a] x weights[b].

        Args:
            weights: the weights of the languages, shape (languages,). A language of weight 0 is not drawn.
            passage_weights: the weights of the passages' languages, if they differ from those of the queries.

        """
        ...


@runtime_checkable
class CaptionIndex(PairIndex, Protocol):
    """An index that knows which queries belong to one item, such as the captions of a picture in several languages."""

    @property
    def pictures(self) -> bool:
        """Whether the passages are pictures."""
        ...

    def paired(self, weights: Floats) -> Pool:
        """Pictures, each with two captions in different languages.

        Args:
            weights: see `PairIndex.same`.

        """
        ...

    def translations(self, weights: Floats) -> Pool:
        """Two captions of a picture in different languages, without the picture. There are no passage rows.

        Args:
            weights: see `PairIndex.same`.

        """
        ...

    def caption_sizes(self) -> Ints:
        """The number of clusters with a caption, by language (`text_only` ones too), int64, shape (languages,)."""
        ...

    @property
    def max_renderings(self) -> int:
        """The largest K of `renderings`: the number of languages that may be in a batch with passages."""
        ...

    def renderings(self, weights: Floats, k: int | None = None) -> Pool:
        """Passages with queries in K languages: K query rows in succession for each passage row.

        Args:
            weights: see `PairIndex.same`. A text passage is in one language, drawn by weight.
            k: the number of languages drawn for each passage. None: all `max_renderings`.

        """
        ...


def draw_columns(weights: Floats, chance: Floats) -> Ints:
    """Draw a column for each row, in proportion to the weights.

    Args:
        weights: non-negative, shape (rows, columns); each row has a positive weight.
        chance: uniform numbers in [0, 1), shape (rows,).

    Returns:
        int64, shape (rows,).

    """
    edges = np.cumsum(weights, axis=1)
    total = edges[:, -1]
    # Rounding may move the target to the last edge; there is no column after it.
    target = np.minimum(chance * total, np.nextafter(total, 0))
    return (edges > target[:, None]).argmax(axis=1)


class Categorical:
    """Draws numbers 0..n-1 in proportion to fixed weights.

    Args:
        weights: non-negative, not all zero, shape (n,).

    """

    def __init__(self, weights: Floats) -> None:
        edges = np.cumsum(weights)
        self._edges = edges / edges[-1]
        # A chance that rounding moves behind the last positive weight belongs to that weight.
        self._last = int(np.flatnonzero(weights)[-1])

    def __call__(self, chance: Floats) -> Ints:
        """A number for each chance in [0, 1), int64, the same shape."""
        return np.minimum(np.searchsorted(self._edges, chance, side="right"), self._last)

    def one(self, chance: float) -> int:
        """A number for one chance in [0, 1)."""
        return min(int(self._edges.searchsorted(chance, side="right")), self._last)


__all__ = [
    "CaptionIndex",
    "Categorical",
    "ClusterPool",
    "Drawn",
    "Floats",
    "Ints",
    "PairIndex",
    "Pool",
    "draw_columns",
]
