"""Prompts: the words that an encoder expects before each query and each passage.

Most encoders save their prompts. Some, such as E5, were published with prompts that only their model cards mention. `PUBLISHED`
has the prompts of these encoders by exact hub name. The name of a folder is never used; the files in it are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from babelmix._progress import console
from babelmix.encoders.hub import local_folder
from babelmix.encoders.known import E5_OFFLINE, E5_PROMPTS

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SIZES = ("small", "base", "large")
_E5 = (
    *(f"intfloat/multilingual-e5-{size}" for size in _SIZES),
    *(f"intfloat/e5-{size}{version}" for size in _SIZES for version in ("", "-v2", "-unsupervised")),
)
# From arXiv 2408.10536, section 2.1, which trains XLM-R with these prompts.
_XLM_R_PROMPTS = {"query": "Query: ", "document": "Passage: "}
_XLM_R = tuple(f"{owner}xlm-roberta-{size}" for owner in ("", "FacebookAI/") for size in ("base", "large"))

PUBLISHED: Mapping[str, Mapping[str, str]] = {
    E5_OFFLINE: E5_PROMPTS,
    **dict.fromkeys(_E5, E5_PROMPTS),
    **dict.fromkeys(_XLM_R, _XLM_R_PROMPTS),
}
"""The prompts of published models that do not save them, by exact hub name."""

_CACHED = re.compile(r"models--(.+)")
_NAME_KEYS = (("config.json", "_name_or_path"), ("tokenizer_config.json", "name_or_path"))


@dataclass(frozen=True)
class FoundPrompts:
    """Prompts of an encoder that saved none.

    Args:
        prompts: by kind, `query` and `document`.
        source: the published model that they belong to, and what names it.

    """

    prompts: Mapping[str, str]
    source: str


def published_prompts(name: str, folder: Path) -> FoundPrompts | None:
    """The prompts that a model was published with, if it is certain which model it is.

    Args:
        name: the name that the model was loaded by.
        folder: the folder of its files.

    Returns:
        The prompts; None if nothing names a model of `PUBLISHED`.

    """
    for told, source in _names(name, folder):
        if told in PUBLISHED:
            return FoundPrompts(PUBLISHED[told], f"published with {told} ({source})")
    return None


def hub_name(name: str) -> str:
    """The hub name of a model. For a snapshot folder in the hub's cache it is in the path; otherwise it is the name itself.

    Examples:
        >>> hub_name("huggingface/hub/models--intfloat--e5-base/snapshots/b533fe4")
        'intfloat/e5-base'

    """
    parts = Path(name).parts
    if len(parts) > 2 and parts[-2] == "snapshots" and (cached := _CACHED.fullmatch(parts[-3])):
        return cached[1].replace("--", "/")
    return name


def _names(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    """The published names that a model may have, each with its source. The most reliable one is first."""
    if local_folder(name) is None:
        yield name, "the name given"
    for place in dict.fromkeys((folder.absolute(), folder.resolve())):
        if (told := hub_name(str(place))) != str(place):
            yield told, "the hub's cache"
    # babelmix trained this model, so its user chose to have no prompts.
    if (folder / "training.json").is_file():
        return
    # Only E5: models that were trained from XLM-R name it in these files too, but do not have its prompts.
    for file, key in _NAME_KEYS:
        written = _json(folder / file).get(key)
        if isinstance(written, str) and hub_name(written) in _E5:
            yield hub_name(written), f"{file}, {key}"
    index = _card(folder).get("model-index")
    for model in index if isinstance(index, list) else ():
        title = model.get("name") if isinstance(model, dict) else None
        # Cards leave the organisation out here.
        for full in _E5:
            if title in (full, full.rpartition("/")[2]):
                yield full, "README.md, model-index"


def why_prompts_may_be_missing(folder: Path) -> str | None:
    """Why a model without prompts may be an E5, as the end of a sentence; None if nothing suggests it.

    Args:
        folder: the folder of the model.

    """
    if (folder / "training.json").is_file():
        return None
    bases = _card(folder).get("base_model")
    for base in bases if isinstance(bases, list) else [bases]:
        if base in (*_E5, E5_OFFLINE):
            return f"its card says that it was made from {base}"
    return "it has the vocabulary, the layers and the pooling of a multilingual E5" if _may_be_e5(folder) else None


_told: WeakSet[Any] = WeakSet()


def tell_if_prompts_are_missing(encoder: SentenceTransformer) -> None:
    """Print a note, once per encoder, if it is a published E5 and has no prompts.

    `load_encoder` gives such an encoder its prompts; `SentenceTransformer(NAME)` does not.
    """
    if encoder in _told or any(encoder.prompts.values()):
        return
    _told.add(encoder)
    first: Any = next(iter(encoder.children()), None)
    config = getattr(getattr(first, "auto_model", None), "config", None)
    name = hub_name(str(getattr(config, "_name_or_path", "")))
    if name in _E5:
        prompts = dict(PUBLISHED[name])
        console.print(
            f"{name}: its card demands prompts, and it runs without any; load it with babelmix.encoders.load_encoder, or set  "
            f"encoder.prompts = {prompts}",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def _may_be_e5(folder: Path) -> bool:
    """Whether a model has the shape of a multilingual E5: XLM-R's vocabulary, BERT's or XLM-R's layers, mean pooling."""
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
    """The metadata at the beginning of the model card."""
    from huggingface_hub import metadata_load

    try:
        return metadata_load(folder / "README.md") or {}
    except Exception:  # of many types; an encoder loads without its card
        return {}


__all__ = [
    "PUBLISHED", "FoundPrompts", "hub_name", "published_prompts", "tell_if_prompts_are_missing", "why_prompts_may_be_missing",
]  # fmt: skip
