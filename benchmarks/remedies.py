"""Which remedy keeps a fine-tuned encoder good at tasks that it was not trained on? One seed each, on a benchmark.

babelmix compare e5-libreoffice -c libreoffice-help=blocks.parquet --benchmark xquad-r=PATH
python benchmarks/remedies.py runs/e5-libreoffice

Weight averages use the encoders that the experiment saved. The other remedies are trained here with the experiment's settings,
except for what the remedy changes. Finished runs are not repeated. `finetuned.py` writes the table.
"""

from __future__ import annotations

import argparse
import copy
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from babelmix._files import slug
from babelmix.corpus import open_corpus
from babelmix.encoders import load_encoder
from babelmix.evaluation import audit
from babelmix.evaluation.run import is_finished
from babelmix.evaluation.systems import EncoderSystem
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.jobs import shared
from babelmix.experiment.parts import corpora
from babelmix.training import train
from babelmix.training.flat import MOVED
from babelmix.training.weights import average_with, copied, trained

SHARES = {"hybrid": (0.3, 0.5), "cross": (0.3, 0.5)}
"""Shares of the starting weights in an average, by batches."""
SOUP = 0.4
"""Share of the starting weights in an average with the mean of the `hybrid` and the `cross` encoder."""
TRAINED: dict[str, dict[str, Any]] = {
    "lower rate": {"learning_rate": 2e-5},
    "LoRA": {"lora_rank": 16, "learning_rate": 5e-4, "freeze_embeddings": False},
    "whole texts": {"max_seq_length": 128},
}
"""What a remedy changes of the experiment's settings."""


def main() -> None:
    """Audit every remedy on the experiment's benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path, help="the finished experiment's folder")
    parser.add_argument("--only", nargs="*", help="these remedies")
    arguments = parser.parse_args()
    place: Path = arguments.experiment
    experiment = parse_experiment(tomllib.loads((place / "config.toml").read_text(encoding="utf-8")), "config.toml")
    start = load_encoder(experiment.encoder.name, max_seq_length=experiment.encoder.max_seq_length)
    benchmark = open_corpus(experiment.data.benchmarks[0])
    seed = experiment.compare.seeds[0]

    def averaged(strategy: str, share: float) -> SentenceTransformer:
        model = SentenceTransformer(str(place / "runs" / slug(strategy) / f"seed-{seed}" / "model"), device="cpu")
        average_with(trained(model), copied(trained(start)), share)
        return model

    def changed(strategy: str, name: str, changes: dict[str, Any]) -> SentenceTransformer:
        folder = place / "remedies" / slug(f"{strategy} {name}") / "model"
        if not (folder / "training.json").is_file():
            changes = {MOVED.get(name, name): value for name, value in changes.items()}
            settings = changed(experiment.run_settings(strategy, seed), changes)
            train(copy.deepcopy(start), corpora(experiment).training, settings, folder, base=experiment.encoder.name)
        return SentenceTransformer(str(folder), device="cpu")

    made: dict[str, Callable[[], SentenceTransformer]] = {
        f"{strategy}, {share:.0%} of the start": partial(averaged, strategy, share)
        for strategy, shares in SHARES.items()
        for share in shares
    }

    def soup() -> SentenceTransformer:
        model, other = (averaged(strategy, 0.0) for strategy in ("hybrid", "cross"))
        average_with(trained(model), copied(trained(other)), 0.5)
        average_with(trained(model), copied(trained(start)), SOUP)
        return model

    made[f"mean of hybrid and cross, {SOUP:.0%} of the start"] = soup
    made |= {f"hybrid, {name}": partial(changed, "hybrid", name, changes) for name, changes in TRAINED.items()}

    def job(name: str) -> None:
        folder = place / "remedies" / slug(name) / "audit"
        encoder = made[name]()
        if not is_finished(folder, EncoderSystem(encoder, name, bf16=experiment.compare.bf16).facts(benchmark)):
            done = audit(encoder, benchmark, name=name, bf16=experiment.compare.bf16)
            done.save(folder)
            print(name, {key: round(done.macro(key), 4) for key in ("mono/mAP", "cross/mAP", "multi/mAP")}, flush=True)

    wanted = [name for name in made if not arguments.only or name in arguments.only]
    shared(place / "locks", {name: partial(job, name) for name in wanted})


if __name__ == "__main__":
    main()
