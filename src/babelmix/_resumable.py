"""A folder that is written over several runs: a killed run leaves it beside its place, and the next run goes on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from babelmix._files import check_output_folder, lock_folder, put_folder, recorded, write_json, writing_to
from babelmix.errors import BabelmixError

_STATE = "unfinished.json"


@contextmanager
def resumable_folder(path: Path, markers: Sequence[str], key: str) -> Iterator[Path]:
    """Yield the unfinished folder of `path`. On success it replaces `path`; on failure it stays for the next run.

    It is beside `path`, under the name `.NAME.unfinished`. What another run with the same key left is in it.

    Args:
        path: the folder to write.
        markers: see `check_output_folder`.
        key: what is written there, such as a digest of the input. What was left under another key is removed.

    Raises:
        BabelmixError: see `check_output_folder` and `writing_to`; or another process writes the same folder.

    """
    path = path.resolve()
    check_output_folder(path, markers)
    place = path.with_name(f".{path.name}.unfinished")
    with writing_to(path):
        place.mkdir(parents=True, exist_ok=True)
        lock = lock_folder(place)
        try:
            if lock is None and os.name == "posix":
                raise BabelmixError(f"{path}: another process is writing this folder; wait for it, or stop it")
            if recorded(place / _STATE, "key") != key:
                for entry in place.iterdir():
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                write_json(place / _STATE, {"key": key})
            yield place
            (place / _STATE).unlink()
            put_folder(place, path)
        finally:
            if lock is not None:
                os.close(lock)


__all__ = ["resumable_folder"]
