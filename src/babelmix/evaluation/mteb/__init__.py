"""The bridge to mteb: encoders with a cache, settings as tasks, tasks as corpora, and audits as result files.

Everything except the result files needs the extra `mteb`, which is imported at the first use of a name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from babelmix.errors import require
from babelmix.evaluation.mteb.results import as_mteb_results, write_mteb_results

if TYPE_CHECKING:
    from babelmix.corpus.readers.mteb_task import corpus_of_task
    from babelmix.evaluation.mteb.encoder import CachedEncoder, cached_encoder
    from babelmix.evaluation.mteb.tasks import CorpusTask, mteb_tasks

__all__ = [
    "CachedEncoder",
    "CorpusTask",
    "as_mteb_results",
    "cached_encoder",
    "corpus_of_task",
    "mteb_tasks",
    "write_mteb_results",
]

_HOMES = {
    "CachedEncoder": ("babelmix.evaluation.mteb.encoder", "Evaluating an encoder in mteb"),
    "CorpusTask": ("babelmix.evaluation.mteb.tasks", "A setting as an mteb task"),
    "cached_encoder": ("babelmix.evaluation.mteb.encoder", "Evaluating an encoder in mteb"),
    "corpus_of_task": ("babelmix.corpus.readers.mteb_task", "An mteb task as a corpus"),
    "mteb_tasks": ("babelmix.evaluation.mteb.tasks", "A setting as an mteb task"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        home, purpose = _HOMES[name]
        require("mteb", "mteb", purpose)
        return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
