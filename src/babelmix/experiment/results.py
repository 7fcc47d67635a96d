"""The findings of a comparison: entries, tests, and one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from babelmix.evaluation import Audit, Comparison, Estimate, Measure, estimates, measure_info
from babelmix.evaluation.measure_info import CROSS_HIT_1, MULTI_HIT_1, RANK_DISTANCE, RANK_DISTANCE_OVER_QUERIES, TESTS
from babelmix.experiment.config import Experiment
from babelmix.experiment.examples import Example
from babelmix.experiment.tune import Tuning


@dataclass(frozen=True, eq=False)
class Entry:
    """A row of the comparison: an encoder without training, or a strategy over its seeds.

    Args:
        name: the encoder or the strategy.
        kind: `reference`, `start` or `strategy`.
        corpus: the name of the test corpus.
        audits: one audit, or one per seed.
        losses: the training losses by step, one list per seed.
        means: by measure, the macro-average over the seeds with its bootstrap interval over groups.
        seed_deviation: by measure, the standard deviation of the macro-average over the seeds; 0 for a single audit.

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
        """An entry from its audits, whose values are averaged over seeds."""
        first = audits[0].measures
        averaged = {
            key: replace(measure, values=np.mean([a.measures[key].values for a in audits], axis=0))
            for key, measure in first.items()
            # The queries of some measures depend on the answers, such as those whose first answer is right.
            if all(key in a.measures and same_queries(a.measures[key], measure) for a in audits)
        }
        means = {key: macro for key, (macro, _) in estimates(averaged).items()}
        spread = {
            key: float(np.std([a.measures[key].macro() for a in audits], ddof=1)) if len(audits) > 1 else 0.0
            for key in averaged
        }
        return cls(name, kind, str(audits[0].table.about.corpus), audits, losses or [], means, spread)


def same_queries(first: Measure, second: Measure) -> bool:
    """Whether two measures have values of the same cells and groups, so that they can be averaged."""
    return np.array_equal(first.cell, second.cell) and np.array_equal(first.group, second.group)


@dataclass(frozen=True, eq=False)
class Findings:
    """The findings of a comparison on one corpus.

    Args:
        experiment: the experiment.
        entries: the rows of the comparison.
        tests: the tests against `compare.against`, by strategy; Holm's correction is over the tests on all corpora together.
        seconds: the training time of all runs together.
        tuning: the trials of tuning by strategy; empty without tuning.
        benchmarks: the findings on each further test corpus by its name.
        examples: the examples of the first seed by encoder; empty if the corpus has no pictures.
        start_tests: the tests of `compare.against` against the untrained start; Holm's correction is over these, on all corpora.

    """

    experiment: Experiment
    entries: list[Entry]
    tests: dict[str, list[Comparison]]
    seconds: float
    tuning: dict[str, Tuning]
    benchmarks: Mapping[str, Findings] = field(default_factory=dict)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    start_tests: list[Comparison] = field(default_factory=list)

    def strategies(self) -> list[Entry]:
        """The entries that are strategies, in the order of the experiment."""
        return [entry for entry in self.entries if entry.kind == "strategy"]


def results_as_json(results: Findings) -> dict[str, Any]:
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
        "tests": {other: [c.as_json() for c in comparisons] for other, comparisons in results.tests.items()},
        "start_tests": [c.as_json() for c in results.start_tests],
        "finding": finding(results),
        "benchmarks": {name: results_as_json(on) for name, on in results.benchmarks.items()},
    }


def finding(results: Findings) -> str:
    """The measures of `compare.against`, where it differs significantly from each other strategy, and what the start says."""
    strategies = {entry.name: entry for entry in results.strategies()}
    chosen = strategies[results.experiment.compare.against]
    words = {name: measure_info(name).title for name in TESTS}
    if MULTI_HIT_1 in chosen.means and "mono/hit@1" not in chosen.means:
        among = {CROSS_HIT_1: "hit@1 among captions of one language", MULTI_HIT_1: "hit@1 among all captions"}
        to_pictures = RANK_DISTANCE_OVER_QUERIES in chosen.means
        distance = RANK_DISTANCE_OVER_QUERIES if to_pictures else RANK_DISTANCE
        words = ({MULTI_HIT_1: "hit@1"} if to_pictures else among) | {distance: measure_info(distance).title}
    shown = [name for name in words if name in chosen.means]
    values = {name: measure_info(name).shown(chosen.means[name].value, leading_zero=False) for name in shown}
    own = _listed([f"{words[name]} {value}" for name, value in values.items()])
    verdicts: dict[str, list[str]] = {}
    for other, comparisons in results.tests.items():
        if verdict := _verdict(comparisons, words):
            verdicts.setdefault(verdict, []).append(other)
    compared = "; ".join(f"against {_listed(others)}, {verdict}" for verdict, others in verdicts.items())
    seeds = len(results.experiment.compare.seeds)
    return (
        f"On {chosen.corpus}, over {seeds} seed{'s' if seeds > 1 else ''}, {chosen.name} batches reach {own}"
        + (f": {compared} (p < .05 after Holm's correction)." if compared else ".")
        + _than_the_start(results, words)
    )


def _than_the_start(results: Findings, words: Mapping[str, str]) -> str:
    """Sentences: where training changed the start significantly, and in which measures no strategy has a better mean."""
    found = ""
    if verdict := _verdict(results.start_tests, words):
        first = results.start_tests[0]
        found = f" Against the untrained {first.second}, {first.first} is {verdict}."
    start = next((entry for entry in results.entries if entry.kind == "start"), None)
    if start is None:
        return found
    behind = []
    for name in dict.fromkeys([*words, *(results.experiment.compare.tests or ())]):
        means = [entry.means[name].value for entry in results.strategies() if name in entry.means]
        better = measure_info(name).better
        if better is None or name not in start.means or not means:
            continue
        sign = 1 if better == "higher" else -1
        if sign * start.means[name].value >= max(sign * mean for mean in means):
            behind.append(words.get(name, measure_info(name).title))
    return f"{found} No strategy has a better mean than the start in {_listed(behind)}." if behind else found


def _verdict(comparisons: Sequence[Comparison], words: Mapping[str, str]) -> str:
    kinds: dict[str, list[str]] = {"better": [], "worse": [], "not significantly different": []}
    for c in comparisons:
        if c.measure not in words:
            continue
        better = (c.difference.value < 0) == (measure_info(c.measure).better == "lower")
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
