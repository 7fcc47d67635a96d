"""No one request and no slow client holds up the others: bodies are bounded, and answers are not kept for ever."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

import uvicorn
from conftest import Serve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from babelmix.search import Searcher
from babelmix.search.service import Settings, answers, create_app
from babelmix.search.service.answers import Service
from babelmix.search.service.bodies import MAX_DEPTH, MAX_KEYS, MAX_VALUES, SMALL, BodyError, check_size, parse
from babelmix.search.service.connections import LEAST_RATE, _Taken, impatient
from babelmix.search.service.metrics import Metrics
from babelmix.search.service.models import MAX_FIELDS, MAX_ROWS, SearchRequest

JSON = {"content-type": "application/json"}
MANY = 200_000


def largest(value: object = "x") -> dict[str, Any]:
    """The largest write that is allowed."""
    fields = {f"c{n:02}": value for n in range(MAX_FIELDS)}
    row = {"item": "i", "lang": "de", "text": "t", "group": "g", "fields": fields}
    return {"rows": [{**row, "item": f"i{n}"} for n in range(MAX_ROWS)]}


# --- bodies


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (json.dumps({f"k{n}": 0 for n in range(MANY)}), "more than 128 keys"),
        (json.dumps({"rows": [{"fields": {f"k{n}": {} for n in range(MANY)}}]}), "more than 128 keys"),
        (json.dumps({"langs": [0] * MANY}), f"more than {MAX_VALUES:,} values"),
        (json.dumps({"where": {"item": [[]] * MANY}}), f"more than {MAX_VALUES:,} values"),
        ("[" * MANY, "nested too deeply"),
        ('{"a":' * MANY, "nested too deeply"),
        ('"a"' * MANY, "not JSON"),
        ('{"query": "' + "\\" * (2 * MANY + 1), "not JSON"),
        ("1" * MANY, "too many digits"),
        ('{"query": "a", "k": 3, "query": "b"}', "the key 'query' is there twice"),
        ('{"query": "a", "where": {"item": ["a"], "item": ["b"]}}', "the key 'item' is there twice"),
        ('{"query": Infinity}', "Infinity is no number"),
        ('{"query": "a"', "is not JSON"), ("", "is not JSON"), ("]" * 9, "is not JSON"), ('{"a" "b"}', "is not JSON"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_what_no_request_needs_is_refused_before_it_is_read(body: str, words: str) -> None:
    with pytest.raises(BodyError, match=words):
        parse(body.encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1", "utf-8-sig"])
def test_only_utf_8(encoding: str) -> None:
    # Of UTF-16 the bytes would hide brackets from a look at them.
    with pytest.raises(BodyError, match="not JSON"):
        parse('{"query": "é∢"}'.replace("∢" if encoding == "latin-1" else "-", "").encode(encoding))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
@example(["\\", '"', '\\"', "[{,", "\\" * (1 << 16), '"' * 70_000, "é" * 40_000], True, None)
@example(["\\", '"', '\\"', "[{,", "\\" * (1 << 16), '"' * 70_000, "é" * 40_000], False, None)
def test_what_is_bounded_is_read_as_it_is(value: object, ascii_only: bool, indent: int | None) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "replace")
    if depth_of(value) > MAX_DEPTH:
        with pytest.raises(BodyError, match="nested too deeply"):
            parse(body)
    else:
        assert parse(body) == json.loads(body)


def test_brackets_are_counted_as_a_reader_of_json_sees_them() -> None:
    check_size(b'"' + b"[" * MANY + b'"')
    check_size(json.dumps({"a": '\\"' + "[{," * MANY}).encode())
    check_size(b"[" + b",".join([b'"' + b"\\\\" * 40_000 + b'"'] * 9) + b"]")
    for keys, refused in ((MAX_KEYS, False), (MAX_KEYS + 1, True)):
        with pytest.raises(BodyError) if refused else contextlib.nullcontext():
            check_size(json.dumps([{str(n): [1, 2] for n in range(keys)}]).encode())
    # In a list there is no limit of keys.
    check_size(json.dumps([0] * 1000).encode())


def test_the_largest_write_passes(serve: Serve) -> None:
    answer = serve(writable=False).post("/items", json=largest())
    assert answer.status_code == 403
    body = json.dumps(largest()).encode()
    assert parse(body) == largest()


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/search", {"query": "a", **{f"k{n}": 0 for n in range(100)}}, "k0: Extra inputs"),
        ("/items", largest(None), "rows.0.fields.c00: has to be a text"),
        ("/items", largest({}), "the body has more than"),
        ("/items", {"rows": [{}] * MAX_ROWS}, "rows.0.item: Field required"),
        ("/search", {"query": "a", "langs": [1] * 30_000}, "langs.0: "),
        ("/search", {"query": "a", "k" * 100_000: 1}, f"{'k' * 80}...: Extra inputs"),
        ("/search", {"query": "a", "\ud800": 1}, "the key '\\ud800' is no text"),
        ("/search", {"query": "a", "\x1b[1m": 1}, "\\x1b[1m: Extra inputs"),
        ("/search", {"query": "a", "where": {"\ud800": ["a"]}}, "the key '\\ud800' is no text"),
        ("/search", {"query": "a", "policy": "\ud800"}, "policy"),
        ("/search", {"query": "a", "policy": "x" * 2000}, "the language policy"),
        ("/search", {"query": "a", "k": 10**400}, "k: "),
        ("/search", {"query": "a", "where": {"item": [10**400]}}, ""),
        ("/items", {"rows": [{"item": "\ud800", "lang": "de", "text": "b"}]}, "rows.0.item"),
        ("/items", {"rows": [{"item": "a", "lang": "de", "text": "b", "fields": {"n": 10**300}}]}, ""),
    ],
    ids=lambda value: str(value)[:30].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_few_errors_are_made_and_the_first_is_said(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, path: str, body: dict, words: str
) -> None:
    made: list[int] = []

    from fastapi.exceptions import RequestValidationError

    init = RequestValidationError.__init__

    def counted(self: RequestValidationError, errors: list, **given: object) -> None:
        made.append(len(errors))
        init(self, errors, **given)

    monkeypatch.setattr(RequestValidationError, "__init__", counted)
    answer = serve().post(path, content=json.dumps(body), headers=JSON)
    assert answer.status_code in (400, 422), answer.text
    assert words in answer.json()["error"]
    assert len(answer.content) < 2000
    assert all(count <= 4 * MAX_FIELDS for count in made)


def test_a_body_that_is_read_for_long_holds_up_no_one(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve()
    begun, go_on = threading.Event(), threading.Event()

    def slow(data: bytes) -> Any:
        if len(data) > SMALL:
            begun.set()
            assert go_on.wait(600)
        return parse(data)

    monkeypatch.setattr(answers, "parse", slow)
    statuses: list[int] = []
    large = {"query": "cat", "image": "a" * SMALL}
    asking = threading.Thread(target=lambda: statuses.append(client.post("/search", json=large).status_code))
    asking.start()
    assert begun.wait()
    assert client.get("/health").status_code == 200
    assert client.post("/search", json={"query": "cat"}).status_code == 200
    assert not statuses
    go_on.set()
    asking.join()
    assert statuses == [422]


def test_bodies_that_wait_have_a_bound_in_all(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve(max_body=100_000, max_held=150_000)
    begun, go_on = threading.Event(), threading.Event()

    def slow(data: bytes) -> Any:
        begun.set()
        assert go_on.wait(600)
        return parse(data)

    monkeypatch.setattr(answers, "parse", slow)
    statuses: list[int] = []
    large = {"query": "cat", "image": "a" * 90_000}
    asking = threading.Thread(target=lambda: statuses.append(client.post("/search", json=large).status_code))
    asking.start()
    assert begun.wait()
    busy = client.post("/search", json=large)
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
    go_on.set()
    asking.join()
    assert statuses == [422]
    assert client.post("/search", json=large).status_code == 422


# --- the event loop


def test_nothing_that_may_wait_runs_on_the_loop(searcher: Searcher) -> None:
    """The index, its engine and the encoder are asked in threads alone, in the lifespan too."""
    loops: set[int] = set()
    asked: list[str] = []

    class Watched:
        """Stands before an object, and looks who calls it."""

        def __init__(self, inner: object) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            value = getattr(self._inner, name)
            if name == "index":
                return index
            if not inspect.isroutine(value):
                return value

            def called(*given: object, **options: object) -> Any:
                asked.append(name)
                assert threading.get_ident() not in loops, f"{name} is called on the event loop"
                return value(*given, **options)

            return called

    index: Any = Watched(searcher.index)
    watched: Any = Watched(searcher)
    app = create_app(watched, Settings())

    async def scene() -> list[int]:
        loops.add(threading.get_ident())
        import httpx

        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            row = {"item": "new", "lang": "de", "text": "neu", "fields": {"year": 1}}
            done = [
                await client.get("/about"), await client.get("/health"), await client.get("/metrics"),
                await client.post("/search", json={"query": "cat", "langs": ["de"], "where": {"item": ["i1"]}}),
                await client.post("/search", json={"query": "cat", "policy": "balanced", "mode": "hybrid", "once": True}),
                await client.post("/items", json={"rows": [row]}), await client.delete("/items/new"),
            ]  # fmt: skip
        return [answer.status_code for answer in done]

    assert asyncio.run(scene()) == [200] * 7
    assert {"langs", "where", "search", "embed", "changes", "write", "delete"} <= set(asked)


def test_languages_that_anyone_may_write_make_no_endless_measurements() -> None:
    metrics = Metrics(lambda: {f"x-{n:04}": n for n in range(3000)})
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith("babelmix_index_rows{")]
    assert len(lines) == 201
    total = sum(float(line.split()[-1]) for line in lines)
    assert total == sum(range(3000))
    assert 'lang="other"' in lines[-1]


# --- clients that take nothing

SECONDS = 0.3
ASK = b"GET /openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n"

Connect = Callable[[], socket.socket]


@pytest.fixture
def connect(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connect, uvicorn.Server]]:
    """Connections that take little at a time, to a service whose clients must take 16 KiB a second."""
    app = create_app(searcher, Settings(max_in_flight=2))
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as open_ones:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        config = uvicorn.Config(app, log_level="error", http=impatient(30, 50, SECONDS), timeout_keep_alive=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=lambda: server.run(sockets=[listening]))
        thread.start()

        def made() -> socket.socket:
            connection = open_ones.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            connection.connect(listening.getsockname())
            return connection

        while not server.started:
            time.sleep(0.01)
        yield made, server
        open_ones.close()
        server.should_exit = True
        thread.join()


def gone(server: uvicorn.Server) -> None:
    """Wait until there is no connection."""
    while server.server_state.connections:
        time.sleep(0.02)


def test_who_takes_nothing_is_cut_off_and_said_in_a_line(
    connect: tuple[Connect, uvicorn.Server], caplog: pytest.LogCaptureFixture
) -> None:
    made, server = connect
    clients = [made() for _ in range(5)]
    with caplog.at_level(logging.WARNING):
        for client in clients:
            client.sendall(ASK * 200)
        # Those that take nothing hold no place: others are answered meanwhile.
        fast = made()
        fast.sendall(b"GET /about HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        with fast.makefile("rb") as answer:
            assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
            answer.read()
        gone(server)
    for client in clients:
        # What the system still held for it is dropped, too: no end in good order.
        with pytest.raises(ConnectionResetError):
            deque(iter(lambda client=client: client.recv(1 << 16), b""), maxlen=0)
    said = [record for record in caplog.records if record.name in ("babelmix.service", "uvicorn.error")]
    assert [record.getMessage() for record in said] == [
        "a client does not take its answers, and is cut off: 127.0.0.1"
    ] * len(clients)
    assert not any(record.exc_info for record in said)


def test_who_takes_one_small_answer_too_late_is_let_go(connect: tuple[Connect, uvicorn.Server]) -> None:
    # What is left over is below the mark at which uvicorn waits: a mere close would never end.
    made, server = connect
    client = made()
    client.sendall(ASK.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
    gone(server)


class _Clock:
    """An event loop's timers, which a test lets run out."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, seconds: float, work: Callable[[], None]) -> Any:
        entry = (seconds, work)
        self.waiting.append(entry)
        clock = self

        class Handle:
            def cancel(self) -> None:
                clock.waiting.remove(entry)

        return Handle()

    def run_out(self) -> None:
        ((_, work),) = self.waiting
        self.waiting.clear()
        work()


