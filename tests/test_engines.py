"""Every engine does what `Engine` says: one set of tests for Qdrant Edge, and for real servers of Milvus and PostgreSQL."""

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
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus
from foreign_milvus import client_of, filled
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from memory_engine import MemoryEngine
from milvus_server import TOKEN, RunningServer, lite_server, milvus_server
from postgres_server import at, postgres_server

import babelmix.search.engines.edge as edge
import babelmix.search.engines.milvus as milvus
import babelmix.search.engines.milvus_rows as milvus_rows
import babelmix.search.engines.milvus_server as server_module
import babelmix.search.engines.postgres as postgres
from babelmix import extend
from babelmix.api.store_debiasing import debias_store
from babelmix.errors import MissingExtraError, SearchError
from babelmix.search import Index, Row, Where, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.engines import ENGINES, create_engine, exists, open_engine
from babelmix.search.engines.contract import ABOUT, CHECKS, DIMENSION, Reference, check_engine
from babelmix.search.rows import points_of

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")

LITE, MILVUS = (pytest.param(kind, marks=pytest.mark.slow) for kind in ("lite", "milvus"))
"""The server of Milvus Lite in most tests; the standalone server of 2023 where tokens, kills and several workers matter."""
POSTGRES = pytest.param("postgres", marks=pytest.mark.slow)

TOKEN_NAME = "BABELMIX_MILVUS_TOKEN"
numbers = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with milvus_server(tmp_path_factory.mktemp("milvus") / "data") as running, pytest.MonkeyPatch.context() as patched:
        patched.setenv(TOKEN_NAME, TOKEN)
        yield running


@pytest.fixture(scope="module")
def lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with lite_server(tmp_path_factory.mktemp("lite") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres_server() as url:
        yield url


def new_address(request: pytest.FixtureRequest, kind: str) -> str:
    """Of an index that is not there yet."""
    name = f"index_{next(numbers)}"
    if kind in ("lite", "milvus"):
        return f"{request.getfixturevalue('lite' if kind == 'lite' else 'server').url}/{name}"
    if kind == "postgres":
        return at(request.getfixturevalue("database"), name)
    if kind == "memory":
        return f"memory://{name}"
    return str(request.getfixturevalue("tmp_path_factory").mktemp(name) / "index")


@pytest.fixture(scope="module", params=["edge", LITE, POSTGRES, "memory"])
def kept(request: pytest.FixtureRequest) -> Iterator[Reference]:
    if request.param == "memory":
        extend.engine("memory")(MemoryEngine)
    made = Reference(new_address(request, request.param))
    made.fill()
    yield made
    made.engine.close()
    if request.param == "memory":
        ENGINES.unregister("memory")


@pytest.mark.parametrize("check", CHECKS)
def test_the_contract(kept: Reference, check: str) -> None:
    CHECKS[check](kept)


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\"'\\%{}[]`$\u200d\u3000"),
    min_size=1,
    max_size=12,
)
values = st.fixed_dictionaries(
    {
        "group": names,
        "text": names | st.sampled_from(["a\nb\t", "\r\n"]),
        "integer": st.integers(1 - 2**63, 2**63 - 1),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "boolean": st.booleans(),
    }
)


@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.lists(st.tuples(names, values), min_size=25, max_size=25))
def test_values_are_never_read_as_filters(kept: Reference, drawn: list) -> None:
    if isinstance(kept.engine, edge.EdgeEngine):
        # It does not keep the last digit of every number.
        drawn = [(item, {**facts, "number": facts["integer"] % 1000 / 8}) for item, facts in drawn]
    rows = [
        Row(item, "mt", f"text {item}", group=facts["group"], fields={n: facts[n] for n in facts if n != "group"})
        for item, facts in drawn
    ]
    ids = kept.put(rows)
    wheres = [Where(("mt",), {"item": tuple(row.item for row in rows[:5]), "group": (rows[0].group, rows[7].group)})]
    wheres += [Where(None, {"item": (row.item,), "group": (row.group,)}) for row in rows[::2]]
    wheres += [Where(None, {name: (row.fields[name],)}) for row in rows[::3] for name in row.fields]
    kept.check(wheres)
    kept.remove(ids)


