"""Middleware before every request: limits, metrics, and security headers."""

from __future__ import annotations

import asyncio
import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from babelmix._terminal import visible_in_line
from babelmix.search.service.metrics import Metrics
from babelmix.search.service.settings import Settings

_ALWAYS = ("/health", "/metrics")
"""Paths that are answered even if the service is busy."""

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}

_ARRIVING = 4
"""The limits of arriving requests and of answers being sent, as a multiple of `max_in_flight`."""

_TOO_MANY = "too many requests are being worked on; ask again in a second"

log = logging.getLogger("babelmix.service")


class Guard:
    """Refuses requests that are too many, too large, or for another host name, and ends those that take too long.

    Args:
        app: the application behind it.
        settings: the limits.
        metrics: counts the requests.

    """

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        # Numbers of requests in work, still arriving, and with answers being sent; and bytes of all bodies.
        self._in_flight = self._arriving = self._leaving = self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, started = time.perf_counter(), 500, False

        async def sending(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                started, status = True, message["status"]
                leave()
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        async def refuse(code: int, sentence: str) -> None:
            headers = {"retry-after": "1"} if code == 503 else None
            await JSONResponse({"error": sentence}, code, headers)(scope, receive, sending)

        arriving = working = leaving = False
        held = 0
        clock: asyncio.Timeout | None = None

        def work() -> None:
            """Count this request as in work. A request whose body is still arriving does not count."""
            nonlocal arriving, working
            self._arriving -= arriving
            arriving = False
            if self._in_flight >= self._settings.max_in_flight:
                raise HTTPException(503, _TOO_MANY, {"retry-after": "1"})
            working = True
            self._in_flight += 1
            self._metrics.in_flight.set(self._in_flight)
            if clock is not None:
                clock.reschedule(now() + limit)

        def leave() -> None:
            """Stop counting this request as in work: the answer is being sent, and `connections` limits how long that takes."""
            nonlocal arriving, working, leaving
            self._arriving -= arriving
            self._in_flight -= working
            self._leaving += not leaving
            arriving, working, leaving = False, False, True
            self._metrics.in_flight.set(self._in_flight)
            if clock is not None and not clock.expired():
                clock.reschedule(None)

        def hold(size: int) -> None:
            nonlocal held
            held += size
            self._held += size
            if self._held > max(self._settings.max_held, self._settings.max_body):
                raise HTTPException(503, _TOO_MANY, {"retry-after": "1"})

        async def receiving() -> Message:
            if not arriving:
                return await receive()
            try:
                async with asyncio.timeout_at(arrived_by):
                    message = await receive()
            except TimeoutError as error:
                seconds = self._settings.receive_timeout
                raise HTTPException(408, f"the request took longer than {seconds:g} seconds to arrive") from error
            if message["type"] == "http.request":
                hold(len(message.get("body", b"")))
                if not message.get("more_body"):
                    work()
            return message

        async def in_time() -> None:
            nonlocal clock
            try:
                # The time to arrive has its own limit; the limit for the work begins after it.
                async with asyncio.timeout(arrived_by + limit - now() if arriving else limit) as clock:
                    if counted and not arriving:
                        work()
                    await self._app(scope, receiving, sending)
            finally:
                clock = None

        counted = scope["path"] not in _ALWAYS
        now = asyncio.get_running_loop().time
        arrived_by = now() + self._settings.receive_timeout
        limit = self._settings.timeout
        if scope["path"] == "/items" or scope["path"].startswith("/items/"):
            limit = self._settings.write_timeout
        try:
            if not self._is_for_us(scope):
                await refuse(421, "this service does not answer under that name; see  babelmix serve --allow-host")
            elif self._says_it_is_too_large(scope):
                await refuse(413, f"the request has more than {self._settings.max_body:,} bytes")
            elif counted and max(self._arriving, self._leaving) >= _ARRIVING * self._settings.max_in_flight:
                await refuse(503, _TOO_MANY)
            else:
                try:
                    arriving = counted and _has_body(scope)
                    self._arriving += arriving
                    await in_time()
                except HTTPException as error:
                    await refuse(error.status_code, error.detail)
                except TimeoutError:
                    if not started:
                        await refuse(504, f"it took longer than {limit:g} seconds")
        except Exception:
            log.exception("%s %s failed", scope["method"], visible_in_line(scope["path"])[:200])
            if not started:
                await refuse(500, "the service failed; its log says at what")
        finally:
            self._arriving -= arriving
            self._in_flight -= working
            self._leaving -= leaving
            self._held -= held
            self._metrics.in_flight.set(self._in_flight)
            # The route, not the path: a client may invent any number of paths.
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.requests.labels(_method(scope["method"]), route, str(status)).inc()
            self._metrics.seconds.labels(route).observe(time.perf_counter() - began)

    def _is_for_us(self, scope: Scope) -> bool:
        hosts = self._settings.hosts
        if hosts is None:
            return True
        try:
            return urlsplit(f"//{Headers(scope=scope).get('host', '')}").hostname in hosts
        except ValueError:  # a malformed address
            return False

    def _says_it_is_too_large(self, scope: Scope) -> bool:
        """Whether Content-Length is above the limit. Requests without it are cut off while they are read."""
        length = Headers(scope=scope).get("content-length", "")
        return length.isdigit() and int(length) > self._settings.max_body


def _has_body(scope: Scope) -> bool:
    """Whether the request has a body that will be read; for other methods it is ignored."""
    if scope["method"] not in ("POST", "PUT", "PATCH"):
        return False
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


def _method(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
