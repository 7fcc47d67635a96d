"""Who is better: tests between systems as sentences, as a plot of differences, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from babelmix.evaluation import Comparison, Estimate
from babelmix.evaluation.audit_tables import tests_table
from babelmix.evaluation.measure_info import measure_info
from babelmix.experiment.report import figures
from babelmix.experiment.report.page import Hero, Section, Tile

ALPHA = 0.05
"""A difference is significant if its p-value after Holm's correction is below this."""

OPPONENTS = 3
"""The most systems that the winner is compared with in sentences; the others are in the table."""

PANELS = 5
"""The most measures in the plot of differences; the others are in the table."""


def is_real(test: Comparison) -> bool:
    """Whether a difference is significant after Holm's correction."""
    return test.p_holm is not None and test.p_holm < ALPHA


def turned(test: Comparison) -> Comparison:
    """The same test seen from the other side: second minus first."""
    value = test.difference
    return replace(
        test, difference=Estimate(-value.value, -value.high, -value.low), effect=-test.effect, first=test.second,
        second=test.first,
    )  # fmt: skip


def points_of(tests: Sequence[Comparison]) -> dict[str, int]:
    """For each system the number of significant differences in its favour, less those against it."""
    points = {name: 0 for test in tests for name in (test.first, test.second)}
    for test in tests:
        if is_real(test) and measure_info(test.measure).better is not None:
            sign = 1 if is_better(test) else -1
            points[test.first] += sign
            points[test.second] -= sign
    return points


def winner(tests: Sequence[Comparison]) -> str | None:
    """The system with the most points, the first of several; None if no difference is significant."""
    real = any(is_real(test) and measure_info(test.measure).better is not None for test in tests)
    points = points_of(tests)
    return max(points, key=points.__getitem__) if real else None


def is_better(test: Comparison) -> bool:
    """Whether the first system of a test has the better value."""
    return (test.difference.value > 0) == (measure_info(test.measure).better == "higher")


def winner_lines(tests: Sequence[Comparison]) -> list[str]:
    """Who is better, in which measures and by how much, a sentence for each of the systems that the winner is tested against."""
    best = winner(tests)
    if best is None:
        return ["No system is significantly better than another."] if tests else []
    pairs: dict[str, list[Comparison]] = {}
    for test in tests:
        if best in (test.first, test.second):
            own = test if test.first == best else turned(test)
            pairs.setdefault(own.second, []).append(own)
    lines = [_line(best, other, found) for other, found in list(pairs.items())[:OPPONENTS]]
    if len(pairs) > OPPONENTS:
        lines.append(f"Its differences from {len(pairs) - OPPONENTS} more are in the table.")
    return lines


def _line(best: str, other: str, tests: Sequence[Comparison]) -> str:
    kinds: dict[str, list[Comparison]] = {"better": [], "worse": [], "different": []}
    same = [test for test in tests if not is_real(test)]
    for test in tests:
        if is_real(test):
            directed = measure_info(test.measure).better is not None
            kinds[("better" if is_better(test) else "worse") if directed else "different"].append(test)
    if kinds["better"] and len(kinds["better"]) == len(tests) > 1:
        numbers = {2: "both", 3: "all three", 4: "all four"}
        return f"{best} is better than {other} in {numbers.get(len(tests), f'all {len(tests)}')}: {_values(tests)}."
    words = {"better": "better than", "worse": "worse than", "different": "different from"}
    parts = [f"{words[kind]} {other} in {_values(found)}" for kind, found in kinds.items() if found]
    if same:
        titles = ", ".join(measure_info(test.measure).title for test in same)
        parts.append(f"not significantly different from {other} in {titles}")
    return f"{best} is {'; '.join(parts)}."


def _values(tests: Sequence[Comparison]) -> str:
    return ", ".join(f"{measure_info(test.measure).title} {signed(test)}" for test in tests)


def signed(test: Comparison) -> str:
    """The difference with its sign: `+0.114`."""
    return f"{'+' if test.difference.value > 0 else ''}{measure_info(test.measure).shown(test.difference.value)}"


def winner_hero(tests: Sequence[Comparison]) -> Hero:
    """The winner, and its differences from the system that it is tested against first."""
    best = winner(tests)
    if best is None:
        return Hero("cannot tell", "No clear winner", " ".join(winner_lines(tests)))
    own = [test if test.first == best else turned(test) for test in tests if best in (test.first, test.second)]
    first = own[0].second
    tiles = []
    for test in [one for one in own if one.second == first][:4]:
        info, one = measure_info(test.measure), test.difference
        word = "" if is_real(test) else "not significant, "
        if is_real(test) and info.better is not None:
            word = "better, " if is_better(test) else "worse, "
        note = f"{word}[{info.shown(one.low)}, {info.shown(one.high)}]"
        tiles.append(Tile(signed(test), f"{info.title}, against {first}", note))
    clear = points_of(tests)[best] > 0
    return Hero(
        "even" if clear else "cannot tell",
        f"{best} is better" if clear else "It depends on the measure",
        " ".join(winner_lines(tests)),
        tiles,
    )


def differences_section(
    tests: Sequence[Comparison],
    title: str = "Are the differences real?",
    *,
    counted: int | None = None,
    family: str = "all tests of this page",
) -> Section:
    """The differences with their intervals as a plot, and the tests in a folded table.

    Args:
        tests: the tests to show.
        title: the heading.
        counted: the number of tests that Holm's correction counts, with those of other sections; None: these alone.
        family: what these tests are, in words.

    """
    best = winner(tests)
    own = [turned(test) if best is not None and test.second == best else test for test in tests]
    panels = list(dict.fromkeys(test.measure for test in own))
    rows: dict[str, dict[str, tuple[float, float, float]]] = {}
    for test in own:
        one = test.difference
        rows.setdefault(f"{test.first} − {test.second}", {})[test.measure] = (one.value, one.low, one.high)
    more = f" Further measures are in the table: {len(panels) - PANELS}." if len(panels) > PANELS else ""
    if counted is None or counted == len(own):
        shown = f"The table has the p-values of all {len(own)} tests that Holm's correction counts."
    else:
        shown = f"The table has {len(own)} of the {counted} tests that Holm's correction counts, over all corpora of this page."
    return Section(
        title,
        "Differences with 95 % bootstrap intervals. The interval of a filled point excludes 0. Blue is better, orange is worse. "
        f"{shown}{more}",
        figures.differences(list(rows.items()), panels[:PANELS]),
        "Points with intervals: the difference of each pair of systems in each measure; the table below holds the numbers.",
        [tests_table(own, family)],
    )


__all__ = [
    "differences_section",
    "is_better",
    "is_real",
    "points_of",
    "signed",
    "turned",
    "winner",
    "winner_hero",
    "winner_lines",
]
