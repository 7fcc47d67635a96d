"""Connections that say nothing, or too little, and too many of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

import uvicorn

from babelmix.errors import EngineError
from babelmix.search import Searcher
from babelmix.search.service import Settings, create_app
from babelmix.search.service.connections import files_allowed, impatient

SECONDS = 3.0
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
            return open_ones.enter_context(socket.create_connection(listening.getsockname()))

        while not server.started:
            time.sleep(0.01)
        yield made
        server.should_exit = True
        thread.join()


@pytest.mark.slow
def test_who_says_nothing_or_half_is_closed(connect: Connect) -> None:
    silent, half, second = connect(), connect(), connect()
    half.sendall(ASK[:20])
    second.sendall(ASK)
    assert second.recv(12) == b"HTTP/1.1 200"
    second.sendall(ASK[:20])
    for connection in (silent, half, second):
        while connection.recv(4096):
            pass


@pytest.mark.slow
def test_what_comes_slowly_but_in_time_is_answered(connect: Connect) -> None:
    connection = connect()
    for part in (ASK[:10], ASK[10:]):
        connection.sendall(part)
        time.sleep(SECONDS / 20)
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")
    # Between two requests a connection may rest for longer than a head may take.
    time.sleep(1.5 * SECONDS)
    connection.sendall(ASK)
    assert connection.recv(4096).startswith(b"HTTP/1.1 200")


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


async def ask(app: Any, method: str, path: str, body: bytes, seconds: float = 0) -> list[int]:
    """The statuses of the answers to a request, each half of whose body takes so many seconds to arrive."""
    parts, statuses = iter([body[:5], body[5:]]), []

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
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "query_string": b"", "app": app}
    await app(scope, receive, send)
    return statuses


@pytest.mark.slow
def test_a_request_may_arrive_for_longer_than_it_is_worked_on(searcher: Searcher) -> None:
    guarded = create_app(searcher, Settings(timeout=2, receive_timeout=600))

    async def scene() -> list[int]:
        async with guarded.router.lifespan_context(guarded):
            return await ask(guarded, "POST", "/search", b'{"query": "cat"}', 1.5)

    assert asyncio.run(scene()) == [200]


def test_a_request_whose_body_is_never_read_is_worked_on_from_the_beginning(searcher: Searcher) -> None:
    guarded = create_app(searcher, Settings(timeout=600, max_in_flight=1))
    begun, go_on, langs = threading.Event(), threading.Event(), searcher.index.langs

    def held() -> dict[str, int]:
        begun.set()
        go_on.wait()
        return langs()

    async def scene() -> list[list[int]]:
        async with guarded.router.lifespan_context(guarded):
            searcher.index.langs = held  # type: ignore[method-assign]
            first = asyncio.create_task(ask(guarded, "GET", "/about", b"x" * 9))
            await asyncio.to_thread(begun.wait)
            second = await ask(guarded, "GET", "/about", b"x" * 9)
            go_on.set()
            return [await first, second]

    assert asyncio.run(scene()) == [[200], [503]]


def test_an_engine_that_fails_as_the_service_starts_is_one_sentence(
    babelmix, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Opened(contextlib.nullcontext):
        def __enter__(self) -> Opened:
            return self

        def search(self, *_: object, **__: object) -> None:
            raise EngineError("the disk is gone")

    monkeypatch.setattr("babelmix.search.serving.open_index", lambda *_, **__: Opened())
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
    assert (code, f"error: {option}: {value} " in error) == (1, True)
