"""Handle Ctrl-C: at any moment it gives one line and status 130, never a traceback and never status 0.

`KeyboardInterrupt` alone is not enough. Python drops it in finalisers and in callbacks of the garbage collector or of weak
references. Libraries catch it with a bare `except`, or turn it into another error. It may also come while an error is handled,
or while Python shuts down. So this module remembers the signal and does not rely on the exception.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
_LINE = "interrupted: run the same command again to go on from what it kept"

_TOGETHER = 0.5
"""A second signal within this many seconds is the same Ctrl-C: terminal and launcher may both send it."""

_AGAIN = 0.02
"""A dropped interrupt is raised again after this many seconds."""


class Interrupts:
    """Handles the interrupts of one run of the command line."""

    _first: float | None = None
    _dropped = False
    _ending = False

    def catch(self) -> None:
        """Handle Ctrl-C from now on, unless the process was started to ignore it (`nohup`), or this is not the main thread."""
        self._first, self._dropped, self._ending = None, False, False
        ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None)
        if not ignored and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._handle)
            sys.unraisablehook = self._unraisable

    def came(self) -> bool:
        """Whether there was an interrupt."""
        return self._first is not None

    def forget(self) -> None:
        """Forget the interrupt. For commands that normally end by Ctrl-C, such as a server."""
        self._first = None

    def end(self) -> None:
        """Called at the end of the command: leave if there was an interrupt that a library has caught or Python has dropped."""
        self._ending = True
        if self.came():
            self.leave()

    def leave(self) -> NoReturn:
        """Print the line and end the process at once with status 130."""
        self._ending = True
        # CPython remembers an interrupt inside exec(), for example while a dataclass is created, even if it was caught. A normal
        # exit would then end as if killed by the signal, and not with our status.
        try:
            for stream in (sys.stdout, sys.stderr):
                # The interrupt may have come during a write, or the reader of a pipe may be gone.
                with contextlib.suppress(Exception):
                    stream.flush()
            sys.stderr.write(f"{_LINE}\n")
            sys.stderr.flush()
        finally:
            os._exit(INTERRUPTED)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._ending:
            self.leave()
        now = time.monotonic()
        if self._first is None or self._dropped:
            self._first, self._dropped = now, False
            raise KeyboardInterrupt
        if now - self._first > _TOGETHER:
            # After a second Ctrl-C, do not wait for the clean-up of the first. Files are written whole, so nothing is lost.
            self.leave()

    def _unraisable(self, error: sys.UnraisableHookArgs) -> None:
        if not issubclass(error.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(error)
            return
        # Raising it here would drop it again. A signal ends a wait of the main thread; `_thread.interrupt_main` does not.
        self._dropped = True
        main = threading.main_thread().ident
        assert main is not None
        later = threading.Timer(_AGAIN, signal.pthread_kill, (main, signal.SIGINT))
        later.daemon = True
        later.start()


interrupts = Interrupts()
"""The interrupts of this process."""
