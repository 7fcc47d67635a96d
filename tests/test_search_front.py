"""The functions that the commands `index`, `search` and `serve` call."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import WORDS, parallel_corpus
from memory_engine import MemoryEngine
from PIL import Image

from babelmix import extend
from babelmix.errors import ArgumentError, BabelmixError, ConfigError, EncoderError, SearchError
from babelmix.search import Hit, Hits, Where, build_index, delete_items, open_index, open_rows, serve
from babelmix.search.asking import check_search
from babelmix.search.engines import ENGINES
from babelmix.search.engines.contract import check_engine
from babelmix.search.filters import typed_filters, values_in
from babelmix.search.options import SearchOptions
from babelmix.search.service import Keys
from babelmix.search.serving import listen, service_settings

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

DOCUMENTS = "item,lang,text,year\na,de,Katze Haus,1\na,en,cat house,1\nb,en,dog river,2\nc,fr,chat,2\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_static) -> str:
    folder = str(tmp_path_factory.mktemp("encoder") / "model")
    tiny_static.save(folder)
    return folder


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    file = tmp_path / "documents.csv"
    file.write_text(DOCUMENTS)
    return file


@pytest.fixture
def memory() -> Iterator[None]:
    extend.engine("memory")(MemoryEngine)
    yield
    ENGINES.unregister("memory")
    MemoryEngine.stores.clear()


def test_an_index_is_built_and_searched(documents: Path, model: str, tmp_path: Path) -> None:
    report = build_index(documents, tmp_path / "index", model=model)
    assert report.as_json() == {
        "index": str(tmp_path / "index"), "written": 4, "unchanged": 0, "removed": 0, "langs": {"de": 1, "en": 2, "fr": 1},
        "encoder": model, "dimension": 16, "similarity": "cosine", "columns": {"year": "integer"},
    }  # fmt: skip
    assert "written: 4, unchanged: 0, removed: 0" in str(report)
    assert report.to_frame().rows() == [("de", 1), ("en", 2), ("fr", 1)]
    with open_index(tmp_path / "index") as index:
        alone = index.search("cat", policy="balanced", k=2)
        assert isinstance(alone, Hits)
        assert index.search(["cat"], policy="balanced", k=2) == [alone]
        assert index.search([]) == []
        assert {hit.lang for hit in index.search("cat", langs="en")} == {"en"}
        wanted = index.search("cat", where={"year": 2})
        assert {hit.item for hit in wanted} == {"b", "c"}
        assert wanted == index.search("cat", where="year=2") == index.search("cat", where=["year=2"])
        assert wanted == index.search("cat", where=Where(fields={"year": (2,)}))
        assert {hit.item for hit in index.search("cat", langs=["en"], where=Where(fields={"year": (2,)}))} == {"b"}
        assert index.notes == []
        for words, options, match in (
            ("  ", {}, "a query is empty"), ("x", {"langs": "de", "where": Where(("de",))}, "give the languages once"),
            ("x", {"where": "year"}, "write  COLUMN=VALUE"), ("x", {"where": "year=old"}, "of the type integer"),
        ):  # fmt: skip
            with pytest.raises(BabelmixError, match=match):
                index.search(words, **options)
        with pytest.raises(EncoderError, match="image"):
            index.search(Image.new("RGB", (8, 8)))
    # Before anything is opened.
    with pytest.raises(SearchError, match=r"no picture\.jpg: "):
        check_search([tmp_path / "no picture.jpg"])
    picture = tmp_path / "picture.png"
    Image.new("RGB", (8, 8)).save(picture)
    assert str(check_search([picture, "cat"], policy="only=de")) == "only=de"
    with pytest.raises(SearchError, match="a picture has no words"):
        check_search([picture], options=SearchOptions("words"))


def test_hits_print_as_the_table_of_the_command(documents: Path, model: str, tmp_path: Path, babelmix) -> None:
    build_index(documents, tmp_path / "index", model=model)
    with open_index(tmp_path / "index") as index:
        hits, nothing = index.search("cat"), index.search("cat", where={"year": 3})
    code, printed, _ = babelmix("search", "cat", "--in", str(tmp_path / "index"), "--json")
    assert (code, json.loads(printed)) == (0, hits.as_json())
    code, printed, _ = babelmix("search", "cat", "--in", str(tmp_path / "index"))
    assert [line.split() for line in str(hits).splitlines()] == [line.split() for line in printed.strip().splitlines()]
    assert "Nothing was found: widen the policy or the filters." in str(nothing)
    frame = hits.to_frame()
    assert frame["rank"].to_list() == [1, 2, 3, 4]
    assert frame.columns == ["query", "rank", "score", "id", "item", "lang", "group", "text", "fields.year"]
    assert nothing.to_frame().height == 0
    shown = Hits([Hit("1", 1.0, "i", "zxx", "g", None), Hit("2", 0.5, "j", "en", "g", "x" * 500)], "q")
    assert "(a picture)" in str(shown)
    assert shown.tables()[0].rows[1][3] == "x" * 297 + "..."


def test_an_index_is_brought_up_to_date(documents: Path, model: str, tmp_path: Path) -> None:
    place, notes = tmp_path / "index", []
    build_index(parallel_corpus(4), place, model=model)
    before = len(parallel_corpus(4).passages)
    documents.write_text("item,lang,text,not a name\na,de,Katze,1\na,eng,cat,2\n")
    report = build_index(str(documents), place, langs="en", prune=True, say=notes.append)
    assert (report.counts["written"], report.counts["removed"]) == (1, before)
    assert report.langs == {"en": 1}
    assert notes == list(report.notes)
    assert "it is left out" in notes[0]
    assert report.as_json()["languages_read_as"] == {"eng": {"as": "en", "rows": 1}}
    assert "eng is read as en, the same language (1 rows)" in str(report)
    rows = open_rows(str(documents))
    assert build_index(rows, place).counts == {"written": 1, "unchanged": 1, "removed": 0}
    with pytest.raises(ArgumentError, match="langs: give them to open_rows"):
        build_index(rows, place, langs="de")
    with pytest.raises(SearchError, match="langs: the list is empty"):
        build_index(documents, place, langs=[])
    documents.write_text("item,lang,text,title\na,de,Katze,Tiere\n")
    titled = build_index(str(documents), tmp_path / "titled", model=model)
    assert "field 'title': is kept and shown, not embedded" in titled.notes[0]


def test_what_cannot_be_built_leaves_nothing(documents: Path, model: str, tmp_path: Path) -> None:
    place = tmp_path / "index"
    with pytest.raises(ArgumentError, match="is a new index; say which encoder"):
        build_index(documents, place)
    with pytest.raises(ArgumentError, match="workers: is for a Ray cluster"):
        build_index(documents, place, model=model, workers=2)
    documents.write_text(DOCUMENTS + "d,de,,3\n")
    with pytest.raises(Exception, match="row 6"):
        build_index(documents, place, model=model)
    assert not place.exists()


def test_items_are_deleted(documents: Path, model: str, tmp_path: Path) -> None:
    build_index(documents, tmp_path / "index", model=model)
    report = delete_items(tmp_path / "index", ["a", "gone", "a"])
    assert (report.counts, report.not_there) == ({"items_removed": 1}, ["gone"])
    assert report.as_json()["not_there"] == ["gone"]
    assert "not there: 'gone'" in str(report)
    assert delete_items(tmp_path / "index", "b").langs == {"fr": 1}
    many = delete_items(tmp_path / "index", [f"n{n}" for n in range(25)])
    assert ", and 5 more" in str(many)
    with pytest.raises(SearchError, match="the list is empty"):
        delete_items(tmp_path / "index", [])


@pytest.mark.parametrize("policy", ["any", "balanced", "quota=3", "prefer=fr", "only=de,fr"])
def test_an_engine_from_outside(memory: None, model: str, tmp_path: Path, policy: str) -> None:
    build_index(parallel_corpus(), "memory://toy", model=model)
    build_index(parallel_corpus(), tmp_path / "edge", model=model)
    queries = ["Katze 3", f"{WORDS['fr'][2]} 7", "cat"]
    with open_index("memory://toy") as mine, open_index(tmp_path / "edge") as edge:
        for once in (False, True):
            found = mine.search(queries, policy=policy, once=once, k=7)
            same = edge.search(queries, policy=policy, once=once, k=7, exact=True)
            for own, other in zip(found, same, strict=True):
                assert [hit.score for hit in own] == pytest.approx([hit.score for hit in other], abs=1e-4)
        with pytest.raises(SearchError, match="has no BM25"):
            mine.search("cat", mode="hybrid")
    # What was written is there when it is opened again, and nothing is written twice.
    assert build_index(parallel_corpus(), "memory://toy").counts["written"] == 0
    assert delete_items("memory://toy", "i1").counts == {"items_removed": 1}


def test_the_contract_finds_faults(memory: None, monkeypatch: pytest.MonkeyPatch) -> None:
    check_engine("memory://right")

    def backwards(engine: MemoryEngine, vectors: object, wheres: list[Where], k: int, **options: bool) -> list:
        return [hits[::-1] for hits in nearest(engine, vectors, wheres, k, **options)]

    nearest = MemoryEngine.nearest
    monkeypatch.setattr(MemoryEngine, "nearest", backwards)
    with pytest.raises(AssertionError, match="the scores of"):
        check_engine("memory://wrong")


def test_engines_are_found_by_the_scheme(memory: None) -> None:
    with pytest.raises(SearchError, match="or one with the scheme memory"):
        open_index("nothing://here")
    for scheme, match in (("Memory", "write small letters"), ("a:b", "write small letters"), ("http", "is part of")):
        with pytest.raises(ConfigError, match=match):
            extend.engine(scheme)(MemoryEngine)


def test_filters_as_they_are_typed() -> None:
    columns = {"year": "integer", "price": "number", "good": "boolean"}
    given = ["year=2024,2025", "price=1.5", "good=True", 'maker="a, b",c', "year=1"]
    assert typed_filters(given, columns) == {
        "year": [2024, 2025, 1], "price": [1.5], "good": [True], "maker": ["a, b", "c"],
    }  # fmt: skip
    for wrong, match in (
        ("year=x", "integer"),
        ("good=yes", "boolean"),
        ("year", "COLUMN=VALUE"),
        ('a="b', "double quote"),
    ):
        with pytest.raises(ArgumentError, match=match):
            typed_filters(wrong, columns)
    with pytest.raises(ArgumentError, match="delete: ' , ' has no value"):
        values_in(" , ", "delete")


def test_settings_of_a_service(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("write 0123456789abcdef\n")
    here = service_settings("127.0.0.1", timeout=3, max_request=2)
    assert (here.writable, here.timeout, here.max_body) == (True, 3, 2 << 20)
    assert service_settings("localhost", read_only=True).writable is False
    open_ = service_settings("0.0.0.0")
    assert (open_.writable, open_.hosts) == (False, None)
    assert service_settings("0.0.0.0", keys=tmp_path / "keys").writable
    assert service_settings("0.0.0.0", keys=Keys({"0123456789abcdef": "read"})).writable
    named = service_settings("0.0.0.0", allow_host="Search.Example", cors="https://a.example")
    assert named.hosts == ("localhost", "127.0.0.1", "::1", "0.0.0.0", "search.example")
    assert named.origins == ("https://a.example",)
    for options in (
        {"allow_host": "name:8443"},
        {"allow_host": ["https://name"]},
        {"cors": "https://a.org/"},
        {"cors": "a"},
    ):
        with pytest.raises(ConfigError, match="as in"):
            service_settings("127.0.0.1", **options)


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken, pytest.raises(ConfigError, match=r"cannot listen on 127\.0\.0\.1"):
        serve(tmp_path, port=taken.getsockname()[1])


def test_an_index_is_served_until_it_is_stopped(
    documents: Path, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import uvicorn

    build_index(documents, tmp_path / "index", model=model)
    said: list[str] = []
    servers: list[uvicorn.Server] = []
    started = threading.Event()
    run = uvicorn.Server.run

    def running(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        servers.append(server)
        started.set()
        run(server, sockets=sockets)

    monkeypatch.setattr(uvicorn.Server, "run", running)
    # The loggers of this process stay as they are.
    monkeypatch.setattr("babelmix.search.serving._LOG", {"version": 1, "incremental": True})
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.ExitStack() as stack:
        thread = threading.Thread(target=serve, args=(tmp_path / "index",), kwargs={"port": 0, "say": said.append})
        thread.start()
        stack.callback(thread.join)
        assert started.wait(60)
        stack.callback(lambda: setattr(servers[0], "should_exit", True))
        url = said[0].split()[-5]
        assert url.startswith("http://127.0.0.1:")
        # The socket is open: an early request waits.
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            assert json.loads(answer.read()) == {"status": "ok", "rows": 4}
    assert signal.getsignal(signal.SIGTERM) is before
    # The index is closed.
    open_index(tmp_path / "index").close()
