"""Keyed randomness: numbers and permutations that are pure functions of (key, position), in any order, on any machine."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

UInts = npt.NDArray[np.uint64]

_ROUNDS = 6
_GOLDEN = 0x9E3779B97F4A7C15
_LOW = (1 << 64) - 1


def derive_key(*parts: int | str) -> int:
    """A 64-bit key from a seed and names: different parts, unrelated keys."""
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in parts])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def mix(values: UInts) -> UInts:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection of 64-bit integers that looks random, element by element.

    Args:
        values: uint64, any shape but a scalar; it is left as it is.

    Returns:
        uint64, the same shape.

    """
    # In place: at a batch's size the cost is that of the calls and of fresh memory, not of the arithmetic.
    mixed = values >> np.uint64(30)
    mixed ^= values
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def stream(key: int, count: int, first: int = 0) -> UInts:
    """The numbers `first`, `first` + 1, ... of a key's stream (SplitMix64), uint64, shape (count,)."""
    states = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    states *= np.uint64(_GOLDEN)
    states += np.uint64(key)
    return mix(states)


def uniforms(key: int, count: int) -> npt.NDArray[np.float64]:
    """`count` numbers in [0, 1) of a key's stream, float64, shape (count,)."""
    return (stream(key, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(key: int) -> float:
    """The first of `uniforms(key, ...)`, without the cost of an array."""
    value = (key + _GOLDEN) & _LOW
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _LOW
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _LOW
    return float((value ^ (value >> 31)) >> 11) * 2.0**-53


def integers(key: int, below: int, count: int, first: int = 0) -> npt.NDArray[np.int64]:
    """`count` numbers in 0..below-1 of a key's stream from its place `first` on, int64, shape (count,).

    The remainder's bias is below / 2**64: nothing for any collection.
    """
    return (stream(key, count, first) % np.uint64(below)).astype(np.int64)


class Permutation:
    """A pseudo-random permutation of 0..size-1 with random access and no memory.

    A generalised Feistel network (Black and Rogaway 2002) over a x b, the two nearest factors whose product holds `size`,
    with cycle-walking: a value that falls outside is sent round again, which keeps the map a bijection. Fewer than one
    value in sqrt(size) falls outside, where a network over bits may send most values round.

    Args:
        size: of the domain, at least 1.
        key: 64 bits; another key gives another permutation.

    """

    def __init__(self, size: int, key: int) -> None:
        self.size = size
        side = math.isqrt(size - 1) + 1
        self._sides = np.uint64(side), np.uint64(-(-size // side))
        self._keys = stream(key, _ROUNDS)

    def __call__(self, positions: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Images of positions in 0..size-1, int64, the same shape."""
        values = self._network(positions.astype(np.uint64))
        outside = np.flatnonzero(values >= self.size)
        while len(outside):
            values[outside] = self._network(values[outside])
            outside = outside[values[outside] >= self.size]
        return values.view(np.int64)

    def _network(self, values: UInts) -> UInts:
        # The halves are a position in 0..a-1 and one in 0..b-1, and change places at every round.
        other, mine = self._sides
        left, right = np.divmod(values, mine)
        for key in self._keys:
            # Unsigned numbers wrap round at 2**64, so the half is reduced first for the sum to be exact.
            moved = mix(right ^ key)
            moved %= other
            moved += left
            moved -= (moved >= other) * other
            left, right = right, moved
            other, mine = mine, other
        left *= mine
        left += right
        return left


@lru_cache(maxsize=256)
def permutation(size: int, key: int) -> Permutation:
    """`Permutation(size, key)`; the last few are kept, as consecutive batches share one."""
    return Permutation(size, key)
