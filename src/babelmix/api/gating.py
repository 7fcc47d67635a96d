"""Check audits against rules: `babelmix.check`, and `--fail-if` of `babelmix audit` and `babelmix compare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from babelmix.api.audit_reports import BACK, AuditReport, AuditReports
from babelmix.api.list_reports import ListReport
from babelmix.errors import ArgumentError, AuditError, ConfigError

if TYPE_CHECKING:
    from babelmix.corpus import Corpus
    from babelmix.evaluation import Audit
    from babelmix.evaluation.gates import GateResult, Judged, Rule


OWN_SHARE_RULE = "own-language share@10 > 0.75 * fair + 0.25"
"""The own share is more than a quarter of the way from the fair share to 1: what reports call biased."""
DISTANCE_RULE = "rank distance over chance > 0.5"
"""Translations of one answer lie more than half as far apart as in a shuffled pool: what reports call biased."""


class Report(Protocol):
    """A report whose measures can be checked: of an audit, of several, of ranked lists, or of language policies."""

    def judged(self) -> Judged:
        """The measures of each system, by its name."""
        ...

    def pool_shares(self) -> Mapping[str, float]:
        """The share of each language in the pool."""
        ...


def check(
    report: Report | str | Path,
    rules: str | Rule | Sequence[str | Rule],
    *,
    before: Report | str | Path | None = None,
    significant: bool = False,
) -> GateResult:
    """Check a report against rules that say when it fails.

    Args:
        report: the report of `babelmix.audit`, `babelmix.compare` or `babelmix.audit_index`; or the folder of a finished audit.
        rules: rules such as `own-language share@10 > 0.4`, `[de] multi/mAP < before - 0.02`; see docs/ci.md.
        before: for rules with `before`: the report of one system on the same corpus, or the folder of a finished audit.
        significant: a rule is broken only if the 95 % interval or the paired test says so; otherwise it is inconclusive.

    Returns:
        A `GateResult`. `passed` says whether no rule is broken. `write_junit` and `write_summary` write it for a CI server.

    Raises:
        ConfigError: a rule cannot be read, or `before` is several systems.
        AuditError: the report or `before` does not have a measure or a language of a rule, they are not of one corpus, or the
            ranks are probably of a mistake, such as vectors in another order.

    Examples:
        >>> import babelmix as bm
        >>> rows = [{"item": str(n), "lang": lang, "text": f"{lang} {n}"} for n in range(9) for lang in ("de", "en")]
        >>> corpus = bm.Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(9)], name="toy")
        >>> from babelmix.encoders.kinds import make_encoder
        >>> encoder = make_encoder("static", [row["text"] for row in rows], dimension=4, seed=0)
        >>> report = bm.audit({"static": encoder}, corpus)
        >>> result = check(report, ["multi/mAP < 0.1", "own-language share@10 > fair + 40 %"])
        >>> result.passed, len(result.outcomes())
        (True, 2)

    """
    from babelmix.evaluation.gates import check as check_measures
    from babelmix.evaluation.gates import parse_rules

    parsed = parse_rules(rules)
    now = _loaded(report, parsed)
    _check_input(now)
    return check_measures(
        parsed, now.judged(), None if before is None else judged_before(now, _loaded(before, parsed)), significant=significant,
        pool_shares=now.pool_shares(), subject=_subject(now),
    )  # fmt: skip


def default_rules(report: Report | str | Path) -> list[str]:
    """The rules of `babelmix.testing.assert_no_language_bias`: from these limits on, reports say biased.

    Args:
        report: the report, or the folder of a finished audit. Without translations it has no rank distance.

    """
    judged = _loaded(report, ()).judged()
    distance = "bias/rank distance over chance"
    return [OWN_SHARE_RULE, *([DISTANCE_RULE] if any(distance in measures for measures in judged.values()) else [])]


def judged_before(report: Report, before: Report) -> Judged:
    """The measures of a saved report of one system, checked to be of the same corpus.

    Raises:
        ConfigError: it is of several systems.
        AuditError: it is of another corpus.

    """
    from babelmix.evaluation.gates import REVERSED
    from babelmix.experiment.audits import check_same_corpus

    judged = before.judged()
    if len({name.removesuffix(REVERSED) for name in judged}) > 1:
        raise ArgumentError("before", f"is of {', '.join(judged)}; give the report of one of them")
    if isinstance(report, AuditReport) and isinstance(before, AuditReport):
        check_same_corpus("before", before.audit.table.about, report.name, report.audit.table.about)
    return judged


def _check_input(report: Report) -> None:
    """Raise if the ranks are probably of a mistake in the input: a gate must not pass on them.

    Raises:
        AuditError: an audit has a `doubt`; see `babelmix.evaluation.audit_facts.AuditFacts`.

    """
    from babelmix.experiment.audits import AuditComparison

    audits: dict[str, Audit] = {}
    if isinstance(report, AuditReports):
        audits = {name: one.audit for name, one in report.reports.items()}
    elif isinstance(report, AuditReport):
        audits = {report.name: report.audit}
    elif isinstance(report, AuditComparison):
        audits = report.audits
    for name, audit in audits.items():
        if audit.table.about.doubt is not None:
            raise AuditError(f"the rules cannot be checked for {name}: {audit.table.about.doubt}")


def _loaded(report: Report | str | Path, rules: Sequence[Rule]) -> Report:
    """A report that has the metrics of the rules; the folder of a finished audit is read."""
    from babelmix.evaluation import Audit

    if isinstance(report, AuditReports):
        return replace(report, reports={name: _complete(one, rules) for name, one in report.reports.items()})
    if isinstance(report, AuditReport):
        return _complete(report, rules)
    if not isinstance(report, (str, Path)):
        return report
    folder, metrics = Path(report), metrics_of(rules)
    if (folder / "lists.json").is_file():
        return ListReport.load(folder)
    audit = Audit.load(folder, metrics)
    back = Audit.load(folder / BACK, metrics) if (folder / BACK / "ranks.parquet").is_file() else None
    return AuditReport(audit.table.about.system, audit, back, folder=folder)


def _complete(report: AuditReport, rules: Sequence[Rule]) -> AuditReport:
    """A report with the metrics of the rules: they are computed from its ranks if they are missing."""
    from babelmix.experiment.audits import completed

    needed = metrics_of(rules, ())
    first, *back = (completed(audit, needed) for audit in report.audits.values())
    return replace(report, audit=first, back=back[0] if back else None)


def metrics_of(rules: Sequence[Rule], metrics: Sequence[str] | None = None, *, exact: bool = True) -> list[str]:
    """Metrics, with those that the rules need; None: the default ones. `exact`: of an audit by exact scores, not of lists."""
    from babelmix.evaluation.measure_info import BIAS, ranking_metrics
    from babelmix.evaluation.metrics import DEFAULT

    needed = ranking_metrics(rule.measure for rule in rules)
    needed += [rule.measure for rule in rules if exact and rule.measure.startswith(BIAS) and "@" in rule.measure]
    return list(dict.fromkeys([*(DEFAULT if metrics is None else metrics), *needed]))


def _subject(report: Report) -> str:
    if isinstance(report, AuditReports):
        return _subject(next(iter(report.reports.values())))
    return (report.audit.table.about.corpus or "") if isinstance(report, AuditReport) else ""


@contextmanager
def _named() -> Iterator[None]:
    """Errors about rules name the argument."""
    try:
        yield
    except ConfigError as error:
        raise ArgumentError("fail_if", str(error)) from error


@dataclass(frozen=True)
class Gate:
    """The rules of a command, and where its result is written.

    Args:
        rules: the rules.
        significant: see `check`.
        junit: the file for JUnit XML; None: it is not written.
        summary: the file for Markdown; None: `$GITHUB_STEP_SUMMARY`, if it is set.

    """

    rules: tuple[Rule, ...]
    significant: bool
    junit: Path | None
    summary: Path | None

    @classmethod
    def of(
        cls,
        fail_if: str | Sequence[str] | None,
        significant: bool = False,
        junit: str | Path | None = None,
        summary: str | Path | None = None,
    ) -> Gate | None:
        """Read the arguments before the work begins; None without a rule.

        Raises:
            ConfigError: a rule cannot be read, or there is none but another argument.

        """
        from babelmix.evaluation.gates import parse_rules

        if fail_if is None:
            for name, given in (("significant", significant), ("junit", junit), ("summary", summary)):
                if given:
                    raise ArgumentError(
                        name, "is for rules; give one with fail_if, such as  own-language share@10 > 0.4"
                    )
            return None
        with _named():
            rules = tuple(parse_rules(fail_if))
        files = [None if one is None else Path(one) for one in (junit, summary)]
        for name, file in zip(("junit", "summary"), files, strict=True):
            if file is not None and file.is_dir():
                raise ArgumentError(name, f"{file} is a folder; name a file")
        return cls(rules, significant, *files)

    def metrics(self, metrics: Sequence[str] | None, *, exact: bool = True) -> list[str]:
        """Metrics, with those that the rules need; see `metrics_of`."""
        return metrics_of(self.rules, metrics, exact=exact)

    def check_cutoffs(self, k: int) -> None:
        """Raise if a rule is about a ranking metric that the first k answers do not tell; the message names one that they do.

        Raises:
            ArgumentError: there is such a rule.

        """
        from babelmix.evaluation.lists import within
        from babelmix.evaluation.measure_info import BIAS

        for rule in self.rules:
            setting, _, metric = rule.measure.partition("/")
            if not rule.measure.startswith(BIAS) and (known := within(metric, k, cut=True)) != metric:
                raise ArgumentError(
                    "fail_if",
                    f"rule {rule.text!r}: only the first {k} answers are known; write  {setting}/{known}  in place of "
                    f"{rule.measure}",
                )

    def needed(self) -> list[str]:
        """The ranking metrics that the rules need."""
        from babelmix.evaluation.measure_info import ranking_metrics

        return ranking_metrics(rule.measure for rule in self.rules)

    def check_corpora(self, corpora: Sequence[Corpus], *, before: bool) -> None:
        """Raise before anything is encoded if a rule cannot be checked; see `babelmix.evaluation.gates.check_possible`."""
        from babelmix.evaluation.gates import check_possible

        with _named():
            check_possible(self.rules, corpora, before=before)

    def check_saved(self, before: Judged | None) -> None:
        """Raise before anything is encoded if the saved audit does not have the measure of a rule."""
        for rule in self.rules:
            if rule.limit.base == "before" and not any(rule.measure in one for one in (before or {}).values()):
                raise ArgumentError(
                    "fail_if", f"rule {rule.text!r}: the audit to compare with has no {rule.measure}; make it again"
                )

    def check_against(self, against: str | None) -> None:
        """Raise if a rule has `before`, and no audit is named that it stands for."""
        for rule in self.rules:
            if rule.limit.base == "before" and against is None:
                raise ArgumentError(
                    "fail_if", f"rule {rule.text!r}: name the audit that `before` stands for, with --against"
                )

    def check_no_before(self, what: str) -> None:
        """Raise if a rule has `before`, and there can be no saved audit; see `babelmix.evaluation.gates.check_no_before`."""
        from babelmix.evaluation.gates import check_no_before

        with _named():
            check_no_before(self.rules, what)

    def check_names(self, names: Sequence[str]) -> None:
        """Raise before anything is searched if a rule cannot be checked; see `babelmix.evaluation.gates.check_names`."""
        from babelmix.evaluation.gates import check_names

        with _named():
            check_names(self.rules, names)

    def result(self, report: Report, before: Judged | None, subject: str) -> GateResult:
        """Check a report, and write the files."""
        from babelmix.evaluation.gates import check as check_measures

        _check_input(report)
        found = check_measures(
            self.rules, report.judged(), before, significant=self.significant, pool_shares=report.pool_shares(),
            subject=subject,
        )  # fmt: skip
        if self.junit is not None:
            found.write_junit(self.junit)
        found.write_summary(self.summary)
        return found


__all__ = ["Gate", "Report", "check", "judged_before", "metrics_of"]
