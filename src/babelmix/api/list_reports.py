"""The report on ranked lists that `babelmix.audit` returns, and its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder
from babelmix._tables import Result, Table
from babelmix.errors import AuditError

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from babelmix.evaluation import Comparison, Estimate
    from babelmix.evaluation.gates import GateResult
    from babelmix.evaluation.lists import ListAudit
    from babelmix.evaluation.measures import Measure

    Estimates = dict[str, tuple[Estimate, dict[str, Estimate]]]

LEGEND = (
    "value [95 % interval over groups]; in braces {lowest, highest}: what it can be at least and at most, as ranks beyond the "
    "lists are unknown; no braces: it is known"
)


@dataclass(frozen=True, eq=False)
class ListReport(Result):
    """The audit of the ranked lists of one system or several: run files, services, or functions.

    Args:
        about: `corpus`, `fingerprint`, `queries`, `passages`, `copies`, `k`, `pool_shares` (the share of each language
            in the pool), and `systems`, the facts of each system.
        audits: the measures of each system, by its name.
        comparisons: the tests between systems, after Holm's correction; empty for one system.
        notes: sentences on what a reader should know about the lists.
        cost: the milliseconds of a search of each live system: `median` and `p95`.
        folder: the folder of the saved report; None if it is not saved.
        gate: the result of the rules `fail_if`; None without rules.

    """

    about: Mapping[str, Any]
    audits: Mapping[str, ListAudit]
    comparisons: Sequence[Comparison] = ()
    notes: Sequence[str] = ()
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    folder: Path | None = None
    gate: GateResult | None = None

    @classmethod
    def load(cls, folder: str | Path) -> ListReport:
        """Read a folder that `save` wrote.

        Raises:
            AuditError: the folder is no audit of ranked lists, or damaged.

        """
        from babelmix.evaluation import Comparison, Estimate
        from babelmix.evaluation.saved_lists import load_lists

        audits, content = load_lists(Path(folder))
        tests = [
            Comparison(
                **{
                    **one,
                    "difference": Estimate(**one["difference"]),
                    "effect": float("nan") if one["effect"] is None else one["effect"],
                }
            )
            for one in content["tests"]
        ]
        cost = {
            name: system["milliseconds"] for name, system in content["systems"].items() if "milliseconds" in system
        }
        return cls(content["about"], audits, tests, content["notes"], cost, Path(folder))

    @cached_property
    def estimates(self) -> dict[str, Estimates]:
        """For each system and measure, the macro-average over query languages and the cells, with intervals."""
        return {name: audit.estimates() for name, audit in self.audits.items()}

    def judged(self) -> dict[str, Mapping[str, Measure]]:
        """The measures of each system, with a value per query."""
        return {name: audit.measures for name, audit in self.audits.items()}

    def pool_shares(self) -> Mapping[str, float]:
        """The share of each language in the pool."""
        return dict(self.about["pool_shares"])

    def macro(self, measure: str, system: str | None = None) -> float:
        """The macro-average of a measure such as `multi/mAP@100`: the mean over query languages.

        Args:
            measure: the measure.
            system: the name of the system; None: the first.

        Raises:
            AuditError: there is no such system or measure.

        """
        return self._audit(system, measure).measures[measure].macro()

    def bounds(self, measure: str, system: str | None = None) -> tuple[float, float]:
        """What the macro-average of a measure can be at least and at most, as ranks beyond the lists are unknown.

        Args:
            measure: the measure.
            system: the name of the system; None: the first.

        Raises:
            AuditError: there is no such system or measure.

        """
        return self._audit(system, measure).bounds[measure].macro()

    def tables(self) -> list[Table]:
        """The measures of each system; for one system also by query language; then the tests."""
        from babelmix.evaluation.audit_tables import tests_tables

        tables = [self.headline()]
        if len(self.audits) == 1:
            tables.append(self._by_language())
        return [*tables, *tests_tables(self.comparisons)]

    def headline(self) -> Table:
        """Every measure, one row each, with the intervals and the bounds of each system."""
        from babelmix.evaluation.measure_info import measure_info

        several = len(self.audits) > 1
        rows = []
        for name in self._names():
            info, cells = measure_info(name), []
            for system, audit in self.audits.items():
                if name not in audit.measures:
                    cells.append("")
                    continue
                estimate = self.estimates[system][name][0]
                shown = info.shown(estimate.value) if several else info.with_interval(estimate)
                if not audit.bounds[name].exact:
                    low, high = audit.bounds[name].macro()
                    shown += f" {{{info.shown(low)}, {info.shown(high)}}}"
                cells.append(shown)
            rows.append([info.title, *cells])
        for key, words in (("median", "median"), ("p95", "p95")):
            if self.cost:
                cells = [f"{self.cost[one][key]:.1f}" if one in self.cost else "" for one in self.audits]
                rows.append([f"ms a search, {words}", *cells])
        about = self.about
        title = (
            f"{about['queries']:,} queries of {about['corpus']}, the first {about['k']:,} answers, from a pool of "
            f"{about['pool']:,}"
        )
        return Table(["macro-average over query languages", *self.audits], rows, LEGEND, title)

    def lines(self) -> list[str]:
        """The verdict on each system, what is missing in its lists, and the notes."""
        return [*(f"{name}: {line}" for name, line in self._verdicts()), *self._missing(), *self.notes]

    def places(self) -> dict[str, str]:
        """The path of the report; empty if it is not saved."""
        return {} if self.folder is None else {"report": str(self.folder / "report.html")}

    def to_frame(self) -> pl.DataFrame:
        """One row per number: system, measure, cell (null for the macro-average), value, low, high, lowest, highest.

        `low` and `high` are the ends of the 95 % interval over groups, `lowest` and `highest` the bounds.
        """
        import polars as pl

        from babelmix.evaluation.audit_tables import estimates_frame

        frames = []
        for system, audit in self.audits.items():
            ends = [
                (name, cell, *both)
                for name, one in audit.bounds.items()
                for cell, both in [(None, one.macro()), *one.cells().items()]
            ]
            schema = {"measure": pl.String, "cell": pl.String, "lowest": pl.Float64, "highest": pl.Float64}
            bounds = pl.DataFrame(ends, schema=schema, orient="row")
            frame = estimates_frame(self.estimates[system]).join(
                bounds, on=["measure", "cell"], how="left", nulls_equal=True, maintain_order="left"
            )
            frames.append(frame.select(pl.lit(system).alias("system"), pl.all()))
        return pl.concat(frames)

    def as_json(self) -> dict[str, Any]:
        """The content of `lists.json`."""
        systems: dict[str, Any] = {}
        for name, audit in self.audits.items():
            bounds = {measure: one.macro() for measure, one in audit.bounds.items()}
            by_cell = {measure: one.cells() for measure, one in audit.bounds.items()}
            systems[name] = {
                "macro": {
                    measure: {**asdict(macro), "lowest": bounds[measure][0], "highest": bounds[measure][1]}
                    for measure, (macro, _) in self.estimates[name].items()
                },
                "cells": {
                    measure: {
                        cell: {
                            **asdict(one),
                            "lowest": by_cell[measure][cell][0],
                            "highest": by_cell[measure][cell][1],
                        }
                        for cell, one in cells.items()
                    }
                    for measure, (_, cells) in self.estimates[name].items()
                },
            }
            if name in self.cost:
                systems[name]["milliseconds"] = dict(self.cost[name])
        tests = [one.as_json() for one in self.comparisons]
        gate = {"gate": self.gate.as_json()} if self.gate is not None else {}
        return {"about": dict(self.about), "systems": systems, "tests": tests, "notes": list(self.notes), **gate}

    def print_to(self, console: Console) -> None:
        """Print the tables, the sentences and the path of the report, then the gate."""
        super().print_to(console)
        if self.gate is not None:
            self.gate.print_to(console)

    def save(self, folder: str | Path) -> ListReport:
        """Write `lists.json`, `values.parquet` (the values of each query), `answers.parquet` (the lists) and `report.html`.

        `babelmix.compare` and `babelmix audit --against` read the folder.

        Args:
            folder: a new folder, an empty one, or the folder of an earlier audit.

        Returns:
            A copy of the report that knows its folder.

        Raises:
            BabelmixError: the folder holds other files.

        """
        from babelmix.evaluation.saved_lists import FILE, save_lists
        from babelmix.experiment.report.lists import write_lists_report

        place = Path(folder)
        check_output_folder(place, [FILE, ANSWERS])
        save_lists(place, self.audits, self.as_json())
        saved = replace(self, folder=place)
        write_lists_report(saved, place / "report.html")
        return saved

    def _names(self) -> list[str]:
        """The measures of all systems, each once."""
        return list(dict.fromkeys(name for audit in self.audits.values() for name in audit.measures))

    def _audit(self, system: str | None, measure: str) -> ListAudit:
        name = next(iter(self.audits)) if system is None else system
        if name not in self.audits:
            raise AuditError(f"there is no system {name!r}; there are {', '.join(self.audits)}")
        found = self.audits[name]
        if measure not in found.measures:
            raise AuditError(f"this audit has no {measure}; it has {', '.join(found.measures)}")
        return found

    def _by_language(self) -> Table:
        """The measures of the first system by query language."""
        from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE, measure_info

        found = next(iter(self.estimates.values()))
        shares = self.about["pool_shares"]
        # A terminal has room for four: all others are in the report.
        ranking = [name for name in found if not measure_info(name).is_bias][:1]
        names = [*ranking, *(name for name in found if name.startswith(_BY_LANGUAGE))]
        langs = sorted({lang for name in names for lang in found[name][1]})
        rows = [
            [
                lang,
                *(
                    measure_info(name).shown(found[name][1][lang].value) if lang in found[name][1] else ""
                    for name in names
                ),
                f"{shares.get(lang, 0):.3f}",
            ]
            for lang in langs
        ]
        fair = "share of the pool"
        head = ["query language", *(measure_info(name).short for name in names), fair]
        if SAME_LANGUAGE_SHARE in names:
            # The two stand side by side.
            place = names.index(SAME_LANGUAGE_SHARE) + 1
            head = [*head[: place + 1], fair, *head[place + 1 : -1]]
            rows = [[*row[: place + 1], row[-1], *row[place + 1 : -1]] for row in rows]
        return Table(head, rows)

    def _verdicts(self) -> list[tuple[str, str]]:
        from babelmix.evaluation.verdict import verdict

        shares = self.about["pool_shares"]
        return [(name, verdict(found, shares).line()) for name, found in self.estimates.items()]

    def _missing(self) -> list[str]:
        lines = []
        for name, facts in self.about["systems"].items():
            missing, wanted = facts.get("missing", 0), facts.get("relevant", 0)
            if missing:
                lines.append(
                    f"{name}: {missing:,} of {wanted:,} relevant passages ({missing / wanted:.1%}) are not in its lists, so "
                    "their ranks are unknown; the numbers in braces are the bounds."
                )
        return lines


_BY_LANGUAGE = ("bias/same-language share@", "bias/same-language preference@", "bias/right languages@")

ANSWERS = "answers"
"""The folder in the folder of an unfinished audit, with the answers of live systems so far."""

__all__ = ["ANSWERS", "ListReport"]
