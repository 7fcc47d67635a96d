"""Experiments: compare strategies from a TOML file, and report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from babelmix._lazy import imported_name

if TYPE_CHECKING:
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

# Imported on first use: training takes seconds to import, and the report of an audit does not need it.
_HOMES = {
    "AuditComparison": "audits",
    "compare_audits": "audits",
    "compare_loaded": "audits",
    "ranked": "audits",
    "Results": "comparison",
    "Experiment": "config",
    "load_experiment": "config",
    "audit_lead": "report",
    "headline_table": "report",
    "write_audit_report": "report",
    "write_comparison_report": "report",
    "comparison_lead": "report.audits",
    "write_audits_report": "report.audits",
    "Entry": "results",
    "finding": "results",
    "run_experiment": "running",
}


def __getattr__(name: str) -> Any:
    return imported_name(__name__, _HOMES, name)
