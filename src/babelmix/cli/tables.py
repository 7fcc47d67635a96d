"""What `audit`, `train` and `compare` print on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from babelmix.cli.listing import out
from babelmix.evaluation import Audit
from babelmix.evaluation.audit_tables import noise_table
from babelmix.experiment import AuditComparison, Results
from babelmix.training import TrainingData, TrainingResult


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


def print_comparison(results: Results, folder: Path) -> None:
    """The headline and the finding in one sentence, on the test part and on each benchmark, and where the report is."""
    results.print_to(out)
    out.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
