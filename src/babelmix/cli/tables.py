"""What `audit`, `train` and `compare` print on a terminal."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix.cli.listing import new_table, out, plain
from babelmix.evaluation import Audit, Comparison, measure_info
from babelmix.evaluation.measure_info import SHARE_AT, headline
from babelmix.experiment import AuditComparison, Results, audit_lead, comparison_lead, finding
from babelmix.experiment.report import headline_of, sections
from babelmix.experiment.report.policies import Estimates, policies_lead
from babelmix.experiment.report.pool import pool_section
from babelmix.training import TrainingData, TrainingResult

LEGEND = (
    "mAP within a language (mono), across two (cross), in a pool of all (multi); rank dist.: places between translations "
    f"of one answer; own lang.@{SHARE_AT}: share of the first {SHARE_AT} answers in the query's language"
)


HIT_LEGEND = (
    "hit@k: a right one is among the first k, of the pool of all, or of what is in one language (one lang.); mAP in the pool of "
    "all; rank dist.: places between translations of one answer; of a picture, between its ranks for queries in several languages"
)


POLICY_LEGEND = (
    "macro-averages over query languages, from a pool of all languages; same-language preference: how often the answer in the "
    "query's language stands before a translation of it (0.5: no preference); languages: of the first answers; right languages: "
    "of the right ones among them; the time of a search is without embedding the query"
)


def _legend(names: Collection[str]) -> str:
    return HIT_LEGEND if any("/hit@" in name for name in names) else LEGEND


def print_audit(audit: Audit, folder: Path) -> None:
    """The three settings, the bias metrics, and where the report is."""
    for section in (sections.settings_section(audit), sections.bias_section(audit)):
        for content in section.tables:
            table = new_table(*content.head, title=section.title)
            for row in content.rows:
                table.add_row(*row)
            out.print(table)
    if (tokens := sections.tokens_section(audit)) is not None:
        table = new_table("language", "texts", "tokens/char q", "tokens/char p", "cut q", "cut p", title=tokens.title)
        for row in tokens.tables[0].rows:
            table.add_row(*row)
        out.print(table)
    if (calibration := sections.calibration_section(audit)) is not None:
        content = calibration.tables[0]
        table = new_table(*content.head, title=calibration.title)
        for row in content.rows:
            table.add_row(*row)
        out.print(table)
        out.print(sections.calibration_lead(audit.table.about.calibration or {}), style="dim", highlight=False)
    if (pool := pool_section(audit.table.about)) is not None:
        table = new_table(*pool.tables[0].head, title=pool.title)
        for row in pool.tables[0].rows:
            table.add_row(*map(plain, row))
        out.print(table)
    languages = sections.languages_section(audit).tables[0]
    names = headline(audit.estimates)
    short = new_table(languages.head[0], *(measure_info(name).short for name in names))
    for row in languages.rows:
        short.add_row(*(cell.split(" [")[0] for cell in row))
    out.print(short)
    out.print(_legend(names), style="dim", highlight=False)
    out.print()
    out.print(audit_lead(audit), highlight=False)
    out.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def print_noise(noise: Mapping[str, Any]) -> None:
    """What each language loses by noise on its queries."""
    section = sections.noise_section(noise)
    table = new_table(*section.tables[0].head, title=section.title)
    for row in section.tables[0].rows:
        table.add_row(*row)
    out.print(table)


def print_training(result: TrainingResult, folder: Path, data: TrainingData) -> None:
    """What was trained, how the loss went, and how to use it."""
    settings = result.settings
    out.print(
        f"trained {result.steps} steps of {settings.batch_size} pairs, {settings.strategy} batches, on {data.name} "
        f"({len(data.langs)} languages) in {result.seconds:.0f} s; "
        f"loss {result.losses[0][1]:.3f} at first, {result.losses[-1][1]:.3f} at last",
        highlight=False,
    )
    if result.best is not None:
        out.print(
            f"kept the weights of step {result.best.step}: {settings.schedule.stop_on} {result.best.score:.4f}, the best of "
            f"{len(result.evaluations)} looks at the validation corpus",
            highlight=False,
        )
    out.print(
        f"encoder: {folder}   load it with  SentenceTransformer({str(folder)!r})", highlight=False, soft_wrap=True
    )


def print_audit_comparison(comparison: AuditComparison, report: Path) -> None:
    """The headline of each audit, the tests, and where the report is."""
    head = headline({name for audit in comparison.audits.values() for name in audit.estimates})
    table = new_table("", *(measure_info(name).short for name in head))
    for label, audit in comparison.audits.items():
        values = (audit.estimates[name][0].value if name in audit.estimates else float("nan") for name in head)
        table.add_row(label, *(measure_info(name).shown(value) for name, value in zip(head, values, strict=True)))
    out.print(table)
    pairs = {(c.first, c.second): None for c in comparison.comparisons}
    for pair in pairs:
        tests = new_table("measure", "difference [95 %]", "effect", "p boot.", "p", "p Holm", title=" - ".join(pair))
        some = [c for c in comparison.comparisons if (c.first, c.second) == pair]
        for row in sections.tests_table(some).rows:
            tests.add_row(*row[1:])
        out.print(tests)
    out.print(_legend(head), style="dim", highlight=False)
    out.print()
    out.print(comparison_lead(comparison), highlight=False)
    out.print(f"report: {report}", highlight=False, soft_wrap=True)


def print_policies(
    found: Mapping[str, Estimates],
    cost: Mapping[str, Mapping[str, float]],
    tests: Sequence[Comparison],
    about: Mapping[str, Any],
) -> None:
    """What each language policy gave through an index, what it cost, and the tests."""
    names = list(next(iter(found.values())))
    title = f"{about['queries']:,} queries of {about['corpus']}, {about['index']} ({about['encoder']}, {about['pool']:,} rows)"
    table = new_table("", *found, title=title)
    for name in names:
        info = measure_info(name)
        table.add_row(info.title, *(info.shown(one[name][0].value) for one in found.values()))
    for key, words in (("median", "ms a search, median"), ("p95", "ms a search, p95")):
        table.add_row(words, *(f"{cost[policy][key]:.1f}" for policy in found))
    out.print(table)
    for policy in dict.fromkeys(one.first for one in tests):
        some = [one for one in tests if one.first == policy]
        shown = new_table(
            "measure", "difference [95 %]", "effect", "p boot.", "p", "p Holm", title=f"{policy} - {some[0].second}"
        )
        for row in sections.tests_table(some).rows:
            shown.add_row(*row[1:])
        out.print(shown)
    out.print(POLICY_LEGEND, style="dim", highlight=False)
    out.print()
    out.print(policies_lead(found, cost), highlight=False)


def print_comparison(results: Results, folder: Path) -> None:
    """The headline and the finding in one sentence, on the test part and on each benchmark, and where the report is."""
    for on in (results, *results.benchmarks.values()):
        _print_headline(on, titled=bool(results.benchmarks))
    if len(results.experiment.compare.seeds) > 1:
        out.print("± is the standard deviation over seeds; intervals over groups are in the report", highlight=False)
    out.print(_legend(headline_of(results)), style="dim", highlight=False)
    out.print()
    for on in (results, *results.benchmarks.values()):
        out.print(finding(on), highlight=False)
    out.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _print_headline(results: Results, titled: bool) -> None:
    head = headline_of(results)
    corpus = results.strategies()[0].corpus
    table = new_table("", *(measure_info(name).short for name in head), title=f"on {corpus}" if titled else "")
    for entry in results.entries:
        cells = []
        for name in head:
            if name not in entry.means:
                cells.append("")
                continue
            info = measure_info(name)
            text = info.shown(entry.means[name].value)
            if len(entry.audits) > 1:
                text += f" ± {info.shown(entry.seed_deviation[name])}"
            cells.append(text)
        mark = "" if entry.corpus == corpus else " *"
        table.add_row(
            entry.name + mark, *cells, style="bold" if entry.name == results.experiment.compare.against else None
        )
    out.print(table)
    for entry in results.entries:
        if entry.corpus != corpus:
            out.print(
                f"* tested on {entry.corpus}: a smaller pool, so not to be compared with the rows below",
                highlight=False,
            )
