"""Batch plans over 40 million pairs in 9 languages, beside sentence-transformers' own samplers in the same run.

python benchmarks/plans.py --rounds 3    # on Linux

Each measurement has a process of its own, and the contenders take turns. The peers get the cheapest data set possible: an
object with a length that makes the two values of a row on access, so that no reading, decoding or hashing of texts is counted.
The samplers for several data sets get one such data set per language. The others draw from one row per pair, without languages.
Where a size exceeds the limit of memory or time, the next smaller size is measured, and the table names it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PAIRS = 40_000_000
LANGS = ("ar", "de", "en", "es", "fr", "it", "ja", "ru", "zh")
QUERIES, PASSAGES = 500_000, 8_800_000
"""Of mMARCO: what its 40 million pairs share."""
BATCH = 512
BATCHES = 4000
CPU_SECONDS = 2.0
"""How long the rate is measured, if that many batches take longer."""
WARM = 100
"""Batches before the rate is measured: by then the peers have shuffled every data set."""
OURS = "regular"
"""What the others are compared with."""
MEMORY_LIMIT_MB, TIME_LIMIT_S = 4096, 60
# Name, worker, sizes to try: pairs, of which each of the multi-data-set samplers' nine data sets has all.
CONTENDERS = (
    ("the row numbers alone, drawn by numpy", "draw", (PAIRS,)),
    ("babelmix hybrid, `RegularIndex`", "regular", (PAIRS,)),
    ("babelmix hybrid, items memory-mapped", "items", (PAIRS,)),
    ("ST default (`RandomSampler`)", "default", (PAIRS,)),
    ("ST `NoDuplicatesBatchSampler`", "no_duplicates", (PAIRS,)),
    ("ST `RoundRobinBatchSampler`, 9 data sets", "round_robin", (PAIRS, PAIRS // 9)),
    ("ST `ProportionalBatchSampler`, 9 data sets", "proportional", (PAIRS, PAIRS // 9)),
)


class Rows:
    """Any number of rows with two distinct texts each."""

    column_names = ("query", "passage")

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> dict[str, str]:
        return {"query": f"q{row}", "passage": f"p{row}"}


def ours(pairs: int, items: Path | None) -> Callable[[], Iterator[Any]]:
    """Import what a plan needs, then make the plan's batches."""
    import numpy as np

    from babelmix.batches import BatchPlan, RegularIndex, strategy

    def batches() -> Iterator[Any]:
        sides = {}
        if items:
            sides = {side: np.load(items / f"{side}.npy", mmap_mode="r") for side in ("query", "passage")}
        return BatchPlan(RegularIndex(pairs, LANGS, **sides), strategy("hybrid"), BATCH).batches()

    return batches


def peer(name: str, pairs: int) -> Callable[[], Iterator[Any]]:
    """Import sentence-transformers, then make its batches as its trainer does."""
    import torch
    from sentence_transformers.base import sampler as st
    from torch.utils.data import ConcatDataset, RandomSampler

    def default(rows: Any, generator: torch.Generator) -> Any:
        return st.DefaultBatchSampler(RandomSampler(rows, generator=generator), BATCH, True, generator=generator)

    def batches() -> Iterator[Any]:
        generator = torch.Generator().manual_seed(0)
        if name == "default":
            return iter(default(Rows(pairs), generator))
        if name == "no_duplicates":
            return iter(st.NoDuplicatesBatchSampler(Rows(pairs), BATCH, True, generator=generator))
        kind = st.RoundRobinBatchSampler if name == "round_robin" else st.ProportionalBatchSampler
        sets: list[Any] = [Rows(pairs) for _ in LANGS]
        return iter(kind(ConcatDataset(sets), [default(rows, generator) for rows in sets], generator))

    return batches


def drawn(pairs: int) -> Callable[[], Iterator[Any]]:
    """Random row numbers of both sides and nothing else: pairs repeat and collide, and there are no languages."""
    import numpy as np

    def batches() -> Iterator[Any]:
        rng = np.random.default_rng(0)
        while True:
            yield rng.integers(pairs, size=BATCH), rng.integers(pairs, size=BATCH)

    return batches


def status_mb(field: str) -> float:
    """A field of this process's memory on Linux: VmHWM is the peak so far, RssFile and RssAnon are the current use."""
    # Not getrusage: its peak is inherited from the process that started this one.
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024.0


