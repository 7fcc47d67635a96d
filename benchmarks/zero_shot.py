"""The recipe for zero-shot retrieval: which texts, which loss, how long, and how much of the start.

    python benchmarks/zero_shot.py factorial --data DATA     # two seeds; writes docs/results-recipes.md
    python benchmarks/zero_shot.py alpha --data DATA         # the share of monolingual batches, when training is long
    python benchmarks/zero_shot.py final --data DATA         # five seeds of the finalist, on XQuAD-R and other tests

`factorial` decides on a course that nobody trains on, validation pages of the help and news, never on XQuAD-R. A share of the
start needs no training of its own. Results are added to `zero_shot.json` and, in the end, to `zero_shot_final.json`, so that a
table can be finished on another day; `--recorded` writes the tables from them. DATA is the folder with `xquad-r`, `libreoffice-
help`, `courses` and `ntrex`. Finished runs are not repeated, a killed training goes on from its checkpoint, and several
processes share the work: on two cores, start it twice with OMP_NUM_THREADS=1. `--scale` shortens all trainings in proportion.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import zero_shot_data as texts
from filelock import FileLock
from marked import write
from recipe import AIMS, cells, difference_rows, means
from results import ROOT, shown, table
from sentence_transformers import SentenceTransformer
from trained_removal import PAIRS, Space, drawn, embed_with, measured

from babelmix._files import slug, write_json
from babelmix.corpus import Corpus
from babelmix.encoders import load_encoder
from babelmix.evaluation import Comparison, Measure, RankTable, audit, compare_all, measures
from babelmix.experiment.jobs import shared
from babelmix.training import TrainingSettings, train
from babelmix.training.settings import changed
from babelmix.training.weights import average_with, copied, trained

RECORD = Path(__file__).with_name("zero_shot.json")
"""The results of the trainings that recipes are chosen by."""
FINAL_RECORD = Path(__file__).with_name("zero_shot_final.json")
"""The results of the last tables."""
START = "e5-small-offline"
SHARES = {"course": (0.0, 0.3), "pages": (0.0, 0.3), "news": (0.0, 0.15, 0.3, 0.5)}
"""The shares of the start that are tried on each validation set."""
BASE: dict[str, Any] = {
    "strategy": "hybrid(0.5)", "batch_size": 32, "learning_rate": 1e-4, "max_seq_length": 64, "bf16": True, "dropout": 0.0,
    "loss.temperature": 0.02, "weights.freeze_embeddings": True, "schedule.checkpoint_every": 50,
}  # fmt: skip
BITEXTS = ("blocks", "sentences", "ntrex")
ALL = {"help": 2, "courses": 2, "blocks": 1, "sentences": 1, "ntrex": 1}
"""Sources and how often each is drawn."""
MAP = {name: name.replace("/", " ").replace("bias ", "") for name in AIMS}
TESTED: dict[str, dict[str, str]] = {
    "xquad-r": MAP,
    "paragraphs": {"multi/nDCG@20": "nDCG@20", "bias/TLR@20": "TLR@20"},
    "fresh pages": MAP,
    "ntrex": {"cross/mAP": "cross mAP", "multi/mAP": "multi mAP", "bias/rank distance": "rank distance"},
}
"""The measures of the last table, by corpus. Monolingual figures on a bitext mean nothing."""
PAPER = ["the paper's XLM-R, hybrid", *(shown(m, AIMS[m]) for m in MAP)]
METRICS = {"paragraphs": ["nDCG@20"]}


@dataclass(frozen=True)
class Trial:
    """A training.

    Args:
        label: its row in the tables.
        sources: names of training texts, see `zero_shot_data.training`, and how often each is drawn.
        settings: settings of the training beside `BASE`, by dotted name.
        steps: optimiser steps.
        after: a training whose encoder is trained further.

    """

    label: str
    sources: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 150
    after: Trial | None = None

    def name(self, seed: int) -> str:
        """The name of a run."""
        return f"{self.label}, {self.steps} steps, seed {seed}"


TEACHER: dict[str, Any] = {"distillation.teacher": "start"}
RELATIONS: dict[str, Any] = TEACHER | {"distillation.share": 0.0, "distillation.relations": 1.0}
REVERSE: dict[str, Any] = {"loss.reverse": 0.4, "loss.reverse_kl": 0.2}
ANCHOR = Trial("help", {"help": 1})
SECTIONS = Trial("help and courses", {"help": 1, "courses": 1})
EVERYTHING = Trial("everything", ALL)
STAGE_ONE = Trial("stage one", {name: ALL[name] for name in BITEXTS}, TEACHER | {"distillation.share": 1.0})
FACTORIAL = [
    ANCHOR,
    Trial("help and its paragraphs, NTREX", {"help": 2, "blocks": 1, "ntrex": 1}),
    SECTIONS,
    EVERYTHING,
    replace(SECTIONS, label="help and courses, relations of the start 1", settings=RELATIONS),
    replace(SECTIONS, label="help and courses, consistency 1", settings={"loss.consistency": 1.0}),
    replace(SECTIONS, label="help and courses, relations of the start 1, consistency 1", settings={
        **RELATIONS, "loss.consistency": 1.0,
    }),
    replace(SECTIONS, label="help and courses, questions: a third cloze, a third templates", sources={
        "help:mixed": 1, "courses:mixed": 1,
    }),
    replace(SECTIONS, label="help and courses, learning rate 5e-5", settings={"learning_rate": 5e-5}),
    replace(SECTIONS, label="help and courses, the time of a third text", steps=225),
    replace(SECTIONS, label="help and courses, batches of 256 through GradCache, as many pairs", steps=19, settings={
        "batch_size": 256, "loss.mini_batch_size": 32, "learning_rate": 2.8e-4,
    }),
    replace(SECTIONS, label="help and courses, reverse training (CLEAR)", settings=REVERSE),
    replace(SECTIONS, label="help and courses, LaKDA 0.5", settings={"loss.lakda": 0.5}),
    replace(SECTIONS, label="help and courses, both stages of MIMO", settings={
        "distillation.teacher": START, "distillation.share": 0.8,
    }, after=STAGE_ONE),
    replace(SECTIONS, label="help and courses, CLEAR, relations of the start 1", settings=REVERSE | RELATIONS),
    replace(SECTIONS, label="help and courses, CLEAR, consistency 1", settings=REVERSE | {"loss.consistency": 1.0}),
    replace(SECTIONS, label="help and courses, CLEAR, relations of the start 1, consistency 1", settings={
        **REVERSE, **RELATIONS, "loss.consistency": 1.0,
    }),
]  # fmt: skip
"""One thing changes at a time: the texts first, then the loss with the texts that did best."""
FINALIST = replace(FACTORIAL[15], steps=300)
"""What `factorial` chose, and twice as long."""
FINAL_SHARE = 0.3
"""The share of the start that the news chose for it."""
OTHER_SHARES = (0.0, 0.15, 0.5)
"""Other shares of the start in the finalist, on XQuAD-R only."""
EQUAL_TIME = 1.7
"""The finalist's time for a step over that of the anchor, both on one machine: the `minutes` of `zero_shot_final.json`."""
FINAL = {
    "`hybrid(0.5)` on help pages, equal time": (replace(ANCHOR, steps=round(FINALIST.steps * EQUAL_TIME)), 0.0),
    "`hybrid(0.5)` on help pages, equal steps": (replace(ANCHOR, steps=FINALIST.steps), 0.0),
    "the finalist": (FINALIST, FINAL_SHARE),
}
"""Encoders of the last tables, and their shares of the start."""
FINAL_SEEDS = [11, 12, 13, 14, 15]
ALPHAS = (0.0, 0.25, 0.5, 0.75, 1.0)
ALPHA_CORPORA = ("xquad-r", "fresh pages")
"""The corpora of the alpha curve, of those in `TESTED`."""


