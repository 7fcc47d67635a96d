"""Audits: ranks, metrics, language bias and significance."""

from __future__ import annotations

from babelmix.audit.bias import crowding, language_shares
from babelmix.audit.measures import SETTINGS, Measure, measures
from babelmix.audit.metrics import METRICS, metric
from babelmix.audit.ranks import RankTable
from babelmix.audit.run import Audit, audit, audit_both_ways
from babelmix.audit.scoring import rank_table
from babelmix.audit.significance import Comparison, Estimate, compare, compare_all, estimates, holm

__all__ = [
    "METRICS",
    "SETTINGS",
    "Audit",
    "Comparison",
    "Estimate",
    "Measure",
    "RankTable",
    "audit",
    "audit_both_ways",
    "compare",
    "compare_all",
    "crowding",
    "estimates",
    "holm",
    "language_shares",
    "measures",
    "metric",
    "rank_table",
]
