"""The report of audits side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from babelmix._files import write_text
from babelmix.evaluation import Audit, measure_info
from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, headline, titles
from babelmix.experiment.audits import AuditComparison
from babelmix.experiment.report import figures, sections
from babelmix.experiment.report.page import Section, Table, render


def write_audits_report(comparison: AuditComparison, file: Path) -> None:
    """Write the report of a comparison of audits."""
    audits = comparison.audits
    names = [name for name in _headline(audits) if name != SAME_LANGUAGE_SHARE]
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
            [audits_table(comparison)],
        ),
        Section("Are the differences real?", tables=[sections.tests_table(comparison.comparisons)]),
    ]
    first = next(iter(audits.values())).table
    if len(first.passage_langs) > 1:
        parts += [sections.shares_section(audits), sections.pairs_section(audits), sections.crowding_section(audits)]
    facts = [("corpus", first.about.corpus or ""), ("audits", ", ".join(audits))]
    write_text(file, render(f"Audits compared: {', '.join(audits)}", comparison_lead(comparison), facts, parts))


def _headline(audits: Mapping[str, Audit]) -> list[str]:
    return headline({name for audit in audits.values() for name in audit.estimates})


def audits_table(comparison: AuditComparison) -> Table:
    """The headline measures of each audit, with intervals."""
    audits = comparison.audits
    names = _headline(audits)
    rows = [
        [
            label,
            *(
                measure_info(name).with_interval(audit.estimates[name][0]) if name in audit.estimates else ""
                for name in names
            ),
        ]
        for label, audit in audits.items()
    ]
    return Table(["encoder", *titles(names)], rows, "value [95 % interval over groups]")


def comparison_lead(comparison: AuditComparison) -> str:
    """How many of the differences are significant, in a sentence."""
    tests = comparison.comparisons
    real = [c for c in tests if c.p_holm is not None and c.p_holm < 0.05]
    corpus = next(iter(comparison.audits.values())).table.about.corpus or "one corpus"
    return (
        f"{len(comparison.audits)} audits of {corpus}: {len(real)} of {len(tests)} differences are significant "
        "(p < .05 after Holm's correction over all of them)."
    )
