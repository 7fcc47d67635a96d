"""Keyed randomness: numbers and permutations that are pure functions of (key, position), in any order, on any machine."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

UInts = npt.NDArray[np.uint64]

_ROUNDS = 6


def derive_key(*parts: int | str) -> int:
    """A 64-bit key from a seed and names: different parts, unrelated keys."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def mix(values: UInts) -> UInts:
    """SplitMix64's finaliser (Steele et al. 2014): a bijection of 64-bit integers that looks random, element by element."""
    with np.errstate(over="ignore"):
        values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def uniforms(key: int, count: int) -> npt.NDArray[np.float64]:
    """`count` numbers in [0, 1) of a key's stream, float64, shape (count,)."""
    with np.errstate(over="ignore"):
        states = np.uint64(key) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
    return (mix(states) >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Permutation:
    """A pseudo-random permutation of 0..size-1 with random access and no memory.

    A balanced Feistel network over the smallest even number of bits that holds `size`, with cycle-walking (Black and
    Rogaway 2002): a value that falls outside is sent round again, which keeps the map a bijection.

    Args:
        size: of the domain, at least 1.
        key: 64 bits; another key gives another permutation.

    """

    def __init__(self, size: int, key: int) -> None:
        self.size = size
        self._half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
        self._mask = np.uint64((1 << int(self._half)) - 1)
        self._keys = [np.uint64(derive_key(key, round_)) for round_ in range(_ROUNDS)]

    def __call__(self, positions: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
        """Images of positions in 0..size-1, int64, the same shape."""
        values = self._network(positions.astype(np.uint64))
        outside = np.flatnonzero(values >= self.size)
        while len(outside):
            values[outside] = self._network(values[outside])
            outside = outside[values[outside] >= self.size]
        return values.astype(np.int64)

    def _network(self, values: UInts) -> UInts:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (mix(right ^ key) & self._mask)
        return (left << self._half) | right
