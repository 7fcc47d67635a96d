"""Prompts of families of encoders whose authors published them only in prose, and how to tell a model's family."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import metadata_load

from babelmix.encoders.e5_offline import PROMPTS as E5_PROMPTS

_E5 = re.compile(r"(^|[/\\-])(multilingual-)?e5-(small|base|large)(-v2|-unsupervised)?($|-offline)", re.IGNORECASE)
_FAMILIES: list[tuple[re.Pattern[str], Mapping[str, str]]] = [
    (_E5, E5_PROMPTS),
    # arXiv 2408.10536, section 2.1, trains XLM-R with these.
    (re.compile(r"(^|[/\\-])xlm-roberta-(base|large)$", re.IGNORECASE), {"query": "Query: ", "document": "Passage: "}),
]
_CACHED = re.compile(r"models--(.+)")


def prompts_of_family(name: str, folder: Path | None) -> tuple[Mapping[str, str], str] | None:
    """The prompts of the family that a model is of, and what says so.

    Args:
        name: what it was asked for by.
        folder: where it lies, if it lies on this machine.

    Returns:
        Prompts by kind, and the end of a sentence; None if it is of no such family, or nothing says so.

    """
    for told, source in names_of(name, folder):
        for family, prompts in _FAMILIES:
            if family.search(told):
                return prompts, f"of the family of {told} ({source})"
    # A model that was trained from XLM-R names it in its files and has no prompts; one from E5 has E5's.
    for told, source in _names_in_files(folder) if folder is not None else ():
        if _E5.search(told):
            return E5_PROMPTS, f"of the family of {told} ({source})"
    return None


def names_of(name: str, folder: Path | None) -> Iterator[tuple[str, str]]:
    """What a model is called, the surest first: the name given, its folder's, the hub's of a cached one.

    Args:
        name: what it was asked for by.
        folder: where it lies.

    """
    yield name.replace("\\", "/").rstrip("/"), "the name given"
    # A link's own name says as much as that of the folder behind it.
    for place in dict.fromkeys((folder.absolute(), folder.resolve())) if folder is not None else ():
        yield place.name, "the folder's name"
        for part in reversed(place.parts):
            if cached := _CACHED.fullmatch(part):
                yield cached[1].replace("--", "/"), "the hub's cache"
                break


def _names_in_files(folder: Path) -> Iterator[tuple[str, str]]:
    if (folder / "training.json").is_file():
        # What we trained without prompts is used without.
        return
    for file in ("config.json", "tokenizer_config.json"):
        for key in ("_name_or_path", "name_or_path"):
            told = _json(folder / file).get(key)
            if isinstance(told, str):
                yield told.replace("\\", "/").rstrip("/"), f"{file}, {key}"
    index = _card(folder).get("model-index")
    for model in index if isinstance(index, list) else ():
        if isinstance(model, dict) and isinstance(model.get("name"), str):
            yield model["name"], "README.md, model-index"


def looks_like_e5(folder: Path) -> str | None:
    """What makes a model look like an E5 that lost its name, as the end of a sentence; None if nothing does.

    Args:
        folder: of the model.

    """
    bases = _card(folder).get("base_model")
    for base in bases if isinstance(bases, list) else [bases]:
        if isinstance(base, str) and _E5.search(base):
            return f"its card says that it was made from {base}"
    return "it has the vocabulary, the layers and the pooling of a multilingual E5" if _may_be_e5(folder) else None


def _may_be_e5(folder: Path) -> bool:
    """Whether a model has the shape of a multilingual E5: XLM-R's vocabulary, in BERT's or XLM-R's layers, and averages."""
    config, pooling = _json(folder / "config.json"), _json(folder / "1_Pooling" / "config.json")
    shape = (config.get("hidden_size"), config.get("num_hidden_layers"))
    return (
        config.get("vocab_size") in (250_037, 250_002)
        and shape in ((384, 12), (768, 12), (1024, 24))
        and config.get("model_type") in ("bert", "xlm-roberta")
        and bool(pooling.get("pooling_mode_mean_tokens") or pooling.get("pooling_mode") == "mean")
        and (folder / "2_Normalize").exists()
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _card(folder: Path) -> dict[str, Any]:
    """What the model card says of itself, before its text."""
    try:
        return metadata_load(folder / "README.md") or {}
    except Exception:  # of many types; a card is no part of the encoder
        return {}


__all__ = ["looks_like_e5", "names_of", "prompts_of_family"]
