"""Audits: ranks, metrics, language bias and significance."""

from __future__ import annotations

from babelmix.evaluation.bias import crowding, language_shares
from babelmix.evaluation.measure_info import SETTINGS, MeasureInfo, measure_info
from babelmix.evaluation.measures import Measure, measures
from babelmix.evaluation.metrics import METRICS, metric
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.run import Audit, audit, audit_both_ways
from babelmix.evaluation.scoring import rank_table
from babelmix.evaluation.significance import Comparison, Estimate, compare, compare_all, estimates, holm

__all__ = [
    "METRICS",
    "SETTINGS",
    "Audit",
    "Comparison",
    "Estimate",
    "Measure",
    "MeasureInfo",
    "RankTable",
    "audit",
    "audit_both_ways",
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
