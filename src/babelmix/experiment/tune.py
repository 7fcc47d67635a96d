"""Tuning on the validation part: the same grid, steps and seed for every strategy."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from sentence_transformers import SentenceTransformer

from babelmix import _processes
from babelmix._files import distinct_slugs, write_json
from babelmix.errors import AuditError, DivergedError
from babelmix.evaluation import Measure, measures
from babelmix.evaluation.measure_info import ranking_metrics
from babelmix.evaluation.systems import EncoderSystem
from babelmix.experiment.config import Experiment
from babelmix.experiment.jobs import shared
from babelmix.experiment.parts import Parts, settings_of
from babelmix.experiment.start import begin_with
from babelmix.training import train
from babelmix.training.settings import changed


@dataclass(frozen=True)
class Trial:
    """One point of the grid.

    Args:
        settings: the tuned settings of this point.
        measures: macro-averages on the validation part; empty if training diverged.
        score: the mean of `measures`, by which trials are ranked; 0 if training diverged.

    """

    settings: dict[str, float]
    measures: dict[str, float]
    score: float


@dataclass(frozen=True)
class Tuning:
    """All trials of a strategy.

    Args:
        strategy: the strategy as the experiment names it.
        trials: the trials in the order of the grid.

    """

    strategy: str
    trials: list[Trial]

    @property
    def best(self) -> Trial:
        """The trial with the highest score, the first of equal ones."""
        return max(self.trials, key=lambda trial: trial.score)

    def at_edge(self) -> list[str]:
        """The settings whose best value is the lowest or the highest of the grid. A better value may be outside the grid."""
        edges = []
        for name, value in self.best.settings.items():
            tried = sorted({trial.settings[name] for trial in self.trials})
            if len(tried) > 1 and value in (tried[0], tried[-1]):
                edges.append(name)
        return edges


def tune(
    experiment: Experiment,
    start: SentenceTransformer,
    parts: Parts,
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, Tuning]:
    """Run the grid for each strategy. Finished trials are loaded.

    Args:
        experiment: the experiment; `tune` and `compare.strategies` decide the trials.
        start: the encoder that every trial starts from; it is not changed. With a section [tower], a trial has the image tower of
            the first seed.
        parts: the corpora for training and for measuring.
        folder: the folder for finished trials, one JSON file each; it is in the experiment's folder.
        say: called with a line about each trial.

    Returns:
        All trials by strategy.

    """
    grid, strategies = experiment.tune.grid, experiment.compare.strategies
    folders = distinct_slugs(strategies)
    points = [(strategy, point) for strategy in strategies for point in grid]

    def attempt(number: int, strategy: str, point: dict[str, float]) -> Trial:
        file = folder / folders[strategy] / f"{'_'.join(f'{name}-{value:g}' for name, value in point.items())}.json"
        if not _processes.share(file.is_file()):
            say(f"trial {number} of {len(points)}: {strategy}, {described(point)}")
            trial = _trial(experiment, strategy, point, start, parts, folder.parent)
            _processes.main_only(partial(write_json, file, asdict(trial)))
        return Trial(**json.loads(file.read_text(encoding="utf-8")))

    jobs = {f"{one[0]}, {described(one[1])}": partial(attempt, number, *one) for number, one in enumerate(points, 1)}
    tried = list(shared(folder / "locks", jobs).values())
    found: dict[str, Tuning] = {}
    for place, strategy in enumerate(strategies):
        found[strategy] = Tuning(strategy, tried[place * len(grid) : (place + 1) * len(grid)])
        best = found[strategy].best
        say(f"{strategy}: {described(best.settings)} (validation score {best.score:.3f})")
    return found


def described(point: Mapping[str, float]) -> str:
    """Settings as text: `learning rate 0.01, temperature 0.05`."""
    return ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in point.items())


def _trial(
    experiment: Experiment,
    strategy: str,
    point: dict[str, float],
    start: SentenceTransformer,
    parts: Parts,
    output: Path,
) -> Trial:
    assert parts.tuning is not None
    encoder = begin_with(experiment, start, experiment.tune.seed, output, experiment.compare.seeds[0])
    settings = experiment.run_settings(strategy, experiment.tune.seed, point)
    settings = changed(settings, {"schedule.checkpoint_every": 0})
    try:
        with tempfile.TemporaryDirectory() as own:
            # Every process uses the folder of rank 0.
            place = Path(_processes.share(own))
            train(
                encoder, parts.training, settings, place / "model", base=experiment.encoder.name,
                label=f"trying {strategy}", validation=parts.stopping,
            )  # fmt: skip
    except DivergedError:
        return Trial(point, {}, 0.0)
    table = EncoderSystem(encoder, store=False).rank(parts.tuning)
    names = experiment.tune.measures
    if "measures" not in experiment.tune.model_fields_set:
        there = settings_of(parts.tuning)
        names = [name for name in names if name.partition("/")[0] in there]
    values = _macros(measures(table, ranking_metrics(names)), names)
    return Trial(point, values, sum(values.values()) / len(values))


def _macros(found: Mapping[str, Measure], names: Sequence[str]) -> dict[str, float]:
    if missing := [name for name in names if name not in found]:
        raise AuditError(f"tune.measures: {missing[0]} is not measured on the validation part")
    return {name: found[name].macro() for name in names}
