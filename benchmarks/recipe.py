"""Search for the recipe of batches, loss terms and weight averages that is best in all three settings at once.

Screen a grid on static encoders, on the validation part, with one seed:

    python benchmarks/recipe.py screen libreoffice-help=PATH

Compare the best of them on the test part, with several seeds:

    python benchmarks/recipe.py static libreoffice-help=PATH

Confirm the best recipes on a transformer, with one seed, on pages that no other experiment here uses, and zero-shot. Then run
the few that are left with several seeds:

    python benchmarks/recipe.py confirm libreoffice-help=PATH xquad-r=PATH
    python benchmarks/recipe.py final libreoffice-help=PATH xquad-r=PATH

A transformer is trained in bfloat16, as in the experiment. `--float32` is for processors without it, and has its own tables.
Finished runs are not repeated, and several processes can share the work. An average with the start needs no training of its
own.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from marked import write
from results import COLUMNS, ROOT, TESTED, shown, table
from sentence_transformers import SentenceTransformer

from babelmix._files import slug
from babelmix.corpus import Corpus, open_corpus, split
from babelmix.encoders import load_encoder
from babelmix.encoders.kinds import kind_of
from babelmix.evaluation import Comparison, Measure, RankTable, audit, compare_all, holm, measures
from babelmix.evaluation.run import is_finished
from babelmix.evaluation.systems import EncoderSystem
from babelmix.experiment.bundled import bundled
from babelmix.experiment.config import Experiment, load_experiment
from babelmix.experiment.jobs import shared
from babelmix.experiment.parts import corpora
from babelmix.experiment.start import start_of
from babelmix.training import train
from babelmix.training.flat import MOVED
from babelmix.training.settings import changed
from babelmix.training.weights import average_with, copied, trained

SHOWN = (*TESTED[:4], "bias/same-language share@10")
AIMS = {"mono/mAP": 0.798, "cross/mAP": 0.705, "multi/mAP": 0.593, "bias/rank distance": 287}
"""The row of XLM-R with hybrid batches on XQuAD-R (arXiv 2408.10536)."""


@dataclass(frozen=True)
class Recipe:
    """A strategy, its changes to the experiment's settings, and the share of the starting weights in the result."""

    strategy: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    share: float = 0.0

    @property
    def training(self) -> str:
        """The name of the trained encoder. Several averages can use one trained encoder."""
        return ", ".join(
            [self.strategy, *(f"{name.replace('_', ' ')} {value}" for name, value in self.changes.items())]
        )

    def __str__(self) -> str:
        return self.training + (f", {self.share:.0%} of the start" if self.share else "")


SHARES = (0, 0.15, 0.3)
SCREENED = [
    Recipe(batches, {"consistency": weight} if weight else {}, share)
    for batches, weights in {
        "hybrid(0.5)": (0, 0.3, 1, 3), "cross": (0, 0.3, 1, 3), "hybrid(0.25)": (0, 0.3, 1, 3), "hybrid(1..0)": (0, 0.3),
        "hybrid(0..1)": (0, 0.3), "one_to_k": (0, 0.3),
    }.items()
    for weight, share in itertools.product(weights, SHARES)
]  # fmt: skip
AGAINST = Recipe("hybrid(0.5)")


@dataclass(frozen=True)
class Stage:
    """What is compared.

    Args:
        label: prefix of the names of its tables.
        recipes: the recipes; each is compared with `AGAINST`, which is one of them.
        pages: name of its pages in the tables.
        fifth: on a transformer, which fifth of the pages without training and tuning is used.
        seeds: default seeds.

    """

    label: str
    recipes: list[Recipe]
    pages: str
    fifth: int | None
    seeds: list[int]


