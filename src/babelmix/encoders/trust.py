"""The gate before any loader sees a model's folder: what a file of it may name, and what only `--trust-code` lets pass.

sentence-transformers, transformers and peft import, call or open what configuration files name: classes of modules,
activations, tokenizers and processors, methods of a model, kernels of the hub, packages of quantisation, other models. So
every configuration file of the folder and its sub-folders is read first, by the rules of `babelmix.encoders.trust_rules`, and
what is on no list there is refused with file and key. Weights need no rule: of a pickle the libraries read tensors alone
(`weights_only`), unless a file could tell them otherwise, which the rules forbid.
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


def admit(folder: Path, name: str, *, trust_code: bool = False) -> bool:
    """Let a model's folder through to its loader, or refuse it.

    Args:
        folder: the model's, on this machine.
        name: what the person called it, for messages.
        trust_code: whether they said that its code may run; what will run is then printed.

    Returns:
        Whether the loader is to be told to trust the folder: only where something in it needs that.

    Raises:
        EncoderError: a file names what is on no list, and `trust_code` was not given; or a file cannot be read.

    """
    found = list(objections(folder, name))
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


def objections(folder: Path, name: str) -> Iterator[Objection]:
    """What the gate has against a folder, file by file.

    Args:
        folder: the model's.
        name: for messages.

    Raises:
        EncoderError: a configuration file cannot be read.

    """
    for path in json_files(folder, name):
        file = path.relative_to(folder).as_posix()
        yield from objections_to(file, read_json(path, f"{name}, {file}"))


def json_files(folder: Path, name: str) -> list[Path]:
    """The configuration files of a folder and its sub-folders, links to folders followed, in order of their names.

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
    """What a JSON file holds, as the libraries read it.

    Args:
        path: of the file.
        where: the beginning of a message.

    Raises:
        EncoderError: it is too large or no JSON.

    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise EncoderError(f"{where}: is larger than any configuration ({_MOST_BYTES >> 20} MiB)")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EncoderError(f"{where}: cannot be read as JSON ({type(error).__name__})") from error


__all__ = ["admit", "json_files", "objections", "read_json"]
