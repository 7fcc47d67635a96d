"""babelmix: measure and mend language bias in multilingual retrieval encoders.

Everything that a user needs is here, and is imported at its first use:

- Data: `load_corpus`, `Corpus`, `split`, `inspect_corpus`, `doctor`, `make_queries`.
- Encoders: `load_model`, `encode`, `inspect_model`, `export_model`.
- Measure: `audit`, `Vectors`, `Run`, `Search`, `Service`, `audit_index`, `audit_log`, `compare`, `check`.
- Mend: `train`, `TrainingSettings`, `BatchPlan`, `debias`, `debias_index`, `frontier`, `mine`, `codeswitch`.
- Search: `build_index`, `delete_items`, `open_index`, `serve`.
- Own parts: the module `babelmix.extend`. Errors: the module `babelmix.errors`. Your tests: the module `babelmix.testing`.

The sub-packages (`corpus`, `encoders`, `batches`, `evaluation`, `training`, `experiment`, `search`) are for those who go deeper;
they may change between minor versions.
"""

from __future__ import annotations

# Nothing is imported here, not even from the standard library: until the command line has begun, Ctrl-C is Python's own, which
# shows a traceback. Type checkers take this name to be true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from babelmix._tables import Result
    from babelmix.api.audit_reports import AuditReport, AuditReports
    from babelmix.api.auditing import audit as audit
    from babelmix.api.comparing import compare
    from babelmix.api.debiasing import DebiasedModel, debias, debias_index
    from babelmix.api.describing import CorpusSummary, ModelSummary, inspect_corpus, inspect_model
    from babelmix.api.doctoring import Examination, doctor
    from babelmix.api.exporting import ExportedModel, export_model
    from babelmix.api.frontiers import frontier
    from babelmix.api.gating import check
    from babelmix.api.index_auditing import PolicyReport, audit_index
    from babelmix.api.list_reports import ListReport
    from babelmix.api.log_auditing import audit_log
    from babelmix.api.making_queries import make_queries
    from babelmix.api.mining import mine
    from babelmix.api.switching import codeswitch
    from babelmix.api.training import TrainedModel, train
    from babelmix.batches import BatchPlan
    from babelmix.corpus import Corpus, load_corpus, split
    from babelmix.encoders import encode
    from babelmix.encoders import load_encoder as load_model
    from babelmix.evaluation.gates import GateResult
    from babelmix.evaluation.systems.function import Search
    from babelmix.evaluation.systems.run_file import Run
    from babelmix.evaluation.systems.vectors import Vectors
    from babelmix.search import build_index, delete_items, open_index, serve
    from babelmix.search.remote import ServiceSystem as Service
    from babelmix.training import TrainingSettings

    __version__: str

__all__ = [
    "AuditReport",
    "AuditReports",
    "BatchPlan",
    "Corpus",
    "CorpusSummary",
    "DebiasedModel",
    "Examination",
    "ExportedModel",
    "GateResult",
    "ListReport",
    "ModelSummary",
    "PolicyReport",
    "Result",
    "Run",
    "Search",
    "Service",
    "TrainedModel",
    "TrainingSettings",
    "Vectors",
    "__version__",
    "audit",
    "audit_index",
    "audit_log",
    "build_index",
    "check",
    "codeswitch",
    "compare",
    "debias",
    "debias_index",
    "delete_items",
    "doctor",
    "encode",
    "export_model",
    "frontier",
    "inspect_corpus",
    "inspect_model",
    "load_corpus",
    "load_model",
    "make_queries",
    "mine",
    "open_index",
    "serve",
    "split",
    "train",
]

_HOMES = {
    "AuditReport": "api.audit_reports",
    "AuditReports": "api.audit_reports",
    "BatchPlan": "batches",
    "Corpus": "corpus",
    "CorpusSummary": "api.describing",
    "DebiasedModel": "api.debiasing",
    "Examination": "api.doctoring",
    "ExportedModel": "api.exporting",
    "GateResult": "evaluation.gates",
    "ListReport": "api.list_reports",
    "ModelSummary": "api.describing",
    "PolicyReport": "api.index_auditing",
    "Result": "_tables",
    "TrainedModel": "api.training",
    "TrainingSettings": "training",
    "Run": "evaluation.systems.run_file",
    "Search": "evaluation.systems.function",
    "Service": "search.remote:ServiceSystem",
    "Vectors": "evaluation.systems.vectors",
    "audit": "api.auditing",
    "audit_index": "api.index_auditing",
    "audit_log": "api.log_auditing",
    "build_index": "search",
    "check": "api.gating",
    "codeswitch": "api.switching",
    "compare": "api.comparing",
    "debias": "api.debiasing",
    "debias_index": "api.debiasing",
    "delete_items": "search",
    "doctor": "api.doctoring",
    "encode": "encoders",
    "export_model": "api.exporting",
    "frontier": "api.frontiers",
    "inspect_corpus": "api.describing",
    "inspect_model": "api.describing",
    "load_corpus": "corpus",
    "load_model": "encoders:load_encoder",
    "make_queries": "api.making_queries",
    "mine": "api.mining",
    "open_index": "search",
    "serve": "search",
    "split": "corpus",
    "train": "api.training",
}
"""The module of each name, relative to `babelmix`. A different name in the module follows a colon."""

_MODULES = ("errors", "extend", "testing")


def __getattr__(name: str) -> Any:
    if name in _HOMES or name in _MODULES:
        from importlib import import_module
    if name in _HOMES:
        module, _, own = _HOMES[name].partition(":")
        try:
            found = getattr(import_module(f"babelmix.{module}"), own or name)
        except ModuleNotFoundError as error:
            from babelmix.errors import missing_extra

            raise (missing_extra(error, f"babelmix.{name}") or error) from None
        globals()[name] = found
        return found
    if name in _MODULES:
        return import_module(f"babelmix.{name}")
    if name == "__version__":
        from importlib.metadata import version

        return version("babelmix")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