class _Transport:
    """A transport of which a test says how much the client has taken."""

    left = 0
    aborted = False

    def write(self, data: bytes) -> None:
        self.left += len(data)

    def get_write_buffer_size(self) -> int:
        return self.left

    def get_extra_info(self, name: str) -> Any:
        return None

    def abort(self) -> None:
        self.aborted, self.left = True, 0


@pytest.mark.parametrize(
    ("taken", "ends"),
    [
        ([0], "cut off"), ([2 * LEAST_RATE - 1], "cut off"), ([2 * LEAST_RATE, 2 * LEAST_RATE - 1], "cut off"),
        ([2 * LEAST_RATE] * 4, "goes on"), ([2 * LEAST_RATE] * 4 + [1 << 30], "all taken"), ([1 << 30], "all taken"),
    ],
    ids=str,
)  # fmt: skip
def test_a_client_takes_so_much_in_so_long(taken: list[int], ends: str) -> None:
    clock, transport = _Clock(), _Transport()
    watched = _Taken(transport, clock, 2.0)  # type: ignore[arg-type]
    watched.write(b"x" * (10 * LEAST_RATE))
    for size in taken:
        # What comes meanwhile does not count as taken.
        watched.write(b"x" * LEAST_RATE)
        transport.left = max(0, transport.left - size)
        clock.run_out()
    assert transport.aborted == (ends == "cut off")
    assert bool(clock.waiting) == (ends == "goes on")
    watched.rest()
    assert not clock.waiting


