"""What only comparisons on pictures have: an image tower that is trained first, and translate-test."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from sentence_transformers import SentenceTransformer

from babelmix import _processes
from babelmix._files import remove_folder
from babelmix.corpus import Corpus, match_languages
from babelmix.encoders.opening import open_encoder
from babelmix.errors import ConfigError
from babelmix.evaluation import Audit
from babelmix.experiment.config import Experiment
from babelmix.experiment.examples import examples_of, save_examples
from babelmix.experiment.folder import tower_folder
from babelmix.experiment.parts import Parts
from babelmix.experiment.results import Entry
from babelmix.experiment.start import begin_with
from babelmix.training import train
from babelmix.training.trainer import checkpoints_of

Auditor = Callable[[SentenceTransformer, Sequence[Corpus], str, Path, Experiment], list[Audit]]


EXAMPLES = "examples.json"
"""The file of a run's examples; see `experiment.examples`."""


class TowerRun(NamedTuple):
    """The trained encoder whose image tower the strategies start from.

    Args:
        audits: one audit per test corpus.
        translated: the same with captions translated to English; empty without `references.translate_test`.
        losses: the training losses by step.

    """

    audits: list[Audit]
    translated: list[Audit]
    losses: list[tuple[int, float]]


def tower_run(
    experiment: Experiment, seed: int, start: SentenceTransformer, parts: Parts, output: Path, auditor: Auditor
) -> TowerRun:
    """Train and audit the encoder whose image tower the strategies start from, or load a finished one.

    Args:
        experiment: an experiment with a section [tower].
        seed: the seed of the run.
        start: the encoder to train.
        parts: the corpora.
        output: the experiment's folder.
        auditor: a function that audits an encoder on each of several corpora, or loads finished audits.

    """
    model = tower_folder(output, seed)
    finished = _processes.share((model / "training.json").is_file())
    if finished:
        # If a process was killed right after training, the checkpoints are still there.
        _processes.main_only(lambda: remove_folder(checkpoints_of(model)))
        encoder, _ = open_encoder(str(model), device=str(start.device), trust_code=experiment.encoder.trust_code)
    else:
        encoder = begin_with(experiment, start, seed, output)
        settings = experiment.tower_settings(seed)
        train(
            encoder, parts.training, settings, model, base=experiment.encoder.name,
            trust_code=experiment.encoder.trust_code, label=f"training the image tower, {settings.strategy}",
        )  # fmt: skip
    name = f"{experiment.encoder.name} ({experiment.tower.strategy}), seed {seed}"
    audits = auditor(encoder, parts.tested, name, model.parent, experiment)
    if parts.test.has_images and not (model.parent / EXAMPLES).is_file():
        _processes.main_only(lambda: save_examples(examples_of(encoder, parts.test), model.parent / EXAMPLES))
    translated: list[Audit] = []
    if experiment.references.translate_test:
        in_english = [translated_to_english(corpus) for corpus in parts.tested]
        translated = auditor(encoder, in_english, f"{name}, translate-test", model.parent / "translated", experiment)
    record = json.loads((model / "training.json").read_text(encoding="utf-8"))
    return TowerRun(audits, translated, [(int(step), float(loss)) for step, loss in record["losses"]])


def tower_entries(experiment: Experiment, runs: Sequence[TowerRun], corpora: int) -> list[list[Entry]]:
    """Rows of the comparison: a list per row, with an entry per corpus."""
    if not runs:
        return []
    name = f"{experiment.encoder.name} ({experiment.tower.strategy})"
    rows = [
        [
            Entry.of(name, "reference", [run.audits[place] for run in runs], [run.losses for run in runs])
            for place in range(corpora)
        ]
    ]
    if runs[0].translated:
        rows.append(
            [
                Entry.of(f"{name}, translate-test", "reference", [run.translated[place] for run in runs])
                for place in range(corpora)
            ]
        )
    return rows


def translated_to_english(corpus: Corpus) -> Corpus:
    """The corpus for translate-test: each caption is replaced by its item's first English one, and keeps its language tag.

    The English captions are written or translated by people. The result is therefore an upper bound of translate-test with
    machine translation.

    Raises:
        ConfigError: the corpus or an item has no English caption.

    Source:
        Translate-test with machine translation: IGLUE, arXiv 2201.11732.

    """
    match_languages("en", corpus.langs, f"translate_test: {corpus.name}", ConfigError)
    captions = "passages" if corpus.is_images("queries") else "queries"
    table: pa.Table = getattr(corpus, captions)
    items, first = table["item"].to_pylist(), corpus.first_texts(captions, "en")
    if missing := next((item for item in items if item not in first), None):
        raise ConfigError(f"translate_test: {corpus.name}: the item {missing!r} has no English caption")
    column = pa.array([first[item] for item in items], pa.large_string())
    changed = table.set_column(table.column_names.index("text"), "text", column)
    sides = {"queries": corpus.queries, "passages": corpus.passages} | {captions: changed}
    return Corpus(
        sides["queries"], sides["passages"], corpus.qrels, corpus.name, {**corpus.meta, "translated_to": "en"},
        corpus.negatives, corpus.excluded,
    )  # fmt: skip


__all__ = ["TowerRun", "tower_entries", "tower_run", "translated_to_english"]
