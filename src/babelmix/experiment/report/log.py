"""The report on the log of a service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from babelmix._files import write_text
from babelmix._tables import Table
from babelmix.evaluation.audit_tables import Estimates
from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, SHARE_AT
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import LeftOut, Section, render

_MOST = 40
"""Languages of a heat map."""


class LogShown(Protocol):
    """What the report needs to know of a log; see `babelmix.api.log_reports.LogReport`."""

    @property
    def about(self) -> Mapping[str, Any]:
        """The facts of the log."""
        ...

    @property
    def estimates(self) -> Estimates:
        """The measures."""
        ...

    @property
    def mix(self) -> Mapping[str, Mapping[str, int]]:
        """The number of answers by the query's language and their own."""
        ...

    @property
    def judged_lists(self) -> Any:
        """The audit of judged searches, or None."""
        ...

    def lead(self) -> str:
        """What the log holds."""
        ...

    def headline(self) -> Table:
        """The measures."""
        ...

    def by_language(self) -> Table:
        """The measures by query language."""
        ...

    def mix_table(self, most: int = ...) -> Table:
        """The languages of the answers."""
        ...

    def answer_langs(self) -> list[str]:
        """The languages of the answers, the most frequent first."""
        ...

    def policies_table(self) -> Table:
        """The policies."""
        ...

    def lines(self) -> list[str]:
        """The verdict and the notes."""
        ...


def write_log_report(report: LogShown, file: Path) -> None:
    """Write the report of the audit of a log.

    Args:
        report: the audit.
        file: the HTML file.

    """
    about, found = report.about, report.estimates
    first, *more = report.lines()
    parts: list[Section | LeftOut] = []
    own = f"Whose language are the first {SHARE_AT} answers in?"
    if SAME_LANGUAGE_SHARE in found:
        cells = found[SAME_LANGUAGE_SHARE][1]
        shares = about["pool_shares"]
        parts.append(
            Section(
                own,
                f"Share of the first {SHARE_AT} answers that are in the query's own language. The black line is that language's "
                "share of the index.",
                figures.grouped_bars(
                    {"searches": [one.value for one in cells.values()]}, list(cells),
                    value_label=f"share of the first {SHARE_AT}",
                    fair=[shares.get(lang, 0.0) for lang in cells] if shares else None,
                ),
                "Bars of the same-language share by query language, with the fair share as a line.",
                [report.by_language()],
            )
        )  # fmt: skip
        parts.append(Section("Every measure", tables=[report.headline()]))
    else:
        parts.append(
            LeftOut(own, "no search states the language of its query, or all are restricted to some languages")
        )
    parts.append(_mix(report))
    parts.append(Section("Policies and modes", tables=[report.policies_table()]))
    if report.judged_lists is not None:
        parts.append(
            Section(
                "Searches that are queries of the corpus",
                "The logged answers, judged by the qrels of the corpus. The folder of this report has their full audit.",
                tables=[report.judged_lists.headline()],
            )
        )
    parts.append(Section("What to know about this log", tables=[Table(["note"], [[line] for line in more])]))
    facts = [
        ("log", ", ".join(about["files"])),
        ("searches", f"{about['searches']:,}"),
        ("from", about["from"]),
        ("to", about["to"]),
        ("index", str(about["index"] or "unknown")),
        ("answers asked for", ", ".join(f"{k}: {count:,}" for k, count in about["k"].items())),
    ]
    write_text(file, render(report.lead(), first, facts, parts))


def _mix(report: LogShown) -> Section:
    """The heat map of query languages and answer languages."""
    queries, answers = list(report.mix)[:_MOST], report.answer_langs()[:_MOST]
    plane = np.array([[float(report.mix[query].get(lang, 0)) for lang in answers] for query in queries])
    totals = np.array([[float(sum(report.mix[query].values()))] for query in queries])
    with np.errstate(invalid="ignore"):
        shares = plane.reshape(len(queries), len(answers)) / totals
    return Section(
        "The mix of languages",
        "Share of each answer language in the answers to all searches in a language, the most frequent languages first.",
        figures.heatmaps(
            {"": shares}, queries, answers, row_label="language of the query", column_label="language of the answers",
            low=0, high=1,
        )
        if answers
        else "",
        "A heat map of the shares of answer languages by query language.",
        [report.mix_table(_MOST)],
    )  # fmt: skip


__all__ = ["write_log_report"]
