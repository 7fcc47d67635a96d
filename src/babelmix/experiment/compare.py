"""`compare`: train with several batch strategies over several seeds, audit each, and test the differences."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from babelmix._files import replacing_folder, slug, write_json, write_text
from babelmix._progress import quiet_transformers
from babelmix.audit import Audit, Comparison, Estimate, audit, compare_all, estimates
from babelmix.audit.run import about_of, is_finished
from babelmix.corpus import Corpus
from babelmix.encoders import load_encoder, static
from babelmix.encoders.loading import is_made, make_static
from babelmix.errors import AuditError, ConfigError
from babelmix.experiment.config import Experiment
from babelmix.experiment.setup import claim, corpora, record_environment, refuse_another, size_of
from babelmix.experiment.tune import Tuning, tune
from babelmix.training import TrainingSettings, is_static, train


@dataclass(frozen=True, eq=False)
class Entry:
    """A row of the comparison: an encoder audited as it is, or a strategy over its seeds.

    Args:
        name: of the encoder or the strategy.
        kind: `reference`, `start` or `strategy`.
        corpus: what it was tested on.
        audits: one, or one a seed.
        losses: training loss by step, one list a seed.
        means: macro-averages over seeds with intervals over groups, by measure.
        seed_deviation: standard deviation of the macro-averages over seeds; 0 for a single audit.

    """

    name: str
    kind: str
    corpus: str
    audits: list[Audit]
    losses: list[list[tuple[int, float]]]
    means: dict[str, Estimate]
    seed_deviation: dict[str, float]

    @classmethod
    def of(
        cls, name: str, kind: str, audits: list[Audit], losses: list[list[tuple[int, float]]] | None = None
    ) -> Entry:
        """Average the audits of one entry."""
        first = audits[0].measures
        averaged = {
            key: replace(measure, values=np.mean([a.measures[key].values for a in audits], axis=0))
            for key, measure in first.items()
        }
        means = {key: macro for key, (macro, _) in estimates(averaged).items()}
        spread = {
            key: float(np.std([a.measures[key].macro() for a in audits], ddof=1)) if len(audits) > 1 else 0.0
            for key in first
        }
        return cls(name, kind, str(audits[0].table.about["corpus"]), audits, losses or [], means, spread)


@dataclass(frozen=True, eq=False)
class Results:
    """Everything a comparison found."""

    experiment: Experiment
    entries: list[Entry]
    tests: dict[str, list[Comparison]]
    seconds: float
    tuning: dict[str, Tuning]

    def strategies(self) -> list[Entry]:
        """The entries that are strategies, in the order of the experiment."""
        return [entry for entry in self.entries if entry.kind == "strategy"]


def run_experiment(experiment: Experiment, output: Path, say: Callable[[str], None]) -> Results:
    """Run an experiment, or what is left of it.

    Every finished training and audit is kept in `output` and not done again; a run that was killed starts over.

    Args:
        experiment: what to run.
        output: the experiment's folder.
        say: told what happens, in a line.

    Raises:
        ConfigError: `output` holds another experiment, or training and test data share a group.
        BabelmixError: data, encoder or plan do not fit.

    """
    refuse_another(output, experiment)
    parts = corpora(experiment)
    # Only now: a corpus that was not found must not keep the folder from the next try.
    claim(output, experiment)
    training, test = parts.train, parts.test
    record_environment(output / "environment.json", parts)
    say(f"train on {size_of(training)}; test on {size_of(test)}")
    entries = [_reference(name, experiment, test, output, say) for name in experiment.references.encoders]
    start = _start(experiment, training, output, say)
    label = f"{experiment.encoder.name} (start)"
    entries.append(Entry.of(label, "start", [_audited(start, test, label, output / "start" / "audit", experiment)]))
    tuning: dict[str, Tuning] = {}
    if parts.validation is not None:
        say(f"tune on {size_of(parts.validation)}")
        tuning = tune(experiment, start, training, parts.validation, output / "tuning", say)
    runs: dict[str, list[tuple[Audit, list[tuple[int, float]], float]]] = {}
    total = len(experiment.compare.strategies) * len(experiment.compare.seeds)
    number = 0
    for seed in experiment.compare.seeds:
        for strategy in experiment.compare.strategies:
            number += 1
            say(f"run {number} of {total}: {strategy}, seed {seed}")
            tuned = tuning[strategy].best.settings if tuning else {}
            settings = experiment.run_settings(strategy, seed, tuned)
            runs.setdefault(strategy, []).append(_run(experiment, settings, start, training, test, output))
    for strategy, done in runs.items():
        entries.append(Entry.of(strategy, "strategy", [a for a, _, _ in done], [losses for _, losses, _ in done]))
    seconds = sum(s for done in runs.values() for _, _, s in done)
    results = Results(experiment, entries, _tests(experiment, entries), seconds, tuning)
    write_json(output / "results.json", results_as_json(results))
    return results


def _audited(encoder: SentenceTransformer, corpus: Corpus, name: str, folder: Path, experiment: Experiment) -> Audit:
    if is_finished(folder, about_of(encoder, corpus, name)):
        with contextlib.suppress(AuditError):  # a damaged audit is made again
            return Audit.load(folder, experiment.compare.metrics)
    fast = is_static(encoder)
    metrics = experiment.compare.metrics
    done = audit(encoder, corpus, name=name, batch_size=256 if fast else 32, store=not fast, metrics=metrics)
    done.save(folder)
    return done


def _reference(name: str, experiment: Experiment, test: Corpus, output: Path, say: Callable[[str], None]) -> Entry:
    groups = sorted({*test.queries["group"].to_pylist()})
    limit = experiment.references.groups
    part = test.only_groups(groups[:limit], f"{test.name}, {limit} groups") if 0 < limit < len(groups) else test
    say(f"reference {name} as it is, on {size_of(part)}")
    encoder = load_encoder(name, max_seq_length=experiment.references.max_seq_length or None)
    return Entry.of(name, "reference", [_audited(encoder, part, name, output / "references" / slug(name), experiment)])


def _start(experiment: Experiment, training: Corpus, output: Path, say: Callable[[str], None]) -> SentenceTransformer:
    """The encoder that all runs start from; one that is made from the training texts is kept in the folder."""
    settings = experiment.encoder
    if not is_made(settings.name):
        return load_encoder(settings.name)
    folder = output / "start" / "model"
    memory = static.TokenMemory()
    if not (folder / "modules.json").is_file():
        say(f"making the starting encoder {settings.name}")
        texts = [*training.queries["text"].to_pylist(), *training.passages["text"].to_pylist()]
        whole = settings.vocabulary == "full" and settings.name != static.FROM_SCRATCH
        made = make_static(
            settings.name, None if whole else texts, memory, size=settings.size, dimension=settings.dimension
        )
        with replacing_folder(folder, ["modules.json"]) as place, quiet_transformers():
            made.save_pretrained(str(place), create_model_card=False)
    with quiet_transformers():
        encoder = SentenceTransformer(str(folder), device="cpu")
    static.remember_tokens(encoder, memory)
    return encoder


def _run(
    experiment: Experiment,
    settings: TrainingSettings,
    start: SentenceTransformer,
    training: Corpus,
    test: Corpus,
    output: Path,
) -> tuple[Audit, list[tuple[int, float]], float]:
    strategy, seed = settings.strategy, settings.seed
    folder = output / "runs" / slug(strategy) / f"seed-{seed}"
    name = f"{strategy}, seed {seed}"
    record = folder / "training.json"
    if not (folder / "audit" / "metrics.json").is_file() or not record.is_file():
        model = folder / "model"
        if (model / "training.json").is_file():
            with quiet_transformers():
                encoder = SentenceTransformer(str(model))
        else:
            encoder = copy.deepcopy(start)
            if experiment.encoder.name == static.FROM_SCRATCH:
                static.initialise(encoder, seed)
            train(encoder, training, settings, model, base=experiment.encoder.name, label=f"training {strategy}")
        _audited(encoder, test, name, folder / "audit", experiment)
        write_text(record, (model / "training.json").read_text(encoding="utf-8"))
        keep = experiment.compare.keep_models
        if keep == "none" or (keep == "first" and seed != experiment.compare.seeds[0]):
            shutil.rmtree(model)
    about = json.loads(record.read_text(encoding="utf-8"))
    losses = [(int(step), float(loss)) for step, loss in about["losses"]]
    return Audit.load(folder / "audit", experiment.compare.metrics), losses, float(about["seconds"])


def _tests(experiment: Experiment, entries: Sequence[Entry]) -> dict[str, list[Comparison]]:
    """Every other strategy against the one named, Holm over all tests of the experiment."""
    by_name = {entry.name: entry for entry in entries if entry.kind == "strategy"}
    systems = {name: [a.measures for a in entry.audits] for name, entry in by_name.items()}
    against, names = experiment.compare.against, experiment.compare.tests
    measured = systems[against][0]
    if absent := [name for name in names if name not in measured]:
        raise ConfigError(
            f"compare.tests: {absent[0]} is not measured on this corpus; there are {', '.join(measured)}"
        )
    found: dict[str, list[Comparison]] = {}
    if len(systems) > 1:
        for comparison in compare_all(systems, names, against=against):
            found.setdefault(comparison.second, []).append(comparison)
    return found


def results_as_json(results: Results) -> dict[str, Any]:
    """The results as JSON-serialisable values."""
    return {
        "name": results.experiment.name,
        "entries": [
            {
                "name": entry.name,
                "kind": entry.kind,
                "corpus": entry.corpus,
                "seeds": results.experiment.compare.seeds if entry.kind == "strategy" else [],
                "macro": {
                    name: {
                        **asdict(mean),
                        "by_seed": [a.measures[name].macro() for a in entry.audits],
                        "seed_deviation": entry.seed_deviation[name],
                    }
                    for name, mean in entry.means.items()
                },
            }
            for entry in results.entries
        ],
        "tuning": {
            name: {
                "best": asdict(tuning.best),
                "at_edge": tuning.at_edge(),
                "trials": [asdict(t) for t in tuning.trials],
            }
            for name, tuning in results.tuning.items()
        },
        "against": results.experiment.compare.against,
        "tests": {other: [asdict(c) for c in comparisons] for other, comparisons in results.tests.items()},
        "finding": finding(results),
    }


def finding(results: Results) -> str:
    """One plain sentence: how the strategy under test compares with each other one, and what is significant."""
    strategies = {entry.name: entry for entry in results.strategies()}
    chosen = strategies[results.experiment.compare.against]
    words = {"mono/mAP": "monolingual mAP", "cross/mAP": "cross-lingual mAP", "multi/mAP": "multilingual mAP",
             "bias/rank distance": "rank distance"}  # fmt: skip
    shown = [name for name in words if name in chosen.means]
    own = _listed([f"{words[name]} {number(chosen.means[name].value)}" for name in shown])
    verdicts: dict[str, list[str]] = {}
    for other, comparisons in results.tests.items():
        if verdict := _verdict(comparisons, words):
            verdicts.setdefault(verdict, []).append(other)
    compared = "; ".join(f"against {_listed(others)}, {verdict}" for verdict, others in verdicts.items())
    seeds = len(results.experiment.compare.seeds)
    return f"On {chosen.corpus}, over {seeds} seed{'s' if seeds > 1 else ''}, {chosen.name} batches reach {own}" + (
        f": {compared} (p < .05 after Holm's correction)." if compared else "."
    )


def _verdict(comparisons: Sequence[Comparison], words: Mapping[str, str]) -> str:
    kinds: dict[str, list[str]] = {"better": [], "worse": [], "not significantly different": []}
    for c in comparisons:
        if c.measure not in words:
            continue
        better = (c.difference.value < 0) == (c.measure == "bias/rank distance")
        significant = c.p_holm is not None and c.p_holm < 0.05
        kinds["not significantly different" if not significant else "better" if better else "worse"].append(
            words[c.measure]
        )
    found = {kind: names for kind, names in kinds.items() if names}
    if len(found) == 1 and sum(map(len, found.values())) == len(comparisons) > 1:
        return f"{next(iter(found))} in everything"
    return ", ".join(f"{kind} in {_listed(names)}" for kind, names in found.items())


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def number(value: float) -> str:
    """A score with three digits, a rank without."""
    return (
        f"{value:,.0f}"
        if abs(value) >= 100
        else f"{value:.1f}"
        if abs(value) >= 10
        else f"{value:.3f}".replace("0.", ".", 1)
    )
