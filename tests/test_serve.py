"""The service: what it answers, what it refuses, and that no request breaks it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import png

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

from conftest import Serve

from babelmix.errors import ConfigError, EngineError, WriteError
from babelmix.search import Searcher
from babelmix.search.service import Keys, Settings, create_app

READ, WRITE = "reading-key-0123456789", "writing-key-0123456789"


@pytest.mark.parametrize(
    "options",
    [
        {}, {"policy": "balanced", "k": 3}, {"policy": "quota=3"}, {"policy": "prefer=fr:2"}, {"mode": "words"},
        {"mode": "hybrid", "policy": "only=de,ja"}, {"once": True, "k": 20},
    ],
    ids=str,
)  # fmt: skip
def test_it_finds_what_the_searcher_finds(serve: Serve, searcher: Searcher, options: dict) -> None:
    answer = serve().post("/search", json={"query": "Katze 3", **options}).json()
    expected = searcher.search(["Katze 3"], **options)[0]
    assert [(hit["id"], hit["score"], hit["text"]) for hit in answer["hits"]] == [
        (hit.id, pytest.approx(hit.score), hit.text) for hit in expected
    ]
    assert (answer["policy"], answer["mode"]) == (options.get("policy", "any"), options.get("mode", "dense"))


def test_filters(serve: Serve) -> None:
    client = serve()
    found = client.post("/search", json={"query": "cat", "langs": ["ja"], "where": {"group": ["g0", "g1"]}}).json()
    assert {(hit["lang"], hit["group"]) for hit in found["hits"]} == {("ja", "g0"), ("ja", "g1")}
    assert len(found["hits"]) == 4


def test_it_says_what_there_is(serve: Serve) -> None:
    about = serve(writable=False).get("/about").json()
    assert about["langs"] == {"de": 40, "en": 40, "fr": 40, "ja": 40}
    assert (about["rows"], about["encoder"], about["pictures"], about["writable"]) == (160, "tiny", False, False)
    assert about["modes"] == ["dense", "words", "hybrid"]


def test_items_are_written_whole_and_deleted(serve: Serve) -> None:
    client = serve()
    rows = [
        {"item": "new/1 ?", "lang": "de", "text": "Zebra Zebra", "fields": {"year": 2026}},
        {"item": "new/1 ?", "lang": "en", "text": "zebra zebra"},
    ]
    assert client.post("/items", json={"rows": rows}).json() == {"written": 2, "unchanged": 0, "removed": 0}
    assert client.post("/items", json={"rows": rows}).json() == {"written": 0, "unchanged": 2, "removed": 0}
    found = client.post("/search", json={"query": "Zebra", "mode": "words", "where": {"year": [2026]}}).json()["hits"]
    assert [(hit["item"], hit["lang"], hit["fields"]) for hit in found] == [("new/1 ?", "de", {"year": 2026})]
    assert client.post("/items", json={"rows": rows[1:]}).json() == {"written": 0, "unchanged": 1, "removed": 1}
    assert client.get("/health").json() == {"status": "ok", "rows": 161}
    assert client.delete("/items/new%2F1%20%3F").json() == {"removed": 1}
    assert client.delete("/items/new%2F1%20%3F").status_code == 404
    assert client.post("/search", json={"query": "zebra", "mode": "words"}).json()["hits"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/search", {}, 422, "give a query or an image"),
        ("/search", {"query": "a", "image": "aa=="}, 422, "and not both"),
        ("/search", {"query": "a", "k": "3"}, 422, "k: Input should be a valid integer"),
        ("/search", {"query": "a", "k": 101}, 422, "k: "),
        ("/search", {"query": "a", "pages": 1}, 422, "pages: "),
        ("/search", {"query": " "}, 422, "query: "),
        ("/search", {"query": "\ud800"}, 422, "query: "),
        ("/search", {"query": "a" * 8001}, 422, "query: "),
        ("/search", {"query": "a", "policy": "fair"}, 400, "the language policy 'fair' is unknown"),
        ("/search", {"query": "a", "policy": "only="}, 400, "write languages after it"),
        ("/search", {"query": "a", "where": {"colour": ["red"]}}, 400, "no column 'colour'"),
        ("/search", {"query": "a", "where": {"item": [1]}}, 400, "not of the column's type"),
        ("/search", {"image": base64.b64encode(png((1, 2, 3))).decode()}, 400, "cannot embed pictures"),
        ("/items", {"rows": []}, 422, "rows: "),
        ("/items", {"rows": [{"item": "a", "lang": "de"}]}, 400, "neither"),
        ("/items", {"rows": [{"item": "a", "lang": "??", "text": "b"}]}, 400, "not a BCP 47 language tag"),
        ("/items", {"rows": [{"item": "a", "lang": "zxx", "image": "aaaa"}]}, 400, "cannot embed pictures"),
        ("/items", {"rows": [{"item": "a", "lang": "de", "text": "b", "fields": {"a b": 1}}]}, 400, "column 'a b'"),
        ("/items", {"rows": [{"item": "a", "lang": "de", "text": "b" * 1_000_001}]}, 400, "cut it into passages"),
        ("/items", {"rows": [{"item": "a", "lang": "de", "text": "b", "fields": {"group": "c"}}]}, 400, "cannot be named"),
        ("/nowhere", {}, 404, "there is nothing here"),
        ("/about", {}, 405, "POST does not go here"),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_what_is_wrong_is_said_in_a_sentence(serve: Serve, path: str, body: dict, status: int, words: str) -> None:
    answer = serve().post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_a_body_is_json_and_says_so(serve: Serve) -> None:
    client = serve()
    # A page elsewhere can send this without asking first.
    plain = client.post("/items", content='{"rows": []}', headers={"content-type": "text/plain"})
    assert (plain.status_code, "Content-Type: application/json" in plain.json()["error"]) == (422, True)
    broken = client.post("/search", content="{", headers={"content-type": "application/json"})
    assert broken.json()["error"].startswith("the body is not JSON")


def test_keys(serve: Serve) -> None:
    client = serve(keys=Keys({READ: "read", WRITE: "write"}))
    body = {"query": "cat"}
    row = {"rows": [{"item": "a", "lang": "de", "text": "b"}]}
    reading, writing = {"authorization": f"Bearer {READ}"}, {"x-api-key": WRITE}
    for headers, words in (({}, "give a key"), ({"x-api-key": READ[:-1]}, "not known"), ({"x-api-key": "é"}, "not")):
        encoded = {name: value.encode() for name, value in headers.items()}
        answer = client.post("/search", json=body, headers=encoded)
        assert (answer.status_code, words in answer.json()["error"]) == (401, True)
        assert answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/metrics", headers=encoded).status_code == client.get("/about", headers=encoded).status_code
    assert client.post("/search", json=body, headers=reading).status_code == 200
    assert client.post("/search", json=body, headers=writing).status_code == 200
    assert client.post("/items", json=row, headers=reading).status_code == 403
    assert client.delete("/items/a", headers=reading).status_code == 403
    assert client.post("/items", json=row).status_code == 401
    assert client.post("/items", json=row, headers=writing).json()["written"] == 1
    assert client.get("/").status_code == client.get("/health").status_code == 200


def test_a_service_that_only_searches(serve: Serve) -> None:
    client = serve(writable=False)
    answer = client.post("/items", json={"rows": [{"item": "a", "lang": "de", "text": "b"}]})
    assert (answer.status_code, "only searches" in answer.json()["error"]) == (403, True)
    assert client.delete("/items/i0").status_code == 403


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("read short", "row 1: a key has to have"), ("# none\n\n", "holds no key"), ("admin 0123456789abcdef", "row 1: write"),
        ("read 0123456789abcdef\nwrite", "row 2"), ("read 0123456789ab def", "without spaces"),
    ],
)  # fmt: skip
def test_files_of_keys(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(ConfigError, match=words):
        Keys.read(tmp_path / "keys")
    (tmp_path / "good").write_text(f"# ours\nread {READ}\n write  {WRITE} \n")
    keys = Keys.read(tmp_path / "good")
    assert [keys.right_of(key) for key in (READ, WRITE, "", READ + "x")] == ["read", "write", None, None]


def test_too_much_is_refused(serve: Serve) -> None:
    client = serve(max_body=5000)
    large = client.post("/search", json={"query": "a" * 5000})
    assert (large.status_code, large.json()) == (413, {"error": "the request has more than 5,000 bytes"})

    def chunks() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    chunked = client.post("/search", content=chunks(), headers={"content-type": "application/json"})
    assert chunked.status_code == 413
    assert set(chunked.json()) == {"error"}
    values = client.post("/search", json={"query": "a", "where": {"group": [{}] * 1001}})
    assert (values.status_code, values.json()["error"].startswith("where.group")) == (422, True)


def test_foreign_names_are_not_answered(serve: Serve) -> None:
    client = serve()
    assert client.get("/health", headers={"host": "elsewhere.example"}).status_code == 421
    for host in ("127.0.0.1:8765", "[::1]:80", "LOCALHOST"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    assert serve(hosts=None).get("/health", headers={"host": "elsewhere.example"}).status_code == 200


def test_a_key_is_looked_at_before_the_body(serve: Serve) -> None:
    client = serve(keys=Keys({READ: "read"}))
    read = []

    def body() -> Iterator[bytes]:
        for _ in range(3):
            read.append(1)
            yield b"[" * 1000

    answer = client.post("/items", content=body(), headers={"content-type": "application/json"})
    assert (answer.status_code, "give a key" in answer.json()["error"]) == (401, True)
    # Not even what is malformed is said to those without a key.
    assert client.post("/search", json={"k": -1}).status_code == 401


def test_requests_that_never_arrive_keep_no_one_out(searcher: Searcher) -> None:
    guarded = create_app(searcher, Settings(receive_timeout=0.2, max_in_flight=1))

    async def ask(path: str, parts: list[bytes], length: int, waits: asyncio.Semaphore | None = None) -> list[int]:
        sent, statuses = iter(parts), []

        async def receive() -> dict:
            if (part := next(sent, None)) is None:
                if waits is not None:
                    waits.release()
                await asyncio.Event().wait()
            return {"type": "http.request", "body": part, "more_body": part is not parts[-1] or length < 0}

        async def send(message: dict) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        size = abs(length)
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"%d" % size)]
        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "headers": headers,
            "query_string": b"",
            "app": guarded,
        }
        await guarded(scope, receive, send)
        return statuses

    async def scene() -> None:
        whole = json.dumps({"query": "cat"}).encode()
        async with guarded.router.lifespan_context(guarded):
            waits = asyncio.Semaphore(0)
            halves = [asyncio.create_task(ask("/search", [whole[:5]], -len(whole), waits)) for _ in range(3)]
            for _ in halves:
                await waits.acquire()
            assert await ask("/search", [whole], len(whole)) == [200]
            assert await asyncio.gather(*halves) == [[408]] * 3

    asyncio.run(scene())


def test_what_asks_whether_it_lives(serve: Serve) -> None:
    client = serve()
    for path in ("/health", "/", "/docs"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"query": "\xff"}', "not JSON in UTF-8"),
        (b'{"query": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"query": "a", "where": {"item": [NaN]}}', "NaN is no number"),
        (b'{"query": "a", "where": {"item": [1e999]}}', "where.item.0: has to be a text, a finite number"),
        (b'{"query": "a", "where": {"item": [{}]}}', "where.item.0: has to be a text, a finite number"),
    ],
    ids=["bytes", "deep", "NaN", "infinite", "object"],
)
def test_what_is_not_json(serve: Serve, body: bytes, words: str) -> None:
    answer = serve().post("/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert words in answer.json()["error"]


def test_refusals_can_be_read_by_pages_that_are_let_in(serve: Serve) -> None:
    client = serve(origins=("https://a.example",), max_body=100)
    answer = client.post("/search", json={"query": "a" * 200}, headers={"origin": "https://a.example"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (413, "https://a.example")


def test_other_origins_are_let_in_only_when_told(serve: Serve) -> None:
    origin = {"origin": "https://a.example", "access-control-request-method": "POST"}
    closed = serve().options("/search", headers=origin)
    assert not any(name.startswith("access-control") for name in closed.headers)
    opened = serve(origins=("https://a.example",)).options("/search", headers=origin)
    assert opened.headers["access-control-allow-origin"] == "https://a.example"
    other = serve(origins=("https://a.example",)).options("/search", headers={**origin, "origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers


def test_browsers_are_told_to_be_careful(serve: Serve) -> None:
    client = serve()
    for path in ("/", "/docs", "/about", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
    assert "unsafe" not in client.get("/").headers["content-security-policy"]


def test_documentation_needs_no_other_server(serve: Serve) -> None:
    client = serve()
    page = client.get("/docs").text
    assert "//" not in page.replace("<!-- ", "").split("<script>")[0].replace("http-equiv", "")
    assert client.get("/docs-files/swagger-ui-bundle.js").status_code == 200
    assert set(client.get("/openapi.json").json()["paths"]) == {
        "/search", "/about", "/examples", "/items", "/items/{item}", "/health", "/metrics",
    }  # fmt: skip


@pytest.fixture
def held(serve: Serve, searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Queries are embedded only while this is set."""
    embed, go_on = searcher.embed, threading.Event()

    def waits(queries: list[str], **options: object) -> np.ndarray:
        go_on.wait()
        return embed(queries)

    monkeypatch.setattr(searcher, "embed", waits)
    go_on.set()  # a service embeds a query as it starts
    yield go_on
    go_on.set()


