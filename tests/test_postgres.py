"""An index in PostgreSQL: addresses, words, filters with the graph, kills, several processes at once, and the commands."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus
from postgres_server import at, postgres_server

import babelmix.search.engines.postgres_search as searching
from babelmix.encoders import load_encoder
from babelmix.errors import EngineError, MissingExtraError, SearchError
from babelmix.search import Index, Row, Searcher, Where, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.engines import create_engine, exists, open_engine
from babelmix.search.engines.postgres import PostgresEngine
from babelmix.search.engines.postgres_rows import with_nul, without_nul
from babelmix.search.rows import points_of

psycopg = pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
pytest.importorskip("pgvector", reason="the extra 'postgres' is not installed")

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "default",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]),
}  # fmt: skip
numbers = itertools.count()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres_server() as url:
        yield url


@pytest.fixture
def address(database: str) -> str:
    """Of an index that is not there yet."""
    return at(database, f"index_{next(numbers)}")


def written(address: str, rows: list[Row], vectors: Any = None) -> PostgresEngine:
    """A new index with rows; their vectors are random and of 8 dimensions by default."""
    if vectors is None:
        vectors = np.random.default_rng(0).standard_normal((len(rows), 8))
    engine = create_engine(address, vectors.shape[1], {})
    assert isinstance(engine, PostgresEngine)
    engine.put(with_vectors(rows, vectors))
    return engine


def with_vectors(rows: list[Row], vectors: Any) -> list:
    return [
        replace(point, vector=np.asarray(vector, dtype=np.float32))
        for point, vector in zip(points_of(rows), vectors, strict=True)
    ]


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("postgresql://127.0.0.1:1/db/name", "no PostgreSQL server can be reached there"),
        ("postgres://127.0.0.1:1/db/name", "no PostgreSQL server can be reached there"),
        ("postgresql:///db/name?host=/no/such/folder", "no PostgreSQL server can be reached there"),
        ("postgresql://me:secret@127.0.0.1:1/db/name", "holds no password; set .*PGPASSWORD"),
        ("postgresql://127.0.0.1:1/db/name?password=secret", "holds no password; set .*PGPASSWORD"),
        ("postgresql://127.0.0.1:1/name", "at most 50 letters"),
        ("postgresql://127.0.0.1:1/db/9name", "at most 50 letters"),
        ("postgresql://127.0.0.1:1/db/a%22b", "at most 50 letters"),
        (f"postgresql://127.0.0.1:1/db/{'a' * 51}", "at most 50 letters"),
        ("postgresql://127.0.0.1:1/a/b/c", "at most 50 letters"),
        ("postgresql://127.0.0.1:port/db/name", "is no address of an index"),
        ("postgresql://127.0.0.1:1/db/name?no_such=option", "is no address of an index"),
    ],
)
def test_wrong_addresses_are_refused(address: str, match: str) -> None:
    engine = PostgresEngine
    for attempt in (lambda: exists(address), lambda: engine.open(address), lambda: create_engine(address, 3, {})):
        with pytest.raises(SearchError, match=match) as raised:
            attempt()
        assert "secret" not in str(raised.value)


def test_a_password_of_the_environment_is_in_no_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    with pytest.raises(EngineError, match="no PostgreSQL server") as raised:
        exists("postgresql://me@127.0.0.1:1/db/name")
    assert "secret" not in str(raised.value)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    for attempt in (open_engine, exists):
        with pytest.raises(MissingExtraError, match=r"babelmix\[postgres\]"):
            attempt("postgresql://127.0.0.1:1/db/name")


def test_a_server_is_missing_for_the_command_line_too(babelmix) -> None:
    code, _, said = babelmix("search", "cat", "--in", "postgresql://127.0.0.1:1/db/name")
    assert code == 1
    assert said.startswith("error: postgresql://127.0.0.1:1/db/name: ")
    assert "refused" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("text", ["a", "", "\x00", "a\x00b\u2400\x00\x00c"])
def test_a_text_with_nul_comes_back(text: str) -> None:
    shown, places = without_nul(text)
    assert shown is not None
    assert "\x00" not in shown
    assert with_nul(shown, places) == text


@pytest.mark.slow
def test_tables_of_others_are_refused_and_left_alone(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE TABLE precious (id int); INSERT INTO precious VALUES (1)")
        connection.execute("CREATE TABLE theirs_words (id int); COMMENT ON TABLE precious IS 'ours'")
        for attempt in (exists, PostgresEngine.open, lambda address: create_engine(address, 3, {})):
            with pytest.raises(SearchError, match="a table 'precious' that babelmix did not make"):
                attempt(at(database, "precious"))
        with pytest.raises(SearchError, match=r"theirs_words.* already exists.*choose another name"):
            create_engine(at(database, "theirs"), 3, {})
        assert not exists(at(database, "theirs"))
        with pytest.raises(SearchError, match="no_schema"):
            create_engine(at(database, "no_schema.name"), 3, {})
        connection.execute("COMMENT ON TABLE precious IS 'babelmix: rows of an index, layout 99'")
        with pytest.raises(SearchError, match="layout 99, and this version reads 1"):
            open_engine(at(database, "precious"))
        assert connection.execute("SELECT id FROM precious").fetchall() == [(1,)]


@pytest.mark.slow
def test_a_schema_and_a_database_without_the_extension(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA shop")
        connection.execute("CREATE DATABASE bare")
        connection.execute("CREATE ROLE guest LOGIN")
    engine = written(at(database, "shop.pages"), [Row("a", "de", "Katze")])
    engine.settle()
    engine.close()
    engine = open_engine(at(database, "shop.pages"))
    assert engine.langs() == {"de": 1}
    engine.close()
    assert not exists(at(database, "pages"))
    bare = at(database.replace("/postgres?", "/bare?"), "pages")
    assert not exists(bare)
    with pytest.raises(SearchError, match="is not an index"):
        PostgresEngine.open(bare)
    with pytest.raises(SearchError, match=r"no extension 'vector'.* let its administrator run"):
        create_engine(bare.replace("postgres@", "guest@"), 3, {})
    written(bare, [Row("a", "de", "Katze")]).close()
    assert exists(bare)


@pytest.mark.slow
def test_words_score_as_in_a_folder(address: str, tmp_path: Path) -> None:
    pytest.importorskip("qdrant_edge", reason="the extra 'search' is not installed")
    texts = {
        "en": ["a cat sat on the mat", "the cat, the cat and the dog", "cats", "The mat " * 50],
        "de": ["Straße zur Katze", "die STRASSE", "the Katze"],
        "ja": ["東京に行く", "京都と東京", "東"],
        "th": ["ภาษาไทยง่าย", "ไทย"],
        "ko": ["서울에서 만나요", "서울"],
    }
    rows = [Row(f"{lang}{n}", lang, text) for lang, some in texts.items() for n, text in enumerate(some)]
    vectors = np.random.default_rng(0).standard_normal((len(rows), 8)).astype(np.float32)
    ours, folder = written(address, rows, vectors), create_engine(str(tmp_path / "index"), 8, {})
    folder.put(with_vectors(rows, vectors))
    queries = ["the cat", "strasse", "東京", "東", "ไทย", "서울", "mat the the dog", "nothing", "", "?!"]
    for where in (Where(), Where(("en", "ja")), Where(None, {"item": ("en1", "ja0")}), Where(("xx",))):
        found, expected = (engine.with_words(queries, [where] * len(queries), 50) for engine in (ours, folder))
        for query, mine, theirs in zip(queries, found, expected, strict=True):
            assert [hit.id for hit in mine] == [hit.id for hit in theirs], query
            assert [hit.score for hit in mine] == pytest.approx([hit.score for hit in theirs], rel=1e-5), query
    assert len(found[0]) == 0
    first = ours.with_words(["the cat"], [Where()], 50)[0]
    ours.remove([first[0].id])
    assert first[0].id not in [hit.id for hit in ours.with_words(["the cat"], [Where()], 50)[0]]
    ours.close()
    folder.close()


@pytest.mark.slow
def test_the_graph_misses_no_language(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A language far from the query: none of the first candidates of the graph are of it."""
    rng = np.random.default_rng(0)
    langs = ["de"] * 1900 + ["ja"] * 100
    vectors = rng.standard_normal((2000, 32)).astype(np.float32)
    vectors[:1900, 0] += 12
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    engine = written(
        address, [Row(f"i{n}", lang, "x", fields={"odd": n % 2}) for n, lang in enumerate(langs)], vectors
    )
    engine.settle()
    monkeypatch.setattr(searching, "_COMPARED", 0)
    query = vectors[:3]
    plans: list[str] = []
    ask = engine._ask

    def explained(asked: Any, settings: Any = None) -> Any:
        if settings and "enable_sort" in settings:
            sql = [(b"EXPLAIN " + statement, values) for statement, values in asked]
            plans.extend(str(row[0]) for rows in ask(sql, settings) for row in rows)
        return ask(asked, settings)

    monkeypatch.setattr(engine, "_ask", explained)
    for where in (Where(), Where(("ja",)), Where(("ja",), {"odd": (1,)})):
        for k in (10, 40):
            near = engine.nearest(query, [where] * 3, k)
            exact = engine.nearest(query, [where] * 3, k, exact=True)
            shared = [len({h.id for h in a} & {h.id for h in b}) / k for a, b in zip(near, exact, strict=True)]
            assert np.mean(shared) >= 0.95, (where, k)
            assert all(len(hits) == k for hits in near)
    assert sum(f"Index Scan using {engine._server.place.name}_graph" in line for line in plans) == 18
    # Rows that come later are in the graph at once.
    engine.put(with_vectors([Row("late", "ja", "x")], query[:1] * 3))
    assert engine.nearest(query[:1], [Where()], 1)[0][0].item == "late"
    engine.settle()
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize(("dimension", "graph"), [(2000, True), (2500, True), (4100, False)])
def test_large_vectors(address: str, dimension: int, graph: bool) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((60, dimension)).astype(np.float32)
    engine = written(address, [Row(f"i{n}", ("de", "en")[n % 2], "x" * 3000) for n in range(60)], vectors)
    engine.settle()
    with psycopg.connect(engine._server.place.conninfo) as connection:
        there = connection.execute("SELECT to_regclass(%s)", [f"{engine._server.place.name}_graph"]).fetchone()
    assert (there[0] is not None) == graph
    for where in (Where(), Where(("de",))):
        near, exact = (engine.nearest(vectors[:5], [where] * 5, 10, exact=exact) for exact in (False, True))
        assert [[h.id for h in hits] for hits in near] == [[h.id for h in hits] for hits in exact]
        np.testing.assert_allclose([h.score for h in near[0]], [h.score for h in exact[0]], rtol=1e-5)
    np.testing.assert_allclose(engine.sample("de", 60).sum(), vectors[::2].sum(), rtol=1e-3)
    engine.close()