def test_time_begins_anew_when_all_was_taken() -> None:
    clock, transport = _Clock(), _Transport()
    watched = _Taken(transport, clock, 2.0)  # type: ignore[arg-type]
    watched.write(b"x")
    first = clock.waiting[0]
    transport.left = 0
    watched.write(b"y")
    assert len(clock.waiting) == 1
    assert clock.waiting[0] is not first


def test_answers_that_are_not_taken_have_a_bound_in_all(searcher: Searcher) -> None:
    app = create_app(searcher, Settings(max_in_flight=1))

    async def scene() -> list[int]:
        go_on, statuses, begun = asyncio.Event(), [], asyncio.Semaphore(0)

        async def ask(takes: bool) -> None:
            async def receive() -> dict[str, Any]:
                return {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])
                    begun.release()
                    if not takes:
                        await go_on.wait()

            await app(
                {
                    "type": "http", "method": "GET", "path": "/openapi.json", "headers": [(b"host", b"localhost")],
                    "query_string": b"", "app": app,
                },
                receive,
                send,
            )  # fmt: skip

        async with app.router.lifespan_context(app):
            slow = []
            for _ in range(4):  # one after the other: each is answered although those before it wait
                slow.append(asyncio.create_task(ask(takes=False)))
                await begun.acquire()
            await ask(takes=True)
            go_on.set()
            await asyncio.gather(*slow)
            await ask(takes=True)
        return statuses

    assert asyncio.run(scene()) == [200] * 4 + [503, 200]


