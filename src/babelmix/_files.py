"""Write files and folders completely or not at all; the folder of the cache."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import itertools
import json
import os
import re
import shutil
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from babelmix.errors import BabelmixError, WriteError

if sys.platform != "win32":
    import fcntl

_SCRATCH = r"\.[a-z0-9_]{8}\.part"
"""The end of the name of a temporary folder, `.NAME.RANDOM.part`. It is beside the final file or folder NAME."""
_NEW, _OLD = "new", "old"
_FULL = {
    errno.ENOSPC: "No space left on device", errno.EDQUOT: "Disk quota exceeded", errno.EFBIG: "File too large",
    errno.EROFS: "Read-only file system", errno.EIO: "Input/output error",
}  # fmt: skip
"""The error codes of a disk that cannot be written to."""
_UNTOLD = re.compile("file write failed|failed writing|requested and .* written|unexpected pos")
"""The messages of torch and numpy for such a disk, which give no code."""
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def cache_folder() -> Path:
    """The folder of the cache: `$BABELMIX_CACHE`, or the user's cache folder. Everything in it may be deleted at any time."""
    override = os.environ.get("BABELMIX_CACHE")
    return Path(override) if override else Path(platformdirs.user_cache_dir("babelmix"))


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path. On success the file written there replaces `path`; on failure it is removed.

    Raises:
        WriteError: the disk is full, or cannot be written to for another reason.

    """
    with writing_to(path), _scratch(path) as scratch:
        temporary = scratch / path.name
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


def slug(text: str) -> str:
    """Convert a text to a file name: all characters but letters, digits, `_` and `.` become dashes."""
    return re.sub(r"[^\w.]+", "-", text).strip("-")


def distinct_slugs(names: Iterable[str]) -> dict[str, str]:
    """A file name for each name, no two of them equal.

    The file name is the `slug`. Names with a common slug get a part of their hash too, so that their order does not matter.

    Examples:
        >>> distinct_slugs(["one", "a/b", "a-b"])
        {'one': 'one', 'a/b': 'a-b-c14cddc0', 'a-b': 'a-b-d44362d6'}

    """
    slugs = {name: slug(name) for name in names}
    counts = Counter(slugs.values())
    return {
        name: short if counts[short] == 1 else f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        for name, short in slugs.items()
    }


def place_apart(place: Path, of_another: Callable[[Path], bool], suffix: str = "") -> Path:
    """The default place of a result: the first of `place`, `place-2`, `place-3`, ... without a result of another model or corpus.

    Two different models may have one default folder, as `a/b` and `a-b` do.

    Args:
        place: the default folder, or the default file without its suffix.
        of_another: whether a place holds a result of another model or another corpus.
        suffix: the end of a file's name.

    """
    for number in itertools.count(1):
        found = place.with_name(f"{place.name}{f'-{number}' if number > 1 else ''}{suffix}")
        if not of_another(found):
            return found
    raise AssertionError("unreachable")


def recorded(file: Path, *keys: str) -> Any:
    """A value of a JSON file, by the keys that lead to it; None if the file or the value is missing."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def check_output_folder(path: Path, markers: Sequence[str]) -> None:
    """Raise unless a folder can be written to `path`. Call it before a long computation.

    Args:
        path: the folder to write.
        markers: names of files in a folder of the same kind. An existing folder is only replaced if it has one of them.

    Raises:
        BabelmixError: `path` is a file, has other files, or cannot be written to.

    """
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        # One call of stat, because another process may replace the folder between two calls.
        if not stat.S_ISDIR(path.stat().st_mode):
            raise BabelmixError(f"{path}: is a file, but a folder is to be written there; choose another place")
    if (names := _names(path)) and not names & set(markers):
        raise BabelmixError(f"{path}: holds other files, which would be lost; choose a new folder")
    parent = path.resolve().parent
    while not parent.exists():
        parent = parent.parent
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise BabelmixError(f"{parent}: cannot be written to ({error.strerror}); choose another place") from error


def _names(folder: Path) -> set[str]:
    """The names in a folder; empty if there is none. Another process may replace the folder meanwhile."""
    while folder.is_dir():
        with contextlib.suppress(FileNotFoundError):
            before = folder.stat()
            names = {entry.name for entry in folder.iterdir()}
            if os.path.samestat(before, folder.stat()):
                return names
    return set()