def test_vectors_that_are_too_large_are_refused() -> None:
    with pytest.raises(SearchError, match="at most 16,000 dimensions, and the encoder's have 16,001"):
        create_engine("postgresql://127.0.0.1:1/db/name", 16_001, {})


@pytest.mark.slow
def test_corrected_vectors_of_other_corrections_are_none(address: str) -> None:
    """Two processes: what one writes by corrections that the other has replaced is left to be corrected."""
    engine, rows = written(address, [Row("a", "de", "x"), Row("b", "en", "x")]), [Row("c", "de", "x")]
    other = open_engine(address)
    assert sum(engine.correct(lambda vectors, langs: vectors)) == 2
    assert engine.uncorrected_count() == other.uncorrected_count() == 0
    engine.remember({"corrections": {"de": 1}})
    assert (engine.uncorrected_count(), other.uncorrected_count()) == (0, 1)
    points = [replace(point, corrected=point.vector) for point in with_vectors(rows, np.ones((1, 8)))]
    other.put(points)
    assert sum(other.correct(lambda vectors, langs: vectors)) == 0
    assert engine.uncorrected_count() == 1
    other.about()
    other.put(points)
    assert engine.uncorrected_count() == other.uncorrected_count() == 0
    assert len(other.nearest_corrected(np.ones((1, 8), np.float32), [Where()], 5)[0]) == 3
    engine.close()
    other.close()


