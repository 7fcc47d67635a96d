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

    Examples:
        >>> components([3, 1], [0, 4], 5).tolist()
        [0, 1, 2, 0, 1]

    """
    # In numpy: importing scipy.sparse takes longer than the components of most corpora.
    one, other = np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64)
    root = np.arange(size)
    while True:
        below, above = np.minimum(root[one], root[other]), np.maximum(root[one], root[other])
        apart = below != above
        if not apart.any():
            break
        one, other = one[apart], other[apart]
        # Each root goes below the smallest root beside it. Two such rounds at least halve the number of roots in a component.
        np.minimum.at(root, above[apart], below[apart])
        while not np.array_equal(root, over := root[root]):
            root = over
    # The root is a component's first node.
    return np.unique(root, return_inverse=True)[1]


class NamedSets(Generic[T]):
    """Disjoint sets of things, each set named by one of its members.

    Args:
        things: the members. Each is a set of its own at first, named by itself.

    Examples:
        >>> sets = NamedSets(["a", "b", "c"])
        >>> sets.merge("b", "a")
        >>> [sets.name(thing) for thing in "abc"]
        ['b', 'b', 'c']

    """

    def __init__(self, things: Iterable[T]) -> None:
        self._above: dict[T, T] = {thing: thing for thing in things}

    def merge(self, first: T, second: T) -> None:
        """Merge the sets of two things. The merged set keeps the name of the first one's set."""
        self._above[self.name(second)] = self.name(first)

    def name(self, thing: T) -> T:
        """The name of the set that holds a thing."""
        above = self._above
        while above[thing] != thing:
            # Half of the way is skipped the next time.
            above[thing] = thing = above[above[thing]]
        return thing


__all__ = ["NamedSets", "components"]
