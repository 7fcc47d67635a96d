"""The result of a gate: a line for each rule, tables, JSON, Markdown for a pull request, and JUnit for a CI server."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from babelmix._files import write_text
from babelmix._tables import Result, Table, plain
from babelmix.evaluation.gates.deciding import Decision, Status
from babelmix.evaluation.gates.junit import junit_xml
from babelmix.evaluation.gates.rules import Rule

if TYPE_CHECKING:
    import polars as pl

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The environment variable with the file of a GitHub step summary."""

_SHOWN = 5
"""The cells that a line names."""
_ORDER = (Status.BROKEN, Status.INCONCLUSIVE, Status.PASSED)
_MARKS = {
    Status.BROKEN: ":x: **FAILED**",
    Status.INCONCLUSIVE: ":grey_question: inconclusive",
    Status.PASSED: ":white_check_mark: passed",
}


@dataclass(frozen=True)
class Outcome:
    """What became of a rule for one system.

    Args:
        rule: the rule.
        system: the name of the system.
        decisions: the decision in each cell; one for the macro-average.

    """

    rule: Rule
    system: str
    decisions: tuple[Decision, ...]

    @property
    def status(self) -> Status:
        """Broken if any cell is broken, else inconclusive if any cell is, else passed."""
        return next(status for status in _ORDER if any(one.status is status for one in self.decisions))

    @property
    def finding(self) -> str:
        """The values with their limits, in words."""
        if self.rule.where != "any":
            return self.decisions[0].finding
        if self.status is Status.PASSED:
            nearest = min(self.decisions, key=lambda one: abs(one.value.value - one.limit))
            return f"none of {len(self.decisions)}; the nearest is {nearest.cell}: {nearest.finding}"
        mine = [one for one in self.decisions if one.status is self.status]
        # A limit that is one number for all cells is said once.
        limits = {one.shown[1] for one in mine}
        named = [f"{one.cell} {one.shown[0] if len(limits) == 1 else one.finding}" for one in mine[:_SHOWN]]
        named += [f"and {len(mine) - _SHOWN} more"] if len(mine) > _SHOWN else []
        limit = f", limit {limits.pop()}" if len(limits) == 1 else ""
        return f"{len(mine)} of {len(self.decisions)}: {'; '.join(named)}{limit}"


