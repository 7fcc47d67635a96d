"""The reports that `babelmix.audit` returns, and their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._files import check_output_folder, distinct_slugs, recorded, slug, write_json
from babelmix._tables import Result, Table
from babelmix.api._folders import Folder, Out, folder_of
from babelmix.errors import ArgumentError

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

    from babelmix.evaluation import Audit
    from babelmix.evaluation.gates import GateResult
    from babelmix.evaluation.measures import Measure
    from babelmix.experiment import AuditComparison

BACK = "image-to-text"
"""The sub-folder for the audit with pictures as queries, inside the folder of the audit with captions as queries."""

PERTURBED = "perturbed.json"
"""The file that says how much mAP is lost by noise on the queries."""


@dataclass(frozen=True, eq=False)
class AuditReport(Result):
    """The audit of one encoder on one corpus.

    Args:
        name: the name of the encoder in reports.
        audit: the audit. If the corpus has pictures, captions are the queries.
        back: the audit with pictures as queries; None if the corpus has no pictures.
        perturbed: the loss of mAP by noise on the queries, see `babelmix.evaluation.perturb.perturb_loss`; None without noise.
        comparisons: the differences from the audit `against`, one comparison for each direction; empty without `against`.
        folder: the folder of the saved report; None if it is not saved.
        gate: the result of the rules `fail_if`; None without rules.

    """

    name: str
    audit: Audit
    back: Audit | None = None
    perturbed: dict[str, Any] | None = None
    comparisons: tuple[AuditComparison, ...] = ()
    folder: Path | None = None
    gate: GateResult | None = None

    @property
    def audits(self) -> dict[str, Audit]:
        """The audits by sub-folder: `audit` in the folder itself and, if there is one, `back` in `image-to-text`."""
        return {"": self.audit} | ({BACK: self.back} if self.back is not None else {})

    def macro(self, measure: str) -> float:
        """The macro-average of a measure such as `multi/mAP` or `bias/rank distance`: the mean over languages or pairs of them.

        Raises:
            AuditError: the audit does not have this measure.

        """
        return self.audit.macro(measure)

    def judged(self) -> dict[str, Mapping[str, Measure]]:
        """The measures that rules are checked on, by the name of the encoder; with pictures, of both directions."""
        from babelmix.evaluation.gates import REVERSED

        back = {} if self.back is None else {self.name + REVERSED: self.back.measures}
        return {self.name: self.audit.measures, **back}

    def pool_shares(self) -> dict[str, float]:
        """The share of the pool that is in each query language, averaged over its queries: some may leave passages out."""
        from babelmix.evaluation.verdict import fair_shares

        return fair_shares(self.audit.table)

    def tables(self) -> list[Table]:
        """Tables of the settings, the bias, the tokens, the score levels, the pool, and each language; of both directions."""
        return [table for part in self._parts() for table in part.tables()]

    def _printed(self) -> list[Table]:
        """The tables without those of tokens and score levels, which have a sentence in `lines`."""
        return [table for part in self._parts() for table in part._printed()]

    def headline(self) -> Table:
        """One row. Texts: mAP in the three settings, rank distance, same-language share. Pictures: hit@k, mAP, rank distance."""
        return self.audit.headline()

    def lead(self) -> str:
        """The verdict in one sentence; see `babelmix.evaluation.verdict`."""
        return self.audit.lead()

    def lines(self) -> list[str]:
        """The verdict and the findings in sentences."""
        return [line for part in self._parts() for line in part.lines()]

    def places(self) -> dict[str, str]:
        """The path of the report; empty if it is not saved."""
        return {} if self.folder is None else {"report": str(self.folder / "report.html")}

    def to_frame(self) -> pl.DataFrame:
        """Every measure and cell with its interval, as `Audit.to_frame`. On pictures, the column `way` is the direction."""
        import polars as pl

        frames = [audit.to_frame() for audit in self.audits.values()]
        if len(frames) == 1:
            return frames[0]
        ways = ("text-to-image", BACK)
        return pl.concat(
            [frame.with_columns(pl.lit(way).alias("way")) for frame, way in zip(frames, ways, strict=True)]
        )

    def as_json(self) -> dict[str, Any]:
        """The content of `metrics.json`, with the comparison, the loss by noise and the gate, if there are any."""
        summaries = [audit.summary() for audit in self.audits.values()]
        for summary, comparison in zip(summaries, self.comparisons, strict=False):
            summary["comparison"] = comparison.as_json()
        found = summaries[0] | ({"image to text": summaries[1]} if len(summaries) > 1 else {})
        found |= {"perturbed": self.perturbed} if self.perturbed is not None else {}
        return found | ({"gate": self.gate.as_json()} if self.gate is not None else {})

    def print_to(self, console: Console) -> None:
        """Print the audit of each direction with the path of its report, then the loss by noise, the comparisons, the gate."""
        for part in self._parts():
            part.print_to(console)

    def save(self, folder: str | Path) -> AuditReport:
        """Write `ranks.parquet`, `queries.parquet`, `metrics.json` and `report.html`, and the comparisons.

        `babelmix.compare` and `babelmix audit --against` read the folder.

        Args:
            folder: a new folder, an empty one, or the folder of an earlier audit.

        Returns:
            A copy of the report that knows its folder.

        Raises:
            BabelmixError: the folder holds other files.

        """
        place = Path(folder)
        _check_folder(place)
        for way, audit in self.audits.items():
            save_audit(audit, place / way)
            save_report(audit, place / way, self.perturbed)
        saved = replace(self, folder=place)
        saved._save_comparisons()
        return saved

    def _save_comparisons(self) -> None:
        if self.folder is not None:
            for way, comparison in zip(self.audits, self.comparisons, strict=False):
                comparison.save(self.folder / way, "comparison.html")

    def _parts(self) -> list[Result]:
        parts: list[Result] = [
            _Placed(audit, {} if self.folder is None else {"report": str(self.folder / way / "report.html")})
            for way, audit in self.audits.items()
        ]
        if self.perturbed is not None:
            parts.append(_Perturbed(self.perturbed))
        for way, comparison in zip(self.audits, self.comparisons, strict=False):
            place = {} if self.folder is None else {"report": str(self.folder / way / "comparison.html")}
            parts.append(_Placed(comparison, place))
        return [*parts, *([self.gate] if self.gate is not None else [])]


@dataclass(frozen=True, eq=False)
class AuditReports(Result):
    """The audits of several encoders on one corpus, side by side.

    Args:
        reports: the reports by the name of the encoder, in the order given.
        comparisons: the tests between the encoders, one comparison for each direction. The encoder with the highest mAP is first.
        folder: the folder of the saved reports; None if they are not saved.
        gate: the result of the rules `fail_if`; None without rules.

    """

    reports: dict[str, AuditReport]
    comparisons: tuple[AuditComparison, ...]
    folder: Path | None = None
    gate: GateResult | None = None

    def __getitem__(self, name: str) -> AuditReport:
        return self.reports[name]

    def judged(self) -> dict[str, Mapping[str, Measure]]:
        """The measures that rules are checked on, by the name of the encoder."""
        return {name: found for report in self.reports.values() for name, found in report.judged().items()}

    def pool_shares(self) -> dict[str, float]:
        """The share of each language in the pool."""
        return next(iter(self.reports.values())).pool_shares()

    def tables(self) -> list[Table]:
        """Tables of the loss by noise for each encoder, the headline of all encoders, and the tests."""
        return [table for part in self._parts() for table in part.tables()]

    def headline(self) -> Table:
        """The headline, one row per encoder."""
        return self.comparisons[0].headline()

    def lines(self) -> list[str]:
        """A sentence: how many differences are significant."""
        return [line for part in self._parts() for line in part.lines()]

    def to_frame(self) -> pl.DataFrame:
        """The frames of `AuditReport.to_frame` together, with a column `encoder`."""
        import polars as pl

        return pl.concat(
            [report.to_frame().with_columns(pl.lit(name).alias("encoder")) for name, report in self.reports.items()]
        )

    def as_json(self) -> dict[str, Any]:
        """The comparison, with the loss by noise of each encoder and the gate, if there are any."""
        facts = self.comparisons[0].as_json()
        facts |= {"image to text": self.comparisons[1].as_json()} if len(self.comparisons) > 1 else {}
        perturbed = {_key(one): one.perturbed for one in self.reports.values() if one.perturbed is not None}
        facts |= {"perturbed": perturbed} if perturbed else {}
        return facts | ({"gate": self.gate.as_json()} if self.gate is not None else {})

    def print_to(self, console: Console) -> None:
        """Print the loss by noise for each encoder, then the comparisons, then the gate."""
        for part in self._parts():
            part.print_to(console)

    def save(self, folder: str | Path) -> AuditReports:
        """Write an audit in a folder for each encoder, `comparison.json` and `report.html`.

        Raises:
            BabelmixError: the folder holds other files.

        """
        place = Path(folder)
        audit_folders(list(self.reports), "", place)
        short = distinct_slugs(self.reports)
        reports = {name: one.save(place / short[name]) for name, one in self.reports.items()}
        saved = replace(self, reports=reports, folder=place)
        saved._save_comparisons()
        return saved

    def _save_comparisons(self) -> None:
        if self.folder is not None:
            for way, comparison in zip(("", BACK), self.comparisons, strict=False):
                comparison.save(self.folder / way)

    def _parts(self) -> list[Result]:
        parts: list[Result] = [
            _Perturbed(one.perturbed, _key(one)) for one in self.reports.values() if one.perturbed is not None
        ]
        for way, comparison in zip(("", BACK), self.comparisons, strict=False):
            place = {} if self.folder is None else {"report": str(self.folder / way / "report.html")}
            parts.append(_Placed(comparison, place))
        return [*parts, *([self.gate] if self.gate is not None else [])]


def save_audit(audit: Audit, folder: Path) -> None:
    """Write an audit into a folder. The noise results of an earlier audit in this folder are removed."""
    audit.save(folder)
    (folder / PERTURBED).unlink(missing_ok=True)


def save_report(audit: Audit, folder: Path, perturbed: dict[str, Any] | None) -> None:
    """Write the report of a saved audit, and its loss by noise, into the audit's folder."""
    from babelmix.experiment import write_audit_report

    if perturbed is not None:
        write_json(folder / PERTURBED, perturbed)
    write_audit_report(audit, folder / "report.html", perturbed)


