"""Reports: one self-contained HTML file for an audit or a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import write_text
from babelmix._tables import Table
from babelmix.evaluation import Audit, Comparison, measure_info
from babelmix.evaluation.audit_tables import LEVELS, TOKENS, headline_with
from babelmix.evaluation.bias import left_out as left_out_of
from babelmix.evaluation.measure_info import (
    SAME_LANGUAGE_SHARE,
    headline,
    titles,
)  # fmt: skip
from babelmix.experiment.report import figures, sections, summary, winners
from babelmix.experiment.report.page import LeftOut, Section, render
from babelmix.experiment.report.pictures import picture_sections

if TYPE_CHECKING:
    from babelmix.experiment.results import Entry, Findings


STRATEGIES_FAMILY = "all tests between strategies, on all corpora"
START_FAMILY = "all tests against the start, on all corpora"
"""What Holm's corrections of an experiment are over."""

_ALPHA = "How much of either: alpha"
_ALPHAS = 4
"""The fewest alphas of a chart."""

_NO_LABELS = "there are no relevance judgements"


def audit_lead(audit: Audit) -> str:
    """The verdict and the finding of an audit in sentences, and what it cannot measure."""
    return " ".join(audit.lines())


def write_audit_report(audit: Audit, file: Path, perturbed: Mapping[str, Any] | None = None) -> None:
    """Write the report of one audit.

    Args:
        audit: the audit.
        file: the HTML file.
        perturbed: the result of `babelmix.evaluation.perturb.perturb_loss`; None without noise.

    """
    about = audit.table.about
    name = about.encoder or "encoder"
    one = {name: audit}
    has_labels = len(audit.table.pair_query) > 0
    colours = figures.colours_of(one)
    hero = summary.hero_of(audit, colours)
    parts: list[Section | LeftOut] = [
        summary.queries_section(audit), summary.remedies_section(audit), summary.measures_section(audit),
        sections.settings_section(audit) if has_labels else LeftOut("Three settings", _NO_LABELS),
        sections.languages_section(audit),
    ]  # fmt: skip
    if len(audit.table.passage_langs) > 1:
        parts += [
            sections.shares_section(one, colours),
            sections.crowding_section(one)
            if has_labels
            else LeftOut("Which languages crowd the answer out?", _NO_LABELS),
            sections.pairs_section(one) if has_labels else LeftOut("Each pair of languages", _NO_LABELS),
        ]
    else:
        parts.append(LeftOut("Languages against each other", "all passages are in one language"))
    parts += [
        sections.score_levels_section(audit) or LeftOut(LEVELS, "the audit measured no scores in two languages"),
        sections.tokens_section(audit) or LeftOut(TOKENS, "the system has no fast tokenizer"),
        sections.perturb_section(perturbed)
        if perturbed is not None
        else LeftOut("What noise on the queries costs", "it was not measured; see the option --perturb"),
        sections.pool_section(audit)
        or LeftOut("What the pool holds", "nothing was left out or excluded, and no right answer has a copy"),
    ]
    apart = ("tokens", "calibration", "left_out", "excluded", "copies", "samples", "remedies")
    found = about.as_json()
    facts = [
        (key.replace("_", " "), _fact(value))
        for key, value in found.items()
        if key not in (*apart, "vectors") and value not in (None, "")
    ]
    facts += [(f"vectors of {side}", _vectors_fact(one)) for side, one in (found.get("vectors") or {}).items()]
    write_text(file, render(f"Language audit of {name}", _below(audit), facts, parts, hero=hero))


def _below(audit: Audit) -> str:
    """The sentences below the verdict. What stands elsewhere on the page is not said again."""
    elsewhere = {audit.lead(), *left_out_of(audit.table).values()}
    return " ".join(line for line in audit.lines() if line not in elsewhere)


