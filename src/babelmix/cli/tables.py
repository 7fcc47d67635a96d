"""What `audit`, `train` and `compare` print on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix.cli.listing import new_table, out
from babelmix.evaluation import Audit, Comparison, measure_info
from babelmix.evaluation.audit_tables import noise_table, tests_tables
from babelmix.experiment import AuditComparison, Results
from babelmix.experiment.report.policies import Estimates, policies_lead
from babelmix.training import TrainingData, TrainingResult

POLICY_LEGEND = (
    "macro-averages over query languages, from a pool of all languages; same-language preference: how often the answer in the "
    "query's language stands before a translation of it (0.5: no preference); languages: of the first answers; right languages: "
    "of the right ones among them; the time of a search is without embedding the query"
)


def print_audit(audit: Audit, folder: Path) -> None:
    """The audit, and where the report is."""
    audit.print_to(out)
    out.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def print_noise(noise: Mapping[str, Any]) -> None:
    """What each language loses by noise on its queries."""
    out.print(noise_table(noise).as_rich())


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
    comparison.print_to(out)
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
    for tested in tests_tables(tests):
        out.print(tested.as_rich())
    out.print(POLICY_LEGEND, style="dim", highlight=False)
    out.print()
    out.print(policies_lead(found, cost), highlight=False)


def print_comparison(results: Results, folder: Path) -> None:
    """The headline and the finding in one sentence, on the test part and on each benchmark, and where the report is."""
    results.print_to(out)
    out.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