def _key(report: AuditReport) -> str:
    return str(report.folder) if report.folder is not None else report.name


def _check_folder(folder: Path) -> None:
    check_output_folder(folder, ["metrics.json", "ranks.parquet"])


def audit_folders(names: Sequence[str], corpus: str, out: Out) -> tuple[Path | None, list[Path | None]]:
    """The folder of the whole result, and the folder of each model's audit."""
    if out is None:
        return None, [None] * len(names)
    short = distinct_slugs(names)
    several = len(names) > 1
    if isinstance(out, Folder):
        whole = folder_of(out, f"audits-{slug(corpus)}") if several else None
        folders = [
            folder_of(out, f"audit-{short[name]}-{slug(corpus)}", partial(_holds_another, name, corpus))
            for name in names
        ]
        whole = whole or folders[0]
    else:
        whole = Path(out)
        folders = [whole / short[name] for name in names] if several else [whole]
    found = [folder for folder in folders if folder is not None]
    if several and whole is not None:
        check_output_folder(whole, ["comparison.json", *(folder.name for folder in found)])
    for folder in found:
        _check_folder(folder)
        before = recorded(folder / "metrics.json", "about", "corpus")
        if corpus and before not in (None, corpus):
            raise ArgumentError("out", f"{folder} holds an audit on {before}; name another folder, or delete it")
    return whole, folders


