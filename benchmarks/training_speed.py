"""Pairs a second when a transformer trains on the CPU: packed tokens beside the plain forward pass, and the loss of both.

python benchmarks/training_speed.py --corpus libreoffice-help=blocks.parquet
python benchmarks/training_speed.py --quick      # small sizes, generated texts

Both ways train the same encoder on the same batches, in turns, each time in a process of its own. The first step of a process is
not timed. Loss: the mean of the last ten steps of a run, for several seeds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from texts import corpus, in_processes, leave

WAYS = {"plain": "0", "packed": "1"}
SIZES = ((32, 48, "hybrid(0.5)", 1.0), (64, 128, "hybrid(0.5)", 0.0))
"""Pairs in a batch, tokens of a text, strategy, weight of the consistency term."""


def trained(job: dict[str, Any]) -> dict[str, list[float]]:
    """The seconds and the losses of each step, in this process."""
    os.environ["BABELMIX_PACKING"] = WAYS[job["way"]]
    import torch
    from transformers import TrainerCallback

    from babelmix.encoders import load_encoder
    from babelmix.training import TrainingSettings, train

    class Watch(TrainerCallback):
        def __init__(self) -> None:
            self.started, self.seconds = 0.0, list[float]()

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.started = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.seconds.append(time.perf_counter() - self.started)

    torch.set_num_threads(job["threads"])
    settings = TrainingSettings(
        strategy=job["strategy"], steps=job["steps"], batch_size=job["pairs"], max_seq_length=job["length"], bf16=True,
        seed=job["seed"], dropout=job["dropout"], loss={"consistency": job["consistency"]},
        weights={"freeze_embeddings": True, "start_share": 0.0}, schedule={"checkpoint_every": 0},
    )  # fmt: skip
    encoder, data, watch = load_encoder(job["encoder"], device="cpu"), corpus(job["corpus"], job["items"]), Watch()
    with tempfile.TemporaryDirectory() as place:
        result = train(encoder, data, settings, Path(place) / "model", callbacks=[watch])
    return {"seconds": watch.seconds[1:], "losses": [loss for _, loss in result.losses]}


def speed_table(asked: argparse.Namespace, job: dict[str, Any], folder: Path) -> None:
    """Pairs a second of both ways at each size."""
    print("### Pairs a second\n")
    print("| batch | dropout | plain, s a step | packed, s a step | plain, pairs/s | packed, pairs/s | ratio |")
    print("|---|---|---|---|---|---|---|")
    for pairs, length, strategy, consistency in asked.sizes:
        size = {"pairs": pairs, "length": length, "strategy": strategy, "consistency": consistency}
        for dropout in (None, 0.0):
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for turn in range(asked.rounds):
                for way in WAYS if turn % 2 == 0 else reversed(WAYS):
                    run = job | size | {"way": way, "dropout": dropout, "steps": asked.steps + 1, "seed": turn}
                    seconds[way] += in_processes(__file__, run, folder, threads=asked.threads)[0]["seconds"]
            plain, packed = (statistics.median(seconds[way]) for way in WAYS)
            print(
                f"| {pairs} pairs, {length} tokens, {strategy}{f', consistency {consistency:g}' if consistency else ''} | "
                f"{'as the encoder has it' if dropout is None else 'none'} | {plain:.2f} | {packed:.2f} | {pairs / plain:.1f} | "
                f"{pairs / packed:.1f} | {plain / packed:.2f} |"
            )


def loss_table(asked: argparse.Namespace, job: dict[str, Any], folder: Path) -> None:
    """The loss of both ways after the same batches."""
    pairs, length, strategy, consistency = asked.sizes[0]
    size = {"pairs": pairs, "length": length, "strategy": strategy, "consistency": consistency, "dropout": None}
    print(f"\n### Loss after {asked.loss_steps} steps of {pairs} pairs, mean of the last ten\n")
    print("| seed | plain | packed | difference |")
    print("|---|---|---|---|")
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for seed in range(asked.seeds):
        for way in WAYS:
            run = job | size | {"way": way, "steps": asked.loss_steps, "seed": seed}
            losses = in_processes(__file__, run, folder, threads=asked.threads)[0]["losses"]
            found[way].append(statistics.mean(losses[-10:]))
        plain, packed = (found[way][-1] for way in WAYS)
        print(f"| {seed} | {plain:.4f} | {packed:.4f} | {packed - plain:+.4f} |")
    plain, packed = (statistics.mean(found[way]) for way in WAYS)
    print(f"| mean | {plain:.4f} | {packed:.4f} | {packed - plain:+.4f} |")
    if asked.seeds > 1:
        print(f"\nThe standard deviation over seeds is {statistics.stdev(found['plain']):.4f} for the plain pass.")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", help="NAME=PATH; by default made texts")
    parser.add_argument("--encoder", default="e5-small-offline")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3, help="processes of each way and size")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a process")
    parser.add_argument("--seeds", type=int, default=3, help="of the comparison of losses")
    parser.add_argument("--loss-steps", type=int, default=50)
    parser.add_argument("--quick", action="store_true", help="the smallest sizes: does it run?")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        job = json.loads(asked.worker.read_text(encoding="utf-8"))
        leave(job, trained(job))
        return
    asked.sizes = SIZES
    if asked.quick:
        asked.sizes = ((4, 16, "hybrid(0.5)", 1.0),)
        asked.rounds, asked.steps, asked.seeds, asked.loss_steps, asked.threads = 1, 1, 1, 2, 1
    job = {"encoder": asked.encoder, "corpus": asked.corpus, "items": 200}
    texts = f"texts of {asked.corpus.partition('=')[0]}" if asked.corpus else "made texts"
    print(f"`{asked.encoder}`, token vectors frozen, bfloat16, {texts}, {asked.threads} threads.\n")
    with tempfile.TemporaryDirectory() as folder:
        speed_table(asked, job, Path(folder))
        loss_table(asked, job, Path(folder))


if __name__ == "__main__":
    main()
