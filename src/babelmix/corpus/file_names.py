"""Find files by name, even if the name is spelled differently on the disk.

macOS writes names in decomposed Unicode (NFD), and most other sources in composed Unicode (NFC). A downloaded page may contain
`Caf%C3%A9.jpg`, Windows writes backslashes, and cameras write `.JPG`. A search first tries the name as it is. Then it compares
names after removing these differences. It takes a file only if exactly one fits. The error message names files that differ in
other ways, such as in upper and lower case. A search never leaves the folder, except through symbolic links.
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
"""The most files that are searched for a hint."""

_NAMED = 3
"""The most files that a message names."""


def plain_name(name: str) -> str:
    """Decode a percent-encoded name and convert it to composed Unicode.

    Examples:
        >>> plain_name("Caf%C3%A9.jpg"), plain_name("100 %.jpg")
        ('Café.jpg', '100 %.jpg')

    """
    return unicodedata.normalize("NFC", unquote(name, errors="surrogateescape"))


def name_key(name: str) -> str:
    r"""A key that is equal for all spellings of a name.

    Examples:
        >>> name_key("Cafe\u0301.JPG") == name_key("Caf%C3%A9.jpg"), name_key("a\\b.png")
        (True, 'a/b.png')

    """
    stem, dot, suffix = plain_name(name.replace("\\", "/")).rpartition(".")
    return f"{stem}{dot}{suffix.lower()}" if dot else suffix


class FileNames:
    """Finds files of a folder by their relative paths, in any spelling.

    Args:
        root: the folder.

    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listings: dict[Path, dict[str, list[str]]] = {}

    def find(self, name: str) -> Path:
        """Find a file.

        Args:
            name: a path relative to the folder. An absolute path, or one with `..`, must be spelled exactly.

        Returns:
            The file.

        Raises:
            PictureError: no file fits, or several do. The message names similar files.

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
        """The files whose path relative to `place` is a spelling of `parts`."""
        for count in range(1, len(parts) + 1):
            # The key of one file name may contain a slash: from `%2F`, or from a backslash on Linux.
            wanted = name_key("/".join(parts[:count]))
            for key, names in self._listing(place).items():
                if key == wanted or (any_case and key.casefold() == wanted.casefold()):
                    for name in names:
                        if count < len(parts):
                            yield from self._matching(place / name, parts[count:], any_case=any_case)
                        elif (place / name).is_file():
                            yield place / name

    def _listing(self, place: Path) -> dict[str, list[str]]:
        """The file names in a folder by their keys. Empty if `place` is no folder."""
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
    """List relative paths for a message: `a/x.jpg and b/x.jpg`, or the first ones of many."""
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
    except (OSError, ValueError):  # the path is too long, or has a NUL
        return False


__all__ = ["FileNames", "listed", "name_key", "plain_name"]
