"""Someone else's collections of Milvus, on the server of Milvus Lite: searched read-only, and language out of a copy."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus
from foreign_milvus import client_of, filled, rows
from milvus_server import lite_server

from babelmix.api.store_debiasing import debias_store
from babelmix.errors import ArgumentError, BabelmixError, SearchError
from babelmix.search.engines import open_engine
from babelmix.search.foreign import milvus, open_store
from babelmix.search.foreign.milvus_collection import MilvusCollection
from babelmix.search.rows import Where

pytestmark = pytest.mark.slow
names = itertools.count()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with lite_server(tmp_path_factory.mktemp("lite") / "data") as server:
        yield server.url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Any]:
    made = client_of(url)
    yield made
    made.close()


def address(url: str, name: str, options: str = "") -> str:
    return f"{url.replace('http://', 'milvus://')}/{name}{'?' if options else ''}{options}"


def opened(url: str, name: str, options: str = "") -> MilvusCollection:
    engine = open_engine(address(url, name, options))
    assert isinstance(engine, MilvusCollection)
    return engine


@pytest.fixture(scope="module")
def articles(client: Any) -> tuple[str, np.ndarray]:
    return "articles", filled(client, "articles", words=True)


@pytest.mark.parametrize("exact", [False, True])
def test_the_nearest_are_found_under_filters(url: str, articles: tuple[str, np.ndarray], exact: bool) -> None:
    name, vectors = articles
    langs, _ = rows()
    engine = opened(url, name, "item=meta.doc")
    assert (engine.dimension, engine.similarity, engine.has_words, engine.read_only) == (8, "cosine", True, True)
    assert engine.columns == {"year": "integer", "sold": "boolean"}
    assert engine.langs() == {"de": 98, "en": 98, "ja": 98, "und": 6}
    asked = np.random.default_rng(1).standard_normal((8, 8)).astype(np.float32)
    asked /= np.linalg.norm(asked, axis=1, keepdims=True)
    tags = np.array([{"": "und", "EN": "en"}.get(lang, lang) for lang in langs])
    numbers = np.arange(300)
    cases = [
        (Where(), numbers >= 0), (Where(("de",)), tags == "de"), (Where(("en", "und")), (tags == "en") | (tags == "und")),
        (Where(("ja",), {"year": (2001, 2003)}), (tags == "ja") & (numbers % 2 == 1)),
        (Where(None, {"sold": (True,)}), numbers % 2 == 0),
        (Where(None, {"item": ("d3", "d7")}), np.isin(numbers // 3, (3, 7))), (Where(("fr",)), numbers < 0),
        (Where(()), numbers < 0),
    ]  # fmt: skip
    for k in (5, 500):
        found = engine.nearest(asked, [where for where, _ in cases], k, exact=exact)
        for query, hits, (_, passes) in zip(asked, found, cases, strict=True):
            scores = vectors @ query
            best = sorted(np.flatnonzero(passes), key=lambda n: -scores[n])[:k]
            assert [hit.id for hit in hits] == [str(n * 7) for n in best]
            np.testing.assert_allclose([hit.score for hit in hits], scores[best], atol=1e-5)
            for hit, n in zip(hits, best, strict=True):
                assert (hit.item, hit.lang, hit.text) == (f"d{n // 3}", tags[n], f"text {n} {('even', 'odd')[n % 2]}")
                assert hit.fields == {"year": 2000 + n % 4, "sold": n % 2 == 0}
    engine.close()


def test_words_samples_and_rows(url: str, articles: tuple[str, np.ndarray]) -> None:
    name, vectors = articles
    engine = opened(url, name)
    found = engine.with_words(["odd", "7", "nowhere", " "], [Where(("de",)), Where(), Where(), Where()], 300)
    assert [len(hits) for hits in found] == [50, 1, 0, 0]
    assert all(hit.score > 0 and hit.lang == "de" for hit in found[0])
    assert found[1][0].id == "49"
    sample = engine.sample("en", 20)
    assert sample.shape == (20, 8)
    np.testing.assert_array_equal(sample, engine.sample("en", 20))
    english = vectors[[n for n, lang in enumerate(rows()[0]) if lang == "EN"]]
    assert (np.abs(sample[:, None] - english[None]).max(axis=2).min(axis=1) < 1e-6).all()
    assert len(engine.sample("en", 5000)) == 98
    assert len(engine.sample("fr", 5)) == 0
    points = {point.id: point for point in engine.points(["ja"])}
    assert len(points) == 98
    np.testing.assert_allclose(points["14"].vector, vectors[2], atol=1e-6)
    for text, lang, stored in engine.some_texts(20):
        number = int(text.split()[1])
        assert lang == rows()[0][number]
        np.testing.assert_allclose(stored, vectors[number], atol=1e-6)
    assert len(list(engine.items())) == len(list(engine.rows())) == 300
    assert engine.digests(["14", "no"]) == {"14": ("14", "")}
    for attempt in (lambda: engine.put([]), lambda: engine.remove(["1"]), lambda: engine.remember({})):
        with pytest.raises(SearchError, match="read-only"):
            attempt()
    engine.close()


@pytest.mark.parametrize(("metric", "similarity"), [("IP", "dot"), ("L2", "cosine")])
def test_other_metrics_and_keys(url: str, client: Any, metric: str, similarity: str) -> None:
    name = f"c{next(names)}"
    vectors = filled(client, name, metric=metric, text_key=True)
    engine = opened(url, name, "lang=meta.lang")
    assert (engine.similarity, engine.has_words) == (similarity, False)
    assert engine.langs() == {"de": 98, "en": 98, "ja": 98, "und": 6}
    for lang, first in (("en", 1), ("und", 50)):
        for exact in (False, True):
            hits = engine.nearest(
                vectors[[first]], [Where((lang,), {"item": (f"it's {first}", "x")})], 3, exact=exact
            )[0]
            assert [(hit.id, hit.lang) for hit in hits] == [(f"it's {first}", lang)]
            np.testing.assert_allclose(hits[0].score, 1, atol=1e-5)
    with pytest.raises(SearchError, match="no function of BM25"):
        engine.with_words(["x"], [Where()], 3)
    engine.close()


def test_fields_that_the_schema_does_not_name(url: str, client: Any, tmp_path: Path) -> None:
    name = f"c{next(names)}"
    client.create_collection(name, dimension=4, metric_type="IP", auto_id=False)
    data = [
        {"id": n, "vector": [1.0, n, 0, 0], "language": ("de", "fr")[n % 2], "text": f"t {n}", "year": n}
        for n in range(60)
    ]
    client.insert(name, data)
    engine = opened(url, name)
    assert engine.columns == {"year": "integer"}
    assert engine.langs() == {"de": 30, "fr": 30}
    hits = engine.nearest(np.eye(4, dtype=np.float32)[[1]], [Where(("fr",), {"year": (1, 3)})], 5)[0]
    assert [(hit.id, hit.text, hit.fields) for hit in hits] == [("3", "t 3", {"year": 3}), ("1", "t 1", {"year": 1})]
    engine.close()
    found = debias_store(address(url, name), write=True, out=tmp_path / "out")
    assert found.written == 60
    kept, copied = (
        client.query(one, "id in [3]", output_fields=["language", "text", "year"])[0]
        for one in (name, f"{name}_embedding_debiased")
    )
    assert dict(kept) == dict(copied) == {"id": 3, "language": "fr", "text": "t 3", "year": 3}


def test_what_is_not_there_is_told(url: str, client: Any) -> None:
    name = f"c{next(names)}"
    filled(client, name)
    for options, match in (
        ("lang=langue", "has no field 'langue'"), ("vector=body", "is of the type VARCHAR"), ("id=year", "by the field 'sku'"),
        ("colour=red", "has no option 'colour'"), ("similarity=l2", "cosine or dot"),
    ):  # fmt: skip
        with pytest.raises(SearchError, match=match):
            opened(url, name, options)
    with pytest.raises(SearchError, match="there is no such collection"):
        opened(url, "nowhere")
    with pytest.raises(SearchError, match="BABELMIX_MILVUS_TOKEN") as error:
        open_engine("milvus://me:secret@localhost/c")
    assert "secret" not in str(error.value)
    with pytest.raises(SearchError, match="no Milvus server answers"):
        open_engine("milvus://127.0.0.1:1/c")
    client.release_collection(name)
    with pytest.raises(SearchError, match="is not loaded"):
        opened(url, name)


def vectors_of(client: Any, name: str) -> np.ndarray:
    found = client.query(name, "sku >= 0", output_fields=["sku", "embedding"], limit=1000)
    return np.array([row["embedding"] for row in sorted(found, key=lambda row: row["sku"])], dtype=np.float32)


def test_language_is_taken_out_of_a_copy_that_takes_its_place(
    url: str, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"c{next(names)}"
    before = filled(client, name, words=True)
    place = address(url, name)
    assert debias_store(place, out=tmp_path / "out").written is None
    assert client.list_collections().count(f"{name}_embedding_debiased") == 0
    # A run that dies in the middle.
    monkeypatch.setattr(milvus, "_MESSAGE", 20_000)
    put, left, done = milvus.MilvusStore._put, 2, 0

    def dying(store: Any, copy: str, some: list[Any]) -> None:
        nonlocal left, done
        left -= 1
        if left < 0:
            raise SearchError("the server is gone")
        put(store, copy, some)
        done += len(some)

    with monkeypatch.context() as patched:
        patched.setattr(milvus.MilvusStore, "_put", dying)
        with pytest.raises(SearchError, match="gone"):
            debias_store(place, write=True, out=tmp_path / "out")
    found = debias_store(place, write=True, out=tmp_path / "out")
    assert found.written == 300 - done
    assert done > 0
    copy = f"{name}_embedding_debiased"
    after = vectors_of(client, copy)
    np.testing.assert_array_equal(vectors_of(client, name), before)
    fitted = found.removal.apply(before[1:2], ["EN"], "passage")
    np.testing.assert_allclose(after[1:2], fitted, atol=1e-6)
    np.testing.assert_array_equal(after[0], before[0])  # it has no language
    shown = ["sku", "lang", "body", "year", "sold", "meta"]
    one, other = (sorted(map(str, client.query(c, "sku in [7, 14, 2093]", output_fields=shown))) for c in (name, copy))
    assert one == other
    # The copy is searched as the old one was, also by words.
    engine = opened(url, copy)
    assert engine.has_words
    assert [hit.id for hit in engine.nearest(after[[5]], [Where(("ja",))], 1)[0]] == ["35"]
    engine.close()
    # There and back, by what it prints.
    for _ in range(2):
        exec(found.steps["switch"], {"client": client})
        np.testing.assert_array_equal(vectors_of(client, name), after)
        exec(found.steps["back"].partition("; to remove")[0], {"client": client})
        np.testing.assert_array_equal(vectors_of(client, name), before)
    assert json.dumps(found.as_json())
    # What was written with another removal is not mixed with it; what someone else made is not touched.
    with pytest.raises(SearchError, match="--replace"):
        debias_store(place, write=True, alpha=0.5, out=tmp_path / "out")
    assert debias_store(place, write=True, alpha=0.5, replace=True, out=tmp_path / "out").written == 300
    filled(client, f"{name}_theirs")
    with pytest.raises(ArgumentError, match="did not make it"):
        debias_store(place, to_vector="theirs", write=True, out=tmp_path / "other")
    store = open_store(place)
    for refused in (
        lambda: store.drop("theirs"),
        lambda: store.write("theirs", [7], before[:1]),
        lambda: store.mark("a-b"),
    ):
        with pytest.raises(BabelmixError, match=r"not a collection that babelmix made|no part of a collection's name"):
            refused()
    store.close()


def test_an_alias_is_switched(url: str, client: Any, tmp_path: Path) -> None:
    name = f"c{next(names)}"
    before = filled(client, name)
    client.create_alias(name, f"{name}_now")
    found = debias_store(address(url, f"{name}_now"), write=True, out=tmp_path / "out")
    exec(found.steps["switch"], {"client": client})
    assert np.abs(vectors_of(client, f"{name}_now") - before).max() > 0.01
    exec(found.steps["back"].partition("; to remove")[0], {"client": client})
    np.testing.assert_array_equal(vectors_of(client, f"{name}_now"), before)
    client.create_partition(name, "archive")
    with pytest.raises(SearchError, match="has the partition 'archive'"):
        debias_store(address(url, name), to_vector="more", write=True, out=tmp_path / "more")


def test_the_command_line(url: str, client: Any, tmp_path: Path, tiny_static: Any, babelmix: Any) -> None:
    from pymilvus import DataType

    model, name = str(tmp_path / "model"), f"c{next(names)}"
    tiny_static.save(model)
    texts = [("a", "de", "Katze Haus"), ("a", "en", "cat house"), ("b", "en", "dog river"), ("c", "fr", "chat")]
    vectors = tiny_static.encode([text for _, _, text in texts])
    schema = client.create_schema()
    schema.add_field("id", DataType.INT64, is_primary=True)
    for field in ("doc", "lang", "text"):
        schema.add_field(field, DataType.VARCHAR, max_length=100)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 8, "efConstruction": 64})
    client.create_collection(name, schema=schema, index_params=index)
    client.insert(
        name,
        [
            {"id": n, "doc": doc, "lang": lang, "text": text, "vector": vector}
            for n, ((doc, lang, text), vector) in enumerate(zip(texts, vectors, strict=True))
        ],
    )
    place = address(url, name, "item=doc")
    code, printed, error = babelmix(
        "search", "dog river", "--in", place, "--model", model, "--policy", "balanced", "--json"
    )
    assert (code, "Traceback" in error) == (0, False), error
    assert json.loads(printed)["hits"][0]["item"] == "b"
    code, printed, error = babelmix("search", "cat", "--in", place, "--model", model, "--policy", "only=de", "--json")
    assert [hit["text"] for hit in json.loads(printed)["hits"]] == ["Katze Haus"], error
    code, _, error = babelmix("search", "cat", "--in", place)
    assert (code, "--model NAME" in error) == (1, True)


def test_an_audit_through_a_collection(
    url: str, client: Any, tmp_path: Path, tiny_static: Any, babelmix: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pymilvus import DataType

    monkeypatch.chdir(tmp_path)
    tiny_static.save("model")
    corpus, name = parallel_corpus(), f"c{next(names)}"
    corpus.save(tmp_path / "toy")
    passages = corpus.passages.to_pylist()
    vectors = tiny_static.encode([row["text"] for row in passages])
    schema = client.create_schema()
    for field in ("id", "lang", "text"):
        schema.add_field(field, DataType.VARCHAR, max_length=200, is_primary=field == "id")
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=vectors.shape[1])
    index = client.prepare_index_params()
    index.add_index("vector", index_type="HNSW", metric_type="COSINE", params={"M": 8, "efConstruction": 64})
    client.create_collection(name, schema=schema, index_params=index)
    client.insert(
        name,
        [
            {"id": f"{row['item']}/{row['lang']}", "lang": row["lang"], "text": row["text"], "vector": vector}
            for row, vector in zip(passages, vectors, strict=True)
        ],
    )
    code, printed, error = babelmix(
        "audit", "-c", "toy", "--through", address(url, name), "--model", "model", "--json"
    )
    assert code == 0, error
    assert set(json.loads(printed)["policies"]) >= {"any", "balanced"}
