"""Compare finished audits of ranked lists: the part of `babelmix.compare` that is about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix.api.list_reports import ListReport
from babelmix.errors import AuditError

if TYPE_CHECKING:
    from babelmix.evaluation.lists import ListAudit

_TESTED = (
    "same-language share", "same-language preference", "rank distance", "right languages", "item recall", "item nDCG",
)  # fmt: skip
"""The bias measures that are tested, besides the ranking metrics."""


def compare_lists(
    reports: Mapping[str, ListReport], *, tests: Sequence[str] = (), against: str | None = None
) -> ListReport:
    """Compare finished audits of ranked lists: every system of each with every other.

    Args:
        reports: the reports by name, which is the folder of a saved one.
        tests: the measures to test; empty: the ranking metrics and four bias measures.
        against: the system that the others are tested against, or the folder of the report that has it alone; None: every pair.

    Returns:
        A report with all systems. Where two reports have a system of one name, it is called as its folder, or as its folder and
        its name if the folder has several.

    Raises:
        AuditError: they are not of one corpus, count copies differently, or do not have a measure.

    """
    from babelmix.evaluation import compare_all

    (first, report), *_ = reports.items()
    for place, other in reports.items():
        check_same(place, other.about, first, report.about)
    named = _names(reports)
    audits: dict[str, ListAudit] = {}
    facts: dict[str, Any] = {}
    cost: dict[str, Mapping[str, float]] = {}
    for (place, old), name in named.items():
        one = reports[place]
        audits[name], facts[name] = one.audits[old], one.about["systems"][old]
        if old in one.cost:
            cost[name] = one.cost[old]
    shared = [
        name for name in next(iter(audits.values())).measures if all(name in one.measures for one in audits.values())
    ]
    for name in tests:
        if name not in shared:
            raise AuditError(f"{name!r} is not measured in all of these audits; there are {', '.join(shared)}")
    if against is not None and against not in audits:
        of_folder = [name for (place, _), name in named.items() if Path(place) == Path(against)]
        if len(of_folder) > 1:
            raise AuditError(f"{against} has several systems; name one of {', '.join(of_folder)}")
        against = of_folder[0] if of_folder else against
    found = compare_all(
        {name: [one.measures] for name, one in audits.items()}, tests or tested(shared), against=against
    )
    notes = list(dict.fromkeys(note for one in reports.values() for note in one.notes))
    return ListReport({**report.about, "systems": facts}, audits, found, notes, cost)


def _names(reports: Mapping[str, ListReport]) -> dict[tuple[str, str], str]:
    """The name of each system of each report in a comparison of them, by its report and its name there."""
    pairs = [(place, name) for place, report in reports.items() for name in report.audits]
    if len({name for _, name in pairs}) == len(pairs):
        return {pair: pair[1] for pair in pairs}
    short = {place: Path(place).name for place in reports}
    folders = short if len(set(short.values())) == len(short) else {place: place for place in reports}
    alone = {place for place, report in reports.items() if len(report.audits) == 1}
    return {(place, name): folders[place] if place in alone else f"{folders[place]}: {name}" for place, name in pairs}


def check_same(name: str, about: Mapping[str, Any], other: str, other_about: Mapping[str, Any]) -> None:
    """Raise unless two audits of ranked lists can be compared, by their facts.

    Raises:
        AuditError: they are of two corpora, or count copies of right answers differently.

    """
    from babelmix.evaluation.audit_facts import AuditFacts
    from babelmix.experiment.audits import check_same_corpus

    facts, there = (
        AuditFacts(
            corpus=one["corpus"], fingerprint=one["fingerprint"], copies={"count_as": one.get("copies", "wrong")}
        )
        for one in (about, other_about)
    )
    check_same_corpus(name, facts, other, there)


def tested(names: Sequence[str]) -> list[str]:
    """The measures that are tested by default, of those that there are."""
    return [
        name
        for name in names
        if not name.startswith("bias/") or name.removeprefix("bias/").partition("@")[0] in _TESTED
    ]


__all__ = ["check_same", "compare_lists", "tested"]