def write_comparison_report(results: Findings, file: Path) -> None:
    """Write the report of an experiment, and its headline figure as `headline.svg` in the same folder."""
    # Imported here: both import training, which takes seconds, and the report of an audit needs neither.
    from babelmix.experiment.config import RESERVED
    from babelmix.experiment.results import finding

    entries = results.entries
    figure = headline_figure(results)
    same_corpus = [entry for entry in entries if entry.corpus == results.strategies()[0].corpus]
    audits = {entry.name: entry.audits[0] for entry in same_corpus}
    parts: list[Section | LeftOut] = [
        Section(
            "The headline",
            "Points are means over seeds; bars are 95 % bootstrap intervals over groups. References and the start are audited "
            "without training. A row with * was tested on another pool, named in the table; do not compare it with the others.",
            figure,
            "Points with intervals for each encoder in the three settings and rank distance.",
            [headline_table(results)],
        )
    ]
    tests = _tests_of(results)
    start_tests = sum(len(on.start_tests) for on in (results, *results.benchmarks.values()))
    counted = len(tests) + sum(len(_tests_of(on)) for on in results.benchmarks.values())
    if tests:
        parts.append(winners.differences_section(tests, counted=counted, family=STRATEGIES_FAMILY))
    if results.start_tests:
        parts.append(_start_section(results, start_tests))
    for name, on in results.benchmarks.items():
        parts += _benchmark_sections(name, on, counted, start_tests)
    parts += picture_sections(results)
    if results.tuning:
        parts.append(_tuning_section(results))
    parts.append(_alpha_section(results) or _no_alphas(results))
    references = {entry.name: entry.audits[0] for entry in entries if entry.kind == "reference"}
    for name, audit in references.items():
        if len(audit.table.passage_langs) > 1:
            parts.append(
                replace(
                    sections.shares_section({name: audit}, _colours(results)),
                    title=f"{name}: whose language are its answers in?",
                )
            )
    if any(len(audit.table.passage_langs) > 1 for audit in audits.values()):
        parts += [
            sections.shares_section(audits, _colours(results)),
            sections.pairs_section(audits),
            sections.crowding_section(audits),
        ]
    losses = {entry.name: entry.losses for entry in results.strategies() if entry.losses and entry.losses[0]}
    if losses:
        parts.append(_curves_section(losses, _colours(results)))
    experiment = results.experiment
    facts = [
        ("experiment", experiment.name),
        ("trained on", experiment.data.corpus),
        ("tested on", same_corpus[-1].corpus),
        ("start", experiment.encoder.name),
        ("seeds", ", ".join(map(str, experiment.compare.seeds))),
        *((f"training.{name}", value) for name, value in experiment.training.rows() if name not in RESERVED),
        (
            "machine-made texts, by the source's word",
            _fact(audits[same_corpus[-1].name].table.about.machine_made),
        ),
        ("training time, all runs", f"{results.seconds:.0f} s"),
    ]
    write_text(file.with_name("headline.svg"), figure)
    write_text(file, render(f"Batch strategies compared: {experiment.name}", finding(results), facts, parts))


def _tests_of(results: Findings) -> list[Comparison]:
    return [test for found in results.tests.values() for test in found]


def _start_section(results: Findings, counted: int, where: str = "") -> Section:
    return winners.differences_section(
        results.start_tests, f"Does training help{where}?", counted=counted, family=START_FAMILY
    )


def headline_figure(results: Findings) -> str:
    """The headline measures of each encoder as a figure, in SVG."""
    own = results.strategies()[0].corpus
    names = [name for name in headline(_measured(results)) if name != SAME_LANGUAGE_SHARE]
    rows = [
        (
            entry.name + ("" if entry.corpus == own else " *"),
            {key: (e.value, e.low, e.high) for key, e in entry.means.items() if key in names},
        )
        for entry in results.entries
    ]
    return figures.settings_overview(
        rows, list(zip(names, titles(names), strict=True)), _colours(results, marked=True)
    )


def _colours(results: Findings, *, marked: bool = False) -> dict[str, str]:
    """The colour of each entry; with `marked`, also under its name with the mark of another pool."""
    found = figures.colours_of(entry.name for entry in results.entries)
    return found | ({f"{name} *": colour for name, colour in found.items()} if marked else {})


def headline_of(results: Findings) -> list[str]:
    """The names of the headline measures, and of every measure that is tested."""
    tested = [test.measure for test in _tests_of(results)]
    return headline_with(_measured(results), [*(results.experiment.compare.tests or ()), *tested])


def _measured(results: Findings) -> set[str]:
    return {name for entry in results.entries for name in entry.means}


def headline_table(results: Findings) -> Table:
    """The headline as a table: mean over seeds, interval over groups, and standard deviation over seeds."""
    names = headline_of(results)
    rows = [[entry.name, entry.corpus, *(_cell(entry, name) for name in names)] for entry in results.entries]
    return Table(
        ["encoder", "tested on", *titles(names)], rows,
        "value [95 % interval over groups] ± standard deviation over seeds",
    )  # fmt: skip


def _benchmark_sections(name: str, results: Findings, counted: int, start_tests: int) -> list[Section]:
    """The headline, the tests and the crowding on a benchmark. The crowding is that of the first seed."""
    from babelmix.experiment.results import finding

    tests = _tests_of(results)
    parts = [
        Section(
            f"On {name}",
            finding(results),
            headline_figure(results),
            "Points with intervals for each encoder in the three settings and rank distance.",
            [headline_table(results)],
        ),
    ]
    if tests:
        title = f"Are the differences real on {name}?"
        parts.append(winners.differences_section(tests, title, counted=counted, family=STRATEGIES_FAMILY))
    if results.start_tests:
        parts.append(_start_section(results, start_tests, f" on {name}"))
    if alpha := _alpha_section(results):
        parts.append(replace(alpha, title=f"{alpha.title}, on {name}"))
    audits = {entry.name: entry.audits[0] for entry in results.entries}
    crowding = sections.crowding_section(audits)
    return [*parts, replace(crowding, title=f"{crowding.title}, on {name}")]


