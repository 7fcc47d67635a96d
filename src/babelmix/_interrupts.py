"""Ctrl-C, at whatever moment: one line and status 130, never a traceback, and never 0.

`KeyboardInterrupt` alone does not give that. Python drops it where it is raised in a finaliser, or in a callback of the garbage
collector or of a weak reference. Libraries catch it with a bare `except`, or make another error of it. It also comes while an
error is handled, or while Python goes down. So what counts is that the signal came, not what has become of the exception.
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
"""Seconds in which a second signal is the same Ctrl-C: launchers send it on to a process that the terminal told already."""

_AGAIN = 0.02
"""Seconds after which an interrupt that was dropped is raised again."""


class Interrupts:
    """The interrupts of one run of the command line."""

    _first: float | None = None
    _dropped = False
    _ending = False

    def catch(self) -> None:
        """Take over Ctrl-C, unless who started the process wants it ignored (`nohup`), or this is a thread."""
        self._first, self._dropped, self._ending = None, False, False
        ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None)
        if not ignored and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._handle)
            sys.unraisablehook = self._unraisable

    def came(self) -> bool:
        """Whether there was one."""
        return self._first is not None

    def forget(self) -> None:
        """The command was ended by Ctrl-C as it is meant to be."""
        self._first = None

    def end(self) -> None:
        """The command is done: leave if it was interrupted and something has hidden it; from now on leave at once."""
        self._ending = True
        if self.came():
            self.leave()

    def leave(self) -> NoReturn:
        """Say so, and go without looking back: the status stays what it is, whatever Python remembers."""
        self._ending = True
        # An interrupt inside exec(), as in a dataclass being made during an import, is remembered by CPython even when it was
        # caught, and an ordinary exit would then end as if killed by the signal instead of with our status.
        try:
            for stream in (sys.stdout, sys.stderr):
                # The interrupt may have come inside a write; a reader may have gone.
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
            # A person who asks twice does not want to wait for what the first one began. A kill loses nothing either.
            self.leave()

    def _unraisable(self, error: sys.UnraisableHookArgs) -> None:
        if not issubclass(error.exc_type, KeyboardInterrupt):
            sys.__unraisablehook__(error)
            return
        # Here it would be dropped again. A signal ends a wait of the main thread; `_thread.interrupt_main` does not.
        self._dropped = True
        main = threading.main_thread().ident
        assert main is not None
        later = threading.Timer(_AGAIN, signal.pthread_kill, (main, signal.SIGINT))
        later.daemon = True
        later.start()


interrupts = Interrupts()
"""Those of this process."""
