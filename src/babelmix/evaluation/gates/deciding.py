"""Whether rules are broken: each rule in each of its cells, for each system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from babelmix.errors import AuditError
from babelmix.evaluation.gates.rules import Rule
from babelmix.evaluation.measure_info import measure_info
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.significance import FLIPS, TEST_RESAMPLES, Comparison, Estimate, estimates, group_count, holm
from babelmix.evaluation.significance import compare as compare_measures

REVERSED = " (image-to-text)"
"""The end of the name of a system in the direction from pictures to captions; see `Judged`."""

ALPHA = 0.05
"""The level of a test after Holm's correction."""

Judged = Mapping[str, Mapping[str, Measure]]
"""The measures of each system, by its name. With pictures, both directions of a system are in it: see `REVERSED`."""


class Status(StrEnum):
    """What became of a rule."""

    PASSED = "passed"
    BROKEN = "FAILED"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Decision:
    """A rule in one cell of one system.

    Args:
        rule: the rule.
        system: the name of the system.
        cell: the cell; empty for the macro-average.
        status: what became of it.
        value: the value, with its 95 % interval.
        limit: the limit as a number.
        reference: the value of `before` or `fair`; None if the limit is a number.
        p: the p-value of the test against the limit, after Holm's correction; None without a test.

    """

    rule: Rule
    system: str
    cell: str
    status: Status
    value: Estimate
    limit: float
    reference: float | None = None
    p: float | None = None

    @property
    def name(self) -> str:
        """The rule, with the cell if the rule has several."""
        return f"{self.rule.text} [{self.cell}]" if self.rule.where == "any" else self.rule.text

    @property
    def shown(self) -> tuple[str, str, str]:
        """The value with its interval, the limit and the p-value, as texts."""
        info = measure_info(self.rule.measure)
        value = "no value" if np.isnan(self.value.value) else info.with_interval(self.value)
        limit = info.shown(self.limit) or "not known"
        if self.reference is not None:
            limit += f" ({self.rule.limit.base} {info.shown(self.reference) or 'no value'})"
        return value, limit, "" if self.p is None else f"{self.p:.4f}"

    @property
    def finding(self) -> str:
        """The value with its interval, the limit and the p-value, in words."""
        value, limit, p = self.shown
        return f"{value}, limit {limit}{f', p {p} after Holm' if p else ''}"


@dataclass(frozen=True)
class _Case:
    """A rule in one cell of one system, to be decided. `measure` has this cell alone, or all cells for the macro-average."""

    rule: Rule
    system: str
    cell: str
    measure: Measure
    before: Measure | None
    fair: float | None

    @property
    def reference(self) -> float | None:
        return self.before.macro() if self.before is not None else self.fair

    @property
    def limit(self) -> float:
        reference = self.reference
        return self.rule.limit.value(float("nan") if reference is None else reference)


def decide(
    rules: Sequence[Rule],
    judged: Judged,
    before: Judged | None = None,
    *,
    significant: bool = False,
    pool_shares: Mapping[str, float] | None = None,
) -> list[Decision]:
    """Decide rules; see `babelmix.evaluation.gates.check`."""
    cases = [
        case
        for rule in rules
        for system, measures in _with_measure(rule, judged).items()
        for case in _cases(rule, system, measures[rule.measure], before, pool_shares)
    ]
    found = _estimated(cases, judged)
    tests = _tested(cases) if significant else {}
    return [_decided(case, found[number], tests.get(number), significant) for number, case in enumerate(cases)]


def _with_measure(rule: Rule, judged: Judged) -> Judged:
    """The systems that have the measure of a rule. With pictures, a measure may exist in one direction only.

    Raises:
        AuditError: a system has it in no direction.

    """
    found = {system: measures for system, measures in judged.items() if rule.measure in measures}
    having = {system.removesuffix(REVERSED) for system in found}
    for system, measures in judged.items():
        if system.removesuffix(REVERSED) not in having:
            raise AuditError(
                f"rule {rule.text!r}: {system} has no {rule.measure} on this corpus; there are {', '.join(measures)}"
            )
    if not found:
        raise AuditError(f"rule {rule.text!r}: there is nothing to check")
    return found


def _cases(
    rule: Rule, system: str, measure: Measure, before: Judged | None, pool_shares: Mapping[str, float] | None
) -> list[_Case]:
    reference = None
    if rule.limit.base == "before":
        measure, reference = _references(rule, system, measure, before)
    if rule.where == "any":
        cells: list[str] = list(measure.cells)
    elif rule.where:
        there = {cell.casefold(): cell for cell in measure.cells}
        if rule.where.casefold() not in there:
            raise AuditError(
                f"rule {rule.text!r}: {rule.measure} of {system} has no [{rule.where}]; there are {', '.join(measure.cells)}"
            )
        cells = [there[rule.where.casefold()]]
    else:
        cells = [""]
    return [
        _Case(
            rule,
            system,
            cell,
            _only(measure, cell),
            None if reference is None else _only(reference, cell),
            _fair(rule, measure, cell, pool_shares) if rule.limit.base == "fair" else None,
        )
        for cell in cells
    ]


