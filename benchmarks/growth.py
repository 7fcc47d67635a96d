"""Time and memory of the rank table as passages grow, embeddings memory-mapped; each size in a process of its own.

python benchmarks/growth.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from measuring import cost, encoder_like, peak_extra_memory

from babelmix.audit import measures, rank_table
from babelmix.corpus import Corpus

LANGS = ("ar", "de", "en", "es", "ru", "th", "tr", "vi", "zh", "hi")
QUERIES = 2000
PIECE = 20_000


def corpus(passages: int) -> Corpus:
    """Every item in ten languages, so that each query has ten relevant passages; 2,000 queries in turns of language."""
    items = passages // len(LANGS)
    rows = [{"item": str(i), "lang": lang, "text": f"{lang} {i}"} for i in range(items) for lang in LANGS]
    asked = [
        {"item": str(q * items // QUERIES), "lang": LANGS[q % len(LANGS)], "text": f"query {q}"}
        for q in range(QUERIES)
    ]
    wanted = sorted({row["item"] for row in asked})
    return Corpus.from_rows(asked, rows, [(item, item) for item in wanted], name=f"of {passages} passages")


def write(folder: Path, passages: int, dimension: int) -> None:
    """Write a corpus with its embeddings, a piece of them at a time."""
    data = corpus(passages)
    data.save(folder / "corpus")
    shape = (passages, dimension)
    out = np.lib.format.open_memmap(folder / "passages.npy", mode="w+", dtype=np.float32, shape=shape)
    items = passages // len(LANGS)
    wanted = np.arange(QUERIES) * items // QUERIES
    queries = np.empty((QUERIES, dimension), dtype=np.float32)
    for first in range(0, passages, PIECE):
        row = np.arange(first, min(first + PIECE, passages))
        item = row // len(LANGS)
        side = encoder_like(np.random.default_rng([1, first]), item - item[0], row % len(LANGS), dimension)
        out[row] = side[1]
        here = np.flatnonzero((wanted >= item[0]) & (wanted <= item[-1]))
        queries[here] = side[0][(wanted[here] - item[0]) * len(LANGS) + here % len(LANGS)]
    out.flush()
    np.save(folder / "queries.npy", queries)


def one(folder: Path) -> None:
    """Score a folder; print seconds and megabytes."""
    data = Corpus.load(folder / "corpus")
    vectors = [np.load(folder / f"{side}.npy", mmap_mode="r") for side in ("queries", "passages")]
    warm = corpus(len(LANGS))
    rank_table(warm, *(np.ones((n, vectors[0].shape[1]), dtype=np.float32) for n in (QUERIES, len(LANGS))))
    kept = []

    def run() -> None:
        kept.append(cost(lambda: measures(rank_table(data, *vectors))))

    peak = peak_extra_memory(run)
    times, found = kept[0]
    print(f"{times.clock:.1f} {times.cores:.1f} {peak / 2**20:.0f} {found['multi/mAP'].macro():.3f}")


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--dimension", type=int, default=384)
    parser.add_argument(
        "--folder", type=Path, help="where the embeddings go for the time being (1.5 GB for a million)"
    )
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one(options.one)
        return
    print(f"{QUERIES:,} queries, ten relevant passages each, d = {options.dimension}\n")
    print(
        "| passages | embeddings, MB | seconds | CPU seconds | peak extra memory, MB | multi mAP |\n|---|---|---|---|---|---|"
    )
    for passages in options.passages:
        with tempfile.TemporaryDirectory(dir=options.folder) as name:
            write(Path(name), passages, options.dimension)
            size = (Path(name) / "passages.npy").stat().st_size / 2**20
            done = subprocess.run(
                [sys.executable, __file__, "--one", name], capture_output=True, text=True, check=True
            )
        cells = done.stdout.strip().splitlines()[-1].split()
        print(f"| {passages:,} | {size:,.0f} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
