"""Connections that send nothing, or not all of a request's head: they are closed in time, and there are never too many."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if sys.platform != "win32":
    import resource

_MOST_FILES = 1 << 16
_FEW_FILES = 512
"""Of a system that does not say how many a process may have."""


def files_allowed() -> int:
    """How many files and connections this process may have open; what the system lets it have is taken first."""
    if sys.platform == "win32":
        return _FEW_FILES
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (_MOST_FILES if limit == resource.RLIM_INFINITY else min(limit, _MOST_FILES) for limit in limits)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, limits[1]))
    return hard


def impatient(seconds: float, most: int) -> type[asyncio.Protocol]:
    """Uvicorn's protocol with limits that it lacks.

    Args:
        seconds: a connection may take so long to send the head of its first request, and of any later one once it has begun.
        most: connections at once; more are closed as they come.

    """
    base: Any = AutoHTTPProtocol

    class Impatient(base):  # type: ignore[misc]
        _closing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.abort()
            else:
                self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            super().connection_lost(exc)

        def _watch(self) -> None:
            if self.cycle is not None and not self.cycle.response_complete:
                self._rest()
            elif self._closing is None:
                self._closing = self.loop.call_later(seconds, self._close)

        def _rest(self) -> None:
            if self._closing is not None:
                self._closing.cancel()
                self._closing = None

        def _close(self) -> None:
            self._closing = None
            if self.cycle is None or self.cycle.response_complete:
                self.transport.close()

    return Impatient