@contextmanager
def replacing_folder(path: Path, markers: Sequence[str], *, keep_existing: bool = False) -> Iterator[Path]:
    """Yield a temporary folder. On success it replaces `path`; on failure it is removed.

    Args:
        path: the folder to write.
        markers: see `check_output_folder`. Without markers, only an empty folder is replaced.
        keep_existing: if another process has written the folder first, keep its folder (for caches).

    Raises:
        BabelmixError: see `check_output_folder` and `writing_to`.

    """
    path = path.resolve()
    check_output_folder(path, markers)
    with writing_to(path), _scratch(path) as scratch:
        temporary = scratch / _NEW
        temporary.mkdir()
        yield temporary
        for file in temporary.rglob("*"):
            # Some libraries write files that only their owner can read.
            if file.is_file():
                file.chmod(0o666 & ~_umask())
        if keep_existing and path.exists():
            return
        if markers:
            _put(temporary, path, scratch)
        else:
            _put_if_free(temporary, path)


def _put(temporary: Path, path: Path, scratch: Path) -> None:
    """Move a folder to its place. An older folder is moved into `scratch`. Other processes may do the same meanwhile."""
    while True:
        try:
            if path.exists():
                if _exchanged(temporary, path):
                    return
                path.replace(scratch / _OLD)
            temporary.replace(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY):
                raise
            shutil.rmtree(scratch / _OLD, ignore_errors=True)


def put_folder(folder: Path, path: Path) -> None:
    """Move a complete folder to `path`, and remove what is there."""
    with _scratch(path) as scratch:
        # What is replaced may take the place of the new folder.
        folder.replace(scratch / _NEW)
        _put(scratch / _NEW, path, scratch)


def lock_folder(folder: Path) -> int | None:
    """Lock a folder until the handle is closed or the process ends; None if another process has it, or on Windows."""
    return _locked(folder, wait=False)


def _put_if_free(temporary: Path, path: Path) -> None:
    """Move a folder to its place, unless another process has written there meanwhile."""
    try:
        with contextlib.suppress(FileNotFoundError):
            path.rmdir()
        temporary.rename(path)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise
        raise BabelmixError(f"{path}: another process has written there meanwhile; choose a new folder") from error


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders atomically. Returns False if the system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if sys.platform == "linux" else None
    if rename is None:
        return False
    return bool(rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def remove_folder(path: Path) -> None:
    """Remove a folder atomically: it is complete or gone, whenever the process ends. Errors are ignored."""
    with contextlib.suppress(OSError):
        clear_leftovers(path.parent, path.name)
        if path.is_dir():
            with _scratch(path) as scratch:
                path.replace(scratch / path.name)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Turn the errors of libraries about a full disk into a `WriteError`.

    Raises:
        WriteError: the disk is full, or cannot be written to for another reason.

    """
    try:
        yield
    except BabelmixError:
        raise
    except Exception as error:  # safetensors, tokenizers, torch and Arrow raise types of their own
        if (why := _why_full(error)) is None:
            raise
        raise WriteError(path, why) from error


def _why_full(error: Exception) -> str | None:
    if isinstance(error, OSError) and error.errno in _FULL:
        return _FULL[error.errno]
    said = str(error)
    for number, why in _FULL.items():
        if f"os error {number})" in said or f"errno {number}" in said or why in said:
            return why
    return "the disk takes no more" if _UNTOLD.search(said) else None


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`. If this process dies, the next one that writes `path` removes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path.parent, path.name)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
        handle = _locked(folder, wait=True)
        # Another process may have removed it as a leftover before it was locked.
        if folder.exists():
            break
        if handle is not None:
            os.close(handle)
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            if handle is not None:
                os.close(handle)


def clear_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove the temporary folders of dead processes.

    A live process holds a lock on its temporary folder. The lock ends with the process.

    Args:
        folder: the folder that has the temporary folders.
        name: remove only those for this file or folder; by default all.

    """
    pattern = re.compile(rf"\.{'.+' if name is None else re.escape(name)}{_SCRATCH}")
    try:
        found = [entry for entry in folder.iterdir() if pattern.fullmatch(entry.name)]
    except OSError:
        return
    for scratch in found:
        if (handle := _locked(scratch, wait=False)) is None:
            continue
        target = folder / re.sub(f"{_SCRATCH}$", "", scratch.name[1:])
        if (scratch / _OLD).is_dir() and (scratch / _NEW).is_dir() and not target.exists():
            # The process died between the two renames.
            with contextlib.suppress(OSError):
                (scratch / _NEW).replace(target)
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(handle)


def _locked(folder: Path, *, wait: bool) -> int | None:
    """Lock a folder. Returns a handle to close, or None if another process has the lock or the system has no such locks."""
    if sys.platform == "win32":
        return None
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(handle)
        return None
    return handle


def write_text(path: Path, text: str) -> None:
    """Write a text file (UTF-8) completely or not at all."""
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file completely or not at all. The order of the keys is kept."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
