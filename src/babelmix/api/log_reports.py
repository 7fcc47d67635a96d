"""The report on the log of a service that `babelmix.audit_log` returns, and its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, write_json
from babelmix._tables import Result, Table

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from babelmix.api.list_reports import ListReport
    from babelmix.evaluation import Estimate
    from babelmix.evaluation.gates import GateResult
    from babelmix.evaluation.measures import Measure

    Estimates = dict[str, tuple[Estimate, dict[str, Estimate]]]

FILE = "log.json"
"""The file by which the folder of a report is known."""

JUDGED = "judged"
"""The folder in it with the audit of the ranked lists."""

UNKNOWN = "unknown"
"""The language of queries that did not state theirs."""

_COLUMNS = 8
"""Answer languages with a column of their own in a terminal."""

_LEFT_OUT = {
    "restricted": "allowed some languages only, by a filter or by their policy",
    "unknown": "did not state the language of the query; see  serve --detect",
    "empty": "had no answers",
}


@dataclass(frozen=True, eq=False)
class LogReport(Result):
    """What a service answered, by its log.

    Args:
        about: `files`, `searches`, `from`, `to`, `index`, `encoder`, `pool` (rows by language), `pool_shares`, `k` (searches by
            k), `left_out` (searches that are not measured, by reason), `short` (searches with fewer than 10 answers), `states`
            (states of the index).
        measures: the measures, with one value a search.
        mix: the number of answers by the query's language and their own.
        policies: for each policy and mode `searches`, `own` (mean share of the first 10 in the query's language), `languages`,
            `empty`, `median` and `p95` (milliseconds).
        judged_lists: the audit of the searches that are queries of a corpus; None without a corpus.
        folder: the folder of the saved report; None if it is not saved.
        gate: the result of the rules `fail_if`; None without rules.

    """

    about: Mapping[str, Any]
    measures: Mapping[str, Measure]
    mix: Mapping[str, Mapping[str, int]]
    policies: Sequence[Mapping[str, Any]]
    judged_lists: ListReport | None = None
    folder: Path | None = None
    gate: GateResult | None = field(default=None)

    @cached_property
    def estimates(self) -> Estimates:
        """For each measure the macro-average over query languages and the languages; intervals are a bootstrap over searches."""
        from babelmix.evaluation.significance import estimates

        return estimates(self.measures) if self.measures else {}

    def judged(self) -> dict[str, Mapping[str, Measure]]:
        """The measures, for rules."""
        return {"log": self.measures}

    def pool_shares(self) -> Mapping[str, float]:
        """The share of each language in the index."""
        return dict(self.about["pool_shares"])

    def lead(self) -> str:
        """What the log holds."""
        about = self.about
        index = f" of {about['index']}" if about["index"] else ""
        return f"{about['searches']:,} searches{index}, {about['from'][:16]} to {about['to'][:16]} UTC"

    def headline(self) -> Table:
        """The measures, with intervals."""
        from babelmix.evaluation.measure_info import measure_info

        rows = []
        for name, (macro, _) in self.estimates.items():
            info = measure_info(name)
            rows.append([info.title, info.with_interval(macro)])
        return Table(
            ["macro-average over query languages", "log"],
            rows,
            "value [95 % interval over searches]",
            "Measured searches",
        )

    def tables(self) -> list[Table]:
        """The measures, the query languages, the mix of languages, the policies; then what was judged."""
        tables = [self.headline()] if self.measures else []
        if self.measures:
            tables.append(self.by_language())
        tables += [self.mix_table(), self.policies_table()]
        return tables + ([] if self.judged_lists is None else self.judged_lists.tables())

    def by_language(self) -> Table:
        """The searches and the own share of each query language, beside its share of the index."""
        from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, measure_info

        measure = self.measures[SAME_LANGUAGE_SHARE]
        shares, info = self.about["pool_shares"], measure_info(SAME_LANGUAGE_SHARE)
        counts = {lang: int((measure.cell == cell).sum()) for cell, lang in enumerate(measure.cells)}
        rows = [
            [
                lang, f"{counts[lang]:,}", info.with_interval(one), f"{shares[lang]:.3f}" if lang in shares else "",
            ]
            for lang, one in self.estimates[SAME_LANGUAGE_SHARE][1].items()
        ]  # fmt: skip
        return Table(["query language", "searches", info.short, "share of the index"], rows)

    def mix_table(self, most: int = _COLUMNS) -> Table:
        """The share of each answer language in the answers to queries in a language.

        Args:
            most: the number of answer languages with a column of their own.

        """
        langs = self.answer_langs()
        shown, others = langs[:most], langs[most:]
        rows = []
        for lang, counts in self.mix.items():
            total = sum(counts.values())
            parts = [counts.get(one, 0) for one in shown] + (
                [sum(counts.get(one, 0) for one in others)] if others else []
            )
            rows.append([lang, f"{total:,}", *(f"{part / total:.2f}" if total else "" for part in parts)])
        head = ["query language", "answers", *shown, *(["others"] if others else [])]
        return Table(head, rows, "shares of the answers to all searches", "The languages of the answers")

    def answer_langs(self) -> list[str]:
        """The languages of the answers, the most frequent first."""
        totals: dict[str, int] = {}
        for counts in self.mix.values():
            for lang, count in counts.items():
                totals[lang] = totals.get(lang, 0) + count
        return sorted(totals, key=lambda lang: (-totals[lang], lang))

    def policies_table(self) -> Table:
        """The searches of each policy and mode."""
        rows = [
            [
                one["policy"], one["mode"], f"{one['searches']:,}", "" if one["own"] is None else f"{one['own']:.3f}",
                f"{one['languages']:.1f}", f"{one['empty']:,}", f"{one['median']:.1f}", f"{one['p95']:.1f}",
            ]
            for one in self.policies
        ]  # fmt: skip
        head = ["policy", "mode", "searches", "own language @10", "languages @10", "empty", "ms, median", "ms, p95"]
        return Table(head, rows, title="Policies and modes", left=(0, 1))

    def lines(self) -> list[str]:
        """The verdict, what was not measured, and what to know."""
        about = self.about
        lines = []
        if self.measures:
            lines.append(self.verdict())
        if not self.measures:
            lines.append("No search could be measured, so nothing is said about bias.")
        for reason, words in _LEFT_OUT.items():
            if number := about["left_out"].get(reason, 0):
                lines.append(f"Not measured: {number:,} of {about['searches']:,} searches {words}.")
        if about["short"]:
            lines.append(f"{about['short']:,} searches had fewer than 10 answers; their shares are of those they had.")
        if not about["pool"]:
            lines.append("The log does not say what the index holds, so no share is compared with a fair one.")
        if about["states"] > 1:
            lines.append(f"The index had {about['states']} states; shares are compared with the last one.")
        lines.append("What people asked is no random sample of questions: a log shows the mix, not its cause.")
        if self.judged_lists is not None:
            queries = self.judged_lists.about["queries"]
            lines.append(
                f"{queries:,} queries of {self.judged_lists.about['corpus']} are in the log under every policy:"
            )
            lines += self.judged_lists.lines()
        return lines

    def verdict(self) -> str:
        """The verdict in one sentence."""
        from babelmix.evaluation.verdict import verdict

        return verdict(self.estimates, self.about["pool_shares"]).line()

    def places(self) -> dict[str, str]:
        """The path of the report; empty if it is not saved."""
        return {} if self.folder is None else {"report": str(self.folder / "report.html")}

    def to_frame(self) -> pl.DataFrame:
        """One row per number: measure, cell (null for the macro-average), value, low, high.

        The measure `answers` is the number of answers of a cell `QUERY LANGUAGE > ANSWER LANGUAGE`; it has no interval.
        """
        import polars as pl

        from babelmix.evaluation.audit_tables import estimates_frame

        frame = estimates_frame(self.estimates)
        counts = [
            ("answers", f"{query} > {lang}", float(count), None, None)
            for query, some in self.mix.items()
            for lang, count in some.items()
        ]
        return pl.concat([frame, pl.DataFrame(counts, schema=frame.schema, orient="row")])

    def as_json(self) -> dict[str, Any]:
        """The content of `log.json`."""
        found: dict[str, Any] = {
            "about": dict(self.about),
            "macro": {name: asdict(macro) for name, (macro, _) in self.estimates.items()},
            "cells": {
                name: {cell: asdict(one) for cell, one in cells.items()} for name, (_, cells) in self.estimates.items()
            },
            "mix": {lang: dict(counts) for lang, counts in self.mix.items()},
            "policies": [dict(one) for one in self.policies],
        }
        if self.judged_lists is not None:
            found["judged"] = self.judged_lists.as_json()
        if self.gate is not None:
            found["gate"] = self.gate.as_json()
        return found

    def print_to(self, console: Console) -> None:
        """Print the tables, the sentences and the path of the report, then the gate."""
        super().print_to(console)
        if self.gate is not None:
            self.gate.print_to(console)

    def save(self, folder: str | Path) -> LogReport:
        """Write `log.json` and `report.html`.

        Args:
            folder: a new folder, an empty one, or the folder of an earlier report on a log.

        Returns:
            A copy of the report that knows its folder.

        Raises:
            BabelmixError: the folder holds other files.

        """
        from babelmix.experiment.report.log import write_log_report

        place = Path(folder)
        check_output_folder(place, [FILE, JUDGED])
        place.mkdir(parents=True, exist_ok=True)
        write_json(place / FILE, self.as_json())
        saved = replace(self, folder=place)
        write_log_report(saved, place / "report.html")
        return saved


__all__ = ["FILE", "JUDGED", "UNKNOWN", "LogReport"]
