"""Experiments: compare strategies from a TOML file, and report."""

from __future__ import annotations

from babelmix.experiment.compare import Entry, Results, finding, run_experiment
from babelmix.experiment.config import Experiment, load_experiment
from babelmix.experiment.report import audit_lead, headline_table, write_audit_report, write_comparison_report

__all__ = [
    "Entry",
    "Experiment",
    "Results",
    "audit_lead",
    "finding",
    "headline_table",
    "load_experiment",
    "run_experiment",
    "write_audit_report",
    "write_comparison_report",
]
