"""The report that compares several audits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from babelmix._files import write_text
from babelmix.evaluation import Audit, Comparison
from babelmix.evaluation.audit_tables import headline_table, tests_table
from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, headline, titles
from babelmix.experiment.report import figures, sections
from babelmix.experiment.report.page import Section, render


class Compared(Protocol):
    """Audits by name, and the tests between them."""

    @property
    def audits(self) -> Mapping[str, Audit]:
        """The audits by name, all of one corpus."""
        ...

    @property
    def comparisons(self) -> Sequence[Comparison]:
        """The tests."""
        ...


def write_audits_report(comparison: Compared, file: Path) -> None:
    """Write the report of a comparison of audits."""
    audits = comparison.audits
    estimates = {name: audit.estimates for name, audit in audits.items()}
    names = [
        name
        for name in headline({one for found in estimates.values() for one in found})
        if name != SAME_LANGUAGE_SHARE
    ]
    rows = [
        (name, {key: (e.value, e.low, e.high) for key, (e, _) in audit.estimates.items() if key in names})
        for name, audit in audits.items()
    ]
    parts = [
        Section(
            "The headline",
            "Points with 95 % bootstrap intervals over groups.",
            figures.settings_overview(rows, list(zip(names, titles(names), strict=True))),
            "Points with intervals for each encoder in the three settings and rank distance.",
            [headline_table(estimates, intervals=True)],
        ),
        Section("Are the differences real?", tables=[tests_table(comparison.comparisons)]),
    ]
    first = next(iter(audits.values())).table
    if len(first.passage_langs) > 1:
        parts.append(sections.shares_section(audits))
        # Without labels there is no answer to be found or crowded out.
        parts += [sections.pairs_section(audits), sections.crowding_section(audits)] if len(first.pair_query) else []
    facts = [("corpus", first.about.corpus or ""), ("audits", ", ".join(audits))]
    write_text(file, render(f"Audits compared: {', '.join(audits)}", comparison_lead(comparison), facts, parts))


def comparison_lead(comparison: Compared) -> str:
    """One sentence: how many of the differences are significant."""
    tests = comparison.comparisons
    real = [c for c in tests if c.p_holm is not None and c.p_holm < 0.05]
    corpus = next(iter(comparison.audits.values())).table.about.corpus or "one corpus"
    return (
        f"{len(comparison.audits)} audits of {corpus}: {len(real)} of {len(tests)} differences are significant "
        "(p < .05 after Holm's correction over all of them)."
    )
