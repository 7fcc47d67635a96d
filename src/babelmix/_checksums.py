"""Checksums of what is read back: a bit that has flipped on a disk is to be noticed, and not to be another number.

CRC-32 of the standard library, at three gigabytes a second: it finds every flip of up to 32 neighbouring bits, and misses
other damage once in four thousand million times. It is no protection against people.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from babelmix._files import write_json

CHECKSUMS = "checksums.json"
"""What says of a folder's files how they were written."""

_AT_ONCE = 1 << 20


def checksum(file: Path) -> int:
    """CRC-32 of a file's bytes."""
    value = 0
    with file.open("rb") as source:
        while part := source.read(_AT_ONCE):
            value = zlib.crc32(part, value)
    return value


def write_checksums(folder: Path, names: Sequence[str] | None = None) -> None:
    """Write down how the files of a folder are now.

    Args:
        folder: with the files.
        names: of the files; by default all, in folders below too.

    """
    if names is None:
        files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != CHECKSUMS)
        names = [file.relative_to(folder).as_posix() for file in files]
    write_json(folder / CHECKSUMS, {name: checksum(folder / name) for name in names})


def has_checksums(folder: Path) -> bool:
    """Whether it was written down how the files of a folder are to be."""
    return (folder / CHECKSUMS).is_file()


def damaged_file(folder: Path, needed: Sequence[str] = ()) -> str | None:
    """The first file of a folder that is not as it was written, by name; None if all are.

    Args:
        folder: with checksums, which may be damaged themselves.
        needed: files that are to have one, if they are there.

    """
    try:
        known = json.loads((folder / CHECKSUMS).read_bytes())
        if not isinstance(known, dict) or any((folder / name).is_file() and name not in known for name in needed):
            return CHECKSUMS
    except (OSError, ValueError, RecursionError):
        return CHECKSUMS
    for name, value in known.items():
        try:
            if checksum(folder / name) != value:
                return str(name)
        except (OSError, ValueError):  # a null character in a name is a ValueError
            return str(name)
    return None


__all__ = ["CHECKSUMS", "checksum", "damaged_file", "has_checksums", "write_checksums"]
