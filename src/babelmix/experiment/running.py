"""Runs an experiment: trains with each batch strategy and seed, audits the encoders, and tests the differences."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import torch
from sentence_transformers import SentenceTransformer

from babelmix import _processes
from babelmix._files import remove_folder, write_json, write_text
from babelmix.corpus import Corpus
from babelmix.encoders import load_encoder
from babelmix.encoders.opening import open_encoder
from babelmix.errors import ConfigError
from babelmix.evaluation import Audit, Comparison, audit, compare_all, holm
from babelmix.evaluation.run import finished
from babelmix.evaluation.systems import EncoderSystem
from babelmix.experiment import pictures
from babelmix.experiment.comparison import Results
from babelmix.experiment.config import Experiment
from babelmix.experiment.examples import examples_of, load_examples, save_examples
from babelmix.experiment.folder import (
    TRANSLATED,
    audit_folders,
    claim,
    record_environment,
    reference_folder,
    refuse_another,
    refuse_another_run,
    run_folder,
    tower_folder,
)
from babelmix.experiment.jobs import shared
from babelmix.experiment.parts import Parts, corpora, fitted, refuse_plans, refuse_unmeasured, size_of
from babelmix.experiment.results import Entry, results_as_json
from babelmix.experiment.start import begin_with, start_of
from babelmix.experiment.tune import Tuning, tune
from babelmix.experiment.uniter import UniterRun, uniter_entries, uniter_run
from babelmix.training import TrainingSettings, add_audit, train
from babelmix.training.trainer import checkpoints_of


class _Run(NamedTuple):
    """A finished run: an audit per test corpus, the losses by step, and the seconds of training."""

    audits: list[Audit]
    losses: list[tuple[int, float]]
    seconds: float


def run_experiment(experiment: Experiment, output: Path, say: Callable[[str], None]) -> Results:
    """Run an experiment. Finished trainings and audits are loaded from the experiment's folder.

    A training that was killed continues from its last checkpoint. Several processes may run one experiment together: each does
    jobs that no other process is doing, and all return the same results.

    Args:
        experiment: the experiment.
        output: the experiment's folder.
        say: called with a line about each stage.

    Returns:
        The audits of all encoders and strategies, and the tests. They are written to `results.json` too.

    Raises:
        ConfigError: `output` holds another experiment, or training and test data share a group or a passage.
        PlanError: the data cannot fill the batches of a strategy.
        BabelmixError: a corpus or an encoder cannot be opened, or a training fails.

    Examples:
        >>> import tempfile
        >>> from babelmix.experiment.config import parse_experiment
        >>> rows = [
        ...     {"item": str(n), "lang": lang, "text": f"{lang} {n}", "group": str(n)} for n in range(24) for lang in ("de", "en")
        ... ]
        >>> values = {
        ...     "name": "toy", "data": {"corpus": "words", "split": {"train": 0.5, "test": 0.5}},
        ...     "encoder": {"name": "static", "size": 100, "dimension": 4}, "training": {"steps": 3, "batch_size": 4},
        ...     "compare": {"strategies": ["mono", "cross"], "against": "cross", "seeds": [0]},
        ... }
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(24)], name="words").save(Path(folder, "words"))
        ...     values["data"]["corpus"] = f"{folder}/words"
        ...     results = run_experiment(parse_experiment(values, "toy.toml"), Path(folder, "toy"), lambda line: None)
        >>> [entry.name for entry in results.entries]
        ['static (start)', 'mono', 'cross']

    """
    _processes.join(cpu=not torch.cuda.is_available())
    _processes.main_only(lambda: refuse_another(output, experiment))
    parts = corpora(experiment)
    experiment = fitted(experiment, parts)
    refuse_plans(experiment, parts)
    refuse_unmeasured(experiment, parts)
    if experiment.references.translate_test and not parts.test.has_images:
        raise ConfigError(f"references.translate_test is for captions of pictures, and {parts.test.name} has none")

    def begin() -> None:
        # Do this only after the corpora are opened: if one is not found, the folder stays unused for the next attempt.
        claim(output, experiment)
        record_environment(output / "environment.json", parts)

    _processes.main_only(begin)
    training, tested = parts.training, parts.tested
    say(f"train on {'; '.join(map(size_of, training.values()))}; test on {'; '.join(map(size_of, tested))}")
    locks = output / "locks"
    start = shared(locks, {"start": lambda: start_of(experiment, training, output, say)})["start"]
    as_they_are: dict[str, Callable[[], list[Entry]]] = {
        name: partial(_reference, name, experiment, tested, output, say) for name in experiment.references.encoders
    }
    if experiment.references.translate_test:
        in_english = [pictures.translated_to_english(corpus) for corpus in tested]
        for name in experiment.references.encoders:
            row = f"{name}{TRANSLATED}"
            as_they_are[row] = partial(_reference, name, experiment, in_english, output, say, row)
    label = f"{experiment.encoder.name} (start)"

    def audited_start() -> list[Entry]:
        return [
            Entry.of(label, "start", [done]) for done in _audits(start, tested, label, output / "start", experiment)
        ]

    # Which bias measures a corpus has is known only from an audit, and it must be known before hours of training.
    audited = shared(locks, {label: audited_start})[label]
    _refuse_unmeasured(experiment, audited)
    as_they_are[label] = lambda: audited

    def tower(seed: int) -> pictures.TowerRun:
        say(f"image tower: {experiment.tower.strategy}, seed {seed}")
        return pictures.tower_run(experiment, seed, start, parts, output, _audits)

    seeds = experiment.compare.seeds if experiment.tower.strategy else []
    towers = shared(locks, {f"image tower, seed {seed}": partial(tower, seed) for seed in seeds})
    tuning: dict[str, Tuning] = {}
    if parts.tuning is not None:
        say(f"tune on {size_of(parts.tuning)}")
        tuning = tune(experiment, start, parts, output / "tuning", say)
    chosen = [(strategy, seed) for seed in experiment.compare.seeds for strategy in experiment.compare.strategies]

    def run(number: int, strategy: str, seed: int) -> _Run:
        say(f"run {number} of {len(chosen)}: {strategy}, seed {seed}")
        settings = experiment.run_settings(strategy, seed, tuning[strategy].best.settings if tuning else {})
        return _run(experiment, settings, start, parts, output)

    readers: dict[str, UniterRun] = {}
    if experiment.uniter.rank_steps:
        read = experiment.compare.seeds
        jobs = {f"uniter, seed {seed}": partial(uniter_run, experiment, seed, start, parts, output) for seed in read}
        readers = shared(locks, jobs)
    trained: dict[str, Callable[[], _Run]] = {
        f"{one[0]}, seed {one[1]}": partial(run, number, *one) for number, one in enumerate(chosen, 1)
    }
    done: dict[str, list[Entry] | _Run] = shared(locks, {**as_they_are, **trained})
    before = [entries for entries in done.values() if not isinstance(entries, _Run)]
    before += pictures.tower_entries(experiment, list(towers.values()), len(tested))
    before += uniter_entries(experiment, list(readers.values()), len(tested))
    runs: dict[str, list[_Run]] = {}
    for (strategy, _), name in zip(chosen, trained, strict=True):
        runs.setdefault(strategy, []).append(cast(_Run, done[name]))
    seconds = sum(run.seconds for of_strategy in runs.values() for run in of_strategy)
    found: list[Results] = []
    for place in range(len(tested)):
        entries = [entries[place] for entries in before if place < len(entries)]
        entries += [
            Entry.of(strategy, "strategy", [one.audits[place] for one in same], [one.losses for one in same])
            for strategy, same in runs.items()
        ]
        against_start = _start_tests(experiment, entries)
        found.append(
            Results(experiment, entries, _tests(experiment, entries), seconds, tuning, start_tests=against_start)
        )
    _refuse_unmeasured(experiment, [entry for results in found for entry in results.strategies()], ())
    first, *others = _corrected(found)
    seed = experiment.compare.seeds[0]
    folders = {f"{experiment.encoder.name} ({experiment.tower.strategy})": tower_folder(output, seed).parent}
    folders |= {name: run_folder(experiment, output, name, seed) for name in experiment.compare.strategies}
    examples = {name: load_examples(folder / pictures.EXAMPLES) for name, folder in folders.items()}
    results = replace(
        first,
        benchmarks={corpus.name: on for corpus, on in zip(parts.benchmarks, others, strict=True)},
        examples={name: found for name, found in examples.items() if found},
    )
    _processes.main_only(lambda: write_json(output / "results.json", results_as_json(results)))
    return results


_OF_ANSWERS = ("bias/own version wins at rank 1",)
"""Measures that the start may lack and a trained encoder may have: they need a right first answer."""


def _refuse_unmeasured(experiment: Experiment, entries: Sequence[Entry], unknown: Sequence[str] = _OF_ANSWERS) -> None:
    """Raise if none of the entries has a measure that is to be tested.

    Raises:
        ConfigError: the message names the measure and those that there are.

    """
    for name in experiment.compare.tests or ():
        if name not in unknown and not any(name in entry.means for entry in entries):
            there = ", ".join(dict.fromkeys(name for entry in entries for name in entry.means))
            raise ConfigError(f"compare.tests: {name} is not measured on this corpus; there are {there}")


def _corrected(found: Sequence[Results]) -> list[Results]:
    """The results with Holm's correction over the tests on all corpora together."""
    whole = iter(holm([c for results in found for comparisons in results.tests.values() for c in comparisons]))
    # Whether training helps is another question than which strategy is best, so it has a correction of its own.
    start = iter(holm([c for results in found for c in results.start_tests]))
    return [
        replace(
            results,
            tests={name: [next(whole) for _ in comparisons] for name, comparisons in results.tests.items()},
            start_tests=[next(start) for _ in results.start_tests],
        )
        for results in found
    ]


