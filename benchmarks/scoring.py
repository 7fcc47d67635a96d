"""From embeddings to the rank table, against the bare matrix product in the same run, at XQuAD-R's size.

python benchmarks/scoring.py --rounds 7
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from babelmix.audit import rank_table
from babelmix.corpus import Corpus

LANGS = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
ITEMS = 1190
BLOCK = 256


def corpus() -> Corpus:
    """Eleven languages, 1,190 queries and passages each, eleven relevant passages a query."""
    rows = [{"item": str(i), "lang": lang, "text": f"{lang} {i}"} for lang in LANGS for i in range(ITEMS)]
    return Corpus.from_rows(rows, rows, [(str(i), str(i)) for i in range(ITEMS)], name="of XQuAD-R's size")


def seconds(function: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    """Alternate the two, and print medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    data = corpus()
    rng = np.random.default_rng(0)
    print("| dimension | bare product, s | rank table, s | ratio |\n|---|---|---|---|")
    for dimension in (384, 768):
        shape = (ITEMS * len(LANGS), dimension)
        queries, passages = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
        left, right = torch.from_numpy(queries), torch.from_numpy(passages).T

        def product(left: torch.Tensor = left, right: torch.Tensor = right) -> None:
            # One output for all blocks, as in the rank table: fresh memory for each would cost more than the product.
            scores = torch.empty(BLOCK, right.shape[1])
            for first in range(0, len(left), BLOCK):
                block = left[first : first + BLOCK]
                torch.mm(block, right, out=scores[: len(block)])

        times: list[tuple[float, float]] = []
        for _ in range(rounds):
            times.append((seconds(product), seconds(lambda q=queries, p=passages: rank_table(data, q, p))))
        bare, ours = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        print(f"| {dimension} | {bare:.2f} | {ours:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
