"""Find captions and pictures: files in a folder, by their names, or rows of a Hugging Face data set."""

from __future__ import annotations

import filecmp
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa

from babelmix.corpus.file_names import listed, name_key, plain_name
from babelmix.corpus.languages import is_language_tag
from babelmix.corpus.readers._captions import Caption, ColumnPictures, NoPicture, Source
from babelmix.corpus.readers._records import get_field, text_lines
from babelmix.corpus.readers._sources import Loaded, ask_hub, is_hub_name, pick_langs
from babelmix.errors import ReaderError, first_line

CaptionsAndPictures = tuple[list[Caption], ColumnPictures]


class Folder:
    """Finds files by name in a folder, its sub-folders and linked folders.

    If several files have the same name and the same content, one of them is used. If they differ, it is an error.

    Args:
        path: the folder.
        what: the expected content of the folder, as the last words of an error message.

    Raises:
        ReaderError: there is no such folder.

    """

    def __init__(self, path: str | Path, what: str) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise ReaderError(f"is not a folder; {what}", file=path)
        found: list[Path] = []
        seen: set[str] = set()
        for place, folders, names in os.walk(self.path, followlinks=True):
            if (real := os.path.realpath(place)) in seen:  # a link to a folder above
                folders.clear()
                continue
            seen.add(real)
            found += [Path(place) / name for name in names]
        self._all = sorted(found, key=lambda file: (len(file.parts), file))
        self._files: dict[str, list[Path]] = {}
        for file in self._all:
            self._files.setdefault(file.name, []).append(file)

    @cached_property
    def _by_key(self) -> dict[str, list[Path]]:
        """The files by the key of their names, see `name_key`."""
        found: dict[str, list[Path]] = {}
        for file in self._all:
            found.setdefault(name_key(file.name).rpartition("/")[2], []).append(file)
        return found

    def file(self, *names: str) -> Path | None:
        """The first of some files that exists. All but `.json` files may be compressed with gzip.

        Raises:
            ReaderError: several different files have the name.

        """
        either = (n for name in names for n in ((name,) if name.endswith(".json") else (name, f"{name}.gz")))
        return next((self._only(name, self._files[name]) for name in either if name in self._files), None)

    def _only(self, name: str, files: Sequence[Path]) -> Path:
        """One of some files with the same content.

        Raises:
            ReaderError: the files differ.

        """
        if len(files) > 1 and not are_same(files):
            raise ReaderError(
                f"holds different files {name}: {listed(self.path, files)}; give the folder that holds one of them",
                file=self.path,
            )
        return files[0]

    def needed(self, *names: str) -> Path:
        """As `file`, but the file is required.

        Raises:
            ReaderError: there is no such file, or several different files have the name.

        """
        found = self.file(*names)
        if found is None:
            raise ReaderError(f"holds no file {' or '.join(names)}", file=self.path)
        return found

    def matching(self, pattern: str, wanted: Callable[[str], bool] = bool) -> Iterator[tuple[re.Match[str], Path]]:
        """Yield the files whose whole name matches a regular expression, sorted by name.

        Args:
            pattern: the regular expression.
            wanted: a condition for the first group of the match.

        Raises:
            ReaderError: several different files have the same name.

        """
        for name in sorted(self._files):
            if (found := re.fullmatch(pattern, name)) and wanted(found[1]):
                yield found, self._only(name, self._files[name])

    def in_folders(self, name: str) -> dict[str, Path]:
        """The files with one name, plain or compressed with gzip, by the name of their folder.

        Raises:
            ReaderError: two folders of the same name contain different files.

        """
        found: dict[str, list[Path]] = {}
        for file in self._all:
            if file.name in (name, f"{name}.gz"):
                found.setdefault(file.parent.name, []).append(file)
        return {place: self._only(f"{place}/{name}", files) for place, files in found.items()}

    def pictures(self, names: Iterable[str], *, whole: bool = False) -> dict[str, Source]:
        """Find the files of pictures.

        A name may be spelled in other ways, see `babelmix.corpus.file_names`. If different files have the same name, the folder
        in the name decides.

        Args:
            names: the names, with or without folders.
            whole: keep the suffix in the ids.

        Returns:
            The file of each picture by its id: its name without folder and suffix. A `NoPicture` says why there is none.

        Raises:
            ReaderError: two names differ only in their suffix.

        """
        found: dict[str, Source] = {}
        called: dict[str, str] = {}
        for name in dict.fromkeys(names):
            base = PurePosixPath(name.replace("\\", "/")).name
            key = plain_name(base) if whole else image_id(base)
            source = self._picture(name, base)
            if found.setdefault(key, source) != source and called[key] != base:
                raise ReaderError(
                    f"{called[key]} and {base} differ only in their suffix; rename one of them, in the captions too",
                    file=self.path,
                )
            called.setdefault(key, base)
        return found

    def _picture(self, name: str, base: str) -> Source:
        key = name_key(base)
        files = self._files.get(base) or self._by_key.get(key.rpartition("/")[2], [])
        if len(files) > 1:
            wanted = tuple(map(name_key, PurePosixPath(name.replace("\\", "/")).parts))
            placed = [file for file in files if tuple(map(name_key, file.parts))[-len(wanted) :] == wanted]
            files = placed if len(placed) == 1 else files
        if not files:
            close = [file for k, some in self._by_key.items() if k.casefold() == key.casefold() for file in some]
            hint = f"; {listed(self.path, close)} differs in upper and lower case" if close else ""
            return NoPicture(f"{base} cannot be read (there is no such file{hint})")
        if len(files) > 1 and not are_same(files):
            return NoPicture(f"{base} could be {listed(self.path, files)}: keep one of them")
        return files[0]


