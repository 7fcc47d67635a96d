"""Audits of vectors from files: beside the rank table alone at XQuAD-R's size, and their memory up to a million passages.

python benchmarks/vectors.py

Vectors are made of a meaning, a language and noise. The rank table, the audit, and the parts of the audit take turns; times are
medians. Each size of the memory table is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import growing
import numpy as np
from measuring import cost, peak_extra_memory
from scoring import corpus, drawn, row

import babelmix as bm
from babelmix.corpus import Corpus
from babelmix.evaluation import measures, rank_table
from babelmix.evaluation.score_levels import score_levels
from babelmix.evaluation.significance import estimates
from babelmix.evaluation.union_correlation import union_correlation

SIZES = (10_000, 100_000, 1_000_000)
DIMENSION, QUERIES = 64, 300


def times(rounds: int, dimension: int) -> None:
    """Print the medians of an audit and its parts, and their ratios to the rank table."""
    data = corpus()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, side in zip(("queries", "passages"), drawn(data, dimension, True), strict=True):
            np.save(folder / f"{name}.npy", side)
        files = folder / "queries.npy", folder / "passages.npy"
        sides = [np.load(file, mmap_mode="r") for file in files]
        table = rank_table(data, *sides)
        found = measures(table)
        bm.audit(bm.Vectors(*files), data, out=folder / "saved")
        parts: dict[str, Callable[[], object]] = {
            "rank table alone": lambda: rank_table(data, *sides),
            "audit": lambda: bm.audit(bm.Vectors(*files), data),
            "of it: MRC over the union": lambda: union_correlation(table, *sides),
            "of it: score levels": lambda: score_levels(table, data, *sides),
            "of it: measures": lambda: measures(table),
            "of it: intervals": lambda: estimates(found),
            "finished audit, loaded": lambda: bm.audit(bm.Vectors(*files), data, out=folder / "saved"),
        }
        turns = [{name: cost(part)[0] for name, part in parts.items()} for _ in range(rounds)]
    print(
        f"### {data.queries.num_rows:,} queries, {data.passages.num_rows:,} passages, {dimension} dimensions, float32\n"
    )
    row("", "s", "times the rank table", "CPU s", "times the rank table's")
    row("---", "---:", "---:", "---:", "---:")
    whole = "rank table alone"
    for name in parts:
        clock, cores = (statistics.median(turn[name][i] for turn in turns) for i in (0, 1))
        ratio = [statistics.median(turn[name][i] / turn[whole][i] for turn in turns) for i in (0, 1)]
        row(name, clock, ratio[0], cores, ratio[1])


def write(folder: Path, passages: int) -> None:
    """A corpus that is memory-mapped when it is read, and its vectors as float16, block by block."""
    growing.QUERIES = QUERIES
    asked, found, qrels = growing.rows(passages)
    Corpus(asked, found, qrels, f"of {passages} passages").save(folder / "corpus", format="arrow")
    rng = np.random.default_rng(0)
    out = np.lib.format.open_memmap(folder / "passages.npy", mode="w+", dtype=np.float16, shape=(passages, DIMENSION))
    for first in range(0, passages, growing.PIECE):
        out[first : first + growing.PIECE] = rng.standard_normal((min(growing.PIECE, passages - first), DIMENSION))
    out.flush()
    np.save(folder / "queries.npy", rng.standard_normal((QUERIES, DIMENSION)).astype(np.float16))


def memory_of(folder: Path) -> dict[str, float]:
    """The time of an audit of the vectors in a folder, the rise of its memory, and the memory of the whole process."""
    warm = corpus_of_ten()
    vectors = np.ones((10, DIMENSION), dtype=np.float16)
    bm.audit(bm.Vectors(vectors, vectors, name="warm"), warm)
    loaded: list[Corpus] = []
    of_corpus = peak_extra_memory(lambda: loaded.append(Corpus.load(folder / "corpus")))
    spent: list[float] = []

    def audited() -> None:
        files = folder / "queries.npy", folder / "passages.npy"
        spent.append(cost(lambda: bm.audit(bm.Vectors(*files), loaded[0]))[0].clock)

    extra = peak_extra_memory(audited)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "seconds": spent[0], "corpus": of_corpus, "extra": extra,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }  # fmt: skip


def corpus_of_ten() -> Corpus:
    """A corpus of ten rows."""
    rows = [{"item": str(i), "lang": lang, "text": f"{i} {lang}"} for i in range(5) for lang in ("de", "en")]
    return Corpus.from_rows(rows, rows, [(str(i), str(i)) for i in range(5)], name="ten")


def memory(sizes: list[int]) -> None:
    """Print the memory of audits of several sizes."""
    print(f"\n### Memory: {QUERIES} queries, {DIMENSION} dimensions, float16 in npy files, MB\n")
    row("passages", "their vectors", "the audit's own", "whole process at its peak", "audit, s")
    row("---:", "---:", "---:", "---:", "---:")
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            write(Path(place), size)
            done = subprocess.run(
                [sys.executable, __file__, "--memory-of", place], capture_output=True, text=True, check=True
            )
        found = json.loads(done.stdout.strip().splitlines()[-1])
        row(
            f"{size:,}", f"{2 * DIMENSION * size / 1e6:,.0f}", f"{found['extra'] / 1e6:,.0f}", f"{found['peak'] / 1e6:,.0f}",
            found["seconds"],
        )  # fmt: skip
    print(
        "\nThe audit's own: the highest rise of memory that no file backs, above the corpus. The peak of the process includes "
        "the libraries, the corpus, and pages of the mapped files, which the system takes back when others need the memory."
    )


def main() -> None:
    """Print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument("--quick", action="store_true", help="one round of few dimensions, two sizes: does it run?")
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(json.dumps(memory_of(options.memory_of)))
        return
    times(*((1, 32) if options.quick else (options.rounds, options.dimension)))
    memory([1000, 10_000] if options.quick else list(SIZES))


if __name__ == "__main__":
    main()