CONFIRMED = [
    AGAINST,
    Recipe("hybrid(0.5)", {"steps": 160}),  # takes as long as a hundred steps with consistency
    Recipe("hybrid(0.5)", {"consistency": 0.3}),
    *(
        Recipe(batches, {"consistency": weight}, 0.15)
        for batches in ("hybrid(0.5)", "cross")
        for weight in (0.3, 1, 3)
    ),
    Recipe("cross", {"consistency": 3}, 0.3),
]
FINAL = [AGAINST, *(Recipe("hybrid(0.5)", {"consistency": weight}, 0.15) for weight in (0.3, 1))]
"""The default, and what is better on other texts."""
STATIC = [
    *FINAL,
    Recipe("hybrid(0.5)", {"steps": 2250}),  # takes as long as 1,200 steps with consistency
    *(Recipe(batches, {"consistency": 1}, 0.15) for batches in ("hybrid(0.25)", "cross")),
]
"""The same, and what came out of the grid with more in the pool and less bias."""
STAGES = {
    "static": Stage("recipe-static", STATIC, "test pages", None, [1, 2, 3, 4, 5]),
    # What is chosen by one fifth of the pages is tested on another.
    "confirm": Stage("recipe", CONFIRMED, "pages", 0, [11]),
    "final": Stage("recipe-final", FINAL, "fresh pages", 1, [11, 12, 13, 14, 15]),
}
SETTINGS: dict[str, dict[str, Any]] = {
    # The middle of what tuning found for most kinds of batches; see docs/results.md.
    "libreoffice-pretrained": {"learning_rate": 0.01, "temperature": 0.12},
    "e5-libreoffice": {},
}
UNSEEN = ("fr", "ja", "ko", "pl", "eu")
"""Languages of the final pages that no training text is in."""


def of_recipe(name: str, corpus: str) -> Experiment:
    """A recipe of babelmix, with a corpus from another place."""
    file = bundled(name)
    assert file is not None
    experiment = load_experiment(file)
    return experiment.model_copy(update={"data": experiment.data.model_copy(update={"corpus": corpus})})


class Search:
    """The runs of a grid.

    Args:
        experiment: the experiment whose data, start and settings are used.
        changes: changes to its settings.
        folder: the folder for everything.
        tested: the corpora to audit on, by name.
        backend: backend of the audits, as in `babelmix audit`; static encoders need none.

    """

    def __init__(
        self,
        experiment: Experiment,
        changes: Mapping[str, Any],
        folder: Path,
        tested: Mapping[str, Corpus],
        backend: str,
    ) -> None:
        self.experiment, self.changes, self.folder, self.tested = experiment, changes, folder, tested
        self.training = corpora(experiment).training
        self.start = start_of(experiment, self.training, folder, print)
        self.backend = "" if kind_of(self.start).name == "static" else backend

    def on(self, training: Corpus, folder: Path) -> Search:
        """The same with other training texts, in another folder."""
        other = copy.copy(self)
        other.training, other.folder = {self.experiment.name: training}, folder
        return other

    def model(self, recipe: Recipe, seed: int) -> Path:
        """The folder of the trained encoder, before averaging."""
        return self.folder / slug(recipe.training) / f"seed-{seed}" / "model"

    def place(self, recipe: Recipe, seed: int, corpus: str) -> Path:
        """The folder of the audit on a corpus."""
        return self.model(recipe, seed).parent / f"audit-{slug(corpus)}-{recipe.share:.2f}"

    def run(self, recipe: Recipe, seed: int) -> None:
        """Train unless that is done, average, and audit."""
        if all((self.place(recipe, seed, name) / "done").is_file() for name in self.tested):
            return
        folder = self.model(recipe, seed)
        if not (folder / "training.json").is_file():
            settings = self.experiment.run_settings(recipe.strategy, seed)
            changes = {MOVED.get(name, name): value for name, value in (self.changes | recipe.changes).items()}
            settings = changed(settings, changes)
            train(copy.deepcopy(self.start), self.training, settings, folder, base=self.experiment.encoder.name)
        encoder = self.averaged(folder, recipe.share)
        for name, corpus in self.tested.items():
            done = audit(encoder, corpus, name=str(recipe))
            done.save(self.place(recipe, seed, name))
            (self.place(recipe, seed, name) / "done").touch()
            print(f"{recipe}, seed {seed}, {name}:", *(shown(m, done.macro(m)) for m in SHOWN), flush=True)

    def averaged(self, folder: Path, share: float) -> SentenceTransformer:
        """The encoder with its share of the starting weights, for the backend."""
        limit = self.experiment.encoder.max_seq_length or None
        if not share:
            return load_encoder(str(folder), max_seq_length=limit, **self.options)
        model = SentenceTransformer(str(folder), device="cpu")
        average_with(trained(model), copied(trained(self.start)), share)
        if not self.backend:
            return model
        place = folder.with_name(f"averaged-{share:.2f}")
        model.save(str(place), create_model_card=False)
        try:
            return load_encoder(str(place), max_seq_length=limit, **self.options)
        finally:
            shutil.rmtree(place)

    @property
    def options(self) -> dict[str, Any]:
        """Options of `load_encoder`."""
        return {"backend": self.backend} if self.backend else {}

    def run_all(self, recipes: list[Recipe], seeds: list[int]) -> None:
        """Run all recipes, one trained encoder after the other."""
        groups: dict[str, list[tuple[Recipe, int]]] = {}
        for seed, one in itertools.product(seeds, recipes):
            groups.setdefault(f"{one.training} {seed}", []).append((one, seed))

        def job(pairs: list[tuple[Recipe, int]]) -> None:
            for one, seed in pairs:
                self.run(one, seed)

        jobs: dict[str, Callable[[], None]] = {name: partial(job, pairs) for name, pairs in groups.items()}
        shared(self.folder / "locks", jobs)

    def found(self, recipe: Recipe, seeds: list[int], corpus: str) -> list[dict[str, Measure]]:
        """The measures on a corpus, one mapping per seed."""
        return [measures(RankTable.load(self.place(recipe, seed, corpus)), ["mAP"]) for seed in seeds]

    def start_row(self, corpus: str) -> dict[str, Measure]:
        """The measures of the start."""
        place = self.folder / "start" / f"audit-{slug(corpus)}"
        encoder = self.start if not self.backend else load_encoder(
            self.experiment.encoder.name, max_seq_length=self.experiment.encoder.max_seq_length or None, **self.options
        )  # fmt: skip
        if not is_finished(place, EncoderSystem(encoder, "start").facts(self.tested[corpus])):
            audit(encoder, self.tested[corpus], name="start").save(place)
        return measures(RankTable.load(place), ["mAP"])