def test_many_pages(kept: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (edge, milvus, postgres):
        monkeypatch.setattr(module, "_PAGE", 64)
    for name, small in (("_LIMIT", 100), ("_MESSAGE", 8000), ("_IDS", 7), ("_ANSWERS", 40)):
        monkeypatch.setattr(milvus, name, small)
    ids = kept.put([Row(f"i{n}", "it", f"{n}") for n in range(20)])
    kept.check_all()
    kept.check([Where(), Where(("it",))], k=30, exact=True)
    kept.check([Where()] * 5, k=30)
    kept.remove(ids)


only_lite = pytest.mark.parametrize("kept", [LITE], indirect=True)
only_milvus = pytest.mark.parametrize("kept", [MILVUS], indirect=True)


@pytest.mark.slow
def test_the_contract_on_a_standalone_server(request: pytest.FixtureRequest) -> None:
    check_engine(new_address(request, "milvus"))


@only_lite
def test_a_kill_between_parts_of_the_facts_leaves_the_old_ones(
    kept: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = kept.engine
    assert isinstance(engine, milvus.MilvusEngine)
    put, left = engine._facts._put, 2

    def dying(rows: list) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        put(rows)

    with monkeypatch.context() as patched:
        patched.setattr(server_module, "_CHUNKS", 1)
        patched.setattr(engine._facts, "_put", dying)
        with pytest.raises(KeyboardInterrupt):
            engine.remember({"long": "x" * 300_000})
    assert engine.about() == ABOUT
    engine.remember({**ABOUT, "next": 1})
    assert engine.about() == {**ABOUT, "next": 1}
    engine.remember(ABOUT)
    assert len(engine._facts._rows("facts:", ["id"])) == 1


@only_lite
def test_two_processes_have_it_open(kept: Reference) -> None:
    other = open_engine(kept.address)
    ids = kept.put([Row("two", "sv", "hej"), Row("two", "fi", "hei")])
    there = other.nearest(np.ones((1, DIMENSION), np.float32), [Where(("sv", "fi"))], 5)[0]
    assert sorted(hit.id for hit in there) == sorted(ids)
    assert other.langs() == kept.engine.langs()
    other.remove(ids)
    assert kept.engine.digests(["two"]) == {}
    kept.remove(ids)
    other.close()


@only_milvus
def test_a_wrong_token_is_refused(kept: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TOKEN_NAME, "root:wrong")
    with pytest.raises(SearchError, match=f"refuses the token; set .*{TOKEN_NAME}"):
        exists(kept.address)
    monkeypatch.delenv(TOKEN_NAME)
    with pytest.raises(SearchError, match=f"asks for a token; set .*{TOKEN_NAME}"):
        exists(kept.address)


@pytest.mark.slow
def test_someone_elses_collection_on_a_standalone_server(
    server: RunningServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    client = client_of(server.url, TOKEN)
    vectors = filled(client, "articles", metric="IP")
    place = f"{server.url.replace('http://', 'milvus://')}/articles"
    engine = open_engine(f"{place}?lang=meta.lang&item=meta.doc")
    assert (engine.langs(), engine.has_words) == ({"de": 98, "en": 98, "ja": 98, "und": 6}, False)
    wheres = [
        Where(("en",), {"sold": (False,)}),
        Where(("und",)),
        Where(None, {"item": ("d0",), "year": (2001, 2002)}),
    ]
    for exact in (False, True):
        found = engine.nearest(vectors[[1, 50, 2]], wheres, 4, exact=exact)
        assert [hits[0].id for hits in found] == ["7", "350", "14"]
        assert [sorted(hit.lang for hit in hits) for hits in found] == [["en"] * 4, ["und"] * 4, ["en", "ja"]]
    assert engine.sample("ja", 20).shape == (20, 8)
    engine.close()
    done = debias_store(place, write=True)
    assert done.written == 300
    old, new = (
        np.array([row["embedding"] for row in client.query(name, "sku in [7]", output_fields=["embedding"])])
        for name in ("articles", "articles_embedding_debiased")
    )
    np.testing.assert_allclose(old[0], vectors[1], atol=1e-6)
    np.testing.assert_allclose(new, done.removal.apply(vectors[1:2], ["EN"], "passage"), atol=1e-6)
    for step, there in (("switch", new), ("back", old)):
        exec(done.steps[step].partition("; to remove")[0], {"client": client})
        found = client.query("articles", "sku in [7]", output_fields=["embedding"])
        np.testing.assert_allclose([row["embedding"] for row in found], there, atol=1e-6)
    client.close()


@pytest.mark.parametrize(("kept", "together"), [("lite", 2), ("milvus", 1)], indirect=["kept"])
@pytest.mark.slow
def test_truth_values_and_numbers_in_one_column(kept: Reference, together: int) -> None:
    ids = kept.put([Row("mixed", "eu", f"{value}", fields={"mixed": value}) for value in (True, 1)])
    hits = kept.engine.nearest(np.ones((1, DIMENSION), np.float32), [Where(None, {"mixed": (True,)})], 5)[0]
    assert len(hits) == together
    kept.remove(ids)


@only_milvus
def test_an_older_server_has_no_words(kept: Reference) -> None:
    assert not kept.engine.has_words
    with pytest.raises(SearchError, match="has no BM25: its server, or"):
        kept.engine.with_words(["a"], [Where()], 3)


@only_lite
def test_an_index_made_without_words_has_none(request, kept: Reference, monkeypatch: pytest.MonkeyPatch) -> None:
    assert kept.engine.has_words
    address = new_address(request, "lite")
    with monkeypatch.context() as patched:
        patched.setattr(milvus, "can_search_words", lambda server: False)
        before = Reference(address)
    before.put([Row("a", "de", "Zebra")])
    before.engine.close()
    before.engine = open_engine(address)
    before.put([Row("b", "de", "Zebra")])
    before.check_all()
    assert not before.engine.has_words
    with pytest.raises(SearchError, match="has no BM25: its server, or"):
        before.engine.with_words(["zebra"], [Where()], 3)
    before.engine.close()


@only_lite
def test_words_are_cut_as_in_a_folder(kept: Reference, tmp_path: Path) -> None:
    texts = {
        "zh": "猫坐在垫子上", "ja": "東京タワーに行く", "th": "แมวนั่งบนเสื่อ", "ar": "القطة تجلس على السجادة",
        "ko": "서울에서 만나요", "de": "Die Straße ist lang", "tr": "İstanbul'da bir kedi",
        "el": "Η γάτα κάθεται", "am": "ድመቷ ተቀምጣለች",
    }  # fmt: skip
    rows = [Row("cut", lang, text) for lang, text in texts.items()]
    folder = Reference(str(tmp_path / "index"))
    folder.put(rows)
    ids = kept.put(rows)
    asked = [
        "猫",
        "垫子",
        "東京",
        "แมว",
        "قطة",
        "서울",
        "STRASSE",
        "istanbul",
        "γατα",
        "ድመቷ",
        "寺",
        "kedi 猫",
        ".",
        *texts.values(),
    ]
    wheres = [Where(None, {"item": ("cut",)})] * len(asked)
    by_name = [
        [{hit.id for hit in hits} for hits in one.engine.with_words(asked, wheres, 20)] for one in (kept, folder)
    ]
    assert by_name[0] == by_name[1]
    assert [len(found) for found in by_name[0][:13]] == [1] * 10 + [0, 2, 0]
    assert [hits[0].lang for hits in kept.engine.with_words(list(texts.values()), wheres[: len(texts)], 3)] == list(
        texts
    )
    assert [len(hits) for hits in kept.engine.with_words(["猫", "γατα"], [Where(("zh",)), Where(("zh",))], 3)] == [
        1,
        0,
    ]
    # The words over the limit of Milvus are left out; the row is stored.
    ids += kept.put([Row("long words", "zh", "新" * 19_000 + "猫")])
    found = kept.engine.with_words(["新新"], [Where(None, {"item": ("long words",)})], 3)[0]
    assert [hit.text for hit in found] == ["新" * 19_000 + "猫"]
    kept.remove(ids)
    folder.engine.close()


def test_terms_are_cut_between_two() -> None:
    whole = milvus_rows.terms(f"w{n}" for n in range(10_000))
    assert len(whole) <= 65_535
    assert whole == milvus_rows.terms(f"w{n}" for n in range(len(whole.split())))
    assert {len(term) for term in whole.split()} == {8}
    assert milvus_rows.terms([]) == ""


@only_lite
def test_collections_of_others_are_refused(kept: Reference) -> None:
    engine = kept.engine
    assert isinstance(engine, milvus.MilvusEngine)
    engine._server.call("create_collection", "other_facts", schema=engine._facts.schema())
    address = kept.address.replace(engine._rows, "other")
    for attempt in (lambda: create_engine(address, 3, {}), lambda: create_engine(f"{address}_facts", 3, {})):
        with pytest.raises(SearchError, match="'other_facts' that babelmix did not make"):
            attempt()


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("http://127.0.0.1:1/name", "no Milvus server answers there"),
        ("http://root:secret@127.0.0.1:1/name", f"holds no user and password; set .*{TOKEN_NAME}"),
        ("http://127.0.0.1:1/", "letters, digits and _"),
        ("https://127.0.0.1:1/9name", "letters, digits and _"),
        ("http://127.0.0.1:1/a/b", "letters, digits and _"),
        ("http://127.0.0.1:1/a?b=c", "letters, digits and _"),
        ("http:///name", "letters, digits and _"),
        ("http://127.0.0.1:port/name", "HOST:PORT"),
        ("mysql://127.0.0.1:1/name", "is no address"),
    ],
)
def test_wrong_addresses_are_refused(address: str, match: str) -> None:
    for attempt in (lambda: exists(address), lambda: open_engine(address), lambda: create_engine(address, 3, {})):
        with pytest.raises(SearchError, match=match) as raised:
            attempt()
        assert "secret" not in str(raised.value)


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(MissingExtraError, match=r"babelmix\[scale\]"):
        open_engine("http://127.0.0.1:1/name")


@pytest.mark.parametrize("kind", ["edge", LITE, POSTGRES])
def test_the_command_line(request, tmp_path: Path, tiny_static, babelmix, monkeypatch, kind: str) -> None:
    address = new_address(request, kind)
    if kind == "lite":
        # A run that was killed while it made the index: the next makes it whole.
        def killed(server: server_module.Server, method: str, *given: Any, **options: Any) -> Any:
            return 1 / 0 if method == "create_index" else call(server, method, *given, **options)

        call = server_module.Server.call
        with monkeypatch.context() as patched:
            patched.setattr(server_module.Server, "call", killed)
            with pytest.raises(ZeroDivisionError):
                create_engine(address, 3, {})
        assert not exists(address)
    code, _, error = babelmix("search", "cat", "--in", address)
    assert (code, "is not an index" in error, "Traceback" in error) == (1, True, False)
    model, file = str(tmp_path / "model"), tmp_path / "docs.csv"
    tiny_static.save(model)
    file.write_text("item,lang,text,year\na,de,Katze Haus,1\na,en,cat house,1\nb,en,dog river,2\nc,fr,chat,2\n")
    code, printed, error = babelmix("index", str(file), "--to", address, "--model", model, "--json")
    assert (code, error.count("Traceback")) == (0, 0)
    assert json.loads(printed)["langs"] == {"de": 1, "en": 2, "fr": 1}
    code, printed, _ = babelmix("index", str(file), "--to", address, "--json")
    assert (code, json.loads(printed)["written"], json.loads(printed)["unchanged"]) == (0, 0, 4)
    code, printed, _ = babelmix(
        "search", "cat", "--in", address, "--policy", "balanced", "--where", "year=2", "--json"
    )
    assert {hit["text"] for hit in json.loads(printed)["hits"]} == {"dog river", "chat"}
    code, printed, _ = babelmix("search", "cat", "--in", address, "--policy", "only=de", "--exact", "--json")
    assert [hit["text"] for hit in json.loads(printed)["hits"]] == ["Katze Haus"]
    for mode in ("words", "hybrid"):
        code, printed, _ = babelmix("search", "river", "--in", address, "--mode", mode, "--json")
        assert json.loads(printed)["hits"][0]["text"] == "dog river"
    file.write_text("item,lang,text,year\nb,en,dog river,2\n")
    code, printed, _ = babelmix("index", str(file), "--to", address, "--prune", "--json")
    assert (code, json.loads(printed)["langs"]) == (0, {"en": 1})


# It embeds nothing, so that it need not import torch: two of these would take most of the time of all tests here.
WORKER = """
import json, sys
from dataclasses import replace
import numpy as np
from babelmix.search.engines import open_engine
from babelmix.search.rows import Row, points_of

address, file = sys.argv[1:]
points = points_of([Row(*row) for row in json.load(open(file, encoding="utf-8"))])
sys.stdin.readline()
engine = open_engine(address)
vector = np.eye(engine.about()["dimension"], dtype=np.float32)[0]
there = engine.digests(sorted({p.row.item for p in points}))
points = [replace(p, vector=vector) for p in points if p.id not in there]
last = {p.row.item: n for n, p in enumerate(points)}
for start in range(0, len(points), 16):
    engine.put(points[start : start + 16])
    print(*(item for item, n in last.items() if start <= n < start + 16), flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["milvus", "postgres"])
def test_a_kill_of_the_process_loses_and_doubles_nothing(request, tmp_path: Path, tiny_static, kind: str) -> None:
    model, address = str(tmp_path / "model"), new_address(request, kind)
    tiny_static.save(model)
    rows = [
        (row.item, row.lang, row.text, None, row.group, dict(row.fields))
        for item in rows_of_corpus(parallel_corpus(items=200)).items()
        for row in item
    ]
    # The four rows of an item are neighbours, so that a batch of 16 completes items.
    (tmp_path / "rows.json").write_text(json.dumps(sorted(rows, key=lambda row: row[:2])), encoding="utf-8")
    acknowledged: set[str] = set()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(["src", "tests"]), "PYTHONWARNINGS": "default"}
    # Both get ready at once and work one after the other.
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, address, tmp_path / "rows.json"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, env=environment, cwd=Path(__file__).resolve().parents[1],
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        Index.create(address, tiny_static, model).close()
        for batches, worker in zip((2, 5), workers, strict=True):
            assert worker.stdin is not None
            assert worker.stdout is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
            acknowledged |= {item for _ in range(batches) for item in worker.stdout.readline().split()}
            worker.send_signal(signal.SIGKILL)
            acknowledged |= set(worker.communicate()[0].rpartition("\n")[0].split())
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert len(acknowledged) >= 28
    with Index.open(address) as index:
        assert acknowledged <= set(index.items())
        done = index_rows(index, tiny_static, rows_of_corpus(parallel_corpus(items=200)))
        assert done.unchanged >= 4 * len(acknowledged)
        assert done.written + done.unchanged == 800
        assert index.langs() == dict.fromkeys(("de", "en", "fr", "ja"), 200)
        held = [point.id for point in index.engine.points()]
        assert len(held) == len(set(held)) == 800


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "kind"), [("lite", "lite"), ("milvus", "server")], indirect=["kept"])
def test_a_kill_of_the_server_loses_nothing(request: pytest.FixtureRequest, kept: Reference, kind: str) -> None:
    server: RunningServer = request.getfixturevalue(kind)
    killer = threading.Thread(target=server.kill)

    def put_rows() -> None:
        for n in itertools.count():
            kept.put([Row(f"dying {n}", "de", "x")])
            if n == 9:  # it is killed while others are written
                killer.start()

    with pytest.raises(SearchError, match="run the same command again"):
        put_rows()
    killer.join()
    for _ in range(3):  # gRPC waits longer after each of them
        with pytest.raises(SearchError, match="no Milvus server answers"):
            kept.check([Where()])
        with pytest.raises(SearchError, match="no Milvus server answers"):
            open_engine(kept.address)
        time.sleep(1)
    server.start()
    opened = open_engine(kept.address)  # it does not wait because the old connection does
    kept.engine.close()
    kept.engine = opened
    # The last write was not acknowledged, and may be there all the same.
    acknowledged = sum(point.row.item.startswith("dying") for point in kept.points.values())
    assert acknowledged > 0
    kept.engine.remove(sorted(kept.engine.digests([f"dying {acknowledged}"])))
    kept.check_all()


@pytest.mark.slow
def test_a_graph_of_codes_finds_what_vectors_do_where_one_number_is_far_larger(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((5000, 768)).astype(np.float32) * np.arange(1, 769, dtype=np.float32) ** -0.85
    vectors[:, 7] += 40
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    points = points_of([Row(f"i{n}", ("de", "en")[n % 2], "x") for n in range(len(vectors))])
    points = [replace(point, vector=vector) for point, vector in zip(points, vectors, strict=True)]
    engine = create_engine(str(tmp_path / "index"), 768, ABOUT)
    for start in range(0, len(points), 1000):
        engine.put(points[start : start + 1000])
    engine.settle()
    asked = vectors[:50] + rng.standard_normal((50, 768)).astype(np.float32) * 1e-3
    for k in (1, 10, 100):
        for where in (Where(), Where(langs=("de",))):
            near, all_ = (engine.nearest(asked, [where] * 50, k, exact=exact) for exact in (False, True))
            shared = [len({h.id for h in a} & {h.id for h in b}) / k for a, b in zip(near, all_, strict=True)]
            assert np.mean(shared) >= 0.98
    engine.close()
