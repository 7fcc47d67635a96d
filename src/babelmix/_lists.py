"""Lists of texts that people give: one text is a list of one, never of its letters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from babelmix.errors import ConfigError


def as_list(
    given: str | Iterable[str], what: str, error: Callable[[str], Exception] = ConfigError, *, empty: bool = True
) -> list[str]:
    """The texts that someone gave: one, or several.

    Args:
        given: a text, or texts.
        what: what they are, for the message.
        error: what is raised.
        empty: whether there may be none.

    Raises:
        ConfigError: they are neither (or `error`), or there is none.

    """
    if isinstance(given, str):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise error(f"{what}: give a text or a list of texts, not {type(given).__name__}")
    found = list(given)
    for one in found:
        if not isinstance(one, str):
            raise error(
                f"{what}: give a text or a list of texts; the list has {one!r} of the type {type(one).__name__}"
            )
    if not found and not empty:
        raise error(f"{what}: the list is empty; name one, or leave it out")
    return found


def as_inputs(given: Any, error: Callable[[str], Exception] = ConfigError) -> list[Any]:
    """What is to be embedded, as a list: a text or an opened picture alone is a list of one.

    Raises:
        ConfigError: it is neither one nor several (or `error`).

    """
    # Pillow's pictures are no sequences.
    if isinstance(given, str) or hasattr(given, "getpixel"):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise error(f"give a text, a picture or a list of them, not {type(given).__name__}")
    return list(given)
