"""Every engine does what `Engine` says: Qdrant Edge in a folder, and Milvus on a real server."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from milvus_server import running

from babelmix.errors import BabelmixError, EngineError, SearchError
from babelmix.search import Index, Row, Searcher, Where, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.engines import Engine, create_engine, exists, open_engine
from babelmix.search.rows import Point, points_of

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

LANGS = ("de", "en", "zh-Hant")
DIMENSION = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("milvus")) as address:
        yield address


NewAddress = Callable[[], str]


@pytest.fixture(scope="module", params=["edge", "milvus"])
def new_address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewAddress:
    """Addresses at which there is nothing yet."""
    names = (f"index_{number}" for number in range(100))
    if request.param == "edge":
        folder = tmp_path_factory.mktemp("edge")
        return lambda: str(folder / next(names))
    server = request.getfixturevalue("server")
    return lambda: f"{server}/{next(names)}"


def points(count: int = 90) -> list[Point]:
    """Rows of three languages with metadata of every type, and random vectors."""
    rng = np.random.default_rng(0)
    rows = [
        Row(
            f"i{i}", LANGS[i % 3], f"text {i}", group=f"g{i // 10}",
            fields={"year": 2000 + i % 4, "ok": i % 2 == 0, "size": i / 2, "name": f"n{i % 5}"},
        )
        for i in range(count)
    ]  # fmt: skip
    vectors = rng.standard_normal((count, DIMENSION)).astype(np.float32)
    return [replace(point, vector=vector) for point, vector in zip(points_of(rows), vectors, strict=True)]


@pytest.fixture(scope="module")
def filled(new_address: NewAddress) -> Iterator[Engine]:
    """An engine with `points()`, which no test changes."""
    engine = create_engine(new_address(), DIMENSION, {"format": 1})
    engine.put(points())
    engine.settle()
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def bare(new_address: NewAddress) -> Iterator[Engine]:
    engine = create_engine(new_address(), DIMENSION, {"format": 1})
    yield engine
    engine.close()


@pytest.fixture
def empty(bare: Engine) -> Iterator[Engine]:
    yield bare
    bare.remove(list(bare.digests(list(bare.items()))))


def suits(point: Point, where: Where) -> bool:
    row = point.row
    own = {"item": row.item, "group": row.group, **row.fields}
    return (where.langs is None or row.lang in where.langs) and all(
        any(type(own[name]) is type(value) and own[name] == value for value in values)
        for name, values in where.fields.items()
    )


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    "where",
    [
        Where(), Where(("de",)), Where(("de", "zh-Hant")), Where(()), Where(("fr",)), Where(fields={"year": (2001, 2002)}),
        Where(fields={"ok": (True,)}), Where(fields={"ok": (True, False)}), Where(fields={"size": (1.5, 2.0, 40.0)}),
        Where(fields={"name": ("n1", "n4")}), Where(fields={"item": ("i3", "i4", "none")}), Where(fields={"group": ("g2",)}),
        Where(("en",), {"year": (2003,), "ok": (False,)}),
    ],
    ids=lambda where: f"{where.langs}-{dict(where.fields)}",
)  # fmt: skip
def test_the_nearest_are_those_of_brute_force(filled: Engine, where: Where, exact: bool) -> None:
    asked = np.random.default_rng(1).standard_normal((2, DIMENSION)).astype(np.float32)
    for query, hits in zip(asked, filled.nearest(asked, [where] * 2, 20, exact=exact), strict=True):
        right = sorted((-float(p.vector @ query), p.id) for p in points() if suits(p, where))[:20]
        assert [hit.id for hit in hits] == [name for _, name in right]
        assert [-hit.score for hit in hits] == pytest.approx([score for score, _ in right], abs=1e-5)


def test_each_search_has_its_own_filter(filled: Engine) -> None:
    asked = np.stack([p.vector for p in points(3)])
    wheres = [Where(("en",)), Where(("de",)), Where(("en",))]
    together = filled.nearest(asked, wheres, 5)
    apart = [filled.nearest(asked[i : i + 1], [wheres[i]], 5)[0] for i in range(3)]
    assert together == apart


def test_rows_come_back_as_they_were(filled: Engine) -> None:
    point = points()[7]
    hit = filled.nearest(np.stack([point.vector]), [Where(fields={"item": ("i7",)})], 1)[0][0]
    row = point.row
    assert (hit.id, hit.item, hit.lang, hit.group, hit.text) == (point.id, row.item, row.lang, row.group, row.text)
    assert dict(hit.fields) == dict(row.fields)
    assert [type(hit.fields[name]) for name in row.fields] == [int, bool, float, str]


def test_what_there_is(filled: Engine) -> None:
    assert filled.langs() == {"de": 30, "en": 30, "zh-Hant": 30}
    assert sorted(filled.items()) == sorted(p.row.item for p in points())
    known = {p.id: (p.row.item, p.digest) for p in points()}
    assert filled.digests(["i1", "i2", "nowhere"]) == {i: known[i] for i in known if known[i][0] in ("i1", "i2")}
    assert filled.digests([]) == {}


def test_a_sample_is_of_the_language(filled: Engine) -> None:
    english = np.stack([p.vector for p in points() if p.row.lang == "en"])
    drawn = filled.sample("en", 12)
    assert drawn.shape == (12, DIMENSION)
    np.testing.assert_allclose(np.abs(drawn[:, None] - english).max(axis=2).min(axis=1), 0, atol=1e-6)
    assert len(filled.sample("en", 1000)) == 30


def test_writing_replaces_and_removes(empty: Engine) -> None:
    first = points(6)
    empty.put(first)
    changed = replace(first[2], row=replace(first[2].row, text="other"), digest="0" * 32)
    empty.put([changed])
    empty.remove([first[0].id, first[1].id])
    empty.remove([])
    empty.put([])
    assert set(empty.digests([f"i{i}" for i in range(6)])) == {p.id for p in first[2:]}
    assert empty.digests(["i2"]) == {first[2].id: ("i2", "0" * 32)}
    assert empty.langs() == {"de": 1, "en": 1, "zh-Hant": 2}
    hits = empty.nearest(np.stack([first[2].vector]), [Where()], 10)[0]
    assert {hit.text for hit in hits} == {"other", "text 3", "text 4", "text 5"}
    empty.remove([p.id for p in first])
    assert empty.langs() == {}
    assert empty.nearest(np.stack([first[2].vector]), [Where()], 10) == [[]]


def test_equal_scores_are_in_the_order_of_ids(empty: Engine) -> None:
    same = [replace(point, vector=np.ones(DIMENSION, dtype=np.float32)) for point in points(12)]
    empty.put(same)
    hits = empty.nearest(np.ones((1, DIMENSION), dtype=np.float32), [Where()], 12)[0]
    assert [hit.id for hit in hits] == sorted(p.id for p in same)


def test_large_rows_and_many(empty: Engine) -> None:
    rows = [Row(f"i{i}", "de", "ж" * 30_000) for i in range(200)]
    vectors = np.random.default_rng(0).standard_normal((200, DIMENSION)).astype(np.float32)
    made = [replace(p, vector=v, thumbnail="A" * 60_000) for p, v in zip(points_of(rows), vectors, strict=True)]
    empty.put(made)
    assert empty.langs() == {"de": 200}
    hit = empty.nearest(vectors[:1], [Where()], 1)[0][0]
    assert hit.text == "ж" * 30_000


def test_facts_are_kept_whatever_their_size(new_address: NewAddress) -> None:
    address = new_address()
    assert not exists(address)
    engine = create_engine(address, DIMENSION, {"format": 1, "name": "ж\"'\\"})
    assert engine.about() == {"format": 1, "name": "ж\"'\\"}
    for size in (10, 300_000):
        engine.remember({"format": 1, "long": "é" * size})
        assert engine.about()["long"] == "é" * size
    engine.put(points(3))
    engine.close()
    assert exists(address)
    with pytest.raises(BabelmixError):
        create_engine(address, DIMENSION, {})
    again = open_engine(address)
    assert len(again.about()["long"]) == 300_000
    assert again.langs() == {"de": 1, "en": 1, "zh-Hant": 1}
    again.close()
    with pytest.raises(SearchError, match="babelmix index"):
        open_engine(new_address())


printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=20)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    values=st.lists(
        printable | st.sampled_from(['"', "\\", "'", '\\\\"', "%", '"] or 1 == 1 or ["']), min_size=2, unique=True
    )
)
def test_filters_hold_whatever_people_write(empty: Engine, values: list[str]) -> None:
    made = [
        replace(point, vector=np.ones(DIMENSION, dtype=np.float32))
        for point in points_of([Row(value, "de", "a", group=value, fields={"name": value}) for value in values])
    ]
    empty.put(made)
    asked = np.ones((1, DIMENSION), dtype=np.float32)
    for column in ("item", "group", "name"):
        found = empty.nearest(asked, [Where(fields={column: (values[0],)})], 100)[0]
        assert [hit.item for hit in found] == [values[0]]
    assert {item for item, _ in empty.digests(values[:1]).values()} == {values[0]}
    empty.remove([point.id for point in made])


def test_an_index_behind_either_engine_is_searched_alike(new_address: NewAddress, tiny_static, tmp_path: Path) -> None:
    with (
        Index.create(new_address(), tiny_static, "tiny") as index,
        Index.create(str(tmp_path / "folder"), tiny_static, "tiny") as folder,
    ):
        for one in (index, folder):
            done = index_rows(one, tiny_static, rows_of_corpus(parallel_corpus()))
            assert (done.written, done.unchanged) == (160, 0)
        if not index.engine.has_words:
            with pytest.raises(SearchError, match="no BM25"):
                Searcher(index, tiny_static).search(["cat"], mode="hybrid")
        again = index_rows(index, tiny_static, rows_of_corpus(parallel_corpus(items=30)), prune=True)
        assert (again.written, again.unchanged, again.removed) == (0, 120, 40)
        index_rows(folder, tiny_static, rows_of_corpus(parallel_corpus(items=30)), prune=True)
        for policy in ("any", "balanced", "quota=3", "prefer=fr", "only=de,ja"):
            found, right = (
                Searcher(one, tiny_static).search(["Katze 3", "river"], k=7, policy=policy) for one in (index, folder)
            )
            for some, others in zip(found, right, strict=True):
                assert [hit.id for hit in some] == [hit.id for hit in others]
                assert [hit.score for hit in some] == pytest.approx([hit.score for hit in others], abs=1e-4)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://localhost:1", "written  http://HOST:PORT/NAME"), ("http://localhost/name", "HOST:PORT"),
        ("http://localhost:x/name", "HOST:PORT"), ("http://localhost:1/a-b", "letters, digits and _"),
        ("ftp://localhost:1/name", "HOST:PORT"), ("http://me:secret@localhost:1/name", "BABELMIX_MILVUS_TOKEN"),
        ("http://127.0.0.1:1/name", "no Milvus server answers"),
    ],
)  # fmt: skip
def test_addresses_that_are_none(address: str, words: str) -> None:
    pytest.importorskip("pymilvus", reason="the extra 'scale' is not installed")
    for ask in (exists, open_engine, lambda one: create_engine(one, DIMENSION, {})):
        with pytest.raises(SearchError, match=words) as caught:
            ask(address)
        assert "secret" not in str(caught.value)
        assert isinstance(caught.value, EngineError) == ("answers" in words)


def test_a_killed_run_on_a_server_is_completed(server: str, tiny_static, tmp_path: Path) -> None:
    tiny_static.save(str(tmp_path / "encoder"))
    rows = [{"item": f"i{i:04}", "lang": LANGS[i % 3], "text": f"cat {i}"} for i in range(3000)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    address = f"{server}/killed"
    command = [
        sys.executable, "-m", "babelmix", "index", str(tmp_path / "rows.jsonl"), "--to", address,
        "--model", str(tmp_path / "encoder"), "--json",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    deadline = time.monotonic() + 60
    # From when there is something to lose.
    while process.poll() is None and time.monotonic() < deadline and not exists(address):
        time.sleep(0.2)
    time.sleep(random.uniform(0.0, 1.0))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    told = json.loads(done.stdout)
    assert told["written"] + told["unchanged"] == 3000
    assert told["langs"] == {"de": 1000, "en": 1000, "zh-Hant": 1000}
    with Index.open(address) as index:
        assert sorted(index.items()) == [row["item"] for row in rows]
