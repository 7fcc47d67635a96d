"""Connections that say nothing, or too little, and too many of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

import uvicorn

from babelmix.errors import EngineError
from babelmix.search import Searcher
from babelmix.search.service import Settings, create_app
from babelmix.search.service.connections import files_allowed, impatient

SECONDS = 0.4
ASK = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"

Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(searcher: Searcher) -> Iterator[Connect]:
    """Connections to a service that has three at once."""
    app = create_app(searcher, Settings())
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as open_ones:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", http=impatient(SECONDS, 3)))
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
        thread.start()

        def made() -> socket.socket:
            connection = open_ones.enter_context(socket.create_connection(listening.getsockname()))
            connection.settimeout(10)
            return connection

        while not server.started:
            time.sleep(0.01)
        yield made
        server.should_exit = True
        thread.join()


def test_who_says_nothing_or_half_is_closed(connect: Connect) -> None:
    silent, half, second = connect(), connect(), connect()
    half.sendall(ASK[:20])
    second.sendall(ASK)
    assert second.recv(12) == b"HTTP/1.1 200"
    second.sendall(ASK[:20])
    began = time.monotonic()
    for connection in (silent, half, second):
        while connection.recv(4096):
            pass
    assert time.monotonic() - began >= SECONDS / 2


def test_what_comes_slowly_but_in_time_is_answered(connect: Connect) -> None:
    connection = connect()
    for _ in range(2):
        for part in (ASK[:10], ASK[10:]):
            connection.sendall(part)
            time.sleep(SECONDS / 4)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        time.sleep(1.5 * SECONDS)


def test_too_many_are_closed_as_they_come(connect: Connect) -> None:
    first = [connect() for _ in range(3)]
    first[0].sendall(ASK)
    assert first[0].recv(12) == b"HTTP/1.1 200"
    with contextlib.suppress(ConnectionResetError):
        assert connect().recv(1) == b""
    for connection in first:
        connection.close()


def test_as_many_files_as_the_system_allows() -> None:
    resource = pytest.importorskip("resource", reason="there is no limit of files here")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, before[1]), before[1]))
        allowed = files_allowed()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (allowed, before[1])
        assert allowed == min(before[1], 1 << 16) or before[1] == resource.RLIM_INFINITY
        assert files_allowed() == allowed
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_request_may_arrive_for_longer_than_it_is_worked_on(searcher: Searcher) -> None:
    guarded = create_app(searcher, Settings(timeout=0.3, receive_timeout=30, max_in_flight=1))
    statuses: list[int] = []

    async def ask(method: str, path: str, body: bytes, seconds: float) -> None:
        parts = iter([body[:5], body[5:]])

        async def receive() -> dict:
            await asyncio.sleep(seconds)
            part = next(parts, b"")
            return {"type": "http.request", "body": part, "more_body": part is not body[5:] and part == body[:5]}

        async def send(message: dict) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
        ]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": headers,
            "query_string": b"",
            "app": guarded,
        }
        await guarded(scope, receive, send)

    async def scene() -> None:
        async with guarded.router.lifespan_context(guarded):
            await ask("POST", "/search", b'{"query": "cat"}', 0.4)
            # Its body is never read, so it is worked on from the beginning.
            about = searcher.index.langs

            def slow() -> dict[str, int]:
                time.sleep(0.2)
                return about()

            searcher.index.langs = slow  # type: ignore[method-assign]
            first = asyncio.create_task(ask("GET", "/about", b"x" * 9, 0))
            await asyncio.sleep(0.05)
            await ask("GET", "/about", b"x" * 9, 0)
            await first

    asyncio.run(scene())
    assert statuses == [200, 503, 200]


def test_an_engine_that_fails_as_the_service_starts_is_one_sentence(
    babelmix, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opened:
        index = contextlib.nullcontext()

        def search(self, *_: object, **__: object) -> None:
            raise EngineError("the disk is gone")

    monkeypatch.setattr("babelmix.search.Searcher.open", lambda *_, **__: Opened())
    code, _, error = babelmix("serve", str(tmp_path), "--port", "0")
    assert (code, error.strip()) == (1, "error: the disk is gone")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--allow-host", "name:8443"), ("--allow-host", "https://name"), ("--cors", "https://a.org/"), ("--cors", "a.org"),
    ],
)  # fmt: skip
def test_names_that_can_never_match_are_refused(babelmix, tmp_path, option: str, value: str) -> None:
    code, _, error = babelmix("serve", str(tmp_path), option, value)
    assert (code, f"error: {option} {value}: is" in error) == (1, True)
