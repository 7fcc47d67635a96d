"""Files that are either whole or absent, and the place where caches live."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from babelmix.errors import BabelmixError


def cache_folder() -> Path:
    """The user's cache, `$BABELMIX_CACHE` if set. Everything in it can be deleted at any time."""
    override = os.environ.get("BABELMIX_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("babelmix"))


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success rename it to `path`, on failure remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def slug(text: str) -> str:
    """A text as a file name: everything but letters, digits, `_` and `.` becomes a dash."""
    return re.sub(r"[^\w.]+", "-", text).strip("-")


def check_output_folder(path: Path, markers: Sequence[str]) -> None:
    """Raise unless a folder can be written at `path`: before hours of work, not after.

    Args:
        path: where the folder is to be.
        markers: what a folder of the same kind holds; an existing folder with none of them is not ours to replace.

    Raises:
        BabelmixError: `path` is a file, holds other files, or cannot be written to.

    """
    if path.exists() and not path.is_dir():
        raise BabelmixError(f"{path}: is a file, but a folder is to be written there; choose another place")
    if path.is_dir() and any(path.iterdir()) and not any((path / marker).exists() for marker in markers):
        raise BabelmixError(f"{path}: holds other files, which would be lost; choose a new folder")
    parent = path.resolve().parent
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise BabelmixError(f"{parent}: cannot be written to ({error.strerror}); choose another place") from error


@contextmanager
def replacing_folder(path: Path, markers: Sequence[str], *, keep_existing: bool = False) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`, on failure it is removed.

    Args:
        path: where the folder is to be.
        markers: see `check_output_folder`.
        keep_existing: if another process was faster, leave its folder (for caches).

    Raises:
        BabelmixError: see `check_output_folder`.

    """
    path = path.resolve()
    check_output_folder(path, markers)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        if keep_existing and path.exists():
            return
        while True:
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
            try:
                if path.exists():
                    path.replace(old)
                temporary.replace(path)
                return
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
                    raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all (UTF-8)."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, keys in the order given."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
