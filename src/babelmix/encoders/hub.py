"""Find a model's folder on this machine, or download the files that babelmix needs from the hub."""

from __future__ import annotations

import os
from pathlib import Path, PureWindowsPath

import huggingface_hub

_ORGANISATION = "sentence-transformers"
# `babelmix.encoders.trust` checks these before weights are downloaded. Code is downloaded only with trust_code.
_SMALL = ["*.json", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.jinja", "*.codes", "README.md"]
_EXPORTS = ["onnx/*", "openvino/*", "*.onnx", "*.onnx_data", "coreml/*", "tf_model*", "flax_model*"]
_WEIGHTS = ("model*.safetensors", "adapter_model*.safetensors")
_PICKLES = ("pytorch_model*.bin", "adapter_model.bin")


def local_folder(name: str) -> Path | None:
    """The local folder of this name, also with Windows separators; None if there is none, so that it is a hub name."""
    place = Path(name)
    if not place.exists() and "\\" in name:
        place = Path(PureWindowsPath(name).as_posix())
    return place if place.exists() else None


def repository(name: str) -> str:
    """The full hub name of a model. A bare name is one of transformers' first models, or of sentence-transformers."""
    from sentence_transformers.util.misc import ORIGINAL_TRANSFORMER_MODELS

    bare = "/" not in name and name.lower() not in ORIGINAL_TRANSFORMER_MODELS
    return f"{_ORGANISATION}/{name}" if bare else name


def descriptions(name: str, revision: str | None = None, *, code: bool = False) -> Path:
    """Download the files of a model except its weights.

    Args:
        name: a hub name.
        revision: branch, tag or commit.
        code: download Python files too.

    Returns:
        The folder.

    Raises:
        Exception: any of the many types that the hub's client raises.

    """
    wanted = [*_SMALL, "*.py"] if code else _SMALL
    return Path(
        huggingface_hub.snapshot_download(
            repository(name), revision=revision, allow_patterns=wanted, ignore_patterns=_EXPORTS
        )
    )


def weights(name: str, folder: Path) -> Path:
    """Download the weights of a model: safetensors, and pickles only if there are none.

    Args:
        name: a hub name.
        folder: what `descriptions` returned.

    Returns:
        The same folder, complete.

    Raises:
        Exception: any of the many types that the hub's client raises.

    """
    places = {Path(place).relative_to(folder) for place, _, files in os.walk(folder) if files}
    # The hub names the folder of a revision by its commit.
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
