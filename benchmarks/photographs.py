"""Hybrid batches on photographs: five folds, so that each picture is tested once.

    python benchmarks/photographs.py tune            # learning rate and temperature of each strategy, on a validation fold
    python benchmarks/photographs.py run             # five folds and three seeds of each strategy; writes the tables
    python benchmarks/photographs.py run --flickr FOLDER      # the same on Flickr8k's photographs, see docs/data.md

The experiment of a fold is the bundled `stamps.toml`. Finished trainings and audits are not repeated, and several processes share
the work: on two cores, start it twice with OMP_NUM_THREADS=1. `--quick` shows that it runs: a static text tower and three steps.
What `tune` chose is in `photographs.json`. The tables go into docs/results-image-text.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from image_text import back_of, of_cells
from marked import write
from results import ROOT, table

from babelmix._files import recorded, slug, write_json
from babelmix.evaluation import Measure, compare_all
from babelmix.experiment import Results, run_experiment
from babelmix.experiment.bundled import bundled
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.report.pictures import mean_recall
from babelmix.experiment.results import Entry

RECORD = Path(__file__).with_name("photographs.json")
FOLDS = range(5)
IMAGE = "lite0-offline"
RATES, STATIC_RATES, TEMPERATURES = (3e-5, 1e-4, 3e-4), (1e-3, 3e-3, 1e-2), (0.02, 0.05)
STATIC_STEPS = 300
UNITER_STEPS, UNITER_RATES = (300, 1000, 3000), (1e-3, 3e-4)
UNITER = "UNITER, grid features (english), full"
"""The row of UNITER, which is tuned by English captions."""
SEEN = ("ar", "de", "el", "en", "es", "fr", "ja", "ru", "vi", "zh-CN")
UNSEEN = ("hi", "it", "ko", "th", "tr")
FLICKR_SEEN, FLICKR_UNSEEN = ("en", "de", "fr", "zh", "ar"), ("cs", "hi", "pt-BR")
"""Languages beside pictures in training, and those that training never shows."""
RECALL = ("hit@1", "hit@5", "hit@10")


class Photographs:
    """The experiments on one data set.

    Args:
        to: the folder for everything.
        flickr: the folder of Flickr8k's photographs and caption files; None: Tux Paint's stamps.
        text: the text tower.
        image: the image tower.
        quick: a static text tower and three steps.
        folds: how many of the five folds are run.

    """

    def __init__(
        self, to: Path, flickr: Path | None, text: str, image: str, quick: bool, folds: int = len(FOLDS)
    ) -> None:
        self.folds, self.image = FOLDS[:folds], image
        self.to, self.flickr, self.text, self.quick = to, flickr, "static" if quick else text, quick
        self.name = f"{'stamps' if flickr is None else 'flickr8k'}-{slug(self.text)}"
        if image != IMAGE:
            self.name += f"-{slug(image)}"
        self.static = self.text.startswith("static")
        self.seen, self.unseen = (SEEN, UNSEEN) if flickr is None else (FLICKR_SEEN, FLICKR_UNSEEN)

    def corpus(self, part: str, fold: int, langs: Sequence[str]) -> str:
        """The source of a part of a fold."""
        options = f"part={part}&fold={fold}&langs={','.join(langs)}"
        if self.flickr is None:
            return f"tuxpaint-stamps?{options}"
        return f"flickr8k-multilingual={self.flickr}?captions=first&{options}"

    def values(self, fold: int, *, tuning: bool = False) -> dict[str, Any]:
        """The settings of the experiment of a fold; of a tuning experiment, on the validation fold."""
        source = bundled("stamps")
        assert source is not None
        values = tomllib.loads(source.read_text(encoding="utf-8"))
        values["data"]["corpus"] = self.corpus("fit" if tuning else "train", fold, self.seen)
        values["data"]["test"] = self.corpus("validation" if tuning else "test", fold, [*self.seen, *self.unseen])
        values["encoder"]["name"] = f"{self.image}+{self.text}"
        if self.static:
            values["training"] |= {"steps": STATIC_STEPS, "learning_rate": STATIC_RATES[1], "weight_decay": 0.0}
            for name in ("weights", "dropout", "max_seq_length"):
                values["training"].pop(name, None)
        if self.quick:
            values["training"] |= {"steps": 3, "batch_size": 16}
            values["compare"] |= {"strategies": ["english", "mono", "cross", "hybrid(0.5)"], "seeds": [0, 1]}
        if tuning:
            values["references"] = {}
            values["compare"]["seeds"] = [0]
        return values

    def done(self, values: Mapping[str, Any], folder: str) -> Results:
        """Run an experiment unless it is finished."""
        experiment = parse_experiment(dict(values), "stamps.toml")
        return run_experiment(experiment, self.to / self.name / folder, print)

    def tune(self) -> None:
        """Choose learning rate and temperature of each strategy by mean recall on the validation fold of fold 0."""
        found: dict[str, dict[str, float]] = {}
        rates, temperatures = (STATIC_RATES if self.static else RATES), TEMPERATURES
        if self.quick:
            rates, temperatures = rates[:1], temperatures[:1]
        # One UNITER beside each setting of the strategies: it does not depend on them.
        readers = itertools.product(UNITER_STEPS, UNITER_RATES)
        for (rate, temperature), (steps, of_uniter) in zip(
            itertools.product(rates, temperatures), readers, strict=False
        ):
            values = self.values(0, tuning=True)
            values["training"] |= {"learning_rate": rate, "loss": {"temperature": temperature}}
            values["uniter"] = {"rank_steps": 2 if self.quick else steps, "learning_rate": of_uniter}
            results = self.done(values, f"tune-{rate:g}-{temperature:g}")
            for entry, back in _all(results):
                if entry.kind != "strategy" and entry.name != UNITER:
                    continue
                langs, used = self.seen, {"learning_rate": rate, "temperature": temperature}
                if entry.name == UNITER:
                    langs, used = ("en",), values["uniter"]
                by_language = recalls(entry, back, 0)
                score = float(np.mean([by_language[lang] for lang in langs]))
                best = found.get(entry.name)
                if best is None or score > best["score"]:
                    found[entry.name] = {**used, "score": round(score, 5)}
        with FileLock(self.to / "record.lock"):
            record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
            if not self.quick:
                write_json(RECORD, {**record, self.name: found})
        print(json.dumps(found, indent=1))

    def tuned(self) -> dict[str, dict[str, float]]:
        """What `tune` chose for each strategy."""
        return {} if self.quick else recorded(RECORD, self.name) or {}

    def run(self) -> dict[str, str]:
        """Run all folds and return the tables."""
        chosen = self.tuned()
        folds: dict[str, list[tuple[Entry, Entry]]] = {}
        for fold in self.folds:
            values = self.values(fold)
            groups: dict[tuple[float, float] | None, list[str]] = {}
            for strategy in values["compare"]["strategies"]:
                tuned = chosen.get(strategy)
                key = None if tuned is None else (tuned["learning_rate"], tuned["temperature"])
                groups.setdefault(key, []).append(strategy)
            # References do not depend on the strategies: they are in the first group alone.
            for number, (key, strategies) in enumerate(sorted(groups.items(), key=lambda one: str(one[0]))):
                own = self.values(fold)
                # A comparison needs two strategies and the one that others are tested against.
                own["compare"]["strategies"] = list(dict.fromkeys([*strategies, own["compare"]["against"]]))
                if key is not None:
                    own["training"] |= {"learning_rate": key[0], "loss": {"temperature": key[1]}}
                if number:
                    own["references"] = {}
                elif UNITER in chosen:
                    own["uniter"] = {name: chosen[UNITER][name] for name in ("rank_steps", "learning_rate")}
                results = self.done(own, f"fold-{fold}-{'same' if key is None else f'{key[0]:g}-{key[1]:g}'}")
                for entry, back in _all(results):
                    if entry.kind == "strategy" and entry.name not in strategies:
                        continue
                    folds.setdefault(entry.name, [])
                    if len(folds[entry.name]) == fold:
                        folds[entry.name].append((entry, back))
        return self.tables(folds)

    def tables(self, folds: Mapping[str, list[tuple[Entry, Entry]]]) -> dict[str, str]:
        """The tables of `run`, from the entries of all folds."""
        rows, systems = [], {}
        langs = [*self.seen, *self.unseen]
        for name, entries in folds.items():
            seeds = range(min(len(entry.audits) for entry, _ in entries))
            by_seed = [
                {lang: float(np.mean([one[lang] for one in of_folds])) for lang in langs}
                for of_folds in ([recalls(e, b, seed) for e, b in entries] for seed in seeds)
            ]
            measured = [joined(entries, seed, self.seen, self.unseen) for seed in seeds]
            cells = []
            for group in (self.seen, self.unseen):
                cells.append(spread([float(np.mean([one[lang] for lang in group])) for one in by_seed]))
            means = [np.mean([one[lang] for one in by_seed]) for lang in langs]
            distance = [one["distance"].macro() for one in measured]
            cells += [f"{np.mean(means[len(self.seen) :]) / np.mean(means[: len(self.seen)]):.2f}"]
            cells += [f"{np.mean(distance):.1f}", f"{np.std(means):.3f}", *(f"{mean:.2f}" for mean in means)]
            rows.append([f"`{name}`", *cells])
            if name == "english":
                # Each caption has an English one of the same picture: what a perfect translator would give.
                values = [one["en"] for one in by_seed]
                text = spread(values)
                same = [f"{np.mean(values):.2f}"] * len(langs)
                rows.append(["`english`, translate-test by people", text, text, "1.00", "", "0.000", *same])
            if entries[0][0].kind == "strategy":
                systems[name] = measured
        head = ["batches", "seen", "unseen", "unseen / seen", "rank distance", "std over languages", *self.seen]
        head += [f"{lang} *" for lang in self.unseen]
        tests = [
            [f"`{c.second}`", c.measure, f"{c.difference.value:+.3f} [{c.difference.low:.3f}, {c.difference.high:.3f}]",
             f"{c.p:.4f}", "" if c.p_holm is None else f"{c.p_holm:.4f}"]
            for c in compare_all(systems, ["seen", "unseen", "distance"], against="hybrid(0.5)")
        ]  # fmt: skip
        return {
            f"photographs-{self.name}": table(head, rows),
            f"photographs-{self.name}-tests": table(
                ["`hybrid(0.5)` minus", "measure", "difference [95 %]", "p", "p after Holm"], tests
            ),
        }


def _all(results: Results) -> list[tuple[Entry, Entry]]:
    """Each row of an experiment with its row from pictures to captions."""
    by_name = {entry.name: entry for entry in back_of(results).entries}
    return [(entry, by_name[entry.name]) for entry in results.entries]


def recalls(entry: Entry, back: Entry, seed: int) -> dict[str, float]:
    """Mean recall by language: hit@1, 5 and 10 in both directions."""
    return mean_recall([entry.audits[seed]], [back.audits[seed]])


def spread(values: Sequence[float], digits: int = 3) -> str:
    """The mean over seeds, with the deviation if there are several."""
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def joined(
    entries: Sequence[tuple[Entry, Entry]], seed: int, seen: Sequence[str], unseen: Sequence[str]
) -> dict[str, Measure]:
    """The measures of a seed over all folds: mean recall from captions to pictures, of both groups of languages, and distance."""
    parts: dict[str, list[Measure]] = {"seen": [], "unseen": [], "distance": []}
    for entry, _ in entries:
        measures = entry.audits[seed].measures
        hits = [measures[f"multi/{name}"] for name in RECALL]
        mean = replace(hits[0], metric="mean recall", values=np.mean([one.values for one in hits], axis=0))
        parts["seen"].append(of_cells(mean, seen))
        parts["unseen"].append(of_cells(mean, unseen))
        parts["distance"].append(measures["bias/rank distance over query languages"])
    return {name: _concatenated(measures) for name, measures in parts.items()}


def _concatenated(folds: Sequence[Measure]) -> Measure:
    """One measure of all folds. Groups of different folds are different groups."""
    cells = tuple(dict.fromkeys(cell for fold in folds for cell in fold.cells))
    place = {cell: number for number, cell in enumerate(cells)}
    starts = np.cumsum([0, *(int(fold.group.max(initial=-1)) + 1 for fold in folds)])
    return replace(
        folds[0],
        cells=cells,
        cell=np.concatenate(
            [np.array([place[cell] for cell in fold.cells], dtype=np.int64)[fold.cell] for fold in folds]
        ),
        group=np.concatenate([fold.group + start for fold, start in zip(folds, starts, strict=False)]),
        values=np.concatenate([fold.values for fold in folds]),
    )


def main() -> None:
    """Run a stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("tune", "run"))
    parser.add_argument("--flickr", type=Path, help="the folder of Flickr8k's photographs and caption files")
    parser.add_argument("--text", default="e5-small-offline", help="the text tower")
    parser.add_argument("--image", default=IMAGE, help="the image tower")
    parser.add_argument("--to", type=Path, default=Path("runs/photographs"))
    parser.add_argument("--folds", type=int, default=len(FOLDS), help="how many of the five folds to run")
    parser.add_argument("--quick", action="store_true", help="does it run? Nothing is written into the documents")
    asked = parser.parse_args()
    asked.to.mkdir(parents=True, exist_ok=True)
    photographs = Photographs(asked.to, asked.flickr, asked.text, asked.image, asked.quick, asked.folds)
    if asked.stage == "tune":
        photographs.tune()
        return
    tables = photographs.run()
    for text in tables.values():
        print(text)
    if not asked.quick:
        write(ROOT / "docs" / "results-image-text.md", tables)


if __name__ == "__main__":
    main()
