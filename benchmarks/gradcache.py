"""GradCache, for batches that do not fit in memory: memory, time and gradients, beside the same loss without it.

python benchmarks/gradcache.py --corpus libreoffice-help=blocks.parquet    # on Linux
python benchmarks/gradcache.py --quick                                     # a short run, to see that everything works

Each measurement is `babelmix.training.train` in a process of its own. The batches are `cross`: their rows are in many
languages, so that the lengths of the texts are those of the corpus at every step. The first step is not timed. Extra memory is
what `train` adds until its last step; most of it appears in the second step, when the optimiser has its moments. The peak of
the process also contains the libraries, reading the corpus, and saving the encoder. The loss without GradCache is measured at
sizes that fit. A straight line through them gives the memory that it would need at the size that does not fit.

Gradients: those of the first batch, without dropout, with and without GradCache from the same weights, before clipping.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from measuring import watching_memory
from plans import status_mb
from texts import corpus, in_processes, leave

LIMIT_GB = 6


def settings(job: dict[str, Any], cached: bool) -> Any:
    """Training settings; token vectors are frozen."""
    from babelmix.training import TrainingSettings

    return TrainingSettings(
        strategy="cross", steps=job["steps"], batch_size=job["pairs"], max_seq_length=job["length"],
        loss={"mini_batch_size": job["mini_batch"] if cached else None}, weights={"freeze_embeddings": True},
        schedule={"checkpoint_every": 0}, bf16=job["bf16"],
    )  # fmt: skip


def measured(job: dict[str, Any]) -> dict[str, float]:
    """Memory and time of one run, in this process."""
    import torch
    from transformers import TrainerCallback

    from babelmix.encoders import load_encoder
    from babelmix.training import train

    class Watch(TrainerCallback):
        def __init__(self, risen: Callable[[], int]) -> None:
            self.risen, self.times, self.extra = risen, list[float](), 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.times.append(time.perf_counter())

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.extra = self.risen()

    torch.set_num_threads(job["threads"])
    encoder, data = load_encoder(job["encoder"], device="cpu"), corpus(job["corpus"], job["items"])
    with tempfile.TemporaryDirectory() as place, watching_memory() as risen:
        watch = Watch(risen)
        train(encoder, data, settings(job, job["cached"]), Path(place) / "model", callbacks=[watch])
    # A single step tells of memory only.
    step = float(statistics.median(np.diff(watch.times))) if len(watch.times) > 1 else float("nan")
    return {"extra": watch.extra / 2**20, "peak": status_mb("VmHWM"), "step": step}


def gradients(job: dict[str, Any]) -> dict[str, float]:
    """The largest difference of a gradient's entry with and without GradCache, and the size of the gradients."""
    import torch

    from babelmix.batches import BatchPlan, strategy
    from babelmix.encoders import load_encoder
    from babelmix.training import StepTexts, TrainingData, resolve
    from babelmix.training.losses import info_nce
    from babelmix.training.trainer import prepare

    torch.set_num_threads(job["threads"])
    encoder = load_encoder(job["encoder"], device="cpu")
    data = TrainingData(corpus(job["corpus"], job["items"]))
    plain_settings, cached_settings = (resolve(settings(job, cached), data, encoder) for cached in (False, True))
    prepare(encoder, plain_settings)
    encoder.train()
    for module in encoder.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    rows = StepTexts(data, BatchPlan(data.index, strategy("cross"), job["pairs"]))[0]
    found: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []
    for given in (plain_settings, cached_settings):
        features = [
            encoder.preprocess([row[side] for row in rows], prompt=encoder.prompts[kind])
            for side, kind in (("query", "query"), ("passage", "document"))
        ]
        encoder.zero_grad()
        loss = info_nce(encoder, given)(features, None)
        loss.backward()
        losses.append(float(loss))
        found.append({name: p.grad.clone() for name, p in encoder.named_parameters() if p.grad is not None})
    plain, cache = found
    if plain.keys() != cache.keys():
        raise SystemExit(f"with and without GradCache other weights have gradients: {plain.keys() ^ cache.keys()}")
    return {
        "entries": sum(g.numel() for g in plain.values()),
        "largest": max(float(g.abs().max()) for g in plain.values()),
        "difference": max(float((g - cache[name]).abs().max()) for name, g in plain.items()),
        "loss": abs(losses[0] - losses[1]),
    }


