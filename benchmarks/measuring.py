"""Time and memory of a call, and embeddings to score."""

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
    """Seconds of wall time, and CPU seconds of all cores together. Other processes hardly change the second."""

    clock: float
    cores: float


def cost(function: Callable[[], T]) -> tuple[Cost, T]:
    """The time of one call, and its result."""
    clock, cores = time.perf_counter(), time.process_time()
    result = function()
    return Cost(time.perf_counter() - clock, time.process_time() - cores), result


@contextlib.contextmanager
def watching_memory() -> Iterator[Callable[[], int]]:
    """Within this context, a function tells the highest rise of the resident memory that no file backs, in bytes.

    Pages of a memory-mapped file do not count: the operating system takes them back when other processes need the memory.
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
    """The highest rise of the resident memory that no file backs, during one call, in bytes."""
    with watching_memory() as risen:
        function()
        return risen()


def bandwidth(size: int = 512 << 20, rounds: int = 5) -> float:
    """Bytes per second that all cores together read from memory: the best of several sums over an array of `size` bytes."""
    import torch

    values = torch.ones(size // 4)
    return size / min(cost(values.sum)[0].clock for _ in range(rounds))


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def encoder_like(
    rng: np.random.Generator, item: np.ndarray, lang: np.ndarray, dimension: int, decay: float = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Query and passage embeddings like those of an encoder: a common direction, plus meaning, plus language, plus noise.

    Args:
        rng: generator of meaning and noise. The parts that a corpus and its languages have in common are always the same.
        item: item of each row, int64, shape (rows,).
        lang: language of each row, below 100, int64, shape (rows,).
        dimension: dimension of the embeddings.
        decay: the variance of dimension n falls as n to the power of minus `decay`, in meaning and noise; its mean is one.

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
