"""Comparing finished audits of one corpus, with tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from babelmix._files import write_json
from babelmix._lists import as_list
from babelmix._tables import Result, Table, write_latex
from babelmix.errors import AuditError
from babelmix.evaluation import Audit, Comparison, Estimate, Measure, compare_all
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.audit_tables import estimates_frame, headline_table, tests_table, tests_tables
from babelmix.evaluation.gates import GateResult
from babelmix.evaluation.measure_info import BIAS, TESTS, headline, ranking_metrics
from babelmix.evaluation.metrics import DEFAULT
from babelmix.evaluation.verdict import fair_shares
from babelmix.experiment.report.audits import comparison_lead, write_audits_report
from babelmix.experiment.report.winners import winner_lines


@dataclass(frozen=True, eq=False, repr=False)
class AuditComparison(Result):
    """Audits by name, and the tests between them. It prints as `babelmix compare` prints it.

    Args:
        audits: the audits by name, all of one corpus.
        comparisons: the tests, pair after pair; Holm's correction is over all of them.
        report: the path of the saved report; None if it is not saved.
        gate: the result of the rules `fail_if`; None without rules.

    """

    audits: dict[str, Audit]
    comparisons: list[Comparison]
    report: Path | None = None
    gate: GateResult | None = None

    def judged(self) -> dict[str, Mapping[str, Measure]]:
        """The measures that rules are checked on, by the name of the audit."""
        return {name: audit.measures for name, audit in self.audits.items()}

    def pool_shares(self) -> dict[str, float]:
        """The share of the pool that is in each query language; see `babelmix.evaluation.verdict.fair_shares`."""
        return fair_shares(next(iter(self.audits.values())).table)

    def tables(self) -> list[Table]:
        """The headline of each audit, and the tests of each pair."""
        table = self._headline()
        found = [replace(table, note=""), *tests_tables(self.comparisons)]
        return [*found[:-1], replace(found[-1], note=table.note)]

    def headline(self) -> Table:
        """The headline of each audit, one row per audit."""
        return self.tables()[0]

    def exports(self) -> dict[str, Table]:
        """`headline`; `intervals`: the same with 95 % intervals; and `tests`: the paired tests."""
        intervals = self._headline(intervals=True)
        return {"headline": self.headline(), "intervals": intervals, "tests": tests_table(self.comparisons)}

    def _headline(self, *, intervals: bool = False) -> Table:
        tested = dict.fromkeys(test.measure for test in self.comparisons)
        audits = {name: audit.estimates for name, audit in self.audits.items()}
        return headline_table(audits, intervals=intervals, more=tested)

    def lead(self) -> str:
        """Who is better, in which measures and by how much."""
        return " ".join(winner_lines(self.comparisons))

    def lines(self) -> list[str]:
        """Who is better, and how many differences are significant."""
        return [*winner_lines(self.comparisons), comparison_lead(self)]

    def places(self) -> dict[str, str]:
        """The path of the report; empty if it is not saved."""
        return {} if self.report is None else {"report": str(self.report)}

    def to_frame(self) -> pl.DataFrame:
        """All numbers: columns `audit`, `measure`, `cell` (null for the macro-average), `value`, `low`, `high`."""
        frames = [
            estimates_frame(audit.estimates).select(pl.lit(name).alias("audit"), pl.all())
            for name, audit in self.audits.items()
        ]
        return pl.concat(frames)

    def print_to(self, console: Console) -> None:
        """Print the tables and the sentence, then the gate."""
        super().print_to(console)
        if self.gate is not None:
            self.gate.print_to(console)

    def save(self, folder: Path, report: str = "report.html") -> Path:
        """Write `comparison.json`, the report, and the tables in LaTeX: `headline.tex`, `intervals.tex` and `tests.tex`.

        Args:
            folder: the folder to write to.
            report: the file name of the report.

        Returns:
            The path of the report.

        """
        write_json(folder / "comparison.json", self.as_json())
        write_audits_report(self, folder / report)
        # Beside folders of models, one of which may be called `tables`.
        write_latex(folder, self.exports())
        return folder / report

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON-serialisable values, with the gate, if there is one."""
        return {
            "audits": {
                name: {measure: asdict(macro) for measure, (macro, _) in audit.estimates.items()}
                for name, audit in self.audits.items()
            },
            "tests": [c.as_json() for c in self.comparisons],
        } | ({"gate": self.gate.as_json()} if self.gate is not None else {})