@pytest.mark.slow
def test_of_several_that_make_an_index_one_does(address: str) -> None:
    def make(_: int) -> str:
        try:
            create_engine(address, 3, {}).close()
        except SearchError as error:
            return str(error)
        return "made"

    with ThreadPoolExecutor(4) as pool:
        said = sorted(pool.map(make, range(4)))
    assert said == ["made", *[f"{address}: there is an index already"] * 3] or said == sorted(
        ["made", *[f"{address}: there is an index already"] * 3]
    )
    assert exists(address)


@pytest.mark.slow
def test_writers_and_readers_at_once(address: str) -> None:
    """Two writers replace the same rows in opposite order; no reader sees half of a batch."""
    langs = ("de", "en", "fr")

    def batch(item: int, version: int) -> list:
        rows = [Row(f"i{item}", lang, f"word {version}", fields={"version": version}) for lang in langs]
        return with_vectors(rows, np.eye(3, 8) + version)

    engine = create_engine(address, 8, {})
    engine.put([point for item in range(8) for point in batch(item, 0)])
    done = threading.Event()
    errors: list[BaseException] = []

    def write(versions: range, step: int) -> None:
        own = open_engine(address)
        try:
            for version in versions:
                points = [point for item in range(8) for point in batch(item, version)]
                own.put(points[::step])
        except BaseException as error:
            errors.append(error)
        finally:
            own.close()

    def read(own: Any) -> None:
        try:
            while not done.is_set():
                hits = own.nearest(np.ones((1, 8), np.float32), [Where()], 100)[0]
                assert len(hits) == 24
                assert len({hit.fields["version"] for hit in hits}) == 1
                assert len(own.with_words(["word"], [Where(("de",))], 100)[0]) == 8
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=read, args=(engine,)) for _ in range(2)]
    writers = [threading.Thread(target=write, args=args) for args in ((range(1, 20), 1), (range(101, 120), -1))]
    for thread in (*readers, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert errors == []
    last = {point.row.fields["version"] for point in engine.points()}
    assert last in ({19}, {119})
    assert engine.langs() == dict.fromkeys(sorted(langs), 8)
    engine.close()


DYING = """
import os, signal, sys
import numpy as np
from dataclasses import replace
from babelmix.search import Row
from babelmix.search.engines import open_engine
from babelmix.search.rows import points_of

engine = open_engine(sys.argv[1])
copy = engine._copy
def dying(cursor, table, rows):
    copy(cursor, table, rows)
    if table == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
engine._copy = dying
rows = [Row(f"new{n}", "de", "neu") for n in range(50)] + [Row("old", "de", "geändert")]
engine.put([replace(point, vector=np.ones(8, np.float32)) for point in points_of(rows)])
"""


@pytest.mark.slow
@pytest.mark.parametrize("table", ["rows", "words"])
def test_a_kill_within_a_batch_leaves_nothing_of_it(address: str, table: str) -> None:
    engine = written(address, [Row("old", "de", "alt")])
    done = subprocess.run([sys.executable, "-c", DYING, address, table], env=ENVIRONMENT, timeout=300)
    assert done.returncode == -signal.SIGKILL
    assert engine.langs() == {"de": 1}
    assert [point.row.text for point in engine.points()] == ["alt"]
    assert engine.with_words(["neu", "geändert"], [Where()] * 2, 5) == [[], []]
    engine.close()


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(address: str, database: str, tmp_path: Path, tiny_static) -> None:
    tiny_static.save(str(tmp_path / "model"))
    rows = [
        {"item": f"i{n // 2:05}", "lang": ("de", "en")[n % 2], "text": f"cat {n}", "year": n % 5} for n in range(6000)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    command = [
        sys.executable, "-m", "babelmix", "index", str(tmp_path / "rows.jsonl"), "--model", str(tmp_path / "model"), "--to",
        address, "--json",
    ]  # fmt: skip
    name = address.partition("?")[0].rpartition("/")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        counts = [0]
        for _ in range(2):
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT)
            while process.poll() is None:
                there = connection.execute("SELECT to_regclass(%s)", [name]).fetchone()
                if there[0] and connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] > counts[-1] + 600:
                    break
                time.sleep(0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            counts.append(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0])
            # Whole items, so an even number of rows.
            assert counts[-1] % 2 == 0
        assert 0 < counts[1] < counts[2] <= 6000
        done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        # A batch may have been written after the last count.
        assert told["unchanged"] >= counts[-1]
        assert told["written"] + told["unchanged"] == 6000
        assert told["langs"] == {"de": 3000, "en": 3000}
        assert connection.execute(f"SELECT count(*), count(DISTINCT id) FROM {name}_words").fetchone() == (6000, 6000)


