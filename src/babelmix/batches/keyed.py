"""Keyed randomness: numbers and permutations as pure functions of (key, position), in any order and on any machine."""

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
    """Make a 64-bit key from a seed and names. Different parts give unrelated keys."""
    text = "\x1f".join([f"{type(part).__name__}:{part}" for part in parts])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def mix(values: UInts) -> UInts:
    """Mix the bits of each element by SplitMix64's finaliser (Steele et al. 2014), a bijection of 64-bit integers.

    Args:
        values: uint64, any shape but a scalar; not changed.

    Returns:
        uint64, the same shape.

    """
    # In place: for arrays of a batch's size, calls and new memory cost more than the arithmetic.
    mixed = values >> np.uint64(30)
    mixed ^= values
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def stream(key: int, count: int, first: int = 0) -> UInts:
    """The `count` numbers of a key's stream (SplitMix64) from position `first` on, uint64, shape (count,)."""
    states = np.arange(first + 1, first + count + 1, dtype=np.uint64)
    states *= np.uint64(_GOLDEN)
    states += np.uint64(key)
    return mix(states)


def uniforms(key: int, count: int) -> npt.NDArray[np.float64]:
    """The first `count` numbers in [0, 1) of a key's stream, float64, shape (count,)."""
    return (stream(key, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(key: int) -> float:
    """The first number of `uniforms(key, ...)`, without an array."""
    value = (key + _GOLDEN) & _LOW
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _LOW
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _LOW
    return float((value ^ (value >> 31)) >> 11) * 2.0**-53


def integers(key: int, below: int, count: int, first: int = 0) -> npt.NDArray[np.int64]:
    """The `count` numbers in 0..below-1 of a key's stream from position `first` on, int64, shape (count,).

    The bias of the remainder is below / 2**64, which is negligible.
    """
    return (stream(key, count, first) % np.uint64(below)).astype(np.int64)


class Permutation:
    """A pseudo-random permutation of 0..size-1 with random access, which needs no memory.

    It is a generalised Feistel network (Black and Rogaway 2002) over a x b, the two nearest factors with a x b >= size. Values
    outside 0..size-1 go through the network again (cycle-walking), so that the map stays a bijection. Fewer than one value in
    sqrt(size) is outside. In a network over bits, up to three quarters of the values may be outside.

    Args:
        size: the size of the domain, at least 1.
        key: 64 bits. Another key gives another permutation.

    Examples:
        >>> shuffled = Permutation(5, derive_key(0, "example"))
        >>> sorted(shuffled(np.arange(5)).tolist())
        [0, 1, 2, 3, 4]

    """

    def __init__(self, size: int, key: int) -> None:
        self.size = size
        side = math.isqrt(size - 1) + 1
        self._sides = np.uint64(side), np.uint64(-(-size // side))
        self._keys = stream(key, _ROUNDS)

    def __call__(self, positions: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """The images of positions in 0..size-1, int64, the same shape."""
        values = self._network(positions.astype(np.uint64))
        outside = np.flatnonzero(values >= self.size)
        while len(outside):
            values[outside] = self._network(values[outside])
            outside = outside[values[outside] >= self.size]
        return values.view(np.int64)

    def _network(self, values: UInts) -> UInts:
        # One half is a number in 0..a-1, the other a number in 0..b-1. They swap at every round.
        other, mine = self._sides
        left, right = np.divmod(values, mine)
        for key in self._keys:
            # Unsigned numbers wrap at 2**64. Reducing the mixed half first keeps the sum exact.
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
    """A cached `Permutation(size, key)`: consecutive batches use the same one."""
    return Permutation(size, key)


__all__ = ["Permutation", "UInts", "derive_key", "integers", "mix", "permutation", "stream", "uniform", "uniforms"]