def compare_audits(
    folders: Sequence[Path],
    *,
    tests: str | Sequence[str] = (),
    against: str | None = None,
    metrics: str | Sequence[str] = (),
) -> AuditComparison:
    """Load finished audits and test their differences.

    Args:
        folders: the folders of the audits. The name of an audit is that of its encoder, or of its folder if two audits have the
            same encoder.
        tests: measures to test, as `setting/metric`; by default mAP in each setting, and rank distance; without labels,
            the headline of such audits.
        against: the name of an audit to test against every other one; by default every pair is tested. Or its folder, as in
            `folders`.
        metrics: further ranking metrics to compute.

    Raises:
        AuditError: there are fewer than two folders, a folder holds no audit, the audits are not of one corpus, or a measure is
            missing in one of them.
        ConfigError: there is no such metric.

    Examples:
        >>> import tempfile
        >>> from babelmix.corpus import Corpus
        >>> from babelmix.encoders.kinds import make_encoder
        >>> from babelmix.evaluation import audit
        >>> rows = [{"item": str(n), "lang": lang, "text": f"{lang} {n}"} for n in range(9) for lang in ("de", "en")]
        >>> corpus = Corpus.from_rows(rows, rows, [(str(n), str(n)) for n in range(9)], name="toy")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for seed in (0, 1):
        ...         encoder = make_encoder("static", [row["text"] for row in rows], dimension=4, seed=seed)
        ...         audit(encoder, corpus, name=f"seed {seed}", store=False).save(Path(folder, str(seed)))
        ...     comparison = compare_audits([Path(folder, "0"), Path(folder, "1")], tests="multi/mAP")
        >>> [(test.first, test.second, test.measure) for test in comparison.comparisons]
        [('seed 0', 'seed 1', 'multi/mAP')]

    """
    tests = as_list(tests, "tests")
    if isinstance(folders, (str, Path)):
        raise AuditError(f"give two or more folders of audits, not {str(folders)!r} alone")
    metrics = list(dict.fromkeys([*DEFAULT, *needed_by(tests), *as_list(metrics, "metrics")]))
    loaded = [Audit.load(folder, metrics) for folder in folders]
    names = names_of(loaded, folders)
    return compare_loaded(
        dict(zip(names, loaded, strict=True)), tests=tests, against=named_against(against, names, folders)
    )


def needed_by(tests: Sequence[str]) -> list[str]:
    """The metrics, as `Audit.of` takes them, of measures that are to be tested.

    Raises:
        AuditError: a name is that of no measure.

    """
    for test in tests:
        if not test.partition("/")[2]:
            raise AuditError(
                f"{test!r} is no measure; name it with its setting, as in multi/mAP or bias/rank distance"
            )
    return [*ranking_metrics(tests), *(test for test in tests if test.startswith(BIAS) and "@" in test)]


def completed(audit: Audit, metrics: Sequence[str]) -> Audit:
    """An audit with these metrics: they are computed from its ranks if one is missing."""
    there = {name.removeprefix(BIAS) if name.startswith(BIAS) else name.partition("/")[2] for name in audit.measures}
    if all(name.removeprefix(BIAS) in there for name in metrics):
        return audit
    own = [name for name in audit.measures if name.startswith(BIAS) and "@" in name]
    return Audit.of(audit.table, list(dict.fromkeys([*ranking_metrics(audit.measures), *own, *metrics])))


