"""Time and memory of one call, and embeddings to score."""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

T = TypeVar("T")


class Cost(NamedTuple):
    """Seconds by the clock, and of all cores together: the second hardly notices other processes."""

    clock: float
    cores: float


def cost(function: Callable[[], T]) -> tuple[Cost, T]:
    """Time of one call, and what it gave."""
    clock, cores = time.perf_counter(), time.process_time()
    result = function()
    return Cost(time.perf_counter() - clock, time.process_time() - cores), result


@contextlib.contextmanager
def watching_memory() -> Iterator[Callable[[], int]]:
    """Inside, a call tells by how many bytes resident memory that no file backs has risen at most so far.

    Pages of a memory-mapped file are the operating system's cache: it takes them back when others need the memory.
    """
    if not sys.platform.startswith("linux"):
        unit = 1 if sys.platform == "darwin" else 1024
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield lambda: (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit
        return
    highest, done = 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.005):
            highest = max(highest, _anonymous())

    before = _anonymous()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: max(highest, _anonymous()) - before
    finally:
        done.set()
        watcher.join()


def peak_extra_memory(function: Callable[[], object]) -> int:
    """Bytes by which resident memory that no file backs rose at most during one call."""
    with watching_memory() as risen:
        function()
        return risen()


def bandwidth(size: int = 512 << 20, rounds: int = 5) -> float:
    """Bytes a second by which all cores together read memory: the best of some sums over an array of `size` bytes."""
    import torch

    values = torch.ones(size // 4)
    return size / min(cost(values.sum)[0].clock for _ in range(rounds))


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def encoder_like(
    rng: np.random.Generator, item: np.ndarray, lang: np.ndarray, dimension: int, decay: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Query and passage embeddings as encoders give them: all in one direction, plus meaning, plus language, plus noise.

    Args:
        rng: of meaning and noise; what the corpus and its languages have in common is always the same.
        item: item of each row, int64, shape (rows,).
        lang: language of each row, below 100, int64, shape (rows,).
        dimension: of the embeddings.
        decay: to the minus which power of its number a dimension's variance falls, in meaning and noise; on average it is one.

    Returns:
        Queries and passages, both float32, shape (rows, dimension).

    """
    # The same for every call, so that embeddings drawn in pieces belong together.
    directions = np.random.default_rng(dimension)
    common = directions.standard_normal(dimension, dtype=np.float32)
    offset = directions.standard_normal((100, dimension), dtype=np.float32)[lang]
    variance = np.arange(1, dimension + 1) ** -float(decay)
    width = np.sqrt(variance / variance.mean(), dtype=np.float32)
    meaning = width * rng.standard_normal((item.max() + 1, dimension), dtype=np.float32)[item]
    # Noise grows with the dimension's square root, so that a search is as hard in any.
    scale = np.float32(1.7 * (dimension / 384) ** 0.25)
    sides = []
    for _ in range(2):
        noise = width * rng.standard_normal(meaning.shape, dtype=np.float32)
        sides.append(common + meaning + np.float32(0.5) * offset + scale * noise)
    return sides[0], sides[1]