def _holds_another(model: str, corpus: str, place: Path) -> bool:
    """Whether a folder holds the audit of another model or on another corpus."""
    about = recorded(place / "metrics.json", "about") or {}
    return Path(about.get("encoder", model)) != Path(model) or about.get("corpus", corpus) != corpus


@dataclass(frozen=True, eq=False)
class _Placed(Result):
    """A result, with the path of its report."""

    result: Result
    where: dict[str, str] = field(default_factory=dict)

    def tables(self) -> list[Table]:
        return self.result.tables()

    def _printed(self) -> list[Table]:
        return self.result._printed()

    def to_frame(self) -> pl.DataFrame:
        return self.result.to_frame()

    def as_json(self) -> dict[str, Any]:
        return self.result.as_json()

    def lead(self) -> str:
        return self.result.lead()

    def lines(self) -> list[str]:
        return self.result.lines()

    def places(self) -> dict[str, str]:
        return self.where


@dataclass(frozen=True, eq=False)
class _Perturbed(Result):
    """The loss of mAP by noise on the queries, in each language."""

    noise: dict[str, Any]
    name: str = ""

    def tables(self) -> list[Table]:
        from babelmix.evaluation.audit_tables import noise_table

        table = noise_table(self.noise)
        return [replace(table, title=f"{self.name}: {table.title}" if self.name else table.title)]

    def to_frame(self) -> pl.DataFrame:
        import polars as pl

        rows = [
            {"kind": kind, "lang": lang, "mAP": found["mAP"][lang], "lost": found["lost"][lang]}
            for kind, found in self.noise["kinds"].items()
            for lang in found["mAP"]
        ]
        return pl.DataFrame(rows)

    def as_json(self) -> dict[str, Any]:
        return self.noise


__all__ = ["BACK", "PERTURBED", "AuditReport", "AuditReports", "audit_folders", "save_audit", "save_report"]
