"""Training settings as they were written before they had sections: one flat list, with 0 or "" for a default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

MOVED = {
    "temperature": "loss.temperature",
    "consistency": "loss.consistency",
    "consistency_of": "loss.consistency_of",
    "mini_batch_size": "loss.mini_batch_size",
    "distil_from": "distillation.teacher",
    "distil_text": "distillation.reads",
    "distil_share": "distillation.share",
    "lock_images": "pictures.lock_images",
    "text_share": "pictures.text_share",
    "text_weight": "pictures.text_weight",
    "text_only_langs": "pictures.text_only_langs",
    "lora_rank": "weights.lora_rank",
    "freeze_embeddings": "weights.freeze_embeddings",
    "start_share": "weights.start_share",
    "warmup": "schedule.warmup",
    "evaluate_every": "schedule.evaluate_every",
    "stop_on": "schedule.stop_on",
    "patience": "schedule.patience",
    "checkpoint_every": "schedule.checkpoint_every",
}
"""The new dotted name of each old flat name."""

DEFAULTS: dict[str, float | str] = {
    "learning_rate": 0, "temperature": 0, "mini_batch_size": 0, "lora_rank": 0, "evaluate_every": 0, "patience": 0,
    "pooling": "", "query_prompt": "", "passage_prompt": "", "distil_from": "",
}  # fmt: skip
"""For each old name, the value that meant "use the default" or "none"."""

_OF_A_TEACHER = {"distil_text": "english", "distil_share": 1.0}


def in_sections(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Convert settings of the old or the new spelling to sections.

    Args:
        values: settings by name: flat, in sections, or mixed.

    Returns:
        The settings in sections, and a phrase for each old spelling that names the new one.

    Raises:
        ValueError: a setting is given twice, in the old and in the new spelling.

    """
    found = {name: value for name, value in values.items() if name not in MOVED}
    phrases: list[str] = []
    for name, default in DEFAULTS.items():
        if name not in MOVED and name in found and found[name] == default and not isinstance(found[name], bool):
            found[name] = None
            phrases.append(f"{name} = {default!r} is written by leaving it out")
    if not values.get("distil_from"):
        # Without a teacher, the default settings of a teacher are dropped.
        values = {name: value for name, value in values.items() if _OF_A_TEACHER.get(name, ...) != value}
    for name in (name for name in MOVED if name in values):
        value, (section, _, key) = values[name], MOVED[name].partition(".")
        phrases.append(f"{name} is {MOVED[name]}")
        if name in DEFAULTS and value == DEFAULTS[name]:
            if section == "distillation":
                continue
            value = None
        inner = found.get(section) or {}
        inner = inner.model_dump(exclude_unset=True) if isinstance(inner, BaseModel) else dict(inner)
        if key in inner:
            raise ValueError(f"{name} and {MOVED[name]} are the same setting; give {MOVED[name]} alone")
        found[section] = {**inner, key: value}
    return found, phrases


__all__ = ["DEFAULTS", "MOVED", "in_sections"]
