"""The report on ranked lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from babelmix._files import write_text
from babelmix._tables import Table
from babelmix.evaluation import Comparison
from babelmix.evaluation.audit_tables import Estimates, tests_table
from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, SHARE_AT, measure_info
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import Section, render

_BOUNDS = (
    "The lists do not show every passage. A relevant passage that is not in a list has an unknown rank: at best right behind the "
    "list, at worst at the end of the pool. In braces stands what a measure can be at least and at most."
)


class ListsShown(Protocol):
    """What the report needs to know of an audit of ranked lists; see `babelmix.api.list_reports.ListReport`."""

    @property
    def about(self) -> Mapping[str, Any]:
        """The facts of the audit."""
        ...

    @property
    def estimates(self) -> Mapping[str, Estimates]:
        """The estimates of each system."""
        ...

    @property
    def comparisons(self) -> Sequence[Comparison]:
        """The tests between systems."""
        ...

    def headline(self) -> Table:
        """The measures of each system."""
        ...

    def lines(self) -> list[str]:
        """The verdicts and the notes."""
        ...


def write_lists_report(report: ListsShown, file: Path) -> None:
    """Write the report of an audit of ranked lists.

    Args:
        report: the audit.
        file: the HTML file.

    """
    found, about = report.estimates, report.about
    lead, *more = report.lines()
    parts = []
    if all(SAME_LANGUAGE_SHARE in one for one in found.values()):
        langs = list(next(iter(found.values()))[SAME_LANGUAGE_SHARE][1])
        shares = {name: [one[SAME_LANGUAGE_SHARE][1][lang].value for lang in langs] for name, one in found.items()}
        parts.append(
            Section(
                f"Whose language are the first {SHARE_AT} answers in?",
                f"Share of the first {SHARE_AT} answers that are in the query's own language. The black line is that language's "
                "share of the pool.",
                figures.grouped_bars(
                    shares, langs, value_label=f"share of the first {SHARE_AT}",
                    fair=[about["pool_shares"].get(lang, 0.0) for lang in langs],
                ),
                "Bars of the same-language share by query language and system, with the fair share as a line.",
                [by_language(found, SAME_LANGUAGE_SHARE)],
            )
        )  # fmt: skip
    parts.append(Section("Every measure", _BOUNDS, tables=[report.headline()]))
    if report.comparisons:
        parts.append(Section("Are the differences real?", tables=[tests_table(report.comparisons)]))
    names = [name for name in next(iter(found.values())) if name != SAME_LANGUAGE_SHARE]
    parts.append(Section("Each query language", tables=[by_language(found, name) for name in names]))
    if more:
        parts.append(Section("What to know about these lists", tables=[Table(["note"], [[line] for line in more])]))
    facts = [
        ("corpus", str(about["corpus"])),
        ("queries", f"{about['queries']:,}"),
        ("passages", f"{about['passages']:,}"),
    ]
    facts += [("answers judged", f"{about['k']:,}")]
    for name, one in about["systems"].items():
        facts.append(
            (name, ", ".join(f"{key} {value}" for key, value in one.items() if isinstance(value, (str, int))))
        )
    write_text(file, render(f"Ranked lists of {', '.join(found)}", lead, facts, parts))


def by_language(found: Mapping[str, Estimates], name: str) -> Table:
    """A measure of each system by query language, with intervals."""
    info = measure_info(name)
    langs = sorted({lang for one in found.values() if name in one for lang in one[name][1]})
    rows = [
        [
            lang,
            *(
                info.with_interval(one[name][1][lang]) if lang in one.get(name, (None, {}))[1] else ""
                for one in found.values()
            ),
        ]
        for lang in langs
    ]
    return Table([f"{info.title}: query language", *found], rows)


__all__ = ["write_lists_report"]