def measure(name: str, pairs: int, items: Path) -> dict[str, float]:
    """Measure one contender in this process."""
    start = time.perf_counter()
    if name == "draw":
        make = drawn(pairs)
    else:
        make = ours(pairs, items if name == "items" else None) if name in ("regular", "items") else peer(name, pairs)
    imports, base = time.perf_counter() - start, status_mb("VmHWM")
    mapped = status_mb("RssFile")
    import resource

    allowed = int((base + MEMORY_LIMIT_MB) * 2**20)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, allowed))
    start = time.perf_counter()
    batches = make()
    next(batches)
    first, at_first = time.perf_counter() - start, status_mb("VmHWM")
    for _ in range(WARM):
        next(batches)
    start, count = time.process_time(), 0
    while count < BATCHES and time.process_time() - start < CPU_SECONDS:
        next(batches)
        count += 1
    rate = count / (time.process_time() - start)
    return {
        "imports": imports, "first": first, "peak_first": at_first, "peak": status_mb("VmHWM"),
        "above": status_mb("VmHWM") - base, "file": max(0.0, status_mb("RssFile") - mapped), "own": status_mb("RssAnon"),
        "rate": rate,
    }  # fmt: skip


def attempt(name: str, pairs: int, items: Path) -> dict[str, float] | str:
    """Measure one contender in a process of its own; or the reason why that is not possible."""
    command = [sys.executable, __file__, "--worker", name, "--pairs", str(pairs), "--items", str(items)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIME_LIMIT_S, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        return f"over {TIME_LIMIT_S} s"
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if "MemoryError" in done.stderr or "can't allocate memory" in done.stderr:
        return f"over {MEMORY_LIMIT_MB // 1024} GiB"
    raise RuntimeError(done.stderr)


def write_items(folder: Path, pairs: int) -> None:
    """Write the query and the passage of every pair as two files with four bytes per pair. 80 pairs in a row share a query."""
    import numpy as np

    rng = np.random.default_rng(0)
    for side in ("query", "passage"):
        column = np.lib.format.open_memmap(folder / f"{side}.npy", "w+", np.int32, (pairs,))
        for first in range(0, pairs, 1 << 22):
            some = np.arange(first, min(first + (1 << 22), pairs))
            column[some] = some * QUERIES // PAIRS if side == "query" else rng.integers(PASSAGES, size=len(some))
        column.flush()


def main() -> None:
    """Measure the contenders in turn, and print medians and their ratios to babelmix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few pairs, one round: does it run?")
    parser.add_argument("--worker", choices=[worker for _, worker, _ in CONTENDERS], help=argparse.SUPPRESS)
    parser.add_argument("--pairs", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--items", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        print(json.dumps(measure(asked.worker, asked.pairs, asked.items)))
        return
    share = 10 if asked.quick else 1
    rounds = 1 if asked.quick else asked.rounds
    sizes = {worker: [size // share for size in tried] for _, worker, tried in CONTENDERS}
    results: dict[str, list[dict[str, float]]] = {worker: [] for _, worker, _ in CONTENDERS}
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        write_items(Path(folder), PAIRS // share)
        for _ in range(rounds):
            for label, worker, _ in CONTENDERS:
                while sizes[worker]:
                    found = attempt(worker, sizes[worker][0], Path(folder))
                    if not isinstance(found, str):
                        results[worker].append(found)
                        break
                    failures.append(f"{label}: {sizes[worker].pop(0):,} pairs a language take {found}")
    report(sizes, results, failures)


def report(sizes: dict[str, list[int]], results: dict[str, list[dict[str, float]]], failures: list[str]) -> None:
    """The table of medians."""
    reference = statistics.median(run["rate"] for run in results[OURS])
    columns = {
        "imports, s": ("imports", ".2f"), "first batch, s": ("first", ".4f"),
        "peak at first batch, MB": ("peak_first", ".0f"), "peak, MB": ("peak", ".0f"),
        "peak above imports, MB": ("above", ".0f"), "pages of data files, MB": ("file", ".0f"),
        "private at the end, MB": ("own", ".0f"), "batches of 512 a CPU second": ("rate", ",.0f"),
    }  # fmt: skip
    print("| sampler | pairs a data set | " + " | ".join(columns) + " | ratio |\n|" + "---|" * (len(columns) + 3))
    for label, worker, _ in CONTENDERS:
        if not results[worker]:
            continue
        middle = {key: statistics.median(run[key] for run in results[worker]) for key in results[worker][0]}
        cells = [format(middle[key], form) for key, form in columns.values()]
        ratio = middle["rate"] / reference
        print(f"| {label} | {sizes[worker][0]:,} | " + " | ".join(cells) + f" | {ratio:.2f} |")
    print(
        "\nFirst batch: wall time after imports, including making the sampler or the plan. The peak includes pages of data"
    )
    print("files, which the system takes back when it needs memory.")
    for failure in failures:
        print(failure)


if __name__ == "__main__":
    main()
