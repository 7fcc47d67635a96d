"""What reaches a terminal: nothing foreign steers it, and any encoding takes it."""

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
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 and C1 controls but tab and line feed: escape sequences, cursor, title, bell
    "\u2028\u2029"  # line and paragraph separators
    "\u202a-\u202e\u2066-\u2069"  # embeddings, overrides and isolates: they show a text in another order than it has
    "\ud800-\udfff"  # lone surrogates, which no encoding takes
)
_UNSAFE = re.compile(f"[{_STEERING}]")
_UNSAFE_IN_JSON = re.compile(f"[{_STEERING}\t\n]")


def visible(text: str) -> str:
    r"""A text whose control characters are shown instead of obeyed: `\x1b` for ESC, `\u202e` for an override.

    Tabs and line feeds stay. Joiners and the marks U+200E and U+200F stay too: Persian, Hindi, Hebrew and emoji need them.
    """
    return _UNSAFE.sub(lambda found: _escaped(found[0]), text)


def visible_in_line(text: str) -> str:
    r"""Like `visible`, for one line: tabs and line feeds are shown too, as `\t` and `\n`."""
    return visible(text).replace("\t", "\\t").replace("\n", "\\n")


def json_line(value: Any, encoding: str | None) -> str:
    r"""A value as JSON in one line, which is valid in any encoding.

    Args:
        value: what `json` takes.
        encoding: of the stream it goes to; where it lacks a character, all are written as `\uXXXX`.

    """
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(value)
    # Outside of its strings JSON has none of these.
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def toml_text(text: str, encoding: str | None) -> str:
    r"""TOML that stays valid in any encoding: what the stream lacks, and what would steer a terminal, is written as `\uXXXX`."""

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
    """A console on which texts cannot steer the terminal; its own styles can."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with the texts made visible."""
        for segment in super().render(renderable, options):
            if segment.control or not _UNSAFE.search(segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)


class _VisibleRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 - as logging names it
        return visible(super().getMessage())


class VisibleFormatter(logging.Formatter):
    """Log lines, and the tracebacks below them, whose foreign parts cannot steer a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format as logging does, with controls made visible."""
        return visible(super().format(record))


def prepare() -> None:
    """Make this process's standard streams take every text, and its warnings and log lines steer no terminal."""
    for stream in (sys.stdout, sys.stderr):
        # A stream that was put in place of the real one may be of another kind.
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    logging.setLogRecordFactory(_VisibleRecord)
    warnings.formatwarning = _formatted


_format = warnings.formatwarning


def _formatted(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return visible(_format(message, category, filename, lineno, line))
