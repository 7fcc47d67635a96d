"""Connected components of graphs: which items, texts or groups belong together."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=Hashable)


def components(left: npt.ArrayLike, right: npt.ArrayLike, size: int) -> npt.NDArray[np.int64]:
    """Number the connected components of an undirected graph.

    Args:
        left: one end of each edge, whole numbers from 0 to `size - 1`, shape (edges,).
        right: the other end, shape (edges,).
        size: the number of nodes.

    Returns:
        The component of each node, int64, shape (size,). Components are numbered in the order of their first nodes.

    Example:
        >>> components([3, 1], [0, 4], 5).tolist()
        [0, 1, 2, 0, 1]

    """
    # Imported here, because importing scipy.sparse takes a tenth of a second.
    import scipy.sparse.csgraph

    ends = (np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64))
    graph = scipy.sparse.coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(size, size))
    _, labels = scipy.sparse.csgraph.connected_components(graph, directed=False)
    return np.asarray(labels, dtype=np.int64)


class NamedSets(Generic[T]):
    """Disjoint sets of things, each set named by one of its members.

    Args:
        things: the members. Each is a set of its own at first, named by itself.

    Example:
        >>> sets = NamedSets(["a", "b", "c"])
        >>> sets.merge("b", "a")
        >>> [sets.name(thing) for thing in "abc"]
        ['b', 'b', 'c']

    """

    def __init__(self, things: Iterable[T]) -> None:
        from scipy.cluster.hierarchy import DisjointSet

        members = list(things)
        self._sets = DisjointSet(members)
        self._names: dict[T, T] = {thing: thing for thing in members}

    def merge(self, first: T, second: T) -> None:
        """Merge the sets of two things. The merged set keeps the name of the first one's set."""
        name = self.name(first)
        self._sets.merge(first, second)
        self._names[self._sets[first]] = name

    def name(self, thing: T) -> T:
        """The name of the set that holds a thing."""
        return self._names[self._sets[thing]]


__all__ = ["NamedSets", "components"]
