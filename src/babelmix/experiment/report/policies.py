"""The report that compares language policies on an index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from babelmix._files import write_text
from babelmix._tables import Table
from babelmix.evaluation import Comparison, Estimate
from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, SHARE_AT, measure_info, titles, unfolded
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import LeftOut, Section, render
from babelmix.experiment.report.winners import differences_section

Estimates = Mapping[str, tuple[Estimate, dict[str, Estimate]]]


def policies_table(found: Mapping[str, Estimates], cost: Mapping[str, Mapping[str, float]]) -> Table:
    """The measures of each policy, with intervals, and the time of a search.

    Args:
        found: the estimates of each policy.
        cost: the milliseconds per search of each policy: `median` and `p95`.

    """
    names = unfolded(next(iter(found.values())))
    rows = [
        [
            policy,
            *(measure_info(name).with_interval(measured[name][0]) for name in names),
            *(f"{cost[policy][key]:.1f}" for key in ("median", "p95")),
        ]
        for policy, measured in found.items()
    ]
    note = "value [95 % interval over groups]; milliseconds a search, one query at a time, without embedding it"
    return Table(["policy", *titles(names), "ms, median", "ms, p95"], rows, note)


def write_policies_report(
    found: Mapping[str, Estimates],
    cost: Mapping[str, Mapping[str, float]],
    tests: Sequence[Comparison],
    fair: Mapping[str, float],
    facts: Sequence[tuple[str, str]],
    file: Path,
    *,
    lead: str = "",
) -> None:
    """Write the report.

    Args:
        found: the estimates of each policy.
        cost: the milliseconds per search of each policy: `median` and `p95`.
        tests: the tests of the differences between policies.
        fair: the share of each language in the pool.
        facts: the facts of the audit, such as index and corpus: name and value.
        file: the HTML file.
        lead: the finding in one sentence.

    """
    colours = figures.colours_of(found)
    parts: list[Section | LeftOut] = []
    first = next(iter(found.values()))
    if SAME_LANGUAGE_SHARE in first:
        langs = list(first[SAME_LANGUAGE_SHARE][1])
        shares = {
            policy: [measured[SAME_LANGUAGE_SHARE][1][lang].value for lang in langs]
            for policy, measured in found.items()
        }
        parts.append(
            Section(
                f"Whose language are the first {SHARE_AT} answers in?",
                f"Share of the first {SHARE_AT} answers that are in the query's own language. The black line is that language's "
                "share of the pool.",
                figures.grouped_bars(
                    shares,
                    langs,
                    value_label=f"share of the first {SHARE_AT}",
                    fair=[fair[lang] for lang in langs],
                    colours=colours,
                ),
                "Bars of the same-language share by query language and policy, with the fair share as a line.",
                [_by_language(found, SAME_LANGUAGE_SHARE)],
            )
        )
    else:
        title = f"Whose language are the first {SHARE_AT} answers in?"
        parts.append(LeftOut(title, "no query is in a language of the index"))
    parts.append(Section("The policies", tables=[policies_table(found, cost)]))
    if tests:
        parts.append(differences_section(tests))
    tables = [_by_language(found, name) for name in first if name != SAME_LANGUAGE_SHARE]
    parts.append(Section("Each query language", tables=tables))
    write_text(file, render("Language policies through an index", lead, facts, parts))


def _by_language(found: Mapping[str, Estimates], name: str) -> Table:
    langs = list(next(iter(found.values()))[name][1])
    rows = [
        [lang, *(measure_info(name).with_interval(measured[name][1][lang]) for measured in found.values())]
        for lang in langs
    ]
    return Table([f"{measure_info(name).title}: query language", *found], rows)