def test_a_head_has_a_bound(connect: tuple[Connect, uvicorn.Server]) -> None:
    made, _ = connect
    for head in (
        b"GET /%s HTTP/1.1\r\n" % (b"a" * 200_000),
        b"GET /health?%s HTTP/1.1\r\n" % (b"a=b&" * 50_000),
        b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: %s\r\n" % (b"a" * 200_000),
        b"GET /health HTTP/1.1\r\nhost: localhost\r\n" + b"x: y\r\n" * 40_000,
    ):
        client = made()
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(head)
            assert client.recv(12) in (b"HTTP/1.1 400", b"")


def test_a_path_of_any_kind_is_answered(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    client = serve()
    for path in ("/items/%1b%5b2J", "/items/%ff%fe", "/items/" + "%e6%b0%b4" * 2000, "/%00", "/items/%ed%a0%80"):
        answer = client.delete(path)
        assert answer.status_code in (400, 404, 405)
        assert set(answer.json()) == {"error"}
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_a_failure_s_line_in_the_log_cannot_steer_a_terminal(
    serve: Serve, searcher: Searcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(searcher.index, "delete", fails)
    assert serve().delete("/items/%1b%5b2J").status_code == 500
    (line,) = [record.getMessage() for record in caplog.records if "failed" in record.getMessage()]
    assert line == "DELETE /items/\\x1b[2J failed"


def test_service_searches_without_http(searcher: Searcher) -> None:
    """The service itself, apart from its routes."""

    async def scene() -> int:
        service = Service(searcher, Settings(), Metrics(searcher.index.langs))
        found = await service.search(SearchRequest(query="cat", k=3))
        service.close()
        return len(found.hits)

    assert asyncio.run(scene()) == 3