class Runs:
    """The trainings and audits of this experiment.

    Args:
        data: the folder of the data.
        to: the folder for everything.
        backend: of the audits, as in `babelmix audit`.
        scale: all trainings have this share of their steps.
        float32: train in float32, on a machine without bfloat16.

    """

    def __init__(self, data: Path, to: Path, backend: str, scale: float, float32: bool = False) -> None:
        self.data, self.to, self.backend, self.scale, self.float32 = data, to, backend, scale, float32
        self._sources: dict[str, Corpus] = {}

    @cached_property
    def start(self) -> SentenceTransformer:
        """The encoder that every training starts from."""
        encoder = load_encoder(START, device="cpu")
        for name, parameter in encoder.named_parameters():
            parameter.requires_grad_("word_embeddings" not in name)
        return encoder

    def folder(self, trial: Trial, seed: int) -> Path:
        """The folder of a trained encoder."""
        return self.to / slug(f"{trial.label} {trial.steps}") / f"seed-{seed}" / "model"

    def trained(self, trial: Trial, seed: int) -> Path:
        """Train unless that is done."""
        folder = self.folder(trial, seed)
        if (folder / "training.json").is_file():
            return folder
        begin = START if trial.after is None else str(self.trained(trial.after, seed))
        for name in trial.sources:
            if name not in self._sources:
                self._sources[name] = texts.training(self.data, name)
        sources = {name: self._sources[name] for name in trial.sources}
        several = {"source_weights": dict(trial.sources)} if len(sources) > 1 else {}
        steps = max(2, round(trial.steps * self.scale))
        bitext = {"strategy": "cross"} if set(sources) <= set(BITEXTS) else {}
        values = {
            **BASE,
            **several,
            **bitext,
            **trial.settings,
            "seed": seed,
            "steps": steps,
            "bf16": not self.float32,
        }
        settings = changed(TrainingSettings(recipe=None, strategy="hybrid"), values)
        encoder = load_encoder(begin, device="cpu")
        train(encoder, sources, settings, folder, base=START, label=f"{trial.label}, seed {seed}")
        return folder

    def averaged(self, trial: Trial, seed: int, share: float) -> Path:
        """A trained encoder with a share of the start."""
        folder = self.trained(trial, seed)
        if not share:
            return folder
        model = SentenceTransformer(str(folder), device="cpu")
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("word_embeddings" not in name)
        average_with(trained(model), copied(trained(self.start)), share)
        folder = folder.with_name(f"averaged-{share:.2f}")
        model.save(str(folder), create_model_card=False)
        return folder

    def place(self, trial: Trial | None, seed: int, share: float, corpus: str) -> Path:
        """The folder of an audit; without a trial, that of the start."""
        if trial is None:
            return self.to / "start" / slug(corpus)
        return self.folder(trial, seed).parent / f"{share:.2f}-{slug(corpus)}"

    def audited(self, trial: Trial | None, seed: int, share: float, corpora: Mapping[str, Corpus]) -> None:
        """Audit a trained encoder with a share of the start on what it has not been audited on."""
        left = {
            name: c for name, c in corpora.items() if not (self.place(trial, seed, share, name) / "done").is_file()
        }
        if not left:
            return
        folder = None if trial is None else self.averaged(trial, seed, share)
        encoder = load_encoder(START if folder is None else str(folder), **self.options)
        for name, corpus in left.items():
            done = audit(encoder, corpus, name="start" if trial is None else trial.label)
            place = self.place(trial, seed, share, name)
            done.save(place)
            (place / "done").touch()
            values = measures(RankTable.load(place), METRICS.get(name, ["mAP"]))
            label = "start" if trial is None else f"{trial.label}, seed {seed}, {share:.0%} of the start"
            print(f"{label}, {name}:", *(shown(m, values[m].macro()) for m in TESTED.get(name, MAP)), flush=True)
        if folder is not None and share:
            shutil.rmtree(folder)

    @property
    def options(self) -> dict[str, Any]:
        """Options of `load_encoder`."""
        return {"backend": self.backend} if self.backend else {}

    def found(self, trial: Trial | None, seeds: list[int], share: float, corpus: str) -> list[dict[str, Measure]]:
        """The measures on a corpus, one mapping a seed."""
        places = [self.place(trial, seed, share, corpus) for seed in (seeds if trial else [0])]
        return [measures(RankTable.load(place), METRICS.get(corpus, ["mAP"])) for place in places]


