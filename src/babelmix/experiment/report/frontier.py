"""The frontier in a report: a figure, and sections for the choice and its test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from babelmix._files import write_text
from babelmix._tables import Table
from babelmix.evaluation import Comparison
from babelmix.evaluation.frontier import OTHER_RECALL, SAME_RECALL, Point
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import LeftOut, Section, render
from babelmix.experiment.report.winners import differences_section

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELLED = 12
"""The most points of a curve that are labelled with their alpha."""


def frontier_figure(points: Sequence[Point], chosen: int | None = None) -> str:
    """Same-language recall@10 against cross-language recall@10, one curve for each method and policy, as SVG.

    Points have their intervals as bars, and are labelled with alpha, or with the bonus where a curve has several at one alpha.

    Args:
        points: the points, curve by curve. Those without both recalls are left out.
        chosen: the number of the point that gets a ring; None: none.

    """
    shown = [point for point in points if SAME_RECALL in point.estimates and OTHER_RECALL in point.estimates]
    start = next((point for point in shown if point.setting.is_start), None)
    curves: dict[str, list[Point]] = {}
    for point in shown:
        if point is not start:
            curves.setdefault(point.setting.curve, []).append(point)
    colours = figures.colours_of(curves)
    figure, axes = figures.new_figure(7.2, 4.6)
    axis = axes[0, 0]
    for number, (name, found) in enumerate(curves.items()):
        # A curve of an alpha starts at the untouched vectors.
        along = sorted(found, key=lambda one: one.value(SAME_RECALL), reverse=True)
        joined = [start, *along] if start is not None and found[0].setting.policy == "any" else along
        axis.plot(
            [one.value(SAME_RECALL) for one in joined], [one.value(OTHER_RECALL) for one in joined],
            color=colours[name], linewidth=1.2, alpha=0.6,
        )  # fmt: skip
        several = len({one.setting.alpha for one in found}) < len(found)
        for place, one in enumerate(along):
            every = -(-len(along) // LABELLED)
            text = f"{one.setting.alpha:g}" + (one.setting.favour.replace(", own", "") if several else "")
            _point(
                axis, one, colours[name], figures.MARKERS[number % len(figures.MARKERS)], "" if place % every else text
            )
        axis.plot([], [], figures.MARKERS[number % len(figures.MARKERS)], color=colours[name], label=name)
    if start is not None:
        _point(axis, start, "black", "X", "untouched")
    if chosen is not None and points[chosen] in shown:
        x, y = (points[chosen].value(name) for name in (SAME_RECALL, OTHER_RECALL))
        axis.plot(x, y, "o", markersize=14, markerfacecolor="none", markeredgecolor="black", label="chosen")
    axis.set_xlabel("same-language recall@10 in the pool of all languages")
    axis.set_ylabel("cross-language recall@10")
    axis.grid(linewidth=0.4, alpha=0.5)
    figure.legend(loc="outside upper center", ncols=min(4, len(curves) + 1), fontsize=8)
    return figures.as_svg(figure)


def _point(axis: Axes, point: Point, colour: str, marker: str, text: str) -> None:
    x, y = point.estimate(SAME_RECALL), point.estimate(OTHER_RECALL)
    axis.errorbar(
        x.value, y.value, xerr=[[max(x.value - x.low, 0)], [max(x.high - x.value, 0)]],
        yerr=[[max(y.value - y.low, 0)], [max(y.high - y.value, 0)]],
        fmt=marker, color=colour, markersize=5, elinewidth=0.6, alpha=0.9,
    )  # fmt: skip
    if text:
        axis.annotate(text, (x.value, y.value), xytext=(5, 5), textcoords="offset points", fontsize=7, color=colour)


def frontier_section(points: Sequence[Point], chosen: int, words: str, table: Table) -> Section:
    """The frontier on the validation part, with the chosen point.

    Args:
        points: the points.
        chosen: the number of the chosen point.
        words: the rule.
        table: the numbers of the points.

    """
    return Section(
        "What each share of a removal keeps and finds",
        "Recall@10 in the pool of all languages: of right answers in the query's language (to the right is better) and of those "
        "in other languages (higher is better), with 95 % intervals over groups. Numbers at points are alpha, the share of the "
        f"removal that is applied. The ring is the choice: {words}.",
        frontier_figure(points, chosen),
        "Curves of cross-language recall against same-language recall for each method; the table below holds the numbers.",
        [table],
    )


def write_frontier_report(
    points: Sequence[Point],
    chosen: int,
    words: str,
    tables: Sequence[Table],
    tests: Sequence[Comparison],
    facts: Sequence[tuple[str, str]],
    file: Path,
    *,
    lead: str,
) -> None:
    """Write the report of a frontier as an HTML page.

    Args:
        points: the points of the validation part.
        chosen: the number of the chosen point.
        words: the rule.
        tables: the numbers on the test part, and those of the points.
        tests: chosen against untouched on the test part; may be empty.
        facts: names and values.
        file: the HTML file.
        lead: the finding in a sentence.

    """
    held_out, validation = tables
    parts: list[Section | LeftOut] = [
        Section(
            "The choice on queries that it has not seen",
            "Each value with its 95 % interval over groups.",
            tables=[held_out],
        ),
        differences_section(tests)
        if tests
        else LeftOut("Are the differences real?", "untouched vectors were chosen, so there is nothing to compare"),
        frontier_section(points, chosen, words, validation),
    ]
    write_text(file, render("The frontier of language removal", lead, facts, parts))


__all__ = ["frontier_figure", "frontier_section", "write_frontier_report"]