@pytest.mark.slow
def test_a_crash_of_the_server_loses_nothing(address: str) -> None:
    engine = written(address, [Row(f"i{n}", "de", "Katze") for n in range(20)])
    process = engine._server.run(lambda connection: connection.execute("SELECT pg_backend_pid()").fetchone()[0])
    # The server ends all its processes and recovers from its log.
    os.kill(process, signal.SIGKILL)
    end = time.monotonic() + 120
    while True:
        try:
            assert engine.langs() == {"de": 20}
            break
        except EngineError:
            assert time.monotonic() < end
            time.sleep(0.2)
    assert len(engine.with_words(["katze"], [Where()], 50)[0]) == 20
    engine.put(with_vectors([Row("more", "en", "cat")], np.ones((1, 8))))
    assert engine.langs() == {"de": 20, "en": 1}
    engine.close()


@pytest.mark.slow
def test_all_policies_and_the_service(address: str, tiny_static, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the extra 'search' is not installed")
    pytest.importorskip("qdrant_edge", reason="the extra 'search' is not installed")
    from starlette.testclient import TestClient

    from babelmix.search.service import Settings, create_app

    corpus = parallel_corpus()
    indexes = [Index.create(place, tiny_static, "tiny") for place in (address, str(tmp_path / "index"))]
    for index in indexes:
        index_rows(index, tiny_static, rows_of_corpus(corpus))
    ours, folder = (Searcher(index, tiny_static) for index in indexes)
    for policy in ("any", "balanced", "only=de,fr", "quota=3", "prefer=de"):
        for mode in ("dense", "words", "hybrid"):
            found, expected = (
                one.search(["cat 3", "Katze Haus"], k=12, policy=policy, mode=mode) for one in (ours, folder)
            )
            for mine, theirs in zip(found, expected, strict=True):
                assert [round(hit.score, 3) for hit in mine] == pytest.approx(
                    [round(hit.score, 3) for hit in theirs], abs=0.02
                ), (policy, mode)
    with TestClient(create_app(ours, Settings(writable=True)), base_url="http://localhost") as client:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: client.post("/search", json={"query": f"cat {n}", "k": 5}), range(40)))
        assert {answer.status_code for answer in answers} == {200}
        assert all(len(answer.json()["hits"]) == 5 for answer in answers)
    for index in indexes:
        index.close()