def recorded(
    runs: Runs, file: Path, entries: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]], parts: Sequence[str]
) -> dict[str, Any]:
    """Make the entries that a record does not have, add them, and return the whole record.

    An entry is of a training. So a table can be finished on another day. An entry that lacks some of `parts` is completed.
    """

    def read() -> dict[str, Any]:
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}

    def job(name: str, made: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        before = read().get(name, {})
        if before and before.keys() >= set(parts):
            return
        entry = made(before)
        with FileLock(runs.to / "record.lock"):
            write_json(file, dict(sorted({**read(), name: entry}.items())))

    shared(runs.to / "locks", {name: partial(job, name, made) for name, made in entries.items()})
    return read()


def validated(runs: Runs, trials: Sequence[Trial], seeds: Sequence[int]) -> dict[str, Any]:
    """The record of what decides between recipes: the measures by share of the start and corpus."""
    corpora = texts.validation(runs.data)

    def made(trial: Trial | None, seed: int, entry: dict[str, Any]) -> dict[str, Any]:
        if trial and runs.float32:
            entry["float32"] = True
        for corpus, shares in SHARES.items():
            for share in shares if trial else (0.0,):
                if (cell := cell_of(share, corpus)) not in entry:
                    runs.audited(trial, seed, share, {corpus: corpora[corpus]})
                    (found,) = runs.found(trial, [seed], share, corpus)
                    entry[cell] = rounded(found)
        return entry

    entries = {"the start": partial(made, None, 0)}
    entries |= {trial.name(seed): partial(made, trial, seed) for seed in seeds for trial in trials}
    return recorded(runs, RECORD, entries, [cell_of(0.0, corpus) for corpus in SHARES])


def cell_of(share: float, corpus: str) -> str:
    """The name of the measures of a share of the start on a corpus."""
    return f"{share:.0%} of the start, {corpus}"


def chosen(
    runs: Runs, trials: Sequence[Trial], seeds: Sequence[int], label: str, only_recorded: bool
) -> dict[str, str]:
    """A table with the better share of the start of each training, by the validation sets."""
    record = json.loads(RECORD.read_text(encoding="utf-8")) if only_recorded else validated(runs, trials, seeds)
    trials = [trial for trial in trials if all(trial.name(seed) in record for seed in seeds)]

    def of(trial: Trial, share: float) -> dict[str, list[dict[str, float]]]:
        cells_of = {c: [record[trial.name(seed)].get(cell_of(share, c), {}) for seed in seeds] for c in SHARES}
        return {c: found for c, found in cells_of.items() if all(found)}

    def score(found: Mapping[str, Sequence[Mapping[str, float]]], of_corpora: Sequence[str]) -> str:
        """The mean over the mAP figures of some corpora, if all of them are there."""
        some = [found.get(corpus) for corpus in of_corpora]
        maps = [run[m] for runs_of in some if runs_of for run in runs_of for m in MAP if "mAP" in m]
        return f"{np.mean(maps):.3f}" if all(some) else ""

    head = ["trained on, with", "share of the start", "known kinds", "news"]
    head += [f"{corpus}: {title}" for corpus in SHARES for title in MAP.values()]

    def row(label: str, share: str, found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
        columns = [cell for c in SHARES for cell in (cells(found[c], MAP) if c in found else [""] * len(MAP))]
        return [label, share, score(found, ("course", "pages")), score(found, ("news",)), *columns]

    start = {c: [record["the start"][cell_of(0.0, c)]] for c in SHARES if cell_of(0.0, c) in record["the start"]}
    rows = [row("the start", "", start)]
    for trial in trials:
        rows += [row(trial.label, f"{share:.0%}", of(trial, share)) for share in SHARES["news"] if of(trial, share)]
    return {label: table(head, rows)}


def rounded(found: Mapping[str, Measure]) -> dict[str, float]:
    """The means of what the tables show."""
    return {m: round(found[m].macro(), 5) for m in MAP}


def by_group(measure: Measure) -> str:
    """The part of each group in the mean over cells, separated by spaces; they add up to it."""
    assert measure.aggregate == "mean"
    weight = 1 / (np.bincount(measure.cell, minlength=len(measure.cells)) * len(measure.cells))
    return " ".join(f"{part:.5g}" for part in np.bincount(measure.group, measure.values * weight[measure.cell]))


def of_groups(name: str, parts: str) -> Measure:
    """A measure with a value for each group, whose mean is that of the whole measure."""
    setting, _, metric = name.partition("/")
    values = np.array(parts.split(), dtype=np.float64)
    count = len(values)
    cell, group = np.zeros(count, dtype=np.int64), np.arange(count)
    return Measure(setting, metric, ("all",), cell, group, values * count, metric == "rank distance")


def tested(
    runs: Runs, trials: Mapping[str, tuple[Trial, float]], seeds: Sequence[int], on: Sequence[str]
) -> dict[str, Any]:
    """The record of the last tables: the measures by group, and those of the finalist with removals and policies.

    Args:
        runs: the trainings.
        trials: encoders by label, with their shares of the start.
        seeds: their seeds.
        on: names of test corpora.

    """
    corpora = {name: corpus for name, corpus in texts.tested(runs.data).items() if name in on}

    def made(trial: Trial | None, share: float, seed: int, entry: dict[str, Any]) -> dict[str, Any]:
        if trial and runs.float32:
            entry["float32"] = True
        runs.audited(trial, seed, share, corpora)
        for corpus in on:
            (found,) = runs.found(trial, [seed], share, corpus)
            entry[corpus] = {m: by_group(found[m]) for m in TESTED[corpus]}
        if trial is None:
            return entry
        folder = runs.folder(trial, seed)
        entry["minutes"] = round(json.loads((folder / "training.json").read_text(encoding="utf-8"))["seconds"] / 60, 1)
        if trial == FINALIST:
            space = Space(corpora["xquad-r"], folder.parent / f"vectors-{share:.2f}", seed)
            ntrex = runs.data / "ntrex" / "sentences.parquet"
            embed_with(runs.averaged(trial, seed, share), space.folder, space.corpus, ntrex, drawn(seed, PAIRS))
            entry["with"] = {label: rounded(one) for label, one in measured(space).items()}
            for other in OTHER_SHARES:
                runs.audited(trial, seed, other, {"xquad-r": space.corpus})
                (of_share,) = runs.found(trial, [seed], other, "xquad-r")
                entry["with"][f"{other:.0%} of the start"] = rounded(of_share)
        return entry

    entries = {"the start": partial(made, None, 0.0, 0)}
    for seed in seeds:
        entries |= {tested_name(*one, seed): partial(made, *one, seed) for one in trials.values()}
    return recorded(runs, FINAL_RECORD, entries, on)


def tested_name(trial: Trial, share: float, seed: int) -> str:
    """The name of an entry of the last tables."""
    return f"{trial.name(seed)}, {share:.0%} of the start"


def final(
    runs: Runs, trials: Mapping[str, tuple[Trial, float]], seeds: list[int], only_recorded: bool
) -> dict[str, str]:
    """The last tables: each test, and paired tests against the first row over seeds and groups."""
    record = last_record() if only_recorded else tested(runs, trials, seeds, tuple(TESTED))
    entries = entries_of(record, trials, seeds)
    tables: dict[str, str] = {}
    comparisons = []
    against = next(iter(trials))
    for name, columns in TESTED.items():
        systems = by_label(record, entries, name)
        rows = [[label, *cells(means(found), columns)] for label, found in systems.items()]
        head = ["encoder", *columns.values()]
        if name == "xquad-r":
            rows.append(PAPER)
            # The median: not all seeds were trained on the same machine.
            minutes = [f"{np.median([one['minutes'] for one in found]):.0f}" for found in entries.values()]
            rows = [[*row, one] for row, one in zip(rows, ["", *minutes, ""], strict=True)]
            head.append("minutes of training")
        tables[f"zero-shot-{slug(name)}"] = table(head, rows)
        del systems["the start"]
        comparisons += [(name, c) for c in compare_all(systems, list(columns), against=against)]
    tables["zero-shot-tests"] = table_of_tests(against, comparisons)
    some = [one["with"] for found in entries.values() for one in found if "with" in one]
    rows = [[label, *cells([one[label] for one in some], MAP)] for label in some[0]]
    tables["zero-shot-with"] = table(["the finalist, with", *MAP.values()], [*rows, PAPER])
    return tables


def alpha_curve(runs: Runs, seeds: list[int], only_recorded: bool) -> dict[str, str]:
    """The tables of the share of monolingual batches, each tested against cross-lingual batches alone."""
    trials = {of_alpha(alpha): (with_alpha(alpha), 0.0) for alpha in ALPHAS}
    record = last_record() if only_recorded else tested(runs, trials, seeds, ALPHA_CORPORA)
    trials = {label: one for label, one in trials.items() if any(tested_name(*one, seed) in record for seed in seeds)}
    if len(trials) < 2:
        sys.exit("two alphas have to be recorded before there is a table")
    entries = entries_of(record, trials, seeds)
    systems = {name: by_label(record, entries, name) for name in ALPHA_CORPORA}
    head = ["batches", "seeds", *(f"{name}: {title}" for name in ALPHA_CORPORA for title in TESTED[name].values())]
    rows = [
        [
            label,
            str(len(entries[label])) if label in entries else "",
            *(cell for name in ALPHA_CORPORA for cell in cells(means(systems[name][label]), TESTED[name])),
        ]
        for label in systems[ALPHA_CORPORA[0]]
    ]
    comparisons = []
    for name, of_all in systems.items():
        del of_all["the start"]
        comparisons += [(name, c) for c in compare_all(of_all, list(TESTED[name]), against=of_alpha(0.0))]
    return {
        "zero-shot-alpha": table(head, rows),
        "zero-shot-alpha-tests": table_of_tests(of_alpha(0.0), comparisons),
    }


def last_record() -> dict[str, Any]:
    """What is recorded for the last tables."""
    record: dict[str, Any] = json.loads(FINAL_RECORD.read_text(encoding="utf-8"))
    return record


def entries_of(
    record: Mapping[str, Any], trials: Mapping[str, tuple[Trial, float]], seeds: Sequence[int]
) -> dict[str, list[dict[str, Any]]]:
    """The entries of some trials, of the seeds that all of them have."""
    names = {label: [tested_name(*one, seed) for seed in seeds] for label, one in trials.items()}
    full = [n for n in range(len(seeds)) if all(of_seeds[n] in record for of_seeds in names.values())]
    return {label: [record[of_seeds[n]] for n in full] for label, of_seeds in names.items()}


def by_label(
    record: Mapping[str, Any], entries: Mapping[str, Sequence[Mapping[str, Any]]], corpus: str
) -> dict[str, list[dict[str, Measure]]]:
    """The measures on a corpus of the start and of some entries, a mapping a seed."""
    return {
        label: [{m: of_groups(m, one[corpus][m]) for m in TESTED[corpus]} for one in found]
        for label, found in {"the start": [record["the start"]], **entries}.items()
    }


def table_of_tests(against: str, comparisons: Sequence[tuple[str, Comparison]]) -> str:
    """Paired tests, with Holm's correction over all of them."""
    head = [f"minus {against}", "on", "measure", "difference [95 %]", "p", "p after Holm"]
    return table(head, difference_rows(comparisons, lambda name, measure: TESTED[name][measure]))


def with_alpha(alpha: float) -> Trial:
    """The training of the alpha curve with this share of monolingual batches."""
    longer = replace(ANCHOR, steps=round(FINALIST.steps * EQUAL_TIME))
    strategy = of_alpha(alpha)
    if strategy == BASE["strategy"]:  # the row at equal time of the last tables
        return longer
    return replace(longer, label=f"{longer.label}, {strategy}", settings={"strategy": strategy})


def of_alpha(alpha: float) -> str:
    """The strategy with this share of monolingual batches."""
    return f"hybrid({alpha})" if 0 < alpha < 1 else ("cross", "mono")[int(alpha)]


def main() -> None:
    """Run a stage and write its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=("factorial", "alpha", "final"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--to", type=Path, default=Path("runs/zero-shot"))
    parser.add_argument("--backend", default="openvino", help="of the audits, as of `babelmix audit`")
    parser.add_argument("--seeds", type=int, nargs="+", help="by default 1 and 2, and 11 to 15 in the end")
    parser.add_argument(
        "--only",
        nargs="+",
        type=int,
        help="numbers of the rows of `factorial`, encoders of `final` or alphas to run, from 0; for tables add --recorded",
    )
    parser.add_argument("--recorded", action="store_true", help="train nothing: tables of what is recorded")
    parser.add_argument("--float32", action="store_true", help="train in float32, for a machine without fast bfloat16")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps of all trainings")
    asked = parser.parse_args()
    runs = Runs(asked.data, asked.to, asked.backend, asked.scale, asked.float32)
    encoders = {name: FINAL[name] for n, name in enumerate(FINAL) if not asked.only or n in asked.only}
    if asked.only and asked.stage == "final" and not asked.recorded:
        tested(runs, encoders, asked.seeds or FINAL_SEEDS, tuple(TESTED))
        return
    if asked.only and asked.stage == "alpha" and not asked.recorded:
        some = [with_alpha(ALPHAS[n]) for n in asked.only]
        tested(runs, {one.label: (one, 0.0) for one in some}, asked.seeds or FINAL_SEEDS, ALPHA_CORPORA)
        return
    if asked.only and asked.stage == "factorial":
        validated(runs, [FACTORIAL[n] for n in asked.only], asked.seeds or [1, 2])
        return
    if asked.stage == "factorial":
        tables = chosen(runs, FACTORIAL, asked.seeds or [1, 2], "zero-shot-factorial", asked.recorded)
    elif asked.stage == "alpha":
        tables = alpha_curve(runs, asked.seeds or FINAL_SEEDS, asked.recorded)
    else:
        tables = final(runs, encoders, asked.seeds or FINAL_SEEDS, asked.recorded)
    for text in tables.values():
        print(text)
    write(ROOT / "docs" / "results-recipes.md", tables)


if __name__ == "__main__":
    main()
