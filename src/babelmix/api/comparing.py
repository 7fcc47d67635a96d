"""Compare batch strategies, or finished audits: `babelmix compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from babelmix._files import check_output_folder, recorded, slug
from babelmix._lists import as_list
from babelmix._progress import console
from babelmix.api._folders import RUNS, Folder, Out, folder_of
from babelmix.api.audit_reports import AuditReport
from babelmix.api.gating import Gate
from babelmix.api.list_reports import ListReport
from babelmix.errors import ArgumentError, ConfigError

if TYPE_CHECKING:
    from babelmix.evaluation.gates import GateResult
    from babelmix.experiment import AuditComparison, Experiment, Results

_EXACT, _LISTS = "encoders or vectors", "ranked lists"
_KINDS = {"ranks.parquet": _EXACT, "lists.json": _LISTS, "policies.json": "language policies", "log.json": "a log"}
"""What a finished audit is of, by a file of its folder."""


def compare(
    what: str | Path | Experiment | Sequence[str | Path | AuditReport | ListReport],
    *,
    out: Out = None,
    corpus: str | None = None,
    benchmarks: str | Sequence[str] | None = None,
    tests: str | Sequence[str] | None = None,
    against: str | None = None,
    fail_if: str | Sequence[str] | None = None,
    significant: bool = False,
    junit: str | Path | None = None,
    summary: str | Path | None = None,
) -> AuditComparison | ListReport | Results:
    """Run an experiment over batch strategies and seeds, or compare finished audits; test the differences.

    An experiment trains an encoder with each strategy, audits it, tests the differences and writes a report. Finished runs are
    kept: after an interruption, repeat the same call to do the rest.

    Args:
        what: an experiment: a TOML file, the name of a bundled experiment, or an `Experiment`. Or a list of two or more audits:
            either their folders, or the `AuditReport` objects that `babelmix.audit` returned; or those of ranked lists,
            `ListReport`.
        out: the folder of the comparison. None: an experiment is saved in `runs/NAME`; a comparison of audits is not saved.
        corpus: only for an experiment: train and test on this corpus instead of the one that the file names.
        benchmarks: only for an experiment: further corpora to test on, instead of those that the file names.
        tests: only for audits: the measures to test, such as `multi/mAP`; None: mAP in the three settings, and rank distance.
        against: only for audits: test the audit of this name, or in this folder, against every other one; None: test every pair.
        fail_if: only for audits: rules that say when the comparison fails, such as `own-language share@10 > 0.4`. With `against`
            they are checked on the other audits, and `before` in a rule is the audit `against`; see docs/ci.md. The result is
            `gate` of the comparison.
        significant: with `fail_if`: a rule is broken only if the 95 % interval or the paired test says so.
        junit: with `fail_if`: also write the result into this file, as JUnit XML.
        summary: with `fail_if`: also write the result into this file, as Markdown; None: `$GITHUB_STEP_SUMMARY`, if it is set.

    Returns:
        An `AuditComparison` of audits, a `ListReport` of ranked lists, or the `Results` of an experiment. All print as the
        command does.

    Raises:
        ConfigError: the experiment's file or an argument is wrong, the folder holds another experiment, or the list mixes
            folders and reports.
        AuditError: a folder is no audit, or the audits are not of one corpus.

    Examples:
        >>> compare(["before", "after"], tests="multi/mAP")  # doctest: +SKIP
        >>> compare("demo")  # doctest: +SKIP

    """
    if isinstance(what, (str, Path)) and _kind_of(what) is not None:
        what = [what]
    gate = Gate.of(fail_if, significant, junit, summary)
    if isinstance(what, Sequence) and not isinstance(what, str):
        if corpus is not None or benchmarks is not None:
            raise ConfigError(
                "a corpus and benchmarks are for experiments; audits keep the corpus that they were made on"
            )
        _check_kinds(what)
        if (lists := _list_reports(what)) is not None:
            return _compare_lists(lists, tests, against, out, gate)
        return _compare_audits(cast("Sequence[str | Path | AuditReport]", what), tests, against, out, gate)
    if gate is not None:
        raise ArgumentError("fail_if", "is for audits; an experiment has no rules")
    if tests is not None or against is not None:
        raise ArgumentError(
            "tests" if tests is not None else "against",
            "is for audits; an experiment names its tests under [compare]",
        )
    return _run(open_experiment(what, corpus=corpus, benchmarks=benchmarks), out)


def open_experiment(
    what: str | Path | Experiment, *, corpus: str | None = None, benchmarks: str | Sequence[str] | None = None
) -> Experiment:
    """Read an experiment; see `compare`.

    Raises:
        ConfigError: there is no such file and no such bundled experiment, or a setting is wrong.

    """
    from babelmix.experiment import Experiment, load_experiment
    from babelmix.experiment.bundled import bundled, names

    if isinstance(what, Experiment):
        plan = what
    else:
        file = bundled(str(what)) or Path(what)
        if not file.exists():
            raise ConfigError(
                f"{what}: there is no such file, and no such bundled experiment; those are {', '.join(names())}"
            )
        plan = load_experiment(file)
    given = {"corpus": corpus} if corpus is not None else {}
    more = {} if benchmarks is None else {"benchmarks": as_list(benchmarks, "benchmarks")}
    if not given and not more:
        return plan
    return plan.model_copy(update={"data": plan.data.model_copy(update={**given, **more})})


def _kind_of(what: object) -> str | None:
    """What a report or the folder of a finished audit is of; None if it is neither."""
    if isinstance(what, (AuditReport, ListReport)):
        return _LISTS if isinstance(what, ListReport) else _EXACT
    if not isinstance(what, (str, Path)):
        return None
    return next((kind for file, kind in _KINDS.items() if (Path(what) / file).is_file()), None)


def _check_kinds(what: Sequence[object]) -> None:
    kinds = {str(getattr(one, "name", one)): kind for one in what if (kind := _kind_of(one)) is not None}
    for name, kind in kinds.items():
        if kind not in (_EXACT, _LISTS):
            raise ConfigError(f"{name}: is an audit of {kind}, and those are compared by  babelmix audit  itself")
    (first, kind), *others = kinds.items() or [("", "")]
    for name, other in others:
        if other != kind:
            raise ConfigError(
                f"{first} is an audit of {kind}, but {name} of {other}; only audits of one kind can be compared"
            )


def _list_reports(what: Sequence[object]) -> dict[str, ListReport] | None:
    """The audits of ranked lists by name; None if there are others among them."""
    found: dict[str, ListReport] = {}
    for one in what:
        if isinstance(one, (str, Path)) and (Path(one) / "lists.json").is_file():
            found[str(one)] = ListReport.load(one)
        elif isinstance(one, ListReport):
            name = str(one.folder or ", ".join(one.audits))
            if name in found:
                raise ConfigError(f"two reports are called {name}; save them in two folders, or name their systems")
            found[name] = one
        else:
            return None
    return found or None


def _compare_lists(
    reports: dict[str, ListReport], tests: str | Sequence[str] | None, against: str | None, out: Out, gate: Gate | None
) -> ListReport:
    from babelmix.api.list_comparing import compare_lists

    if gate is not None:
        raise ArgumentError("fail_if", "is for one audit of ranked lists; give it to  babelmix audit --run")
    named = [] if tests is None else as_list(tests, "tests", empty=False)
    found = compare_lists(reports, tests=named, against=against)
    folder = folder_of(out, f"compare-{'-'.join(slug(Path(name).name) for name in reports)}")
    return found if folder is None else found.save(folder)


def _compare_audits(
    what: Sequence[str | Path | AuditReport],
    tests: str | Sequence[str] | None,
    against: str | None,
    out: Out,
    gate: Gate | None = None,
) -> AuditComparison:
    from babelmix.experiment import compare_audits, compare_loaded
    from babelmix.experiment.audits import completed, named_against, names_of, needed_by

    if gate is not None:
        gate.check_against(against)
    named = [] if tests is None else as_list(tests, "tests", empty=False)
    reports = [one for one in what if isinstance(one, AuditReport)]
    folders = [Path(one) for one in what if not isinstance(one, AuditReport)]
    names = [Path(one.folder or one.name).name if isinstance(one, AuditReport) else Path(one).name for one in what]
    if not (out is None or isinstance(out, Folder)):
        check_output_folder(Path(out), ["comparison.json"])
    if not reports:
        found = compare_audits(folders, tests=named, against=against, metrics=() if gate is None else gate.metrics(()))
    elif folders:
        raise ConfigError("give either folders of audits or reports of babelmix.audit, not both")
    else:
        wanted = [*needed_by(named), *([] if gate is None else gate.metrics(()))]
        audits = [completed(report.audit, wanted) for report in reports]
        places = [report.folder or Path(report.name) for report in reports]
        by_name = dict(zip(names_of(audits, places), audits, strict=True))
        against = named_against(against, list(by_name), places)
        found = compare_loaded(by_name, tests=named, against=against)
        folders = places
    result = None if gate is None else _gated(found, gate, named_against(against, list(found.audits), folders))
    folder = folder_of(
        out,
        f"compare-{'-'.join(map(slug, names))}",
        lambda place: set(recorded(place / "comparison.json", "audits") or found.audits) != set(found.audits),
    )
    if folder is None:
        return replace(found, gate=result)
    check_output_folder(folder, ["comparison.json"])
    return replace(found, report=found.save(folder), gate=result)


def _gated(found: AuditComparison, gate: Gate, against: str | None) -> GateResult:
    """Check the rules on the audits of a comparison but `against`, which is what `before` means in a rule."""
    others = {name: audit for name, audit in found.audits.items() if name != against}
    before = None if against is None else replace(found, audits={against: found.audits[against]}).judged()
    subject = next(iter(others.values())).table.about.corpus or ""
    return gate.result(replace(found, audits=others), before, subject)


def _run(plan: Experiment, out: Out) -> Results:
    from babelmix._processes import main_only
    from babelmix.experiment import run_experiment

    folder = folder_of(RUNS if out is None else out, plan.name) or Path(plan.name)
    check_output_folder(folder, ["config.toml"])
    results = run_experiment(plan, folder, lambda line: console.print(line, highlight=False))
    main_only(lambda: results.save(folder))
    return replace(results, report=folder / "report.html")


__all__ = ["compare", "open_experiment"]
