"""Removal of language from captions, where what is found, a picture, has no language.

    python benchmarks/photographs_removal.py --text static-e5

The encoders are those of `photographs.py` with batches `hybrid(0.5)` and `english`, trained again and kept. A removal is fitted
on the training captions of a fold, in all languages: the held-out ones are seen as texts, never beside a picture. Pictures
stay as they are. `balanced` is the search policy, with pictures as queries for captions of all languages. Writes its table into
docs/results-image-text.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
from marked import write
from photographs import IMAGE, RECALL, Photographs, spread
from results import ROOT, table
from trained_removal import levelled

from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.images import Pictures
from babelmix.encoders import encode, load_encoder
from babelmix.encoders.removal import AnyRemoval, Embedded, RemovalOptions, removal_method
from babelmix.evaluation import Measure, measures
from babelmix.evaluation.scoring import rank_table
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.folder import run_folder
from babelmix.experiment.report.pictures import mean_recall

Floats = npt.NDArray[np.float32]
STRATEGIES = ("hybrid(0.5)", "english")
COLUMNS = ("seen", "unseen", "distance", "pooled mAP", "pooled distance")
HEAD = [
    "seen",
    "unseen",
    "rank distance",
    "captions of all languages: mAP",
    "captions of all languages: rank distance",
]


def embedded(vectors: Floats, corpus: Corpus, paired: bool) -> Embedded:
    """The captions of a corpus as texts that a removal is fitted on."""
    langs = tuple(lang for lang in corpus.langs if lang != "zxx")
    place = {lang: number for number, lang in enumerate(langs)}
    lang = np.array([place[one] for one in corpus.queries["lang"].to_pylist()])
    items: dict[str, int] = {}
    item = np.array([items.setdefault(one, len(items)) for one in corpus.queries["item"].to_pylist()])
    return Embedded(vectors.astype(np.float64), lang, np.zeros_like(lang), langs, item if paired else None, "cosine")


def removals(training: Embedded, own: Embedded) -> dict[str, Callable[[], AnyRemoval | None]]:
    """What is tried, by its name."""

    def fit(method: str, on: Embedded) -> AnyRemoval:
        return removal_method(method).fit_removal(on, RemovalOptions())

    return {
        "nothing": lambda: None,
        "`offsets`, training captions": partial(fit, "offsets", training),
        "`own-means`, test captions": partial(fit, "own-means", own),
    }


def row(
    to: dict[str, Measure], back: dict[str, Measure], seen: tuple[str, ...], unseen: tuple[str, ...]
) -> list[float]:
    """The values of `COLUMNS`."""
    audits: Any = [SimpleNamespace(measures=to)], [SimpleNamespace(measures=back)]
    recall = mean_recall(*audits)
    return [
        float(np.mean([recall[lang] for lang in seen])), float(np.mean([recall[lang] for lang in unseen])),
        to["bias/rank distance over query languages"].macro(), back["multi/mAP"].macro(), back["bias/rank distance"].macro(),
    ]  # fmt: skip


def of_fold(photographs: Photographs, fold: int, tuned: dict[str, Any]) -> dict[tuple[str, str], list[list[float]]]:
    """The values of each strategy and removal, one list a seed."""
    values = photographs.values(fold)
    values["references"] = {}
    values["compare"] |= {"strategies": list(STRATEGIES), "keep_models": "all"}
    if tuned:
        values["training"] |= {"learning_rate": tuned["learning_rate"], "loss": {"temperature": tuned["temperature"]}}
    photographs.done(values, f"removal-{fold}")
    experiment = parse_experiment(values, "stamps.toml")
    langs = [*photographs.seen, *photographs.unseen]
    test = open_corpus(values["data"]["test"])
    fitted_on = open_corpus(photographs.corpus("train", fold, langs))
    found: dict[tuple[str, str], list[list[float]]] = {}
    for strategy in STRATEGIES:
        for seed in experiment.compare.seeds:
            folder = run_folder(experiment, photographs.to / photographs.name / f"removal-{fold}", strategy, seed)
            encoder = load_encoder(folder / "model", device="cpu")
            captions = np.asarray(encode(encoder, test.queries["text"].to_pylist(), "query"))
            others = np.asarray(encode(encoder, fitted_on.queries["text"].to_pylist(), "query"))
            pictures = np.asarray(encode(encoder, Pictures(test.passages), "document"))
            of_captions = test.queries["lang"].to_pylist()
            training, own = embedded(others, fitted_on, True), embedded(captions, test, False)
            for name, fit in removals(training, own).items():
                removal = fit()
                texts = captions if removal is None else removal.apply(captions, of_captions, "query")
                to = measures(rank_table(test, texts, pictures), list(RECALL))
                back = rank_table(test.reversed(), pictures, texts)
                ways = {
                    name: back,
                    f"{name}, then `balanced`": levelled(back, pictures, texts, test.reversed(), "balanced"),
                }
                for label, one in ways.items():
                    reached = measures(one, [*RECALL, "mAP"])
                    found.setdefault((strategy, label), []).append(
                        row(to, reached, photographs.seen, photographs.unseen)
                    )
    return found


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", default="static-e5", help="the text tower")
    parser.add_argument("--to", type=Path, default=Path("runs/photographs"))
    parser.add_argument("--folds", type=int, default=5, help="how many of the five folds")
    parser.add_argument("--quick", action="store_true", help="does it run? Nothing is written into the documents")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    photographs = Photographs(asked.to, None, asked.text, IMAGE, asked.quick, asked.folds)
    tuned = {} if asked.quick else photographs.tuned().get("hybrid(0.5)", {})
    folds = [of_fold(photographs, fold, tuned) for fold in photographs.folds]
    rows = []
    for strategy, label in folds[0]:
        by_seed = np.mean([fold[strategy, label] for fold in folds], axis=0)
        digits = (3, 3, 1, 3, 0)
        rows.append(
            [f"`{strategy}`", label, *(spread(by_seed[:, n].tolist(), digits[n]) for n in range(len(COLUMNS)))]
        )
    text = table(["batches", "removed by", *HEAD], rows)
    print(text)
    if not asked.quick:
        write(ROOT / "docs" / "results-image-text.md", {"photographs-removal": text})


if __name__ == "__main__":
    main()
