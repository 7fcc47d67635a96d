"""Check what a model's folder names before any loader reads it. Without `--trust-code`, unknown names are refused.

sentence-transformers, transformers and peft import, call or open things that configuration files name: classes of modules,
activations, tokenizers and processors, methods of a model, kernels of the hub, quantisation packages, other models. So babelmix
first checks every configuration file of the folder and its sub-folders with the rules of `babelmix.encoders.trust_rules`. A name
that is on no list there is refused; the error names file and key. Weights need no rule: the libraries read only tensors from a
pickle (`weights_only`), and the rules do not let a file change that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babelmix._progress import console
from babelmix.encoders.trust_rules import Objection, is_followed, objections_to
from babelmix.errors import EncoderError

_MOST_FILES = 20_000
_MOST_BYTES = 64 << 20
_SHOWN = 20


def admit(folder: Path, name: str, *, trust_code: bool = False, reranker: bool = False) -> bool:
    """Check a model's folder, and refuse it if it names unknown things.

    Args:
        folder: the folder of the model.
        name: the name that the user gave, for messages.
        trust_code: allow unknown names and code, and print them.
        reranker: whether the folder is to be a cross-encoder, not an encoder.

    Returns:
        Whether the loader must be told to trust the folder: True only if something in the folder needs it.

    Raises:
        EncoderError: a file names something unknown without `trust_code`, or cannot be read.

    """
    found = list(objections(folder, name, reranker=reranker))
    if not found:
        return False
    if not trust_code:
        first = found[0]
        others = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
        raise EncoderError(
            f"{name}: {first}{others}; babelmix loads no code and nothing unknown that a model's folder names: use another "
            "model or, only if you trust who made this one, --trust-code"
        )
    console.print(f"{name}: --trust-code lets the folder do this:", markup=False, highlight=False)
    for one in found[:_SHOWN]:
        console.print(f"  {one}", markup=False, highlight=False, soft_wrap=True)
    if len(found) > _SHOWN:
        console.print(f"  and {len(found) - _SHOWN} more", markup=False, highlight=False)
    return True


def objections(folder: Path, name: str, *, reranker: bool = False) -> Iterator[Objection]:
    """All objections to a folder, file by file.

    Args:
        folder: the folder of the model.
        name: the name of the model, for messages.
        reranker: whether the folder is to be a cross-encoder, not an encoder.

    Raises:
        EncoderError: a configuration file cannot be read.

    """
    for path in json_files(folder, name):
        file = path.relative_to(folder).as_posix()
        yield from objections_to(file, read_json(path, f"{name}, {file}"), reranker=reranker)


def json_files(folder: Path, name: str) -> list[Path]:
    """The configuration files of a folder and its sub-folders, sorted by name. Links to folders are followed.

    Raises:
        EncoderError: there are more files than any model has.

    """
    found: list[Path] = []
    been: set[str] = set()
    count = 0
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in been:
            folders.clear()
            continue
        been.add(real)
        count += len(files)
        if count > _MOST_FILES:
            raise EncoderError(f"{name}: is no encoder's folder (it holds more than {_MOST_FILES:,} files)")
        found += [Path(place, file) for file in files if is_followed(file)]
    return sorted(found)


def read_json(path: Path, where: str) -> Any:
    """Read a JSON file as the libraries do.

    Args:
        path: the file.
        where: the beginning of a message.

    Raises:
        EncoderError: the file is too large, or not JSON.

    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise EncoderError(f"{where}: is larger than any configuration ({_MOST_BYTES >> 20} MiB)")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"{where}: cannot be read as JSON ({type(error).__name__})") from error


__all__ = ["admit", "json_files", "objections", "read_json"]
