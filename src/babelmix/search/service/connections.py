"""Limits on connections: their number is limited, and those that send or read too slowly are closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import sys
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if sys.platform != "win32":
    import resource

_MOST_FILES = 1 << 16
_FEW_FILES = 512
"""The assumed limit of open files on Windows, which does not report the limit."""

LEAST_RATE = 16 << 10
"""The least rate at which a client must read its answers, in bytes per second, on average over the time limit."""

_NOW = struct.pack("ii", 1, 0)
"""The value of `SO_LINGER` that ends a connection by a reset."""

log = logging.getLogger("babelmix.service")


def files_allowed() -> int:
    """Raise the limit of open files as far as the system allows, and return it."""
    if sys.platform == "win32":
        return _FEW_FILES
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft, hard = (_MOST_FILES if limit == resource.RLIM_INFINITY else min(limit, _MOST_FILES) for limit in limits)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, limits[1]))
    return hard


class _Taken:
    """A transport that is aborted if its client reads too slowly.

    Uvicorn waits for a slow client forever, and closing a transport waits until everything is sent.

    Args:
        transport: the transport of the connection.
        loop: the event loop.
        seconds: the length of an interval. In each interval the client must read `LEAST_RATE` bytes per second, or everything.

    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport, self._loop, self._seconds = transport, loop, seconds
        self._written = self._before = 0
        self._looking: asyncio.TimerHandle | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write data, and start the timer if the client does not read all of it immediately."""
        was_empty = not self._transport.get_write_buffer_size()
        self._transport.write(data)
        self._written += len(data)
        if was_empty and self._transport.get_write_buffer_size():
            self.rest()
            self._look_later()

    def rest(self) -> None:
        """Stop the timer."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _look_later(self) -> None:
        self._before = self._written - self._transport.get_write_buffer_size()
        self._looking = self._loop.call_later(self._seconds, self._look)

    def _look(self) -> None:
        self._looking = None
        left = self._transport.get_write_buffer_size()
        if not left:
            return
        if self._written - left - self._before >= LEAST_RATE * self._seconds:
            self._look_later()
            return
        who = self._transport.get_extra_info("peername")
        log.warning("a client does not take its answers, and is cut off: %s", who[0] if who else "unknown")
        # The operating system should also drop its buffer for this client, instead of offering it for minutes.
        with contextlib.suppress(OSError, AttributeError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
        self._transport.abort()


def impatient(seconds: float, most: int, sending: float = 20.0) -> type[asyncio.Protocol]:
    """Uvicorn's h11 protocol with further limits.

    h11 limits the head of a request to 16 KiB, and reads the next request of a connection only after the answer to the last.

    Args:
        seconds: the time to send the head of the first request, and of a later one from its first byte.
        most: maximum number of connections; further ones are closed immediately.
        sending: a time in seconds. A client is cut off if, over this time, it reads less than 16 KiB per second, and not
            everything.

    """
    base: Any = H11Protocol

    class Impatient(base):  # type: ignore[misc]
        _closing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(_Taken(transport, self.loop, sending))
            if len(self.connections) > most:
                transport.abort()
            else:
                self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            self.transport.rest()
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
