"""Use of the cache. If the cache cannot be written to, the work goes on without it, and a line says so."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from babelmix._checksums import damaged_file
from babelmix._files import cache_folder
from babelmix._progress import console
from babelmix.errors import BabelmixError, WriteError

_told: set[str] = set()


@contextmanager
def keeping(what: str) -> Iterator[None]:
    """Ignore an error of a block that writes to the cache. Print one line about it, once.

    Args:
        what: a plural noun for the line, such as `corpora`.

    """
    try:
        yield
    except OSError as error:
        _say(what, error.strerror or str(error))
    except WriteError as error:
        _say(what, error.why)


def _say(what: str, why: str) -> None:
    if what not in _told:
        _told.add(what)
        text = f"{what} are not kept, because {cache_folder()} cannot be written to ({why}); set BABELMIX_CACHE to another folder"
        console.print(text, highlight=False)


def remove_if_damaged(what: str, folder: Path) -> None:
    """Remove a folder of the cache if a file in it is damaged, and print a line about it.

    Args:
        what: a plural noun for the line, such as `corpora`.
        folder: the folder, which should have checksums.

    Raises:
        BabelmixError: the folder is damaged and cannot be removed.

    """
    if folder.is_dir() and damaged_file(folder) is not None:
        say_made_again(what, folder)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise BabelmixError(f"{folder}: is damaged, and cannot be removed by this process; remove it yourself")


def say_made_again(what: str, place: Path) -> None:
    """Print a line that a damaged part of the cache is made again, once for each place.

    Args:
        what: a plural noun for the line, such as `corpora`.
        place: the file or folder.

    """
    if str(place) not in _told:
        _told.add(str(place))
        text = f"{place}: cached {what} are damaged, or from an earlier version without checksums; they are made again"
        console.print(text, markup=False, highlight=False)


def place_for(what: str, *names: str) -> Path:
    """A folder for something that is made once: in the cache, or else a temporary folder of this process.

    Args:
        what: a plural noun for the line that is printed if the cache cannot be written to, such as `corpora`.
        names: the path of the folder relative to the cache.

    """
    place = cache_folder().joinpath(*names)
    if place.exists():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place.parent):
            pass
    except OSError as error:
        _say(what, error.strerror or str(error))
        return _own_folder().joinpath(*names)
    return place


def _own_folder() -> Path:
    global _temporary
    if _temporary is None:
        _temporary = Path(tempfile.mkdtemp(prefix="babelmix-"))
        atexit.register(shutil.rmtree, _temporary, ignore_errors=True)
    return _temporary


_temporary: Path | None = None


__all__ = ["keeping", "place_for", "remove_if_damaged", "say_made_again"]