@dataclass(frozen=True, eq=False)
class GateResult(Result):
    """The result of a gate.

    Args:
        decisions: each rule in each of its cells, for each system.
        significant: whether a rule is only broken if its interval or its test says so.
        subject: what was checked, such as the name of the corpus; may be empty.

    """

    decisions: tuple[Decision, ...]
    significant: bool = False
    subject: str = ""

    @property
    def passed(self) -> bool:
        """Whether no rule is broken. Inconclusive rules are not broken."""
        return not self.broken

    @property
    def broken(self) -> list[Outcome]:
        """The rules that are broken."""
        return self._with(Status.BROKEN)

    @property
    def inconclusive(self) -> list[Outcome]:
        """The rules that are not broken, but inconclusive in some cell."""
        return self._with(Status.INCONCLUSIVE)

    def outcomes(self) -> list[Outcome]:
        """What became of each rule for each system."""
        found: dict[tuple[str, Rule], list[Decision]] = {}
        for one in self.decisions:
            found.setdefault((one.system, one.rule), []).append(one)
        return [Outcome(rule, system, tuple(decisions)) for (system, rule), decisions in found.items()]

    def headline(self) -> Table:
        """A row for each rule and system."""
        rows = [[*_named(self, one), one.status, one.finding] for one in self.outcomes()]
        head = [*(["system"] if self._several else []), "rule", "result", "value [95 % interval], limit"]
        return Table(head, rows, left=range(len(head)))

    def tables(self) -> list[Table]:
        """The inconclusive cells, if there are any."""
        unclear = [one for one in self.decisions if one.status is Status.INCONCLUSIVE]
        tested = any(one.p is not None for one in unclear)
        several = self._several
        rows = [
            [one.rule.text, *([one.system] if several else []), one.cell or "all", *one.shown[: 2 + tested]]
            for one in unclear
        ]
        head = ["rule", *(["system"] if several else []), "where", "value [95 %]", "limit", *["p Holm"] * tested]
        return [Table(head, rows, title="Inconclusive: neither clearly met nor clearly not met")] if rows else []

    def lines(self) -> list[str]:
        """A line for each rule and system, and the result in a sentence."""
        lines = [
            f"{one.status:<12}  {': '.join([*_named(self, one), one.finding])}" for one in self.outcomes()
        ]  # fmt: skip
        return [*lines, self.verdict()]

    def verdict(self) -> str:
        """The result in a sentence."""
        number, broken, unclear = len(self.outcomes()), len(self.broken), len(self.inconclusive)
        what = "check" if self._several else "rule"
        what += "" if number == 1 else "s"
        return f"gate: {broken} of {number} {what} broken{f', {unclear} inconclusive' if unclear else ''}"

    def to_frame(self) -> pl.DataFrame:
        """A row for each rule, system and cell (null for the macro-average)."""
        import polars as pl

        rows = [
            (
                one.rule.text, one.system, one.rule.measure, one.cell or None, str(one.status), one.value.value, one.value.low,
                one.value.high, one.limit, one.reference, one.p,
            )
            for one in self.decisions
        ]  # fmt: skip
        texts = dict.fromkeys(("rule", "system", "measure", "cell", "status"), pl.String)
        numbers = dict.fromkeys(("value", "low", "high", "limit", "reference", "p_holm"), pl.Float64)
        return pl.DataFrame(rows, schema={**texts, **numbers}, orient="row")

    def as_json(self) -> dict[str, Any]:
        """The result as JSON-serialisable values; NaN is null."""
        rules = [
            {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
            for row in self.to_frame().to_dicts()
        ]
        return {"passed": self.passed, "significant": self.significant, "rules": rules}

    def print_to(self, console: Console) -> None:
        """Print the inconclusive cells, then a line for each rule. No line is broken at the width of the terminal."""
        for table in self.tables():
            console.print(Text(plain(table.title), style="italic"), highlight=False)
            console.print(table.as_rich())
        for line in self.lines():
            console.print(Text(plain(line)), highlight=False, soft_wrap=True)

    def markdown(self) -> str:
        """The result in Markdown, as a page of GitHub shows it."""
        several = self._several
        head = ["", *(["system"] if several else []), "rule", "value [95 % interval], limit"]
        rows = [
            [_MARKS[one.status], *([one.system] if several else []), f"`{one.rule.text}`", one.finding]
            for one in self.outcomes()
        ]
        parts = [f"### babelmix {self.verdict()}{f' ({self.subject})' if self.subject else ''}"]
        parts.append(Table(head, rows, left=range(len(head))).to_markdown())
        for table in self.tables():
            parts += [f"**{table.title}**", table.to_markdown()]
        return "\n\n".join(parts) + "\n"

    def write_summary(self, file: str | Path | None = None) -> Path | None:
        """Write the Markdown.

        Args:
            file: the file, which is replaced. None: `$GITHUB_STEP_SUMMARY`; nothing is written if it is not set. That file may
                hold what other commands of the step wrote, so the Markdown is appended to it.

        Returns:
            The file; None if nothing was written.

        """
        step = os.environ.get(SUMMARY)
        if file is None and not step:
            return None
        path = Path(file or str(step))
        if step and path == Path(step):
            # Other commands of the step write to this file too.
            with path.open("a", encoding="utf-8") as shared:
                shared.write(self.markdown() + "\n")
        else:
            write_text(path, self.markdown())
        return path

    def write_junit(self, file: str | Path) -> Path:
        """Write the result as JUnit XML: a suite for each system, a case for each rule and cell.

        A broken rule is a failure; an inconclusive one is skipped.

        Returns:
            The file.

        """
        write_text(Path(file), junit_xml(self.decisions, self.subject))
        return Path(file)

    @property
    def _several(self) -> bool:
        return len({one.system for one in self.decisions}) > 1

    def _with(self, status: Status) -> list[Outcome]:
        return [one for one in self.outcomes() if one.status is status]


def _named(result: GateResult, one: Outcome) -> list[str]:
    return [*([one.system] if result._several else []), one.rule.text]


__all__ = ["SUMMARY", "GateResult", "Outcome"]