def test_what_is_too_many_is_turned_away(serve: Serve, held: threading.Event) -> None:
    client = serve(timeout=600, max_in_flight=2)
    held.clear()
    statuses: list[int] = []
    asking = [
        threading.Thread(target=lambda i=i: statuses.append(client.post("/search", json={"query": f"q{i}"}).status_code))
        for i in range(2)
    ]  # fmt: skip
    for thread in asking:
        thread.start()
    while "babelmix_requests_in_flight 2.0" not in client.get("/metrics").text:
        time.sleep(0.01)
    assert client.post("/search", json={"query": "cat"}).status_code == 503
    assert client.get("/health").status_code == 200
    held.set()
    for thread in asking:
        thread.join()
    assert statuses == [200, 200]
    assert client.post("/search", json={"query": "cat"}).status_code == 200
    assert "babelmix_requests_in_flight 0.0" in client.get("/metrics").text


def test_what_takes_too_long_is_ended(serve: Serve, held: threading.Event) -> None:
    client = serve(timeout=0.3)
    held.clear()
    assert client.post("/search", json={"query": "dog"}).status_code == 504
    assert "babelmix_requests_in_flight 0.0" in client.get("/metrics").text
    held.set()
    while (status := client.post("/search", json={"query": "cat"}).status_code) != 200:
        assert status == 504  # on a machine that is very busy


