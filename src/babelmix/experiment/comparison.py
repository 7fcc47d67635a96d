"""The results of an experiment, as `babelmix compare` prints and saves them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from babelmix._files import distinct_slugs, write_json
from babelmix._tables import Result, Table, write_latex
from babelmix.evaluation import measure_info
from babelmix.evaluation.audit_tables import legend, tests_table
from babelmix.experiment.report import (
    START_FAMILY,
    STRATEGIES_FAMILY,
    headline_of,
    headline_table,
    write_comparison_report,
)
from babelmix.experiment.results import Entry, Findings, finding, results_as_json


@dataclass(frozen=True, eq=False, repr=False)
class Results(Findings, Result):
    """The results of a comparison of strategies on one corpus and on the benchmarks; see `Findings` for the arguments."""

    benchmarks: Mapping[str, Results] = field(default_factory=dict)
    report: Path | None = None

    def tables(self) -> list[Table]:
        """The headline of each encoder and strategy, on the test part and on each benchmark."""
        found = [on._headline(titled=bool(self.benchmarks)) for on in self._everywhere()]
        last = found[-1]
        notes = [last.note] if last.note else []
        if len(self.experiment.compare.seeds) > 1:
            notes.append("± is the standard deviation over seeds; intervals over groups are in the report")
        notes.append(legend(headline_of(self)))
        return [*found[:-1], replace(last, note=". ".join(notes))]

    def headline(self) -> Table:
        """The headline on the test part, a row for each encoder and strategy."""
        return self._headline(titled=False)

    def exports(self) -> dict[str, Table]:
        """`headline`; `intervals`: the same with 95 % intervals; `tests`: the paired tests on all corpora, and against the start.

        `benchmarks[NAME]` has the headline and the intervals on a benchmark.
        """
        return {"headline": self.headline(), "intervals": headline_table(self), "tests": self._tests()}

    def lines(self) -> list[str]:
        """The finding on the test part and on each benchmark."""
        return [finding(on) for on in self._everywhere()]

    def places(self) -> dict[str, str]:
        """The path of the report; empty if it is not saved."""
        return {} if self.report is None else {"report": str(self.report)}

    def to_frame(self) -> pl.DataFrame:
        """All macro-averages: columns `corpus`, `entry`, `kind`, `measure`, `value`, `low`, `high`, `seed_deviation`."""
        rows = [
            (entry.corpus, entry.name, entry.kind, name, mean.value, mean.low, mean.high, entry.seed_deviation[name])
            for on in self._everywhere()
            for entry in on.entries
            for name, mean in entry.means.items()
        ]
        columns = ["corpus", "entry", "kind", "measure", "value", "low", "high", "seed_deviation"]
        return pl.DataFrame(rows, schema=columns, orient="row")

    def as_json(self) -> dict[str, Any]:
        """The content of `results.json`."""
        return results_as_json(self)

    def save(self, folder: Path) -> Path:
        """Write `results.json`, `headline.svg`, `report.html`, and the tables in LaTeX into `tables`.

        Returns:
            The path of the report.

        """
        write_json(folder / "results.json", self.as_json())
        write_comparison_report(self, folder / "report.html")
        tables = self.exports()
        files = distinct_slugs(self.benchmarks)
        for name, on in self.benchmarks.items():
            of_benchmark = on.exports()
            tables |= {f"{kind}-{files[name]}": of_benchmark[kind] for kind in ("headline", "intervals")}
        write_latex(folder / "tables", tables)
        return folder / "report.html"

    def _tests(self) -> Table:
        """The tests on every corpus, because Holm's corrections are over all of them."""
        head = list(tests_table([]).head)
        rows = []
        for own in (lambda on: [test for found in on.tests.values() for test in found], lambda on: on.start_tests):
            for on in self._everywhere():
                corpus = on.strategies()[0].corpus
                rows += [[row[0], corpus, *row[1:]] for row in tests_table(own(on)).rows]
        note = tests_table([], f"{STRATEGIES_FAMILY}, and another one over {START_FAMILY}").note
        if not self.benchmarks:
            return Table(head, [[row[0], *row[2:]] for row in rows], note)
        return Table([head[0], "tested on", *head[1:]], rows, note, left=(0, 1, 2))

    def _everywhere(self) -> list[Results]:
        return [self, *self.benchmarks.values()]

    def _headline(self, *, titled: bool) -> Table:
        head, corpus = headline_of(self), self.strategies()[0].corpus
        rows = [
            [entry.name + ("" if entry.corpus == corpus else " *"), *(_cell(entry, name) for name in head)]
            for entry in self.entries
        ]
        others = dict.fromkeys(entry.corpus for entry in self.entries if entry.corpus != corpus)
        note = "; ".join(
            f"* tested on {other}: a smaller pool, so not to be compared with the rows below" for other in others
        )
        title = f"on {corpus}" if titled else ""
        chosen = [n for n, entry in enumerate(self.entries) if entry.name == self.experiment.compare.against]
        return Table(["", *(measure_info(name).short for name in head)], rows, note, title, chosen)


def _cell(entry: Entry, name: str) -> str:
    if name not in entry.means:
        return ""
    info = measure_info(name)
    text = info.shown(entry.means[name].value)
    return f"{text} ± {info.shown(entry.seed_deviation[name])}" if len(entry.audits) > 1 else text


__all__ = ["Results"]