def _audits(
    encoder: SentenceTransformer, corpora: Sequence[Corpus], name: str, folder: Path, experiment: Experiment
) -> list[Audit]:
    """An audit on each corpus: the first in the folder `audit`, the others in `audit-CORPUS`."""
    places = audit_folders(folder, corpora)
    return [_audited(encoder, corpus, name, place, experiment) for corpus, place in zip(corpora, places, strict=True)]


def _audited(encoder: SentenceTransformer, corpus: Corpus, name: str, folder: Path, experiment: Experiment) -> Audit:
    compare = experiment.compare
    found: list[Audit] = []

    def make() -> None:
        system = EncoderSystem(encoder, name, bf16=compare.bf16, details=True)
        done = finished(folder, system.facts(corpus), compare.metrics)
        if done is None:
            done = audit(system, corpus, metrics=compare.metrics)
            done.save(folder)
        found.append(done)

    _processes.main_only(make)
    return found[0] if found else Audit.load(folder, compare.metrics)


def _reference(
    name: str,
    experiment: Experiment,
    tested: Sequence[Corpus],
    output: Path,
    say: Callable[[str], None],
    row: str = "",
) -> list[Entry]:
    row = row or name
    test = tested[0]
    groups = sorted({*test.queries["group"].to_pylist()})
    limit = experiment.references.groups
    part = test.only_groups(groups[:limit], f"{test.name}, {limit} groups") if 0 < limit < len(groups) else test
    say(f"reference {row} as it is, on {size_of(part)}")
    encoder = load_encoder(
        name, max_seq_length=experiment.references.max_seq_length or None, trust_code=experiment.encoder.trust_code
    )
    folder = reference_folder(experiment, output, row)
    return [Entry.of(row, "reference", [a]) for a in _audits(encoder, (part, *tested[1:]), row, folder, experiment)]