def test_a_write_that_has_begun_is_ended(serve: Serve, searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    client = serve(write_timeout=1)
    put = searcher.index.engine.put

    def slow(points: list) -> None:
        time.sleep(1.5)  # longer than a write may take that has not begun
        put(points)

    monkeypatch.setattr(searcher.index.engine, "put", slow)
    answer = client.post("/items", json={"rows": [{"item": "late", "lang": "de", "text": "spät"}]})
    assert answer.status_code == 200
    assert searcher.index.engine.digests(["late"])


def test_a_failing_engine_is_not_the_client_s_fault(
    serve: Serve, searcher: Searcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve()

    def fails(error: Exception) -> Callable[..., None]:
        def raising(*_: object, **__: object) -> None:
            raise error

        return raising

    monkeypatch.setattr(searcher.index.engine, "nearest", fails(EngineError("the disk is full")))
    answer = client.post("/search", json={"query": "cat"})
    assert (answer.status_code, answer.json()) == (503, {"error": "the disk is full"})
    monkeypatch.setattr(searcher.index.engine, "put", fails(WriteError("index", "No space left on device")))
    answer = client.post("/items", json={"rows": [{"item": "new", "lang": "de", "text": "neu"}]})
    assert (answer.status_code, "No space left" in answer.json()["error"]) == (503, True)
    monkeypatch.setattr(searcher.index.engine, "nearest", fails(ZeroDivisionError("secret")))
    answer = client.post("/search", json={"query": "cat"})
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert "secret" in caplog.text


def test_a_text_that_cannot_be_embedded_spoils_no_other(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch, serve: Serve
) -> None:
    from babelmix.errors import EmbeddingError
    from babelmix.search.service.batching import BatchedEncoder
    from babelmix.search.service.metrics import Metrics

    right = searcher.embed

    def embed(queries: list[str], **options: Any) -> Any:
        if "secret" in queries:
            raise EmbeddingError("embedding fails at the text 'secret'")
        return right(queries, **options)

    monkeypatch.setattr(searcher, "embed", embed)

    async def together() -> list[Any]:
        encoding = BatchedEncoder(searcher, Metrics(searcher.index.langs))
        try:
            return await asyncio.gather(*map(encoding.query, ("cat", "secret", "dog")), return_exceptions=True)
        finally:
            encoding.close()

    cat, failed, dog = asyncio.run(together())
    assert isinstance(failed, EmbeddingError)
    np.testing.assert_allclose(np.concatenate([cat, dog]), right(["cat", "dog"]), atol=1e-6)
    answer = serve().post("/search", json={"query": "secret"})
    assert (answer.status_code, "secret" in answer.text) == (500, False)


def test_search_and_writing_at_once(serve: Serve) -> None:
    client = serve()
    statuses: list[int] = []

    def write(worker: int) -> None:
        for i in range(10):
            rows = [{"item": f"w{worker}", "lang": lang, "text": f"new {i} {lang}"} for lang in ("de", "en", "sv")]
            statuses.append(client.post("/items", json={"rows": rows}).status_code)

    def ask(worker: int) -> None:
        for i in range(30):
            body = {"query": f"{worker} {i}", "policy": ("balanced", "any", "quota=4")[i % 3]}
            statuses.append(client.post("/search", json=body).status_code)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(2) for work in (write, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 80
    assert client.get("/about").json()["langs"] == {"de": 42, "en": 42, "fr": 40, "ja": 40, "sv": 2}
    texts = {hit["text"] for hit in client.post("/search", json={"query": "new 9 sv", "langs": ["sv"]}).json()["hits"]}
    assert texts == {"new 9 sv"}


def test_measurements(serve: Serve) -> None:
    client = serve()
    client.post("/search", json={"query": "cat"})
    client.post("/search", json={"query": ""})
    client.get("/a/b/c")
    text = client.get("/metrics").text
    assert 'babelmix_requests_total{method="POST",route="/search",status="200"} 1.0' in text
    assert 'babelmix_requests_total{method="POST",route="/search",status="422"} 1.0' in text
    assert 'babelmix_requests_total{method="GET",route="none",status="404"} 1.0' in text
    assert 'babelmix_index_rows{lang="ja"} 40.0' in text


def test_a_refused_write_leaves_nothing_behind(serve: Serve) -> None:
    client = serve()
    row = {"item": "p", "lang": "zxx", "image": "aaaa", "fields": {"never": 1}}
    assert client.post("/items", json={"rows": [row]}).status_code == 400
    assert client.get("/about").json()["columns"] == {}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"writable": True, "hosts": ("localhost", "127.0.0.1", "::1", "127.0.0.1"), "timeout": 10.0}),
        (["--read-only", "--timeout", "3", "--max-request", "2", "--max-in-flight", "5"],
         {"writable": False, "timeout": 3.0, "max_body": 2 << 20, "max_in_flight": 5}),
        (["--host", "0.0.0.0"], {"writable": False, "hosts": None}),
        (["--host", "0.0.0.0", "--keys", "KEYS"], {"writable": True, "hosts": None}),
        (["--host", "0.0.0.0", "--allow-host", "Search.Example"],
         {"hosts": ("localhost", "127.0.0.1", "::1", "0.0.0.0", "search.example")}),
        (["--cors", "https://a.example", "--cors", "https://b.example"],
         {"origins": ("https://a.example", "https://b.example")}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_options_of_the_command(
    babelmix: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: dict
) -> None:
    (tmp_path / "keys").write_text(f"write {WRITE}\n")
    seen: list[Settings] = []

    class Opened(contextlib.nullcontext):
        index = SimpleNamespace(engine=SimpleNamespace(read_only=False))

        def __enter__(self) -> Opened:
            return self

        def search(self, *_: object, **__: object) -> None:
            """The first pass."""

    def stop(searcher: object, settings: Settings) -> None:
        seen.append(settings)
        raise ConfigError("seen")

    monkeypatch.setattr("babelmix.search.service.app.create_app", stop)
    monkeypatch.setattr("babelmix.search.serving.open_index", lambda *_, **__: Opened())
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)
    given = [str(tmp_path / "keys") if option == "KEYS" else option for option in options]
    code, _, err = babelmix("serve", str(tmp_path), "--port", "0", *given)
    assert (code, "seen" in err) == (1, True)
    for name, value in expected.items():
        assert getattr(seen[0], name) == value


def test_connections_send_at_once() -> None:
    from babelmix.search.serving import listen

    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_command_lets_the_c_library_free_memory_early(monkeypatch: pytest.MonkeyPatch) -> None:
    from babelmix.cli import serving as command

    asked: list[tuple[int, int]] = []
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace(mallopt=lambda *given: asked.append(given)))
    command._free_early()
    assert asked == [(-1, 1 << 16), (-8, 2)]
    # Another C library, and another system.
    monkeypatch.setattr("ctypes.CDLL", lambda name: SimpleNamespace())
    command._free_early()
    monkeypatch.setattr("sys.platform", "win32")
    command._free_early()
    assert len(asked) == 2


def test_a_first_search_that_compares_languages_is_made_before_clients_come(serve, searcher, monkeypatch) -> None:
    """It reads or fits what the policy needs, which may take longer than a request may."""
    asked: list[str] = []
    search = type(searcher).search

    def spied(self, *given, **named):
        asked.append(str(named["policy"]))
        return search(self, *given, **named)

    monkeypatch.setattr(type(searcher), "search", spied)
    client = serve()
    assert asked == ["any", "balanced"]
    assert client.post("/search", json={"query": "Hund", "policy": "balanced"}).status_code == 200