def _cell(entry: Entry, name: str) -> str:
    if name not in entry.means:
        return ""
    info = measure_info(name)
    text = info.with_interval(entry.means[name])
    return f"{text} ± {info.shown(entry.seed_deviation[name])}" if len(entry.audits) > 1 else text


def _curves_section(losses: dict[str, list[list[tuple[int, float]]]], colours: Mapping[str, str]) -> Section:
    steps = [step for step, _ in next(iter(losses.values()))[0]]
    every = max(1, len(steps) // 10)
    rows = [
        [str(step), *(f"{sum(run[i][1] for run in runs) / len(runs):.3f}" for runs in losses.values())]
        for i, step in list(enumerate(steps))[every - 1 :: every]
    ]
    return Section(
        "Training",
        "Loss by step: the line is the mean over seeds, the band goes from the lowest to the highest. The losses of different "
        "strategies are not comparable: negatives in another language are easier to tell apart.",
        figures.curves(losses, x_label="step", y_label="loss", colours=colours),
        "Lines of training loss by step for each strategy.",
        [Table(["step", *losses], rows)],
    )


def _tuning_section(results: Findings) -> Section:
    settings = results.experiment.tune
    varied = list(next(iter(results.tuning.values())).best.settings)
    names = [
        name
        for name in settings.measures
        if any(name in t.measures for x in results.tuning.values() for t in x.trials)
    ]
    rows = [
        [
            strategy,
            *(
                f"{value:g}" + (" (edge)" if name in tuning.at_edge() else "")
                for name, value in tuning.best.settings.items()
            ),
            *(measure_info(name).shown(tuning.best.measures.get(name, float("nan"))) for name in names),
            f"{tuning.best.score:.3f}",
            f"{min(trial.score for trial in tuning.trials):.3f}",
        ]
        for strategy, tuning in results.tuning.items()
    ]
    return Section(
        "What was tuned",
        f"Every strategy was trained with the same {len(settings.grid)} settings, steps and seed, and audited on the validation "
        "part. The settings with the highest mean of the measures below were chosen. Edge: the best value is the lowest or the "
        "highest in the grid.",
        tables=[
            Table(
                [
                    "strategy",
                    *(name.replace("_", " ") for name in varied),
                    *titles(names),
                    "mean",
                    "worst mean",
                ],
                rows,
            )
        ],
    )


def _alpha_of(name: str) -> float | None:
    """The constant alpha of a strategy that draws monolingual and cross-lingual batches only."""
    from babelmix.batches.strategies import Cross, Hybrid, strategy

    chosen = strategy(name)
    if isinstance(chosen, Hybrid) and chosen.cross != Cross():
        return None
    alpha = chosen.alpha
    return alpha.start if alpha is not None and alpha.constant else None


def _no_alphas(results: Findings) -> LeftOut:
    found = sum(_alpha_of(entry.name) is not None for entry in results.strategies())
    return LeftOut(
        _ALPHA,
        f"the chart needs {_ALPHAS} strategies with a constant alpha, such as cross, hybrid(0.25), hybrid(0.5) and mono, and "
        f"compare.strategies has {found or 'none'}",
    )


def _alpha_section(results: Findings) -> Section | None:
    points = {alpha: entry for entry in results.strategies() if (alpha := _alpha_of(entry.name)) is not None}
    if len(points) < _ALPHAS:
        return None
    alphas = sorted(points)
    wanted = [name for name in headline_of(results) if name != SAME_LANGUAGE_SHARE]
    names = [name for name in wanted if all(name in points[a].means for a in alphas)]
    series = {
        measure_info(name).title: [(m.value, m.low, m.high) for m in (points[a].means[name] for a in alphas)]
        for name in names
    }
    rows = [[f"{a:g}", *(measure_info(name).with_interval(points[a].means[name]) for name in names)] for a in alphas]
    return Section(
        _ALPHA,
        "A batch is monolingual with probability alpha. Bands are 95 % intervals over groups.",
        figures.alpha_curves(alphas, series),
        "Lines of the headline measures against alpha.",
        [Table(["alpha", *series], rows)],
    )


def _vectors_fact(one: Mapping[str, Any]) -> str:
    """The vectors of one side in words: `queries.npy, float32, 384 dimensions, matched by id`."""
    return f"{one['file']}, {one['type']}, {one['dimensions']:,} dimensions, matched by {one['matched by']}"


def _fact(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} {entry!r}" for key, entry in value.items()) or "none"
    return "" if value is None else str(value)


__all__ = ["audit_lead", "headline_of", "headline_table", "write_audit_report", "write_comparison_report"]
