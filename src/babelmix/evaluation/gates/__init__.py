"""A gate: rules that say which language bias and which quality fail a build.

| file | what it does |
|---|---|
| `rules.py` | reads a rule |
| `names.py` | finds the measure that a rule means |
| `possible.py` | says before anything is encoded that a rule cannot be checked |
| `deciding.py` | decides each rule in each cell, by the value or by the interval or test |
| `result.py`, `junit.py` | print the result, and write it for a CI server |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from babelmix.evaluation.gates.deciding import ALPHA, REVERSED, Decision, Judged, Status, decide
from babelmix.evaluation.gates.possible import check_names, check_no_before, check_possible
from babelmix.evaluation.gates.result import GateResult, Outcome
from babelmix.evaluation.gates.rules import Limit, Rule, parse_rules


def check(
    rules: str | Rule | Sequence[str | Rule],
    judged: Judged,
    before: Judged | None = None,
    *,
    significant: bool = False,
    pool_shares: Mapping[str, float] | None = None,
    subject: str = "",
) -> GateResult:
    """Check measures against rules.

    A rule is broken if it is met. A value that is NaN breaks the rule. With `significant`:

    - Against a number or `fair`, the 95 % interval decides. The rule is broken if all of the interval meets it, passed if
      nothing of the interval meets it, and otherwise inconclusive.
    - Against `before`, a paired randomisation test over groups decides, after Holm's correction over all cells of all rules with
      `before`. It tests the differences of the queries from their limits. The rule is broken if it is met and p < 0.05, passed
      if it is not met and p < 0.05, and otherwise inconclusive. For medians it is the bootstrap test.

    Args:
        rules: the rules; see `Rule`.
        judged: the measures of each system, by its name.
        before: the measures of the saved audit, of the same queries.
        significant: see above; without it the value alone decides.
        pool_shares: the share of each language in the pool, for `fair`.
        subject: what is checked, such as the name of the corpus.

    Returns:
        The result; it has a decision for each rule, system and cell.

    Raises:
        ConfigError: a rule cannot be read.
        AuditError: a system does not have a measure or a cell of a rule, or `before` does not fit.

    Examples:
        >>> import numpy as np
        >>> from babelmix.evaluation.measures import Measure
        >>> groups = np.arange(4)
        >>> one = Measure("multi", "mAP", ("de",), groups * 0, groups, np.array([0.0, 0.5, 0.5, 1.0]))
        >>> found = check(["multi/mAP < 0.6", "[de] multi/mAP < 0.4"], {"mine": {"multi/mAP": one}})
        >>> [str(decision.status) for decision in found.decisions]
        ['FAILED', 'passed']

    """
    parsed = parse_rules(rules)
    return GateResult(
        tuple(decide(parsed, judged, before, significant=significant, pool_shares=pool_shares)), significant, subject
    )


__all__ = [
    "ALPHA", "REVERSED", "Decision", "GateResult", "Judged", "Limit", "Outcome", "Rule", "Status", "check", "check_names",
    "check_no_before", "check_possible", "parse_rules",
]  # fmt: skip
