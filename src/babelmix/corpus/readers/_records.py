"""Read text files and JSON. Errors name the file, the row and the field."""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from babelmix.corpus.readers._unpacking import DamagedError, opened
from babelmix.errors import ReaderError

HAS_NUL = "holds a NUL character, which no text has; save the file as UTF-8"
NOT_UNICODE = "holds half a character (a lone surrogate)"

_KINDS: dict[type, str] = {str: "a text", int: "a whole number", list: "a list", dict: "an object"}


def read_utf8(file: Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark.

    Raises:
        ReaderError: the file is not UTF-8. The message names the line and the byte.

    """
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ReaderError(
            f"is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}; save the file as UTF-8",
            file=file, row=line,
        ) from error  # fmt: skip


def text_lines(file: Path) -> Iterator[str]:
    """Yield the lines of a UTF-8 file, which may be compressed, without their line breaks.

    Raises:
        ReaderError: there is no such file, it is not UTF-8, has a NUL, or is compressed and damaged.

    """
    number = 0
    try:
        with opened(file) as lines:
            for number, line in enumerate(lines, 1):
                text = decoded(line, file, number).removesuffix("\n").removesuffix("\r")
                if "\0" in text:
                    raise ReaderError(HAS_NUL, file=file, row=number)
                yield text
    except DamagedError as error:
        raise damaged(error, file, number) from error


def decoded(line: bytes, file: Path, number: int) -> str:
    """Decode a line of a UTF-8 file. A byte-order mark of the first line is removed.

    Raises:
        ReaderError: the line is not UTF-8.

    """
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ReaderError(
            f"is not UTF-8: byte 0x{line[error.start]:02x} at offset {error.start} of the line; save the file as UTF-8",
            file=file, row=number,
        ) from error  # fmt: skip


def damaged(error: DamagedError, file: Path, row: int) -> ReaderError:
    """The error for a compressed file that can only be read up to a row."""
    return ReaderError(f"is damaged or cut short after this row ({error}); download it again", file=file, row=row)


def table_lines(file: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """Yield the cells of each line of a tab-separated file without a header.

    Args:
        file: the file.
        columns: the names of the columns, for errors. The last cell is the rest of the line, which may contain tabs.

    Yields:
        The number of the line, and its cells.

    Raises:
        ReaderError: the file cannot be read, see `text_lines`, or a line has too few cells.

    """
    for number, line in enumerate(text_lines(file), 1):
        cells = line.split("\t", len(columns) - 1)
        if len(cells) != len(columns):
            raise ReaderError(f"has {len(cells)} cells, not {', '.join(columns)}", file=file, row=number)
        yield number, cells


class _Repeated(dict[str, Any]):
    """A JSON object in which a name occurs twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    return made if len(made) == len(pairs) else _Repeated(pairs)


def json_lines(lines: Iterable[str], file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the records of JSON lines with their line numbers. Blank lines are skipped.

    Raises:
        ReaderError: a line is not a JSON object, has a name twice, or has a text with a NUL or half a character.

    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise ReaderError(f"is not JSON ({getattr(error, 'msg', error)})", file=file, row=number) from error
        if not isinstance(record, dict):
            raise ReaderError("is not a JSON object", file=file, row=number)
        if type(record) is _Repeated:
            # The standard library does not say which name occurs twice.
            names = Counter(name for name, _ in json.loads(line, object_pairs_hook=list))
            raise ReaderError("occurs twice in the record", file=file, row=number, field=names.most_common(1)[0][0])
        # Only `\u` escapes can write a lone surrogate or a NUL: the line is valid Unicode, and JSON allows no raw NUL.
        if "\\u" in line:
            for name, value in record.items():
                for text in (name, value):
                    if isinstance(text, str) and not is_unicode(text):
                        raise ReaderError(NOT_UNICODE, file=file, row=number, field=name)
                    if isinstance(text, str) and "\0" in text:
                        raise ReaderError(HAS_NUL, file=file, row=number, field=name)
        yield number, record


def is_unicode(text: str) -> bool:
    """Whether a text has no lone surrogates, which JSON can express but UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def json_document(file: Path) -> Any:
    """Parse a file that is one JSON document.

    Raises:
        ReaderError: the file is not UTF-8 or not JSON.

    """
    try:
        return json.loads(read_utf8(file))
    except (ValueError, RecursionError) as error:
        row = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise ReaderError(f"is not JSON: {getattr(error, 'msg', error)}", file=file, row=row) from error


def get_field(record: Any, key: str, kind: type, *, file: str | Path, row: int | None, unit: str = "") -> Any:
    """A required field of a parsed record.

    Args:
        record: the record.
        key: the name of the field.
        kind: the type of the field: `str`, `int`, `list` or `dict`.
        file: the name of the source in errors.
        row: the number of the record.
        unit: what `row` counts, if it does not count lines, such as "paragraph".

    Raises:
        ReaderError: the field is missing, has another type, or contains half a character.

    """
    value = record.get(key) if isinstance(record, dict) else None
    if isinstance(value, str) and not is_unicode(value):
        found = NOT_UNICODE
    elif isinstance(value, kind) and not isinstance(value, bool):
        return value
    else:
        found = "is missing" if value is None else f"holds {reprlib.repr(value)}, but {_KINDS[kind]} is needed"
    raise ReaderError(f"{found} in {unit} {row}" if unit and row else found, file=file, row=row, field=key)


def get_text(record: Any, key: str, *, file: str | Path, row: int | None) -> str:
    """A required text field, without white space at its ends.

    Raises:
        ReaderError: the field is missing, not a text, or blank.

    """
    text: str = get_field(record, key, str, file=file, row=row).strip()
    if not text:
        raise ReaderError("is empty", file=file, row=row, field=key)
    return text
