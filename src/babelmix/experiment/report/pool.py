"""What a reader has to know of the data behind an audit: what was left out, what is no candidate, and what is there twice."""

from __future__ import annotations

from collections.abc import Mapping

from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.experiment.report.page import Section, Table

POOL_FACTS = ("left_out", "excluded", "copies")
"""The keys of an audit's facts that this section shows."""
_COUNTED = {
    "wrong": "counted as wrong",
    "relevant": "counted as relevant",
    "excluded": "counted as neither",
}


def pool_section(about: AuditFacts) -> Section | None:
    """What was left out of the corpus, excluded for a query, and copied; None where there is nothing of it.

    Args:
        about: the facts of an audit.

    """
    rows: list[list[str]] = []
    if isinstance(about.left_out, Mapping):
        rows += [[f"left out: {what}", f"{number:,}"] for what, number in about.left_out.items()]
    if about.excluded:
        rows.append(["passages excluded for a query", f"{about.excluded:,}"])
    if copies := about.copies:
        how = _COUNTED[about.count_copies_as]
        rows += [
            [f"copies of right answers, {how}", f"{copies['passages']:,}"],
            ["queries with such a copy", f"{copies['queries']:,} of {about.queries or 0:,}"],
            ["pairs of query and copy", f"{copies['pairs']:,}"],
        ]
    if not rows:
        return None
    return Section(
        "What the pool holds",
        "What could not be used was left out when the data were read. A query that stands in its own pool is, for example, "
        "excluded for itself. A copy has the very text, or picture, of a right answer and belongs to another item: no encoder "
        "can tell the two apart. Figures in the literature count copies as wrong; the option --copies counts them as relevant "
        "or leaves them out of the pool.",
        tables=[Table(["what", "how many"], rows)],
    )


__all__ = ["POOL_FACTS", "pool_section"]
