"""Re-ranking with UNITER beside its transformer alone: the cost of tokenising, embedding, sorting and ordering.

python benchmarks/uniter_rerank.py --threads 1
python benchmarks/uniter_rerank.py --quick        # a short run, to see that everything works

Weights and texts are random: neither changes the cost of a forward pass. Texts have 6 to 40 word pieces, images 10 to 100
regions, as in a detector's files (arXiv 1909.11740). The transformer alone reads the same batches that re-ranking made, already
embedded and packed, and its scores are compared with those of re-ranking. Its time is the least that reading these pairs can
take. The two take turns, so that a busy machine slows both. Other processes hardly change the CPU time.
"""

from __future__ import annotations

import argparse
import os
import statistics

import numpy as np
import torch
from measuring import Cost, cost

from babelmix.encoders.uniter import Regions, Uniter, UniterConfig, WordPiece, score_matrix
from babelmix.encoders.uniter.model import Packed
from babelmix.encoders.uniter.tokenizer import SPECIAL

BAR = 1.2
WORDS = 20_000
SHAPES = {
    "base": UniterConfig(),
    "small": UniterConfig(hidden_size=256, layers=4, heads=4, intermediate_size=1024),
    "tiny": UniterConfig(hidden_size=32, layers=2, heads=4, intermediate_size=64, region_size=64),
}


def model_of(shape: str) -> Uniter:
    """A model with random weights."""
    return Uniter(SHAPES[shape], WordPiece([*SPECIAL, *(f"w{number}" for number in range(WORDS))])).eval()


def data(texts: int, images: int, region_size: int) -> tuple[list[str], list[Regions], np.ndarray]:
    """Texts, regions and first-stage scores, float32, shape (texts, images)."""
    rng = np.random.default_rng(0)
    made = [" ".join(f"w{word}" for word in rng.integers(0, WORDS, rng.integers(6, 41))) for _ in range(texts)]
    regions = []
    for _ in range(images):
        count = int(np.clip(rng.lognormal(3.5, 0.5), 10, 100))
        features = rng.standard_normal((count, region_size), dtype=np.float32)
        regions.append(Regions(features, rng.random((count, 7), dtype=np.float32)))
    return made, regions, rng.random((texts, images), dtype=np.float32)


class Batches:
    """The batches of one call of `score_matrix`, as the transformer received them."""

    def __init__(self, model: Uniter) -> None:
        self.model, self.packed = model, list[Packed]()
        self.handle = model.uniter.register_forward_pre_hook(lambda _, given: self.packed.append(given[0]))

    def close(self) -> None:
        """Stop recording."""
        self.handle.remove()

    def read(self, first_only: bool) -> torch.Tensor:
        """Run only the transformer and the ranking head: scores, shape (pairs,), in the order of the batches."""
        body = self.model.uniter
        with torch.inference_mode():
            return torch.cat(
                [self.model.rank(body.pool(body(packed, first_only=first_only))) for packed in self.packed]
            )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="base")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--k", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: does it run?")
    asked = parser.parse_args()
    if asked.quick:
        asked.shape, asked.texts, asked.images, asked.k, asked.rounds, asked.threads = "tiny", 4, 8, 4, 2, 1
    torch.set_num_threads(asked.threads)
    model = model_of(asked.shape)
    texts, regions, first = data(asked.texts, asked.images, model.config.region_size)

    def rerank() -> np.ndarray:
        return score_matrix(
            model, texts, regions, mode="rerank-topk", first_stage=first, k=asked.k, batch_size=asked.batch_size
        ).scores

    batches = Batches(model)
    scores = rerank()
    batches.close()
    ways = {
        "re-ranking": rerank,
        "its transformer alone, last block for the first position": lambda: batches.read(True),
        "its transformer alone, every block for all positions": lambda: batches.read(False),
    }
    best = np.argsort(-first, axis=1, kind="stable")[:, : asked.k]
    wanted = np.sort(np.take_along_axis(scores, best, axis=1), axis=None)
    found: dict[str, list[Cost]] = {name: [] for name in ways}
    for name in ways:
        if name != "re-ranking" and not np.allclose(np.sort(ways[name]().numpy()), wanted, atol=1e-4):
            raise SystemExit(f"{name}: gives other scores than re-ranking")
    for _ in range(asked.rounds):
        for name, way in ways.items():
            found[name].append(cost(way)[0])
    pairs = sum(len(packed.lengths) for packed in batches.packed)
    tokens = sum(int(packed.lengths.sum()) for packed in batches.packed)
    places = sum(packed.states.shape[0] * packed.states.shape[1] for packed in batches.packed)
    print(
        f"UNITER-{asked.shape}, {asked.texts} texts, {asked.images} images, k = {asked.k}: {pairs:,} pairs of "
        f"{tokens / pairs:.0f} tokens and regions on average, {100 * (1 - tokens / places):.1f} % padding, batches of "
        f"{asked.batch_size}, {asked.threads} threads, medians of {asked.rounds} alternating rounds.\n"
    )
    print("| | seconds | seconds of all cores | pairs a second | re-ranking takes, times | by time of all cores |")
    print("|---|---|---|---|---|---|")
    verdicts = []
    for name, costs in found.items():
        # Round by round: a machine that is slow for a while is so for both.
        rounds = list(zip(found["re-ranking"], costs, strict=True))
        by_clock = statistics.median(ours.clock / one.clock for ours, one in rounds)
        by_cores = statistics.median(ours.cores / one.cores for ours, one in rounds)
        clock, cores = (statistics.median(one[part] for one in costs) for part in range(2))
        print(f"| {name} | {clock:.2f} | {cores:.2f} | {pairs / clock:.1f} | {by_clock:.3f} | {by_cores:.3f} |")
        verdicts.append(["met" if ratio <= BAR else "missed" for ratio in (by_clock, by_cores)])
    print(
        f"\nThe target is at most {BAR} times the transformer alone, in the usual setting: {verdicts[1][0]} in wall time, "
        f"{verdicts[1][1]} in the time of all cores."
    )


if __name__ == "__main__":
    main()