def on_static(corpus: str, folder: Path, part: str, called: str, langs: list[str] | None = None) -> Search:
    """Runs on static encoders, audited on a part of the corpus, in all languages of the experiment or in others."""
    name = "libreoffice-pretrained"
    experiment = of_recipe(name, corpus)
    if langs:
        experiment = experiment.model_copy(update={"data": experiment.data.model_copy(update={"langs": langs})})
    whole = open_corpus(corpus).only_langs(experiment.data.langs)
    tested = split(whole, experiment.data.split, seed=experiment.data.split_seed)[part]
    return Search(experiment, SETTINGS[name], folder / "screen", {called: tested}, "")


def screen(corpus: str, folder: Path) -> dict[str, str]:
    """Run the grid on static encoders."""
    search = on_static(corpus, folder, "validation", "validation")
    seeds = search.experiment.compare.seeds[:1]
    search.run_all(SCREENED, seeds)
    rows = [row("the start", [search.start_row("validation")])]
    rows += [row(f"`{one}`", search.found(one, seeds, "validation")) for one in SCREENED]
    return {"recipe-screen": table(["recipe", *(COLUMNS[m] for m in SHOWN)], rows)}


def on_transformer(
    stage: Stage, corpus: str, benchmark: str, folder: Path, backend: str, float32: bool = False
) -> Search:
    """Runs on a transformer, audited on a fifth of the unused pages and zero-shot."""
    assert stage.fifth is not None
    name = "e5-libreoffice"
    experiment = of_recipe(name, corpus)
    unused = split(open_corpus(corpus), experiment.data.split, seed=experiment.data.split_seed)["unused"]
    groups = sorted(set(unused.queries["group"].to_pylist()))
    pages = unused.only_groups(groups[stage.fifth :: 5], "unused pages")
    langs = [code for code in pages.langs if code in {*experiment.data.langs, "en-US", *UNSEEN}]
    tested = {stage.pages: pages.only_langs(langs), "xquad-r": open_corpus(benchmark)}
    changes = SETTINGS[name] | ({"bf16": False} if float32 else {})
    return Search(experiment, changes, folder / ("confirm-float32" if float32 else "confirm"), tested, backend)


