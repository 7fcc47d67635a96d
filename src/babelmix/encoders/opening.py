"""Load an encoder by its name: find the folder, check it (`babelmix.encoders.trust` and `integrity`), and load it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from babelmix._progress import quiet_transformers
from babelmix.encoders import hub
from babelmix.encoders.exported.facts import is_export
from babelmix.encoders.integrity import check_after_loading, check_before_loading
from babelmix.encoders.trust import admit, json_files, read_json
from babelmix.encoders.trust_rules import MODULES
from babelmix.errors import BabelmixError, EncoderError, first_line

_ADAPTER = "adapter_config.json"
_SIGNS = ("modules.json", "config.json", _ADAPTER)


@dataclass(frozen=True)
class Admitted:
    """A model's folder that `babelmix.encoders.trust.admit` accepted.

    Args:
        folder: the folder on this machine.
        trusted: whether the loader must be told to trust the folder, see `babelmix.encoders.trust.admit`.

    """

    folder: Path
    trusted: bool


def admitted(
    name: str,
    *,
    called: str = "",
    revision: str | None = None,
    trust_code: bool = False,
    reranker: bool = False,
) -> Admitted:
    """Find a model's folder, or download it, and check it with `babelmix.encoders.trust.admit`.

    Args:
        name: a folder, or a hub name.
        called: the name that the user gave, for messages.
        revision: branch, tag or commit of a hub model.
        trust_code: see `babelmix.encoders.trust.admit`.
        reranker: whether it is to be a cross-encoder, not an encoder.

    Raises:
        EncoderError: there is no such model, or the check refuses it.

    """
    called = called or name
    local = hub.local_folder(name)
    if local is not None:
        if is_export(local):
            raise EncoderError(
                f"{called}: is an export, which index, search and serve run; name the encoder itself here, with --backend"
            )
        if not any((local / file).is_file() for file in _SIGNS):
            kind = "a reranker" if reranker else "an encoder"
            raise EncoderError(f"{called}: is not {kind}'s folder (there is neither modules.json nor config.json)")
        return Admitted(local, admit(local, called, trust_code=trust_code, reranker=reranker))
    try:
        with quiet_transformers():
            folder = hub.descriptions(name, revision, code=trust_code)
    except Exception as error:  # the hub's client raises many unrelated types
        raise EncoderError(_not_there(called, error, reranker)) from error
    trusted = admit(folder, called, trust_code=trust_code, reranker=reranker)
    try:
        with quiet_transformers():
            return Admitted(hub.weights(name, folder), trusted)
    except Exception as error:  # as above
        raise EncoderError(_not_there(called, error, reranker)) from error


def open_encoder(
    name: str,
    *,
    called: str = "",
    device: str | None = None,
    revision: str | None = None,
    trust_code: bool = False,
) -> tuple[SentenceTransformer, Path]:
    """Load an encoder as it was saved.

    Args:
        name: a folder, or a hub name.
        called: the name that the user gave, for messages.
        device: a torch device; None: the best one that is available.
        revision: branch, tag or commit of a hub model.
        trust_code: see `babelmix.encoders.trust.admit`.

    Returns:
        The encoder, and its folder.

    Raises:
        EncoderError: there is no such encoder, the check of its folder refuses it, or it is damaged.

    """
    called = called or name
    found = admitted(name, called=called, revision=revision, trust_code=trust_code)
    for path in json_files(found.folder, called):
        if path.name == _ADAPTER:
            _admit_base(path, called, trust_code=trust_code)
    spare = set() if found.trusted else check_before_loading(found.folder, called)
    try:
        with quiet_transformers():
            encoder = SentenceTransformer._load_with_module_classes(
                str(found.folder),
                module_classes(),
                device=device,
                trust_remote_code=found.trusted,
                local_files_only=True,
            )
    except BabelmixError:
        raise
    except Exception as error:  # transformers and safetensors raise many unrelated types
        raise EncoderError(
            f"{called}: cannot be loaded as an encoder ({type(error).__name__}: {first_line(error)})"
        ) from error
    check_after_loading(encoder, called, spare)
    return encoder, found.folder


def module_classes() -> dict[str, Any]:
    """The classes that files may name. sentence-transformers gets these, so it imports nothing by a name in a file."""
    return {spelling: getattr(importlib.import_module(home), name) for spelling, (home, name) in MODULES.items()}


def _admit_base(path: Path, called: str, *, trust_code: bool) -> None:
    """Find or download the base model of an adapter, and check it like every model."""
    content = read_json(path, f"{called}, {path.name}")
    base = content.get("base_model_name_or_path") if isinstance(content, dict) else None
    if not isinstance(base, str) or not base:
        raise EncoderError(f"{called}, {path.name}, base_model_name_or_path = {base!r}: names no model")
    found = admitted(base, called=f"{called}, whose adapter is of {base}", trust_code=trust_code)
    if any(file.name == _ADAPTER for file in json_files(found.folder, base)):
        raise EncoderError(f"{called}: its adapter is of {base}, which is an adapter itself")
    check_before_loading(found.folder, base)


def _not_there(name: str, error: Exception, reranker: bool) -> str:
    other = "" if reranker else ", or use e5-small-offline, which needs neither"
    return (
        f"{name}: is neither a folder nor a model that the hub gave ({type(error).__name__}: {first_line(error)}); check the "
        f"name and the network{other}"
    )


__all__ = ["Admitted", "admitted", "module_classes", "open_encoder"]
