"""Files by their names, however these are spelled: in any Unicode form, percent-encoded or not, with either slash.

macOS writes names in decomposed Unicode (NFD), most other sources in composed (NFC); a browser's download of a page keeps
`Caf%C3%A9.jpg`; Windows has backslashes; cameras write `.JPG`. A name is looked for as it is, and then among the files whose
names are equal once such differences are gone. One such file is taken, and of several none. A file whose name differs in more
is not taken, but the message names it. Nothing that is looked for in this way lies outside of the folder, except where a link
leads.
"""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from babelmix.errors import PictureError

_LOOKED_AT = 20_000
"""Files that are looked at for a hint at most."""

_NAMED = 3
"""Files that a message names at most."""


def plain_name(name: str) -> str:
    """A name with percent-encoding resolved, in composed Unicode.

    >>> plain_name("Caf%C3%A9.jpg"), plain_name("100 %.jpg")
    ('Café.jpg', '100 %.jpg')
    """
    return unicodedata.normalize("NFC", unquote(name, errors="surrogateescape"))


def name_key(name: str) -> str:
    r"""What is equal for all spellings of a name.

    >>> name_key("Cafe\u0301.JPG") == name_key("Caf%C3%A9.jpg"), name_key("a\\b.png")
    (True, 'a/b.png')
    """
    stem, dot, suffix = plain_name(name.replace("\\", "/")).rpartition(".")
    return f"{stem}{dot}{suffix.lower()}" if dot else suffix


class FileNames:
    """The files of a folder, found by paths from it as other sources spell them.

    Args:
        root: the folder.

    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path:
        """The file that a path from the folder, or an absolute one, means.

        An absolute path, and one with `..`, are taken as they are or not at all.

        Raises:
            PictureError: there is none, or several could be meant; the message says which files come close.

        """
        exact = self._root / name
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if _is_there(exact):
            return exact
        if not parts or Path(name).is_absolute() or ".." in parts:
            raise PictureError(f"{name} cannot be read (there is no such file)")
        found = list(self._matching(self._root, parts))
        if len(found) == 1:
            return found[0]
        if found:
            raise PictureError(f"{name} could be {self._listed(found)}: rename one of them")
        raise PictureError(f"{name} cannot be read (there is no such file{self._hint(name, parts)})")

    def _matching(self, place: Path, parts: tuple[str, ...], *, any_case: bool = False) -> Iterator[Path]:
        """The files in a folder whose path from it is another spelling of some parts."""
        for count in range(1, len(parts) + 1):
            # A name may itself hold a slash: an encoded one, or a backslash where that is no slash.
            wanted = name_key("/".join(parts[:count]))
            for key, names in self._listing(place).items():
                if key == wanted or (any_case and key.casefold() == wanted.casefold()):
                    for name in names:
                        if count < len(parts):
                            yield from self._matching(place / name, parts[count:], any_case=any_case)
                        elif (place / name).is_file():
                            yield place / name

    def _listing(self, place: Path) -> dict[str, list[str]]:
        """The names in a folder by their keys; of what is no folder none."""
        if place not in self._listings:
            names: dict[str, list[str]] = {}
            with contextlib.suppress(OSError):
                for name in sorted(entry.name for entry in place.iterdir()):
                    names.setdefault(name_key(name), []).append(name)
            self._listings[place] = names
        return self._listings[place]

    def _hint(self, name: str, parts: tuple[str, ...]) -> str:
        if found := list(self._matching(self._root, parts, any_case=True)):
            return f"; {self._listed(found)} differs in upper and lower case"
        wanted, elsewhere = name_key(parts[-1]), []
        for looked_at, file in enumerate(_files_below(self._root)):
            if looked_at == _LOOKED_AT:
                break
            if name_key(file.name) == wanted:
                elsewhere.append(file)
        return f"; of this name there is {self._listed(elsewhere)}" if elsewhere else ""

    def _listed(self, files: Sequence[Path]) -> str:
        return listed(self._root, files)


def listed(root: Path, files: Sequence[Path]) -> str:
    """Some files for a message, as paths from a folder: `a/x.jpg and b/x.jpg`, or the first of many."""
    names = [str(file.relative_to(root)) if file.is_relative_to(root) else str(file) for file in sorted(files)]
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} others"
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _files_below(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders.sort()
        yield from (Path(place) / name for name in sorted(names))


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a null character
        return False


__all__ = ["FileNames", "listed", "name_key", "plain_name"]