def are_same(files: Sequence[Path]) -> bool:
    """Whether all files have the same content."""
    try:
        return all(filecmp.cmp(files[0], file, shallow=False) for file in files[1:])
    except OSError:
        return False


def image_id(name: str) -> str:
    """The id of a picture: the name of its file without folder and suffix.

    Examples:
        >>> image_id("val2014/COCO_val2014_000000000042.jpg")
        'COCO_val2014_000000000042'

    """
    return Path(name).stem


def name_lines(file: Path) -> list[str]:
    """The names of pictures in a file with one name on each line. A `#` and the number after it are dropped.

    Raises:
        ReaderError: a line is empty, or the file is.

    """
    names = [line.partition("#")[0].strip() for line in text_lines(file)]
    while names and not names[-1]:
        names.pop()
    if not names or "" in names:
        raise ReaderError(
            "is empty, but the name of a picture is needed", file=file, row=(names or [""]).index("") + 1
        )
    return names


def aligned_captions(file: Path, names: Sequence[str], lang: str, provenance: str) -> Iterator[Caption]:
    """Yield the captions of a file whose lines belong to a list of pictures, in the same order.

    Raises:
        ReaderError: there are more or fewer lines than pictures.

    """
    lines = list(text_lines(file))
    while len(lines) > len(names) and not lines[-1].strip():
        lines.pop()
    if len(lines) != len(names):
        raise ReaderError(
            f"has {len(lines):,} lines, but there are {len(names):,} pictures; each line must belong to one picture",
            file=file,
        )
    for name, line in zip(names, lines, strict=True):
        yield Caption(image_id(name), lang, line, provenance=provenance)


def language_of(code: str, file: str | Path, field: str | None = None) -> str:
    """The language tag of a source's code. `jp` means Japanese.

    Raises:
        ReaderError: the code is not a BCP 47 tag.

    """
    tag = {"jp": "ja"}.get(code, code)
    if not is_language_tag(tag):
        raise ReaderError(f"{code!r} is not a BCP 47 language tag such as 'de'", file=file, field=field)
    return tag


def is_data_set(path: str) -> bool:
    """Whether a path is the name of a hub data set, or a local folder with the Parquet files of one."""
    return is_hub_name(path) or (Path(path).is_dir() and any(Path(path).rglob("*.parquet")))


