"""What is only kept to save time: where nothing can be kept, the work goes on without, and says so."""

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
    """Go on without what the block would keep in the cache, if the cache cannot be written to; say so once.

    Args:
        what: is not kept, as the beginning of a sentence, in the plural.

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
        text = f"{what} are not kept, as {cache_folder()} cannot be written to ({why}); set BABELMIX_CACHE to another folder"
        console.print(text, highlight=False)


def remove_if_damaged(what: str, folder: Path) -> None:
    """Remove a folder of the cache whose files are not as they were written, and say so; others stay.

    Args:
        what: is there, in the plural.
        folder: with checksums, if it is whole.

    Raises:
        BabelmixError: it is damaged and cannot be removed.

    """
    if folder.is_dir() and damaged_file(folder) is not None:
        say_made_again(what, folder)
        shutil.rmtree(folder, ignore_errors=True)
        if folder.exists():
            raise BabelmixError(f"{folder}: is damaged, and cannot be removed from here; remove it")


def say_made_again(what: str, place: Path) -> None:
    """Say once a place that what was kept there is removed.

    Args:
        what: was kept, in the plural.
        place: where.

    """
    if str(place) not in _told:
        _told.add(str(place))
        text = f"{place}: cached {what} are damaged, or of an earlier version without checksums: they are made again"
        console.print(text, markup=False, highlight=False)


def place_for(what: str, *names: str) -> Path:
    """Where something that is made once is to be made: in the cache, or else in a folder that is gone with the process.

    Args:
        what: is made, as the beginning of a sentence, in the plural.
        names: of the folder, below the cache.

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