def _references(rule: Rule, system: str, measure: Measure, before: Judged | None) -> tuple[Measure, Measure]:
    """The measure, and that of the saved audit, of the same queries: those that have a value in both.

    Raises:
        AuditError: there is no saved audit, or it does not have the measure of the same queries.

    """
    if before is None:
        raise AuditError(f"rule {rule.text!r}: there is no audit to compare with; name it with against")
    backward = system.endswith(REVERSED)
    for name, measures in before.items():
        if name.endswith(REVERSED) == backward and rule.measure in measures:
            measure, found = measure.paired(measures[rule.measure])
            same = found.cells == measure.cells and np.array_equal(found.cell, measure.cell)
            if not same or not np.array_equal(found.group, measure.group) or not len(found.cell):
                raise AuditError(
                    f"rule {rule.text!r}: {system} and the audit before it are not of the same queries; audit both on one corpus"
                )
            return measure, found
    raise AuditError(f"rule {rule.text!r}: the audit to compare with has no {rule.measure}")


def _fair(rule: Rule, measure: Measure, cell: str, pool_shares: Mapping[str, float] | None) -> float:
    """The value of a measure of own language in which no language is preferred."""
    metric = measure.metric.partition("@")[0]
    if metric == "same-language preference":
        return 0.5
    if metric == "same-language excess":
        return 1.0
    if not pool_shares:
        raise AuditError(f"rule {rule.text!r}: the languages of the pool are not known, so there is no fair share")
    cells = [cell] if cell else measure.cells
    return float(np.mean([pool_shares.get(lang, 0.0) for lang in cells]))


def _only(measure: Measure, cell: str) -> Measure:
    """A measure with one cell alone; the whole measure if `cell` is empty."""
    if not cell:
        return measure
    mine = measure.cell == measure.cells.index(cell)
    rows = None if measure.rows is None else measure.rows[mine]
    return replace(
        measure,
        cells=(cell,),
        cell=measure.cell[mine] * 0,
        group=measure.group[mine],
        values=measure.values[mine],
        rows=rows,
    )


def _estimated(cases: Sequence[_Case], judged: Judged) -> list[Estimate]:
    """The value of each case with its interval, as in the report of the audit."""
    by_system: dict[str, dict[str, tuple[Estimate, dict[str, Estimate]]]] = {}
    for system, measures in judged.items():
        wanted = {case.rule.measure for case in cases if case.system == system}
        by_system[system] = estimates({name: measures[name] for name in wanted}, groups=group_count(measures))
    result = []
    for case in cases:
        macro, cells = by_system[case.system][case.rule.measure]
        result.append(cells[case.cell] if case.cell else macro)
    return result


def _tested(cases: Sequence[_Case]) -> dict[int, Comparison]:
    """The differences from the limits of the cases with `before`, tested, after Holm's correction over all of them.

    The limit of each query is `factor * before + shift`, so the test asks whether the values differ from their limits.
    """
    numbers = [number for number, case in enumerate(cases) if case.before is not None]
    draws = max(100 * len(numbers), FLIPS, TEST_RESAMPLES)
    found: list[Comparison] = []
    for system in dict.fromkeys(cases[number].system for number in numbers):
        mine = [number for number in numbers if cases[number].system == system]
        values = {str(number): cases[number].measure for number in mine}
        limits = {str(number): _limits(cases[number]) for number in mine}
        found += compare_measures([values], [limits], list(values), resamples=draws, flips=draws)
    return {int(one.measure): one for one in holm(found)}


def _limits(case: _Case) -> Measure:
    if case.before is None:
        raise AssertionError("only cases with a saved audit are tested")
    limit = case.rule.limit
    return replace(case.before, values=limit.factor * case.before.values + limit.shift)


def _decided(case: _Case, value: Estimate, test: Comparison | None, significant: bool) -> Decision:
    limit = case.limit
    if np.isnan(value.value) or np.isnan(limit):
        status = Status.BROKEN
    elif not significant:
        status = Status.BROKEN if case.rule.holds(value.value, limit) else Status.PASSED
    elif test is None:
        status = _by_interval(case, value, limit)
    else:
        status = _by_test(case, value, test)
    return Decision(
        case.rule, case.system, case.cell, status, value, limit, case.reference, None if test is None else test.p_holm
    )


def _by_interval(case: _Case, value: Estimate, limit: float) -> Status:
    # The interval of one group has no width, and says nothing about other groups.
    if len(np.unique(case.measure.group)) < 2 or np.isnan([value.low, value.high]).any():
        return Status.INCONCLUSIVE
    ends = [case.rule.holds(end, limit) for end in (value.low, value.high)]
    if all(ends):
        return Status.BROKEN
    return Status.INCONCLUSIVE if any(ends) else Status.PASSED


def _by_test(case: _Case, value: Estimate, test: Comparison) -> Status:
    met = Status.BROKEN if case.rule.holds(value.value, case.limit) else Status.PASSED
    # If every query has exactly its limit, there is nothing to be uncertain of.
    certain = np.array_equal(case.measure.values, _limits(case).values)
    return met if certain or (test.p_holm is not None and test.p_holm < ALPHA) else Status.INCONCLUSIVE


__all__ = ["ALPHA", "REVERSED", "Decision", "Judged", "Status", "decide"]
