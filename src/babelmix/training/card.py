"""The model card of a trained encoder: its data, its settings, and the results of audits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from babelmix._files import place_apart, recorded, slug, write_json, write_text
from babelmix.errors import TrainingError
from babelmix.evaluation import Audit
from babelmix.evaluation.measure_info import (
    CROSS_MAP,
    MONO_MAP,
    MULTI_MAP,
    RANK_DISTANCE,
    SAME_LANGUAGE_SHARE,
    SHARE_AT,
    measure_info,
)  # fmt: skip
from babelmix.training.resolving import recorded_settings

AUDITS = "audits"
"""The folder in the encoder's folder for the results of audits, one JSON file per corpus."""

_SHOWN = {
    MONO_MAP: "mAP within a language",
    CROSS_MAP: "mAP across two languages",
    MULTI_MAP: "mAP in a pool of all languages",
    RANK_DISTANCE: "rank distance",
    SAME_LANGUAGE_SHARE: f"share of the first {SHARE_AT} answers in the query's language",
}

_CARD = """---
{metadata}
---
# {base}, trained with {strategy} batches

An encoder trained with [babelmix](https://pypi.org/project/babelmix) on `{corpus}` ({pairs:,} pairs of items, {count}
languages: {langs}).

```python
from sentence_transformers import SentenceTransformer

encoder = SentenceTransformer("path/to/this/folder")
queries, passages = encoder.encode_query(["..."]), encoder.encode_document(["..."])
scores = encoder.similarity(queries, passages)
```
{audits}
## How it was trained

Seed {seed}; {processes}; {seconds:,.0f} seconds.{stopped}

| setting | value |
|---|---|
{settings}
{notes}"""


def write_card(folder: Path, record: Mapping[str, Any]) -> None:
    """Write `README.md` from the record of the training and the audits in the folder.

    Args:
        folder: the encoder's folder.
        record: the content of `training.json`.

    """
    corpus, settings = record["corpus"], recorded_settings(record["settings"])
    audits = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((folder / AUDITS).glob("*.json"))]
    data = ModelCardData(
        language=list(corpus["langs"]),
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        tags=["sentence-transformers", "babelmix", "multilingual", "retrieval"],
        # Older records have no name, so the name of the folder is used.
        model_name=record.get("name", folder.name),
        eval_results=[result for audit in audits for result in _results(audit)] or None,
    )
    processes = record.get("processes", 1)
    notes = (
        f"\nMachine-made training texts, as the source says: {', '.join(corpus['machine_made'])}.\n"
        if corpus["machine_made"]
        else ""
    )
    card = _CARD.format(
        metadata=data.to_yaml().strip(),
        base=record["base"],
        strategy=settings.strategy,
        corpus=corpus["name"],
        pairs=corpus["pairs"],
        count=len(corpus["langs"]),
        langs=", ".join(corpus["langs"]),
        audits=_audited(audits) if audits else "",
        seed=settings.seed,
        processes=f"{processes} processes" if processes > 1 else "one process",
        seconds=record["seconds"],
        stopped=_chosen(record, settings.schedule.stop_on) if record.get("best_step") else "",
        settings="\n".join(f"| {name} | {_one_cell(value)} |" for name, value in settings.rows()),
        notes=notes,
    )  # fmt: skip
    write_text(folder / "README.md", card)


def add_audit(folder: Path, audit: Audit) -> None:
    """Add the results of an audit to the card of an encoder that babelmix trained.

    Args:
        folder: the encoder's folder.
        audit: the audit.

    Raises:
        TrainingError: babelmix did not train the encoder.

    """
    file = folder / "training.json"
    if not file.is_file():
        raise TrainingError(f"{folder}: was not written by babelmix train, so there is no card to put the audit into")
    summary = audit.summary()
    kept = {key: summary[key] for key in ("about", "level", "groups", "query_langs", "macro", "cells")}
    kept["macro"] = {name: kept["macro"][name] for name in _SHOWN if name in kept["macro"]}
    kept["cells"] = {name: kept["cells"][name] for name in _SHOWN if name in kept["cells"] and name != CROSS_MAP}
    corpus = str(summary["about"]["corpus"])
    place = place_apart(
        folder / AUDITS / slug(corpus), lambda place: recorded(place, "about", "corpus") not in (None, corpus), ".json"
    )
    write_json(place, kept)
    write_card(folder, json.loads(file.read_text(encoding="utf-8")))


def _audited(audits: Sequence[Mapping[str, Any]]) -> str:
    """The audits as tables: one with all audits, then one per audit with a row per language."""
    parts = ["\n## What audits found\n\nMacro-averages with 95 % bootstrap intervals over groups.\n"]
    head = [name for name in _SHOWN if any(name in audit["macro"] for audit in audits)]
    rows = [
        [f"{audit['about']['corpus']} ({_counted(audit['query_langs'])})", *(_cell(audit, name) for name in head)]
        for audit in audits
    ]
    parts.append(_table(["corpus", *(_SHOWN[name] for name in head)], rows))
    for audit in audits:
        own = [name for name in head if name in audit["cells"]]
        rows = [
            [lang, *(_number(name, audit["cells"][name].get(lang, {}).get("value")) for name in own)]
            for lang in audit["query_langs"]
        ]
        title = f"\nQueries by language, on {audit['about']['corpus']}:\n"
        parts += [title, _table(["language", *(_SHOWN[name] for name in own)], rows)]
    return "\n".join(parts) + "\n"


def _chosen(record: Mapping[str, Any], measure: str) -> str:
    """Whose weights were saved."""
    steps = (record.get("soup") or {}).get("steps", [])
    if len(steps) > 1:
        listed = f"{', '.join(map(str, steps[:-1]))} and {steps[-1]}"
        return (
            f" The weights are the average of those of steps {listed}, chosen on the validation corpus by {measure}."
        )
    return f" The weights are those of step {record['best_step']}, the best on the validation corpus by {measure}."


def _results(audit: Mapping[str, Any]) -> list[EvalResult]:
    corpus = str(audit["about"]["corpus"])
    return [
        EvalResult(
            task_type="retrieval", dataset_type=slug(corpus), dataset_name=corpus, metric_type=slug(name),
            metric_name=_SHOWN[name], metric_value=round(estimate["value"], 4),
        )
        for name, estimate in audit["macro"].items()
    ]  # fmt: skip


def _counted(langs: Sequence[str]) -> str:
    return f"{len(langs)} language{'s' if len(langs) > 1 else ''}"


def _cell(audit: Mapping[str, Any], name: str) -> str:
    estimate = audit["macro"].get(name)
    if estimate is None:
        return ""
    value, low, high = (_number(name, estimate[key]) for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _number(name: str, value: float | None) -> str:
    return "" if value is None else measure_info(name).shown(value)


def _one_cell(value: object) -> str:
    """A value for a cell of a table. A prompt may have several lines."""
    return str(value).replace("|", "\\|").replace("\n", "\\n")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
