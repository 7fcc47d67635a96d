"""Request bodies: the values of a JSON text are counted before it is parsed.

Python's JSON parser and pydantic have no such limit: 16 MiB of keys become a million objects and as many errors. The parser also
holds the GIL, so parsing in a thread would not help the other requests.
"""

from __future__ import annotations

import json
import re
from typing import Any

from babelmix._terminal import visible_in_line
from babelmix.search.service.models import MAX_FIELDS, MAX_ROWS

MAX_DEPTH = 8
"""Maximum nesting of brackets. No request needs more than four."""

MAX_KEYS = 2 * MAX_FIELDS
"""Maximum keys of an object. The limit of a row's fields is lower and has a clearer error."""

MAX_VALUES = MAX_ROWS * (MAX_FIELDS + 10)
"""Maximum values of a body: those of the largest allowed write."""

SMALL = 1 << 14
"""Bodies of up to this many bytes are parsed in the event loop, because starting a thread would take longer."""

_STEP = 1 << 16
"""Bytes that one regular expression scans: it holds the GIL."""

_MARK = re.compile(rb'["{}\[\],]')
_SURROGATE = re.compile("[\ud800-\udfff]")
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class BodyError(ValueError):
    """A body is not JSON, or larger than a request may be; the message is a sentence."""


def parse(data: bytes) -> Any:
    """Parse JSON in UTF-8.

    Raises:
        BodyError: the body is not JSON, has a key twice or an invalid key, or exceeds a limit of nesting, keys or values.

    """
    # `json` would guess the encoding; in UTF-16 the same bytes would be other brackets.
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BodyError(f"the body is not JSON in UTF-8 (byte {error.start})") from error
    check_size(data)
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise BodyError(f"the body is not JSON ({error.msg} at character {error.pos})") from error
    except BodyError:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise BodyError("the body has a number with too many digits") from error


def check_size(data: bytes) -> None:
    """Raise if a JSON text is nested too deeply, or has too many keys or values. Nothing is allocated for its values.

    Raises:
        BodyError: the text exceeds a limit. Invalid JSON is not detected here.

    """
    values = strings = at = 0
    keys: list[int] = []
    """The number of values so far in each open bracket."""
    while (mark := _next_mark(data, at)) >= 0:
        at, kind = mark + 1, data[mark]
        if kind == 0x22:  # "
            strings += 1
            if strings > 2 * values + 2:
                return  # no valid JSON has two strings in a row: the parser will say so
            at = _after_string(data, at)
        elif kind in b"]}":
            if not keys:
                return
            keys.pop()
        else:
            values += 1
            if values > MAX_VALUES:
                raise BodyError(f"the body has more than {MAX_VALUES:,} values")
            if kind != 0x2C:
                # A comma in a list does not count as a key.
                keys.append(0 if kind == 0x7B else -MAX_VALUES)
                if len(keys) > MAX_DEPTH:
                    raise BodyError(f"the body is nested too deeply, in more than {MAX_DEPTH} brackets")
            elif keys:
                keys[-1] += 1
                if keys[-1] >= MAX_KEYS:
                    raise BodyError(f"an object in the body has more than {MAX_KEYS} keys")


def _next_mark(data: bytes, at: int) -> int:
    """The position of the next quote, bracket or comma; -1: there is none."""
    while at < len(data):
        if found := _MARK.search(data, at, at + _STEP):
            return found.start()
        at += _STEP
    return -1


def _after_string(data: bytes, at: int) -> int:
    """The position after the end of a string whose content begins at `at`."""
    while at < len(data):
        found = _IN_STRING.match(data, at, at + _STEP)
        end = found.end() if found else at
        if end < len(data) and data[end] == 0x22:
            return end + 1
        if end == at:
            break  # a backslash is the last byte
        at = end
    return len(data)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in pairs:
        wrong = "is there twice" if name in made else "is no text" if _SURROGATE.search(name) else ""
        if wrong:
            raise BodyError(f"the key '{visible_in_line(name[:80])}' {wrong}")
        made[name] = value
    return made


def _constant(name: str) -> Any:
    raise BodyError(f"the body is not JSON: {name} is no number there")