def memory_tables(asked: argparse.Namespace, job: dict[str, Any], folder: Path) -> None:
    """Memory and time of both losses."""
    wanted = [(pairs, cached) for pairs in asked.sizes for cached in (False, True)] + [(asked.pairs, True)]
    results: dict[tuple[int, bool], list[dict[str, float]]] = {one: [] for one in wanted}
    for turn in range(asked.rounds):
        for pairs, cached in wanted:
            # The large batch takes minutes a step; once is enough.
            if pairs == asked.pairs and turn:
                continue
            steps = asked.large_steps if pairs == asked.pairs else asked.steps
            run = job | {"part": "memory", "pairs": pairs, "cached": cached, "steps": steps}
            results[pairs, cached] += in_processes(__file__, run, folder, threads=asked.threads)
    middle = {
        one: {what: statistics.median(run[what] for run in runs) for what in runs[0]} for one, runs in results.items()
    }
    print("### Memory and time\n")
    print(
        "| loss | pairs a step | peak extra memory, MB | peak of the process, MB | seconds a step | pairs a second |"
    )
    print("|---|---|---|---|---|---|")
    for cached in (False, True):
        for pairs, _ in [one for one in wanted if one[1] == cached]:
            found = middle[pairs, cached]
            print(
                f"| {'GradCache' if cached else 'without'} | {pairs:,} | {found['extra']:,.0f} | {found['peak']:,.0f} | "
                + ("| |" if np.isnan(found["step"]) else f"{found['step']:.1f} | {pairs / found['step']:.1f} |")
            )
    slope, start = np.polyfit(asked.sizes, [middle[pairs, False]["extra"] for pairs in asked.sizes], 1)
    needed, took = (start + slope * asked.pairs) / 1024, middle[asked.pairs, True]["peak"] / 1024
    print(
        f"\nWithout GradCache a pair takes {slope:.1f} MB, so that {asked.pairs:,} pairs would need about {needed:,.0f} GB. "
        f"With it the process takes {took:.1f} GB at most in all; the target is {LIMIT_GB} GB."
    )


def gradient_table(asked: argparse.Namespace, job: dict[str, Any], folder: Path) -> None:
    """How far gradients with and without GradCache are apart."""
    print("\n### Gradients with and without GradCache, dropout off\n")
    print(
        "| pairs a step | texts a forward pass | entries | largest entry | largest difference | difference of the loss |"
    )
    print("|---|---|---|---|---|---|")
    pairs = asked.same
    # The second leaves a rest.
    for mini_batch in (pairs // 4, 3 * pairs // 8):
        run = job | {"part": "gradients", "pairs": pairs, "mini_batch": mini_batch, "steps": 1, "bf16": False}
        (found,) = in_processes(__file__, run, folder, threads=asked.threads)
        print(
            f"| {pairs} | {mini_batch} | {found['entries']:,} | {found['largest']:.1e} | {found['difference']:.1e} | "
            f"{found['loss']:.1e} |"
        )


def main() -> None:
    """Print the selected parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=("memory", "gradients"), default=["memory", "gradients"])
    parser.add_argument("--corpus", help="NAME=PATH; by default made texts")
    parser.add_argument("--encoder", default="e5-small-offline")
    parser.add_argument("--length", type=int, default=48, help="tokens a text at most")
    parser.add_argument("--pairs", type=int, default=4096, help="pairs a step that do not fit")
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128, 256], help="pairs a step that fit")
    parser.add_argument("--same", type=int, default=64, help="pairs whose gradients are compared")
    parser.add_argument("--mini-batch", type=int, default=64, help="texts a forward pass with GradCache")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--rounds", type=int, default=1, help="of the sizes that fit")
    parser.add_argument("--steps", type=int, default=4, help="at the sizes that fit; the first is not timed")
    parser.add_argument(
        "--large-steps",
        type=int,
        default=2,
        help="at the size that does not fit; 1: memory only, as the first is not timed",
    )
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: does it run?")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        job = json.loads(asked.worker.read_text(encoding="utf-8"))
        leave(job, measured(job) if job["part"] == "memory" else gradients(job))
        return
    if asked.quick:
        asked.length, asked.pairs, asked.sizes, asked.same, asked.mini_batch = 16, 32, [4, 8], 8, 4
        asked.rounds, asked.steps, asked.threads = 1, 2, 1
    job = {
        "encoder": asked.encoder, "corpus": asked.corpus, "length": asked.length, "mini_batch": asked.mini_batch,
        "bf16": asked.bf16, "items": 2 * asked.pairs,
    }  # fmt: skip
    texts = f"texts of {asked.corpus.partition('=')[0]}" if asked.corpus else "made texts"
    print(
        f"`{asked.encoder}`, token vectors frozen, at most {asked.length} tokens, {texts}, {asked.mini_batch} texts a forward "
        f"pass with GradCache, {'bfloat16 mixed precision' if asked.bf16 else 'float32'}, {asked.threads} threads.\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        if "memory" in asked.parts:
            memory_tables(asked, job, Path(folder))
        if "gradients" in asked.parts:
            gradient_table(asked, job, Path(folder))


if __name__ == "__main__":
    main()