def compared(search: Search, stage: Stage, seeds: list[int]) -> dict[str, str]:
    """The tables of a stage: the measures on each corpus, and the tests against `AGAINST`."""
    search.run_all(stage.recipes, seeds)
    tables: dict[str, str] = {}
    comparisons = []
    for place, on in search.tested.items():
        systems = {str(one): search.found(one, seeds, place) for one in stage.recipes}
        rows = [row("the start", [search.start_row(place)])]
        rows += [row(f"`{label}`", runs) for label, runs in systems.items()]
        if place == "xquad-r":
            rows.append(["the paper's XLM-R, hybrid", *(shown(m, AIMS[m]) if m in AIMS else "" for m in SHOWN)])
        tables[f"{stage.label}-{slug(place)}"] = table(["recipe", *(COLUMNS[m] for m in SHOWN)], rows)
        comparisons += [(place, c) for c in compare_all(systems, list(AIMS), against=str(AGAINST))]
        print(on, flush=True)
    rows = difference_rows(comparisons, lambda place, measure: COLUMNS[measure], mark="`")
    head = [f"minus `{AGAINST}`", "on", "measure", "difference [95 %]", "p", "p after Holm"]
    return {**tables, f"{stage.label}-tests": table(head, rows)}


def difference_rows(
    comparisons: Sequence[tuple[str, Comparison]], title: Callable[[str, str], str], mark: str = ""
) -> list[list[str]]:
    """Rows of paired tests with Holm's correction over all of them.

    Args:
        comparisons: the name of a corpus, and what was compared on it.
        title: the title of a measure on a corpus.
        mark: put around the name of each system.

    """
    corrected = holm([c for _, c in comparisons])
    rows = []
    for (place, _), c in zip(comparisons, corrected, strict=True):
        # What is compared against is first of each pair, so signs are turned.
        value, low, high = -c.difference.value, -c.difference.high, -c.difference.low
        interval = (
            f"{'+' if value > 0 else ''}{shown(c.measure, value)} [{shown(c.measure, low)}, {shown(c.measure, high)}]"
        )
        name = f"{mark}{c.second}{mark}"
        rows.append([name, place, title(place, c.measure), interval, f"{c.p:.4f}", f"{c.p_holm:.4f}"])
    return rows


def means(runs: Sequence[Mapping[str, Measure]]) -> list[dict[str, float]]:
    """The means of each run over its queries and languages."""
    return [{name: one.macro() for name, one in run.items()} for run in runs]


def cells(runs: Sequence[Mapping[str, float]], names: Iterable[str]) -> list[str]:
    """The means over seeds, with their deviation where there are several."""
    made = []
    for name in names:
        values = [run[name] for run in runs]
        spread = f" ± {shown(name, float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
        made.append(shown(name, float(np.mean(values))) + spread)
    return made


def row(label: str, runs: list[dict[str, Measure]]) -> list[str]:
    """A label, and the cells of its runs."""
    return [label, *cells(means(runs), SHOWN)]


def main() -> None:
    """Run, then write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["screen", *STAGES])
    parser.add_argument("corpus")
    parser.add_argument("benchmark", nargs="?")
    parser.add_argument("--to", type=Path, default=Path("runs/recipe"))
    parser.add_argument("--backend", default="openvino", help="of the audits of transformers, as of `babelmix audit`")
    parser.add_argument("--float32", action="store_true", help="train transformers in float32; tables of their own")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default 1 to 5, 11 to confirm, 11 to 15 in the end")
    arguments = parser.parse_args()
    stage = STAGES.get(arguments.stage)
    if stage is None:
        tables = screen(arguments.corpus, arguments.to)
    else:
        if stage.fifth is None:
            search = on_static(arguments.corpus, arguments.to, "test", stage.pages)
        elif arguments.benchmark:
            search = on_transformer(
                stage, arguments.corpus, arguments.benchmark, arguments.to, arguments.backend, arguments.float32
            )
            if arguments.float32:
                stage = replace(stage, label=f"{stage.label}-float32")
        else:
            parser.error(f"{arguments.stage} needs a benchmark")
        tables = compared(search, stage, arguments.seeds or stage.seeds)
    print(json.dumps({name: text.count("\n") - 1 for name, text in tables.items()}))
    for text in tables.values():
        print(text)
    write(ROOT / "docs" / "results-recipes.md", tables)


if __name__ == "__main__":
    main()
