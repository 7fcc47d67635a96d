"""Audits: ranks, metrics, language bias and significance."""

from __future__ import annotations

from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.bias import BIAS_METRICS, BiasValues, crowding, language_shares
from babelmix.evaluation.lists import ListAudit, audit_lists
from babelmix.evaluation.measure_info import SETTINGS, MeasureInfo, measure_info
from babelmix.evaluation.measures import Measure, measures
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
