"""`captions`: your own pictures and captions, one JSON line for each caption.

    {"image_id": "7", "image": "photos/7.jpg", "lang": "de", "text": "Ein Hund.", "caption_id": "7-0",
     "group": "walk", "split": "test", "provenance": "human"}

`image` is an absolute path, or a path relative to the folder of the file. `image_bytes` may replace it: the picture in base64. At
least one caption of each picture must have one of the two. `caption_id`, `group` (by default the picture), `split` and
`provenance` (`human`, `translated` or `machine`) are optional.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from babelmix.corpus.file_names import FileNames
from babelmix.corpus.languages import IMAGE, is_language_tag
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._captions import (
    HUMAN,
    MACHINE,
    TRANSLATED,
    UNKNOWN,
    Caption,
    NoPicture,
    Source,
    corpus_of_captions,
)
from babelmix.corpus.readers._records import get_field, get_text, json_lines, text_lines
from babelmix.errors import PictureError, ReaderError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|data:|//")
_MADE = (HUMAN, TRANSLATED, MACHINE)

NumberedRows = Iterable[tuple[int, dict[str, Any]]]


def read(path: str, *, split: str = "", captions: str = "all") -> Corpus:
    """Read pictures and captions.

    Args:
        path: the file of JSON lines. It may be compressed with gzip.
        split: read only rows with this `split`; by default all. The split `test` is for evaluation only.
        captions: `all`, `first` (one of each picture and language), or the number to keep of each picture and language.

    Raises:
        ReaderError: a field is missing or malformed, two rows give different files for one picture, a caption occurs twice, there
            is no such split, or no picture can be used.

    """
    file = Path(path)
    if not file.is_file():
        raise ReaderError("is not a file; captions are a file of JSON lines", file=path)
    found, pictures = parse(json_lines(text_lines(file), file), file, split=split)
    names = FileNames(file.parent)
    sources = {image: _found(names, source, file.parent) for image, source in pictures.items()}
    meta = {"source": file.name, "evaluation_only": split == "test"}
    return corpus_of_captions(
        found, sources, name=file.name.removesuffix(".gz").removesuffix(".jsonl"), file=file, keep=captions, meta=meta,
        protocol={"split": split or "all rows"},
    )  # fmt: skip


def parse(rows: NumberedRows, file: Path, *, split: str = "") -> tuple[list[Caption], dict[str, bytes | Path]]:
    """Turn records into captions and pictures (a pure function, which opens no picture).

    Args:
        rows: the records with their line numbers.
        file: the file. Paths of pictures are relative to its folder.
        split: see `read`.

    Returns:
        The captions, and the bytes or the path of each picture by its id.

    Raises:
        ReaderError: see `read`.

    """
    found: list[Caption] = []
    pictures: dict[str, bytes | Path] = {}
    where: dict[str, int] = {}
    seen: set[tuple[str, str, str]] = set()
    splits: set[str] = set()
    for number, row in rows:
        part = _optional(row, "split", file, number)
        splits.add(part)
        if split and part != split:
            continue
        image = _name(row, "image_id", file, number)
        where.setdefault(image, number)
        lang = get_text(row, "lang", file=file, row=number)
        if lang == IMAGE or not is_language_tag(lang):
            raise ReaderError(
                f"{lang!r} is not a BCP 47 language tag such as 'de' or 'pt-BR'", file=file, row=number, field="lang"
            )
        if row.get("caption_id") is not None:
            key = image, lang, _name(row, "caption_id", file, number)
            if key in seen:
                raise ReaderError(f"{key[2]!r} occurs twice", file=file, row=number, field="caption_id")
            seen.add(key)
        made = _optional(row, "provenance", file, number) or UNKNOWN
        if made not in (*_MADE, UNKNOWN):
            raise ReaderError(
                f"is {', '.join(_MADE)} or left out, not {made!r}", file=file, row=number, field="provenance"
            )
        source = _picture(row, file, number)
        if source is not None and pictures.setdefault(image, source) != source:
            raise ReaderError(
                f"picture {image!r} has another file in an earlier row", file=file, row=number, field="image"
            )
        text = get_text(row, "text", file=file, row=number)
        found.append(Caption(image, lang, text, _optional(row, "group", file, number), made))
    if split and split not in splits:
        there = ", ".join(sorted(splits - {""})) or "none"
        raise ReaderError(f"has no row of the split {split!r}; its splits: {there}", file=file)
    for image, number in where.items():
        if image not in pictures:
            raise ReaderError("is missing, and so is 'image_bytes'", file=file, row=number, field="image")
    return found, pictures


def _found(names: FileNames, source: bytes | Path, folder: Path) -> Source:
    if isinstance(source, bytes):
        return source
    try:
        return names.find(str(source.relative_to(folder)) if source.is_relative_to(folder) else str(source))
    except PictureError as error:
        return NoPicture(str(error))


def _picture(row: dict[str, Any], file: Path, number: int) -> bytes | Path | None:
    if row.get("image_bytes") is not None:
        try:
            return base64.b64decode(get_field(row, "image_bytes", str, file=file, row=number), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ReaderError(f"is not base64 ({error})", file=file, row=number, field="image_bytes") from error
    if row.get("image") is None:
        return None
    path = get_text(row, "image", file=file, row=number)
    if _URL.match(path):
        raise ReaderError(
            f"{path[:60]!r} is a URL; download the picture and give its path",
            file=file,
            row=number,
            field="image",
        )
    return file.parent / path


def _name(row: dict[str, Any], field: str, file: Path, number: int) -> str:
    value = row.get(field)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return get_text(row, field, file=file, row=number)


def _optional(row: dict[str, Any], field: str, file: Path, number: int) -> str:
    return "" if row.get(field) is None else _name(row, field, file, number)