def data_set_rows(path: str, split: str, columns: Sequence[str]) -> pa.Table:
    """Read a split of a data set with pictures, without decoding them.

    Args:
        path: the name of a hub data set, or a folder with a copy of it.
        split: the name of the split.
        columns: the columns to read, including `image`.

    Raises:
        ReaderError: the hub does not provide the data set, a column is missing, or `image` has no pictures.

    """
    from datasets import Image, load_dataset

    rows = _ask(path, partial(load_dataset, path, split=split))
    missing = [column for column in columns if column not in rows.column_names]
    if missing:
        there = ", ".join(rows.column_names)
        raise ReaderError(f"is missing; there are {there}", file=f"{path}/{split}", field=missing[0])
    try:
        return rows.select_columns(list(columns)).cast_column("image", Image(decode=False)).with_format("arrow")[:]
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise ReaderError("holds no pictures", file=f"{path}/{split}", field="image") from error


def _ask(path: str, load: Callable[[], Loaded]) -> Loaded:
    if is_hub_name(path):
        return ask_hub(path, load)
    try:
        return load()
    except Exception as error:  # datasets raises many unrelated types
        raise ReaderError(
            f"cannot be read as a data set ({type(error).__name__}: {first_line(error)})", file=path
        ) from error


def read_language_splits(
    path: str, langs: str | Sequence[str] | None, *, id: str, captions: str, provenance: str, needs_langs: str = ""
) -> CaptionsAndPictures:
    """Read captions and pictures of a data set with one split for each language.

    Args:
        path: the name of a hub data set, or a folder with a copy of it.
        langs: the languages to read; by default all.
        id: the column of the picture's id.
        captions: the column of its caption or captions.
        provenance: the origin of the captions.
        needs_langs: the reason why a download needs `langs`, for an error. Empty if it does not.

    Raises:
        ReaderError: `langs` is needed and missing, or the data set cannot be read, see `data_set_rows` and `caption_rows`.

    """
    from datasets import get_dataset_split_names

    if needs_langs and langs is None and is_hub_name(path):
        raise ReaderError(f"{needs_langs}; name the languages with the option langs, or give a folder", file=path)
    splits = {language_of(code, path): code for code in _ask(path, partial(get_dataset_split_names, path))}
    found: list[Caption] = []
    pictures = ColumnPictures()
    for lang in pick_langs(langs, list(splits), path):
        rows = data_set_rows(path, splits[lang], (id, captions, "image"))
        where = f"{path}/{splits[lang]}"
        found += caption_rows(rows.select([id, captions]).to_pylist(), lang, where, id, captions, provenance)
        pictures.add([str(name) for name in rows[id].to_pylist()], rows["image"])
    return found, pictures


def caption_rows(
    rows: Iterable[dict[str, Any]], lang: str, file: str, id: str, captions: str, provenance: str
) -> Iterator[Caption]:
    """Yield the captions of rows with the id of a picture and its caption or captions (a pure function).

    Raises:
        ReaderError: an id or a caption is missing or of another type.

    """
    for number, row in enumerate(rows, 1):
        name = row.get(id)
        if not isinstance(name, int) or isinstance(name, bool):
            name = get_field(row, id, str, file=file, row=number)
        for text in texts_of(row, captions, file, number):
            yield Caption(str(name), lang, text, provenance=provenance)


def texts_of(row: dict[str, Any], field: str, file: str | Path, number: int | None) -> list[str]:
    """The texts of a field that is a text or a list of texts.

    Raises:
        ReaderError: the field is something else.

    """
    if isinstance(row.get(field), str):
        return [get_field(row, field, str, file=file, row=number)]
    texts: list[str] = get_field(row, field, list, file=file, row=number)
    return [get_field({field: text}, field, str, file=file, row=number) for text in texts]


__all__ = [
    "Folder",
    "aligned_captions",
    "are_same",
    "caption_rows",
    "data_set_rows",
    "image_id",
    "is_data_set",
    "language_of",
    "name_lines",
    "read_language_splits",
    "texts_of",
]
