"""Progress bars on standard error, with rate and remaining time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from babelmix._processes import is_main
from babelmix._terminal import PlainConsole, visible

# With several processes, only rank 0 prints.
console = PlainConsole(stderr=True, quiet=not is_main(), markup=False)

_inside: ContextVar[bool] = ContextVar("inside a bar", default=False)


class _RateColumn(ProgressColumn):
    """Shows units per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text()
        number = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2g}"
        return Text(f"{number} {task.fields.get('unit', '')}/s", style="progress.data.speed")


class Ticker:
    """Advances one progress bar."""

    def __init__(self, progress: Progress, task: int) -> None:
        self._progress, self._task = progress, task

    def advance(self, count: int = 1) -> None:
        """Count more units as done."""
        self._progress.advance(self._task, count)  # type: ignore[arg-type]


@contextmanager
def progress_bar(what: str, total: int, unit: str, *, done: int = 0) -> Iterator[Ticker]:
    """Show a bar on standard error while the block runs. A bar inside the block of another one is not shown.

    Args:
        what: the text before the bar.
        total: the number of units.
        unit: the name of a unit in the plural, for the rate.
        done: the number of units that an earlier, interrupted call has finished.

    """
    progress = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        console=console,
        transient=False,
        # Without a terminal, only the finished bar is printed.
        auto_refresh=console.is_terminal,
        disable=_inside.get(),
    )
    token = _inside.set(True)
    try:
        with progress:
            task = progress.add_task(visible(what), total=total, completed=done, unit=unit)
            yield Ticker(progress, task)
    finally:
        _inside.reset(token)


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Suppress the progress bars and load reports of transformers while the block runs."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
