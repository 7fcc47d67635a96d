"""What a plan asks of an index: pools of classes, and pairs of a pool.

A *class* joins items that a batch must not hold together. A batch draws distinct classes of one pool, so neither a
translation nor a copy of a row's positive is ever one of its negatives.
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
        source: the source that they come from, if the index has several.
        negative_rows: a hard negative of each row, if the index has them, int64, shape (batch,).
        second_rows: a second caption of each row, in another language, int64, shape (batch,); see `CaptionIndex`.

    """

    query_rows: Ints
    passage_rows: Ints
    source: str | None = None
    negative_rows: Ints | None = None
    second_rows: Ints | None = None


class Pool(ABC):
    """What can fill one kind of batch."""

    @abstractmethod
    def __len__(self) -> int:
        """The largest batch that it can fill."""

    @abstractmethod
    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """A batch of `size` rows, at most as many as the pool can fill; pure in (seed, step)."""

    def sources(self, size: int) -> frozenset[str]:
        """Names of the sources that can fill a batch of `size` rows; none unless the index has several."""
        del size
        return frozenset()

    @property
    def largest_source(self) -> str | None:
        """The source that can fill the largest batch, if the index has several."""
        return None


class ClassPool(Pool):
    """Classes of one index; its length is their number."""

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """See `Pool.draw`: the window of the step in the permutation of its turn through the classes."""
        turn, window = divmod(step, len(self) // size)
        shuffled = permutation(len(self), derive_key(seed, "classes", turn))
        classes = shuffled(np.arange(window * size, (window + 1) * size))
        query_rows, passage_rows = self.pick(classes, derive_key(seed, "rows", step))
        negative_rows = self.negatives(query_rows, passage_rows, derive_key(seed, "negatives", step))
        return Drawn(query_rows, passage_rows, negative_rows=negative_rows)

    def negatives(self, query_rows: Ints, passage_rows: Ints, key: int) -> Ints | None:
        """A hard negative for each pair of a batch; None if the index has none.

        Args:
            query_rows: what `pick` gave, int64, shape (batch,).
            passage_rows: likewise.
            key: of the chance to use, 64 bits.

        """
        del query_rows, passage_rows, key
        return None

    @abstractmethod
    def pick(self, classes: Ints, key: int) -> tuple[Ints, Ints]:
        """Choose a query row and a passage row for each class.

        Args:
            classes: distinct positions in this pool, int64, shape (batch,).
            key: of the chance to use, 64 bits.

        Returns:
            Query rows and passage rows, int64, shape (batch,).

        """


class PairIndex(Protocol):
    """An index over training pairs by language."""

    @property
    def langs(self) -> tuple[str, ...]:
        """The languages, whose positions here are their numbers."""
        ...

    @property
    def classes(self) -> int:
        """How many classes have a pair, in whatever languages."""
        ...

    @property
    def rows(self) -> tuple[int, int]:
        """Sizes of the two tables that query rows and passage rows are numbers of."""
        ...

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, if there are several to choose from."""
        ...

    def mono_sizes(self) -> Ints:
        """Classes with a same-language pair, by language, int64, shape (languages,)."""
        ...

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """Pairs with query and passage in one language: that of number `lang`, or each row its own if None.

        Args:
            lang: a language's number, or None.
            weights: positive, of the languages, by which a row draws its own, shape (languages,).

        """
        ...

    def different(self, weights: Floats) -> Pool:
        """Pairs with query and passage in different languages, each row its own ordered pair (a, b) ~ weight a x weight b.

        Args:
            weights: as for `same`.

        """
        ...


@runtime_checkable
class CaptionIndex(PairIndex, Protocol):
    """An index that knows which queries are of one item, such as the captions of a picture in several languages."""

    @property
    def pictures(self) -> bool:
        """Whether its passages are pictures."""
        ...

    def paired(self, weights: Floats) -> Pool:
        """Pictures with two captions in different languages each.

        Args:
            weights: as for `same`.

        """
        ...

    def translations(self, weights: Floats) -> Pool:
        """Two captions of a picture in different languages, without the picture: no passage rows.

        Args:
            weights: as for `same`.

        """
        ...

    def caption_sizes(self) -> Ints:
        """Classes with a caption, by language, beside a picture or not, int64, shape (languages,)."""
        ...

    @property
    def beside(self) -> int:
        """How many languages may stand beside a picture: the most that `renderings` can have."""
        ...

    def renderings(self, weights: Floats, k: int | None = None) -> Pool:
        """Passages with a query in each of K languages: K query rows for each passage row, side by side.

        Args:
            weights: as for `same`; a text's passage is in one of its languages.
            k: how many languages are drawn for each passage; None: all that may stand beside a picture.

        """
        ...


def choose(weights: Floats, chance: Floats) -> Ints:
    """A column of each row, drawn in proportion to non-negative weights.

    Args:
        weights: shape (rows, columns); no row is all zero.
        chance: uniform numbers, shape (rows,).

    Returns:
        int64, shape (rows,).

    """
    edges = np.cumsum(weights, axis=1)
    total = edges[:, -1]
    # Rounding may carry the target to the last edge, beyond which there is no column.
    target = np.minimum(chance * total, np.nextafter(total, 0))
    return (edges > target[:, None]).argmax(axis=1)


class Wheel:
    """Numbers 0..n-1 drawn in proportion to fixed weights: `choose` for one row of weights and many chances.

    Args:
        weights: non-negative, not all zero, shape (n,).

    """

    def __init__(self, weights: Floats) -> None:
        edges = np.cumsum(weights)
        self._edges = edges / edges[-1]
        # What falls behind the last positive weight by rounding belongs to it.
        self._last = int(np.flatnonzero(weights)[-1])

    def __call__(self, chance: Floats) -> Ints:
        """A number for each of the chances in [0, 1), int64, the same shape."""
        return np.minimum(np.searchsorted(self._edges, chance, side="right"), self._last)

    def one(self, chance: float) -> int:
        """A number for one chance in [0, 1)."""
        return min(int(self._edges.searchsorted(chance, side="right")), self._last)