def compare_loaded(
    audits: Mapping[str, Audit],
    *,
    tests: str | Sequence[str] = (),
    against: str | None = None,
    base: str | None = None,
) -> AuditComparison:
    """Test the differences of audits in memory.

    Args:
        audits: two or more audits by name.
        tests: see `compare_audits`.
        against: see `compare_audits`. A difference is `against` minus the other.
        base: like `against`, but with the sign turned: a difference is the other audit minus `base`.

    Raises:
        AuditError: there are fewer than two audits, they are not of one corpus, or a measure is missing in one of them.

    """
    tests = as_list(tests, "tests")
    if len(audits) < 2:
        raise AuditError("a comparison needs two audits or more")
    (first_name, first), *others = audits.items()
    for name, audit in others:
        check_same_corpus(name, audit.table.about, first_name, first.table.about)
    measured = first.measures
    if unknown := [test for test in tests if test not in measured]:
        raise AuditError(f"{unknown[0]!r} is not measured on this corpus; there are {', '.join(measured)}")
    wanted = list(tests) or [name for name in TESTS if name in measured] or headline(measured)
    systems = {name: [audit.measures] for name, audit in audits.items()}
    found = compare_all(systems, wanted, against=against if base is None else base)
    return AuditComparison(dict(audits), found if base is None else [_turned(one) for one in found])


def named_against(against: str | None, names: Sequence[str], folders: Sequence[Path]) -> str | None:
    """The name of the audit that is meant by its name or by its folder."""
    if against is None or against in names:
        return against
    return next((name for name, folder in zip(names, folders, strict=True) if folder == Path(against)), against)


def ranked(audits: Mapping[str, Audit]) -> dict[str, Audit]:
    """The audits sorted by mAP, best first: by multilingual mAP, else cross-lingual, else monolingual."""
    names = [f"{setting}/mAP" for setting in ("multi", "cross", "mono")]
    by = next((name for name in names if all(name in audit.measures for audit in audits.values())), None)
    if by is None:
        return dict(audits)
    return dict(sorted(audits.items(), key=lambda entry: -entry[1].macro(by)))


def check_same_corpus(name: str, about: AuditFacts, other: str, other_about: AuditFacts) -> None:
    """Raise unless two audits are of one corpus, by their facts.

    Raises:
        AuditError: they are of two corpora, or count copies of relevant passages differently.

    """
    if about.fingerprint != other_about.fingerprint:
        raise AuditError(
            f"{name} was audited on {about.corpus}, but {other} on {other_about.corpus} (or on another state of it); only "
            "audits of one corpus can be compared"
        )
    if about.count_copies_as != other_about.count_copies_as:
        raise AuditError(
            f"{name} counts copies of right answers as {about.count_copies_as}, but {other} as {other_about.count_copies_as}; "
            "audit both with the same --copies"
        )


def _turned(one: Comparison) -> Comparison:
    """The comparison with first and second swapped."""
    value, low, high = one.difference.value, one.difference.low, one.difference.high
    return replace(
        one, difference=Estimate(-value, -high, -low), effect=-one.effect, first=one.second, second=one.first
    )


def names_of(audits: Sequence[Audit], folders: Sequence[Path]) -> list[str]:
    """A short, distinct name for each audit: its encoder, else its folder's name, else its folder's path.

    Raises:
        AuditError: a folder is named twice.

    """
    return _names([audit.table.about.encoder or "" for audit in audits], folders)


def _names(encoders: Sequence[str], folders: Sequence[Path]) -> list[str]:
    """See `names_of`."""
    # The name of an encoder from a local folder is the folder's own name, without the path.
    short = [Path(encoder).name if Path(encoder).is_absolute() else encoder for encoder in encoders]
    for names in (short, [folder.name for folder in folders], [str(folder) for folder in folders]):
        if len(set(names)) == len(names) and all(names):
            return names
    raise AuditError("an audit is named twice")
