"""A gate as JUnit XML, which GitHub, GitLab, Jenkins and others show as tests.

The format has no standard. This is the part of it that pytest writes and that the schema of Jenkins's xUnit plugin
(`junit-10.xsd`) accepts. It is a few elements, so the standard library's ElementTree writes them; a package for it would only be
one more dependency.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from babelmix._tables import plain
from babelmix.evaluation.gates.deciding import Decision, Status


def junit_xml(decisions: Sequence[Decision], subject: str = "") -> str:
    """The XML: a suite for each system, a case for each rule and cell.

    A broken rule is a failure. An inconclusive rule is skipped, with its numbers as the reason. The numbers of a rule that
    passed are its output.

    Args:
        decisions: the decisions.
        subject: what was checked, such as the name of the corpus; may be empty.

    """
    root = Xml.Element("testsuites", {"name": "babelmix"} | _counts(decisions, skipped=False))
    for system in dict.fromkeys(one.system for one in decisions):
        mine = [one for one in decisions if one.system == system]
        name = plain(f"{system} on {subject}" if subject else system)
        suite = Xml.SubElement(root, "testsuite", {"name": name} | _counts(mine))
        for one in mine:
            case = Xml.SubElement(
                suite, "testcase", {"classname": f"babelmix.{plain(system)}", "name": plain(one.name), "time": "0"}
            )
            told = plain(one.finding)
            if one.status is Status.BROKEN:
                failure = Xml.SubElement(case, "failure", {"message": told, "type": "rule broken"})
                failure.text = plain(f"{one.name}: {one.cell or 'macro-average'} of {one.rule.measure}: {told}")
            elif one.status is Status.INCONCLUSIVE:
                Xml.SubElement(case, "skipped", {"message": f"inconclusive: {told}", "type": "inconclusive"})
            else:
                Xml.SubElement(case, "system-out").text = told
    Xml.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _counts(decisions: Sequence[Decision], *, skipped: bool = True) -> dict[str, str]:
    statuses = [one.status for one in decisions]
    counts = {"tests": len(statuses), "failures": statuses.count(Status.BROKEN), "errors": 0}
    if skipped:
        counts["skipped"] = statuses.count(Status.INCONCLUSIVE)
    return {name: str(count) for name, count in counts.items()} | {"time": "0"}


__all__ = ["junit_xml"]
