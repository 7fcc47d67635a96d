"""Someone else's collections of Qdrant, on the local mode of qdrant-client: what is found and what an audit measures."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus

import babelmix as bm
from babelmix.api.through_auditing import audit_through
from babelmix.corpus.detecting import check_detector
from babelmix.errors import BabelmixError, SearchError
from babelmix.search.foreign.qdrant_collection import QdrantCollection
from babelmix.search.rows import Where

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_static: Any) -> str:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    tiny_static.save(str(folder))
    return str(folder)


@pytest.fixture(scope="module")
def vectors(tiny_static: Any) -> np.ndarray:
    found = tiny_static.encode_document(parallel_corpus().passages["text"].to_pylist())
    return found * (1 + np.arange(len(found)) % 3)[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory, vectors: np.ndarray) -> Callable[..., str]:
    """Collections as others make them; gives the address of one, with options."""
    module = pytest.importorskip("qdrant_client")
    from qdrant_client import models

    folder = tmp_path_factory.mktemp("qdrant") / "store"
    client = module.QdrantClient(path=str(folder))
    passages = parallel_corpus().passages.to_pylist()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for name, distance, kept in (
        ("plain", "COSINE", vectors), ("dots", "DOT", vectors), ("unit", "EUCLID", unit), ("long", "EUCLID", vectors),
        ("blocks", "MANHATTAN", vectors), ("named", "COSINE", vectors), ("mixed", "COSINE", vectors),
    ):  # fmt: skip
        params = models.VectorParams(size=16, distance=getattr(models.Distance, distance))
        client.create_collection(name, vectors_config={"text": params, "title": params} if name == "named" else params)
        points = []
        for n, (passage, vector) in enumerate(zip(passages, kept.tolist(), strict=True)):
            payload = {
                "doc_id": f"{passage['item']}/{passage['lang']}", "lang": passage["lang"], "text": passage["text"],
                "meta": {"item": passage["item"], "language": passage["lang"].upper()}, "year": 2000 + n % 3, "price": n / 4,
                "fresh": n % 2 == 0, "tags": ["a"],
            }  # fmt: skip
            if name == "mixed" and n % 5 == 0:
                payload["lang"] = None if n % 10 else "Deutsch"
            value: Any = {"text": vector, "title": vector[::-1]} if name == "named" else vector
            if name == "named" and n == 7:
                value = {"title": vector}
            points.append(models.PointStruct(id=str(uuid.UUID(int=n)) if n % 2 else n, vector=value, payload=payload))
        client.upsert(name, points)
    client.close()

    def address(name: str, **options: str) -> str:
        return f"qdrant://{folder}/{name}?" + "&".join(f"{option}={value}" for option, value in options.items())

    return address


def opened(address: str) -> Any:
    return closing(QdrantCollection.open(address))


@pytest.mark.parametrize(("name", "similarity"), [("plain", "cosine"), ("dots", "dot"), ("unit", "cosine")])
def test_the_nearest_are_those_of_all_vectors(
    at: Callable[..., str], vectors: np.ndarray, name: str, similarity: str
) -> None:
    passages = parallel_corpus().passages.to_pylist()
    kept = vectors if similarity == "dot" else vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    with opened(at(name, id="payload.doc_id")) as engine:
        assert (engine.similarity, engine.dimension) == (similarity, 16)
        assert engine.langs() == {"de": 40, "en": 40, "fr": 40, "ja": 40}
        assert engine.columns == {
            "fresh": "boolean", "meta.item": "text", "meta.language": "text", "price": "number", "year": "integer",
        }  # fmt: skip
        wheres = [
            Where(), Where(("ja",)), Where(("de", "fr"), {"year": (2001, 2002)}), Where(None, {"item": ("i3/en",)}),
            Where(None, {"price": (0.25, 1.25)}), Where(None, {"fresh": (True,)}), Where((), {}),
            Where(None, {"meta.item": ("i1", "i2")}),
        ]  # fmt: skip
        queries = kept[[5, 9, 70, 1, 2, 3, 4, 6]]
        for query, where, hits in zip(queries, wheres, engine.nearest(queries, wheres, 25), strict=True):
            values = [
                {
                    "year": 2000 + n % 3, "price": n / 4, "fresh": n % 2 == 0, "meta.item": p["item"],
                    "item": f"{p['item']}/{p['lang']}",
                }
                for n, p in enumerate(passages)
            ]  # fmt: skip
            passes = [
                (where.langs is None or p["lang"] in where.langs)
                and all(own[column] in allowed for column, allowed in where.fields.items())
                for p, own in zip(passages, values, strict=True)
            ]
            best = np.sort((kept @ query)[passes])[::-1][:25]
            np.testing.assert_allclose([hit.score for hit in hits], best, atol=1e-4)
            assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)
            by_id = {f"{p['item']}/{p['lang']}": (p["lang"], p["text"]) for p in passages}
            assert all((hit.lang, hit.text) == by_id[hit.item] for hit in hits)
        texts = {p["text"]: n for n, p in enumerate(passages)}
        for text, lang, stored in engine.some_texts(20):
            assert lang == passages[texts[text]]["lang"]
            unit = vectors[texts[text]] / np.linalg.norm(vectors[texts[text]])
            np.testing.assert_allclose(stored / np.linalg.norm(stored), unit, atol=1e-5)
        some = engine.sample("ja", 10)
        assert some.shape == (10, 16)
        np.testing.assert_array_equal(some, engine.sample("ja", 10))


def test_missing_languages_nested_fields_and_named_vectors(at: Callable[..., str]) -> None:
    ones = np.ones((1, 16), dtype=np.float32)
    with opened(at("mixed")) as engine:
        langs = engine.langs()
        assert langs["und"] == 32
        assert sum(langs.values()) == 160
        assert "'Deutsch'" in " ".join(engine.notes)
        for lang, count in langs.items():
            hits = engine.nearest(ones, [Where((lang,))], 200)[0]
            assert (len(hits), {hit.lang for hit in hits}) == (count, {lang})
            assert len(engine.sample(lang, 999)) == count
    with opened(at("named", vector="text", lang="payload.meta.language", item="meta.item")) as engine:
        assert sum(engine.langs().values()) == 159  # one point has no vector of this name
        assert {hit.item for hit in engine.nearest(ones, [Where(("de",), {"item": ("i1", "i2")})], 9)[0]} == {
            "i1",
            "i2",
        }
        assert engine.digests(["i1"]).keys() == {row.id for row in engine.rows() if row.item == "i1"}


def test_the_audit_is_that_of_the_vectors(
    at: Callable[..., str], vectors: np.ndarray, tiny_static: Any, model: str
) -> None:
    corpus = parallel_corpus()
    asked = tiny_static.encode_query(corpus.queries["text"].to_pylist())
    files = bm.audit(bm.Vectors(asked, vectors), corpus, metrics=["mAP@200", "nDCG@10"])
    for options in ({"id": "payload.doc_id"}, {"item": "payload.meta.item"}):
        report = audit_through(
            at("plain", **options), corpus, policies=["any", "balanced"], depth=200, metrics=["mAP@200", "nDCG@10"], model=model
        )  # fmt: skip
        for measure in ("multi/mAP@200", "multi/nDCG@10"):
            assert report.comparison.found["any"][measure][0].value == pytest.approx(files.macro(measure), abs=1e-6)


def test_languages_are_detected_from_texts(at: Callable[..., str], tmp_path: Path) -> None:
    check_detector()
    import qdrant_client
    from qdrant_client import models

    texts = {
        "de": "Wie speichere ich ein Bild auf dem Rechner", "en": "How do I save an image on the computer",
        "fr": "Comment enregistrer une image sur mon ordinateur",
    }  # fmt: skip
    client = qdrant_client.QdrantClient(path=str(tmp_path / "store"))
    client.create_collection("c", vectors_config=models.VectorParams(size=2, distance=models.Distance.COSINE))
    rows = [(lang, f"{text} {n}") for n in range(20) for lang, text in texts.items()] + [("und", "42")]
    client.upsert("c", [
        models.PointStruct(id=n, vector=[1, n / 60], payload={"body": text}) for n, (_, text) in enumerate(rows)
    ])  # fmt: skip
    client.close()
    for options in ("", "?langs=de,en,fr"):
        with opened(f"qdrant://{tmp_path}/store/c{options}") as engine:
            assert engine.langs() == {"de": 20, "en": 20, "fr": 20, "und": 1}
            hits = engine.nearest(np.ones((1, 2), dtype=np.float32), [Where(("fr",))], 50)[0]
            assert (len(hits), {hit.lang for hit in hits}) == (20, {"fr"})
            assert all(texts["fr"] in str(hit.text) for hit in hits)
            assert len(engine.sample("de", 99)) == 20
            assert "detected from the texts of 61 rows" in " ".join(engine.notes)


def test_a_server_is_asked_as_the_folder_is(
    at: Callable[..., str], monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """The address of a server, with the client's stand-in for it; a server also says which fields have an index."""
    import qdrant_client

    real = qdrant_client.QdrantClient
    asked: list[dict[str, Any]] = []

    def local(**options: Any) -> Any:
        asked.append(options)
        return real(path=at("plain").removeprefix("qdrant://").rpartition("/")[0])

    monkeypatch.setattr(qdrant_client, "QdrantClient", local)
    with bm.open_index("qdrant://search.example.org:6333/plain?id=doc_id&https=1", model=model) as index:
        assert asked[0]["url"] == "https://search.example.org:6333"
        assert "has no index in Qdrant" in index.notes[0]
        hits = index.search("cat dog 1", policy="balanced", k=5)
        assert len(hits) == 5
        info = index.index.engine._store.client.get_collection("plain")
        assert info.points_count == 160
        with pytest.raises(SearchError, match="read-only"):
            index.index.engine.put([])


@pytest.mark.parametrize(("name", "options", "said"), [
    ("absent", {}, "no such collection"), ("plain", {"lang": "payload.tongue"}, "no field 'tongue'.*lang=payload.FIELD"),
    ("long", {}, "Euclidean distance"), ("blocks", {}, "Manhattan"), ("named", {}, "say which"),
    ("plain", {"similarity": "dot"}, "leave similarity out"), ("plain", {"column": "x"}, "no option 'column'"),
])  # fmt: skip
def test_what_is_wrong_is_said(
    at: Callable[..., str], model: str, name: str, options: dict[str, str], said: str
) -> None:
    with pytest.raises(BabelmixError, match=said):
        bm.open_index(at(name, **options), model=model)
