"""Experiments: compare strategies from a TOML file, and report."""

from __future__ import annotations

from babelmix.experiment.audits import AuditComparison, compare_audits, compare_loaded, ranked
from babelmix.experiment.comparison import Results
from babelmix.experiment.config import Experiment, load_experiment
from babelmix.experiment.report import audit_lead, headline_table, write_audit_report, write_comparison_report
from babelmix.experiment.report.audits import comparison_lead, write_audits_report
from babelmix.experiment.results import Entry, finding
from babelmix.experiment.running import run_experiment

__all__ = [
    "AuditComparison",
    "Entry",
    "Experiment",
    "Results",
    "audit_lead",
    "compare_audits",
    "compare_loaded",
    "comparison_lead",
    "finding",
    "headline_table",
    "load_experiment",
    "ranked",
    "run_experiment",
    "write_audit_report",
    "write_audits_report",
    "write_comparison_report",
]
