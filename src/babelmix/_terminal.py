"""Text for a terminal: control characters are escaped, and any encoding works."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_STEERING = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 controls except tab and line feed: escape sequences, cursor, title, bell
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides and isolates, which change the displayed order of a text
    "\ud800-\udfff"  # lone surrogates, which cannot be encoded
)
OLD_SPELLINGS = "training settings are in sections now"
"""How the warnings begin that a command shows: those about what a person wrote."""

_UNSAFE = re.compile(f"[{_STEERING}]")
_UNSAFE_IN_JSON = re.compile(f"[{_STEERING}\t\n]")


def visible(text: str) -> str:
    r"""Escape the control characters of a text, so that they have no effect: ESC becomes `\x1b`.

    Tabs and line feeds are kept. So are joiners and the marks U+200E and U+200F, which Persian, Hindi, Hebrew and emoji need.

    Examples:
        >>> print(visible("red: \x1b[31m"))
        red: \x1b[31m

    """
    return _UNSAFE.sub(lambda found: _escaped(found[0]), text)


def visible_in_line(text: str) -> str:
    r"""Escape the control characters of a text for one line. Tabs and line feeds become `\t` and `\n`."""
    return visible(text).replace("\t", "\\t").replace("\n", "\\n")


def json_line(value: Any, encoding: str | None) -> str:
    r"""A value as one line of JSON.

    Args:
        value: a value that `json` can write.
        encoding: the encoding of the stream. If it cannot encode the line, all characters beyond ASCII become `\uXXXX`.

    """
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(value)
    # JSON has these characters only inside strings.
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def toml_text(text: str, encoding: str | None) -> str:
    r"""TOML for a stream. Control characters, and all beyond ASCII if `encoding` lacks one, become `\uXXXX`."""

    def escaped(found: re.Match[str]) -> str:
        code = ord(found[0])
        return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        text = re.sub(r"[^\x00-\x7f]", escaped, text)
    return _UNSAFE.sub(escaped, text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class PlainConsole(Console):
    """A console that escapes control characters in texts. Its own styles still work."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, and escape control characters in texts."""
        for segment in super().render(renderable, options):
            if segment.control or not _UNSAFE.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


class _VisibleRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 - as logging names it
        return visible(super().getMessage())


class VisibleFormatter(logging.Formatter):
    """A formatter that escapes control characters in log lines and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as logging does, and escape control characters."""
        return visible(super().format(record))


def prepare() -> None:
    """Let the standard streams accept every text, and escape control characters in warnings and log lines."""
    for stream in (sys.stdout, sys.stderr):
        # A replaced stream may lack this method.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    logging.setLogRecordFactory(_VisibleRecord)
    warnings.formatwarning = _formatted
    # Python hides these by default, and a person is to know what to write from now on.
    warnings.filterwarnings("default", OLD_SPELLINGS, DeprecationWarning)


_format = warnings.formatwarning


def _formatted(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    if category is DeprecationWarning:
        # Where the code is says nothing to a person who wrote an option or a TOML key.
        return f"deprecated: {visible(str(message))}\n"
    return visible(_format(message, category, filename, lineno, line))
