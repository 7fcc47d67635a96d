"""Arguments that are lists of strings: a single string is a list with one entry, never a list of its letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from babelmix.errors import ArgumentError, ConfigError


def as_list(
    given: str | Iterable[str], what: str, error: Callable[[str], Exception] = ConfigError, *, empty: bool = True
) -> list[str]:
    """Convert an argument to a list of strings.

    Args:
        given: a string, or an iterable of strings.
        what: the name of the argument, for messages.
        error: the class of the error.
        empty: whether the list may be empty.

    Raises:
        ConfigError: the argument is something else, or the list is empty and must not be. `error` replaces the class.

    Examples:
        >>> as_list("de", "langs"), as_list(("de", "fr"), "langs")
        (['de'], ['de', 'fr'])

    """
    if isinstance(given, str):
        return [given]

    def wrong(why: str) -> Exception:
        # From an `ArgumentError` the command line can name the option instead of the argument.
        return ArgumentError(what, why) if error is ConfigError and what.isidentifier() else error(f"{what}: {why}")

    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise wrong(f"give a text or a list of texts, not {type(given).__name__}")
    found = list(given)
    for one in found:
        if not isinstance(one, str):
            raise wrong(f"give a text or a list of texts; the list has {one!r} of the type {type(one).__name__}")
    if not found and not empty:
        raise wrong("the list is empty; name one, or leave it out")
    return found


def as_inputs(given: Any, error: Callable[[str], Exception] = ConfigError) -> list[Any]:
    """Convert an argument to a list of texts or pictures to embed.

    Args:
        given: a text, an open picture, or an iterable of these.
        error: the class of the error.

    Raises:
        ConfigError: the argument is something else. `error` replaces the class.

    Examples:
        >>> as_inputs("dog")
        ['dog']

    """
    # A picture of Pillow has this method and is no sequence.
    if isinstance(given, str) or hasattr(given, "getpixel"):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise error(f"give a text, a picture or a list of them, not {type(given).__name__}")
    return list(given)
