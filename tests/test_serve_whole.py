"""The service as a whole: fuzzed from its own description, with pictures, as a command, and its batches of queries."""

from __future__ import annotations

import asyncio
import base64
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from conftest import Serve, parallel_corpus, picture_corpus, png

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.specs.openapi import checks as described
from starlette.testclient import TestClient

from babelmix.cli.serving import serve as serve_command
from babelmix.encoders.dual import make_dual
from babelmix.errors import ConfigError, SearchError
from babelmix.search import Index, Searcher, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.service import Settings, create_app
from babelmix.search.service.batching import KEPT, BatchedEncoder
from babelmix.search.service.metrics import Metrics


def test_queries_that_wait_share_a_pass(searcher: Searcher) -> None:
    sizes: list[int] = []
    embed = searcher.embed

    class Slow(Searcher):
        def embed(self, queries: list[str], **options: object) -> np.ndarray:  # type: ignore[override]
            sizes.append(len(queries))
            return embed(queries)

    slow = Slow(searcher.index, searcher.encoder)
    queries = [f"cat {i}" for i in range(100)]

    async def ask() -> list[np.ndarray]:
        encoding = BatchedEncoder(slow, Metrics(searcher.index.langs))
        found = await asyncio.gather(*(encoding.query(query) for query in queries))
        # Those that were asked before are known.
        again = await asyncio.gather(*(encoding.query(query) for query in queries))
        assert all(np.array_equal(a, b) for a, b in zip(found, again, strict=True))
        encoding.close()
        return found

    found = asyncio.run(ask())
    np.testing.assert_allclose(np.concatenate(found), embed(queries), atol=1e-6)
    assert (len(sizes), max(sizes), sum(sizes)) == (4, 32, 100)
    assert len(queries) < KEPT


def test_who_gives_up_spoils_no_one_else_s_query(searcher: Searcher) -> None:
    async def ask() -> np.ndarray:
        encoding = BatchedEncoder(searcher, Metrics(searcher.index.langs))
        first, second = (asyncio.create_task(encoding.query(query)) for query in ("one", "two"))
        await asyncio.sleep(0)
        first.cancel()
        vector = await second
        encoding.close()
        return vector

    np.testing.assert_allclose(asyncio.run(ask()), searcher.embed(["two"]), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("writable", [True, False])
def test_no_request_breaks_it(serve: Serve, mode: str, writable: bool) -> None:
    """Requests made from the service's own description, to the letter and against it: every answer is as described."""
    client = serve(writable=writable)
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app, headers={"host": "localhost"})
    checks = [
        schemathesis.checks.not_a_server_error, described.status_code_conformance, described.content_type_conformance,
        described.response_schema_conformance, described.negative_data_rejection,
    ]  # fmt: skip
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

        @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(case=cases)
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(headers={"host": "localhost"}, checks=checks)

        try:
            ask()
        except Unsatisfiable:
            # There is nothing to say against a route that takes nothing.
            assert mode == "negative"
    assert asked > 50


def test_a_picture_is_a_query(tmp_path: Path) -> None:
    encoder = make_dual("tiny-clip", ["red green", "rot grün"], dimension=32, size=200)
    with Index.create(str(tmp_path / "index"), encoder, "tiny") as index:
        index_rows(index, encoder, rows_of_corpus(picture_corpus(items=6)))
        with TestClient(
            create_app(Searcher(index, encoder), Settings(max_pixels=30_000)), base_url="http://localhost"
        ) as client:
            assert client.get("/about").json()["pictures"] is True
            data = picture_corpus(items=6).passages["image"][4].as_py()["bytes"]
            body = {"image": base64.b64encode(data).decode(), "k": 2}
            hits = client.post("/search", json=body).json()["hits"]
            assert [(hit["item"], hit["text"], hit["lang"]) for hit in hits[:1]] == [("i4", None, "zxx")]
            assert hits[0]["picture"].startswith("data:image/webp;base64,")
            assert hits[0]["score"] == pytest.approx(1, abs=1e-4)
            assert client.post("/search", json={**body, "mode": "words"}).status_code == 400
            row = {"item": "new", "lang": "zxx", "image": base64.b64encode(png((1, 200, 3))).decode()}
            assert client.post("/items", json={"rows": [row]}).json()["written"] == 1
            for image, words in (
                ("/etc/passwd", "not in base64"), ("http://localhost/a.png", "not in base64"), ("aaaa", "is no picture"),
                (base64.b64encode(png((9, 9, 9), 200)).decode(), "at most 30,000"),
            ):  # fmt: skip
                for path, body in (("/search", {"image": image}), ("/items", {"rows": [{**row, "image": image}]})):
                    answer = client.post(path, json=body)
                    assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text


@pytest.fixture
def folder(tmp_path: Path, tiny_static) -> Path:
    """An index whose encoder lies beside it."""
    tiny_static.save(str(tmp_path / "encoder"))
    with Index.create(str(tmp_path / "index"), tiny_static, str(tmp_path / "encoder")) as index:
        index_rows(index, tiny_static, rows_of_corpus(parallel_corpus()))
    return tmp_path / "index"


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_the_command_serves_until_it_is_stopped(folder: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "babelmix", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert " is served at http://127.0.0.1:" in line, line
        address = line.split(" is served at ")[1].split()[0]
        answer = httpx.post(f"{address}/search", json={"query": "Katze", "k": 1}, timeout=None)
        assert len(answer.json()["hits"]) == 1
        process.send_signal(sent)
        assert process.wait() == 0
        assert "Traceback" not in process.stderr.read()


def test_the_command_says_what_is_wrong(folder: Path, tmp_path: Path) -> None:
    said = r"cannot listen on 127\.0\.0\.1, port .* choose another host or port"
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match=said):
        serve_command(str(folder), port=taken.getsockname()[1])
    with pytest.raises(ConfigError, match="cannot listen on nowhere"):
        serve_command(str(folder), host="nowhere.invalid", port=0)
    with pytest.raises(ConfigError, match="nokeys: cannot be read"):
        serve_command(str(folder), port=0, keys=tmp_path / "nokeys")
    with pytest.raises(SearchError, match="is not an index"):
        serve_command(str(tmp_path / "noindex"), port=0)
