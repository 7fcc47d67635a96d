"""Where a result is saved: nowhere, in a folder that the caller names, or below `runs` in a folder named after the call."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path

from babelmix._files import place_apart


class Folder(Enum):
    """A place that is not a path."""

    RUNS = "runs"
    """A folder below `runs` that is named after the model and the corpus; what the commands do by default."""


RUNS = Folder.RUNS

Out = str | Path | Folder | None
"""Where a function saves its result; None: it does not."""


def folder_of(out: Out, named: str, of_another: Callable[[Path], bool] | None = None) -> Path | None:
    """The folder to save to.

    Args:
        out: what the caller asked for.
        named: the name of the folder below `runs`.
        of_another: whether a folder below `runs` holds the result of another call: two models can have one name for a folder.
            The next free name is used then.

    """
    if out is None:
        return None
    if not isinstance(out, Folder):
        return Path(out)
    usual = Path("runs") / named
    return usual if of_another is None else place_apart(usual, of_another)
