"""The report that compares several audits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from babelmix._files import write_text
from babelmix.evaluation import Audit, Comparison
from babelmix.evaluation.audit_tables import headline_table
from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, headline, titles
from babelmix.experiment.report import figures, sections, winners
from babelmix.experiment.report.page import LeftOut, Section, render


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
    colours = figures.colours_of(audits)
    parts: list[Section | LeftOut] = []
    if comparison.comparisons:
        parts.append(winners.differences_section(comparison.comparisons))
    parts.append(
        Section(
            "The headline",
            "Points with 95 % bootstrap intervals over groups.",
            figures.settings_overview(rows, list(zip(names, titles(names), strict=True)), colours),
            "Points with intervals for each encoder in the three settings and rank distance.",
            [headline_table(estimates, intervals=True, more=[test.measure for test in comparison.comparisons])],
        )
    )
    first = next(iter(audits.values())).table
    if len(first.passage_langs) > 1:
        parts += [
            sections.shares_section(audits, colours),
            # Without labels there is no answer to be found or crowded out.
            *([sections.pairs_section(audits), sections.crowding_section(audits)] if len(first.pair_query) else []),
        ]
    else:
        parts.append(LeftOut("Languages against each other", "all passages are in one language"))
    verdicts = [(f"verdict on {name}", audit.lead()) for name, audit in audits.items() if audit.lead()]
    verdicts += [("weak languages", audit.weak.line(name)) for name, audit in audits.items() if audit.weak is not None]
    facts = [("corpus", first.about.corpus or ""), ("audits", ", ".join(audits)), *verdicts]
    title, lead = f"Audits compared: {', '.join(audits)}", comparison_lead(comparison)
    write_text(file, render(title, lead, facts, parts, hero=winners.winner_hero(comparison.comparisons)))


def comparison_lead(comparison: Compared) -> str:
    """One sentence: how many of the differences are significant."""
    tests = comparison.comparisons
    real = [test for test in tests if winners.is_real(test)]
    corpus = next(iter(comparison.audits.values())).table.about.corpus or "one corpus"
    return (
        f"{len(comparison.audits)} audits of {corpus}: {len(real)} of {len(tests)} differences are significant "
        "(p < .05 after Holm's correction over all of them)."
    )
