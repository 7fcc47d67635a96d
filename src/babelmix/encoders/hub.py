"""A model's folder on this machine: one that is there, or what the hub gives, without what no loader here reads."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

import huggingface_hub
from sentence_transformers.util.misc import ORIGINAL_TRANSFORMER_MODELS

_ORGANISATION = "sentence-transformers"
# Read by the gate first; code only for those who trust it.
_SMALL = ["*.json", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.jinja", "*.codes", "README.md"]
_EXPORTS = ["onnx/*", "openvino/*", "*.onnx", "*.onnx_data", "coreml/*", "tf_model*", "flax_model*"]
_WEIGHTS = ("model*.safetensors", "adapter_model*.safetensors")
_PICKLES = ("pytorch_model*.bin", "adapter_model.bin")


def local_folder(name: str) -> Path | None:
    """The folder that a name stands for on this machine, in whichever way its separators are written; None: ask the hub."""
    place = Path(name)
    if not place.exists() and "\\" in name:
        place = Path(PureWindowsPath(name).as_posix())
    return place if place.exists() else None


def repository(name: str) -> str:
    """The hub's whole name of a model: a bare one is of sentence-transformers, unless it is one of the first models."""
    bare = "/" not in name and name.lower() not in ORIGINAL_TRANSFORMER_MODELS
    return f"{_ORGANISATION}/{name}" if bare else name


def descriptions(name: str, revision: str | None = None, *, code: bool = False) -> Path:
    """Download all of a model but its weights.

    Args:
        name: of a hub model.
        revision: branch, tag or commit.
        code: fetch its Python files too.

    Raises:
        Exception: what the hub's client raises, of many types.

    """
    wanted = [*_SMALL, "*.py"] if code else _SMALL
    return Path(
        huggingface_hub.snapshot_download(
            repository(name), revision=revision, allow_patterns=wanted, ignore_patterns=_EXPORTS
        )
    )


def weights(name: str, folder: Path) -> Path:
    """Download the weights of a model whose other files are there: safetensors, and pickles only where there are none.

    Args:
        name: of a hub model.
        folder: what `descriptions` gave.

    Returns:
        The folder with all.

    Raises:
        Exception: what the hub's client raises, of many types.

    """
    places = {Path(place).relative_to(folder) for place, _, files in os.walk(folder) if files}
    # The hub's folders of a revision are called by its commit.
    commit = folder.name
    huggingface_hub.snapshot_download(
        repository(name), revision=commit, allow_patterns=[f"*{file}" for file in _WEIGHTS], ignore_patterns=_EXPORTS
    )
    without = [place for place in places if not any((folder / place).glob("*.safetensors"))]
    pickles = [(place / file).as_posix() for place in sorted(without) for file in _PICKLES]
    if pickles:
        huggingface_hub.snapshot_download(
            repository(name), revision=commit, allow_patterns=pickles, ignore_patterns=_EXPORTS
        )
    return folder


__all__ = ["descriptions", "local_folder", "repository", "weights"]
