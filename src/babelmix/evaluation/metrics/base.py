"""A ranking metric, and its input: the sorted ranks of the relevant passages of many queries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from babelmix.errors import AuditError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RankedLists:
    """The ranks of the relevant passages of many queries, one list per query, joined to one array.

    Args:
        ranks: ranks from 0, ascending within a list, int64, shape (pairs,).
        starts: index in `ranks` of the first rank of each list, int64, shape (lists,); no list is empty.
        grades: how relevant each passage is, from 1 on, int64, shape (pairs,).

    """

    ranks: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    grades: npt.NDArray[np.int64]

    @property
    def sizes(self) -> npt.NDArray[np.int64]:
        """The number of relevant passages of each list, shape (lists,)."""
        return np.diff(np.append(self.starts, len(self.ranks)))

    @property
    def position(self) -> npt.NDArray[np.int64]:
        """Position of each rank within its list, from 0, shape (pairs,)."""
        return np.arange(len(self.ranks)) - np.repeat(self.starts, self.sizes)

    def best_grades(self) -> npt.NDArray[np.int64]:
        """The grades of each list in descending order, shape (pairs,)."""
        list_of_pair = np.repeat(np.arange(len(self.starts)), self.sizes)
        return self.grades[np.lexsort((-self.grades, list_of_pair))]

    def sum(self, values: npt.NDArray[np.floating]) -> Floats:
        """Sum over each list of a value per pair, shape (lists,)."""
        if len(self.starts) == 0:
            return np.zeros(0)
        return np.add.reduceat(values.astype(np.float64), self.starts)


@dataclass(frozen=True)
class RankingMetric:
    """A ranking metric.

    Args:
        function: takes the ranks and the cut-off, None for no cut-off; returns a value per list, float64, shape (lists,).
            Higher values are better.
        needs_cutoff: whether the metric is undefined without a cut-off, as recall is.
        title: the name in reports, before `@k`; empty: the name it is registered under.
        source: the paper or the program that defines it.

    """

    function: Callable[[RankedLists, int | None], Floats]
    needs_cutoff: bool = False
    title: str = ""
    source: str = ""

    def __call__(self, lists: RankedLists, k: int | None = None) -> Floats:
        """The value of each list, shape (lists,).

        Raises:
            AuditError: the function returns another shape.

        """
        values = np.asarray(self.function(lists, k), dtype=np.float64)
        if values.shape != lists.starts.shape:
            raise AuditError(
                f"the ranking metric {self.title or self.function.__name__!r} returned values of shape {values.shape} for "
                f"{len(lists.starts)} lists; return one value per list"
            )
        return values
