"""The argument `out` of the functions: save nothing, save into a named folder, or save into the default folder below `runs`."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from babelmix._files import place_apart


class Folder(Enum):
    """Values of `out` that are not a path."""

    RUNS = "runs"
    """The default folder of the commands: below `runs`, named after the model and the corpus."""


RUNS = Folder.RUNS

Out = str | Path | Folder | None
"""Where a function saves its result; None: nothing is saved."""


def folder_of(out: Out, named: str, of_another: Callable[[Path], bool] | None = None) -> Path | None:
    """The folder to save to.

    Args:
        out: the argument `out` of the caller.
        named: the name of the default folder below `runs`.
        of_another: whether a folder holds the result for another model or corpus. Two models can have the same default folder;
            then the name gets a number, as in `NAME-2`.

    """
    if out is None:
        return None
    if not isinstance(out, Folder):
        return Path(out)
    usual = Path("runs") / named
    return usual if of_another is None else place_apart(usual, of_another)