@pytest.mark.slow
def test_commands_from_end_to_end(address: str, tmp_path: Path, tiny_static, babelmix) -> None:
    tiny_static.save(str(tmp_path / "encoder"))
    corpus = parallel_corpus()
    corpus.save(str(tmp_path / "toy"))
    model = str(tmp_path / "encoder")
    code, _, said = babelmix("index", str(tmp_path / "toy"), "--to", address, "--model", model)
    assert code == 0, said
    found = {}
    for mode in ("words", "hybrid"):
        code, told, said = babelmix("search", "cat", "--in", address, "--mode", mode, "--json")
        assert code == 0, said
        found[mode] = json.loads(told)["hits"]
    assert found["words"]
    code, _, said = babelmix(
        "audit", model, "-c", str(tmp_path / "toy"), "--through", address, "--policy", "any", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 0, said
    assert list(json.loads((tmp_path / "out" / "policies.json").read_text())["policies"]) == ["any"]
    code, told, said = babelmix("index", "--to", address, "--delete", "i0,i1", "--json")
    assert code == 0, said
    engine = open_engine(address)
    assert engine.langs() == dict.fromkeys(("de", "en", "fr", "ja"), 38)
    assert engine.with_words(["0"], [Where(None, {"item": ("i0",)})], 5) == [[]]
    engine.close()
    assert load_encoder(model) is not None
