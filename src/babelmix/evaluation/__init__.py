"""Audits: ranks, metrics, language bias and significance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix._lazy import imported_name

# Modules have the names of functions that these modules define, so they cannot be imported on first use.
from babelmix.evaluation.bias import BIAS_METRICS, BiasValues, crowding, language_shares
from babelmix.evaluation.measure_info import SETTINGS, MeasureInfo, measure_info
from babelmix.evaluation.measures import Measure, measures

if TYPE_CHECKING:
    from babelmix.evaluation.audit_facts import AuditFacts
    from babelmix.evaluation.lists import ListAudit, audit_lists
    from babelmix.evaluation.metrics import METRICS, metric
    from babelmix.evaluation.ranks import RankTable
    from babelmix.evaluation.run import Audit, audit, audit_both_ways
    from babelmix.evaluation.scoring import rank_table
    from babelmix.evaluation.significance import Comparison, Estimate, compare, compare_all, estimates, holm
    from babelmix.evaluation.systems import SYSTEMS, EncoderSystem, ExactSystem, ListSystem, ScoreMatrix, System

__all__ = [
    "BIAS_METRICS",
    "METRICS",
    "SETTINGS",
    "SYSTEMS",
    "Audit",
    "AuditFacts",
    "BiasValues",
    "Comparison",
    "EncoderSystem",
    "Estimate",
    "ExactSystem",
    "ListAudit",
    "ListSystem",
    "Measure",
    "MeasureInfo",
    "RankTable",
    "ScoreMatrix",
    "System",
    "audit",
    "audit_both_ways",
    "audit_lists",
    "compare",
    "compare_all",
    "crowding",
    "estimates",
    "holm",
    "language_shares",
    "measure_info",
    "measures",
    "metric",
    "rank_table",
]

# Imported on first use: torch and sentence-transformers take seconds to import, and reading a finished audit needs neither.
_HOMES = {
    "AuditFacts": "audit_facts",
    "ListAudit": "lists",
    "audit_lists": "lists",
    "METRICS": "metrics",
    "metric": "metrics",
    "RankTable": "ranks",
    "Audit": "run",
    "audit": "run",
    "audit_both_ways": "run",
    "rank_table": "scoring",
    "Comparison": "significance",
    "Estimate": "significance",
    "compare": "significance",
    "compare_all": "significance",
    "estimates": "significance",
    "holm": "significance",
    "SYSTEMS": "systems",
    "EncoderSystem": "systems",
    "ExactSystem": "systems",
    "ListSystem": "systems",
    "ScoreMatrix": "systems",
    "System": "systems",
}


def __getattr__(name: str) -> Any:
    return imported_name(__name__, _HOMES, name)