def _run(
    experiment: Experiment, settings: TrainingSettings, start: SentenceTransformer, parts: Parts, output: Path
) -> _Run:
    strategy, seed = str(settings.strategy), settings.seed
    folder = run_folder(experiment, output, strategy, seed)
    record, model = folder / "training.json", folder / "model"
    name = f"{strategy}, seed {seed}"
    places = audit_folders(folder, parts.tested)
    finished = record.is_file() and all((place / "metrics.json").is_file() for place in places)
    # One process looks at the files, so that all processes take the same decision.
    finished, trained = _processes.share((finished, (model / "training.json").is_file()))
    if finished:
        refuse_another_run(json.loads(record.read_text(encoding="utf-8")), strategy, seed, folder)
        audits = [Audit.load(place, experiment.compare.metrics) for place in places]
    else:
        if trained:
            encoder, _ = open_encoder(str(model), trust_code=experiment.encoder.trust_code)
        else:
            encoder = begin_with(experiment, start, seed, output)
            train(
                encoder, parts.training, settings, model, base=experiment.encoder.name, label=f"training {strategy}",
                validation=parts.stopping, trust_code=experiment.encoder.trust_code,
            )  # fmt: skip
        audits = _audits(encoder, parts.tested, name, folder, experiment)
        if parts.test.has_images:
            _processes.main_only(lambda: save_examples(examples_of(encoder, parts.test), folder / pictures.EXAMPLES))

        def keep() -> None:
            for done in audits:
                add_audit(model, done)
            write_text(record, (model / "training.json").read_text(encoding="utf-8"))

        _processes.main_only(keep)

    def tidy() -> None:
        # Checkpoints may also be left by a process that was killed between training and this place.
        remove_folder(checkpoints_of(model))
        wanted = experiment.compare.keep_models
        if wanted == "none" or (wanted == "first" and seed != experiment.compare.seeds[0]):
            remove_folder(model)

    _processes.main_only(tidy)
    about = json.loads(record.read_text(encoding="utf-8"))
    return _Run(audits, [(int(step), float(loss)) for step, loss in about["losses"]], float(about["seconds"]))


def _tests(experiment: Experiment, entries: Sequence[Entry]) -> dict[str, list[Comparison]]:
    """The tests of every other strategy against `compare.against`, by strategy."""
    by_name = {entry.name: entry for entry in entries if entry.kind == "strategy"}
    systems = {name: [a.measures for a in entry.audits] for name, entry in by_name.items()}
    against, names = experiment.compare.against, experiment.compare.tests
    measured = systems[against][0]
    names = [name for name in names or () if name in measured]
    found: dict[str, list[Comparison]] = {}
    if len(systems) > 1:
        for comparison in compare_all(systems, names, against=against):
            found.setdefault(comparison.second, []).append(comparison)
    return found


def _start_tests(experiment: Experiment, entries: Sequence[Entry]) -> list[Comparison]:
    """The tests of `compare.against` against the start that it was trained from."""
    start = next(entry for entry in entries if entry.kind == "start")
    chosen = next(entry for entry in entries if entry.kind == "strategy" and entry.name == experiment.compare.against)
    systems = {entry.name: [audit.measures for audit in entry.audits] for entry in (chosen, start)}
    names = [
        name
        for name in experiment.compare.tests or ()
        if all(name in measured for runs in systems.values() for measured in runs)
    ]
    return compare_all(systems, names, against=chosen.name) if names else []
