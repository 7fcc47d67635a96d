"""Bodies of requests: JSON whose size is known, value by value, before anything is made of it.

Python's JSON reader, pydantic and their errors take what they are given: 16 MiB of keys become a million objects, and as many
errors. It also holds the interpreter while it works, so that a thread alone would not help the others.
"""

from __future__ import annotations

import json
import re
from typing import Any

from babelmix._terminal import visible_in_line
from babelmix.search.service.models import MAX_FIELDS, MAX_ROWS

MAX_DEPTH = 8
"""Brackets within brackets; no request needs more than four."""

MAX_KEYS = 2 * MAX_FIELDS
"""Of an object. A row has fewer fields, and is then refused by name."""

MAX_VALUES = MAX_ROWS * (MAX_FIELDS + 10)
"""Of a body: the largest write there may be has no more."""

SMALL = 1 << 14
"""Bytes that are parsed at once: handing them to a thread would take longer."""

_STEP = 1 << 16
"""Bytes that are looked at without letting other threads work."""

_MARK = re.compile(rb'["{}\[\],]')
_SURROGATE = re.compile("[\ud800-\udfff]")
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class BodyError(ValueError):
    """A body is not JSON, or more than a request needs; the message is a sentence."""


def parse(data: bytes) -> Any:
    """Read JSON in UTF-8.

    Raises:
        BodyError: it is not JSON, has a key twice or one that is no text, or is nested deeper or has more keys or values than a
            request needs.

    """
    # Not what `json` guesses: the same bytes would be other brackets in UTF-16.
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
    """Raise if JSON is nested too deeply, or has too many keys or values; in one pass that makes nothing of it.

    Raises:
        BodyError: it is. Whether it is JSON at all is not looked at.

    """
    values = strings = at = 0
    keys: list[int] = []
    """By open bracket: values so far."""
    while (mark := _next_mark(data, at)) >= 0:
        at, kind = mark + 1, data[mark]
        if kind == 0x22:  # "
            strings += 1
            if strings > 2 * values + 2:
                return  # JSON has something between two strings: the reader will say so
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
                # In a list no comma counts as a key.
                keys.append(0 if kind == 0x7B else -MAX_VALUES)
                if len(keys) > MAX_DEPTH:
                    raise BodyError(f"the body is nested too deeply, in more than {MAX_DEPTH} brackets")
            elif keys:
                keys[-1] += 1
                if keys[-1] >= MAX_KEYS:
                    raise BodyError(f"an object in the body has more than {MAX_KEYS} keys")


def _next_mark(data: bytes, at: int) -> int:
    """Where the next quote, bracket or comma is; -1 if there is none."""
    while at < len(data):
        if found := _MARK.search(data, at, at + _STEP):
            return found.start()
        at += _STEP
    return -1


def _after_string(data: bytes, at: int) -> int:
    """Where the string ends that begins before `at`."""
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
