"""Someone else's indices of OpenSearch and Elasticsearch: on a stand-in of each, and on servers that speak their protocols."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from opensearch_server import Index, StandIn, serving

from babelmix.api.store_debiasing import debias_store
from babelmix.errors import BabelmixError, SearchError
from babelmix.search.foreign import elastic_client, open_store
from babelmix.search.foreign.elastic_vectors import VectorField
from babelmix.search.foreign.opensearch import OpenSearchCollection
from babelmix.search.rows import Where

DIMENSION = 8
LANGS = ("de", "EN", "ja")
TEXT = {"type": "text", "fields": {"raw": {"type": "keyword"}}}
FIELDS: dict[str, Any] = {
    "sku": {"type": "keyword"}, "page": {"type": "keyword"}, "lang": {"type": "keyword"}, "body": {"type": "text"},
    "title": TEXT, "year": {"type": "long"}, "meta": {"properties": {"lang": TEXT}},
}  # fmt: skip

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "es cosine": ("elasticsearch", {"type": "dense_vector", "dims": 8, "index": True, "similarity": "cosine"}),
    "es dot": ("elasticsearch", {"type": "dense_vector", "dims": 8, "index": True, "similarity": "max_inner_product"}),
    "es unit": ("elasticsearch", {"type": "dense_vector", "dims": 8, "index": True, "similarity": "dot_product"}),
    "es l2": ("elasticsearch", {"type": "dense_vector", "dims": 8, "index": True, "similarity": "l2_norm"}),
    "es no graph": ("elasticsearch", {"type": "dense_vector", "dims": 8, "index": False}),
}
for _engine, _space in (
    ("lucene", "cosinesimil"), ("lucene", "innerproduct"), ("faiss", "cosinesimil"), ("faiss", "innerproduct"),
    ("nmslib", "cosinesimil"), ("faiss", "l2"),
):  # fmt: skip
    _method = {"name": "hnsw", "engine": _engine, "space_type": _space}
    KINDS[f"os {_engine} {_space}"] = (
        "opensearch",
        {"type": "knn_vector", "dimension": 8, "method": _method},
    )
UNIT = ("es unit", "es l2", "os faiss l2")


def documents(count: int = 90, *, unit: bool = False) -> list[dict[str, Any]]:
    """Documents in three languages, every 30th without a language, with an offset of their language; a page has three."""
    rng = np.random.default_rng(0)
    offsets = rng.standard_normal((3, DIMENSION))
    vectors = np.stack([offsets[n % 3] + 0.5 * rng.standard_normal(DIMENSION) for n in range(count)])
    if unit:
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = []
    for n, vector in enumerate(vectors.tolist()):
        lang = LANGS[n % 3]
        doc = {
            "sku": f"s{n}", "page": f"p{n // 3}", "lang": lang, "body": f"text {n} of {lang.lower()}", "year": 2000 + n % 4,
            "title": f"Title {n}", "vec": vector, "meta": {"lang": lang},
        }  # fmt: skip
        if n % 30 == 29:
            del doc["lang"]
        found.append(doc)
    return [*found, {"sku": "none", "lang": "de", "body": "no vector"}]


class Server:
    """A stand-in, or a server of another make."""

    def __init__(self, host: str, product: str, stand_in: StandIn | None) -> None:
        self.host, self.product, self.stand_in, self.made = host, product, stand_in, 0

    def index(self, docs: Sequence[Mapping[str, Any]], properties: dict[str, Any], *, routed: bool = False) -> str:
        """Make an index; returns its address."""
        self.made += 1
        name = f"index-{self.made}"
        if self.stand_in is not None:
            index = Index({"properties": properties}, {"knn": "true"})
            self.stand_in.indices[name] = index
            for doc in docs:
                index.put(f"id-{doc['sku']}", dict(doc), f"r{doc['sku']}" if routed else None)
            index.refresh()
            return f"{self.product}://{self.host}/{name}"
        with httpx.Client(base_url=f"http://{self.host}") as client:
            settings = {"index.knn": True} if self.product == "opensearch" else {}
            body = {"mappings": {"properties": properties}, **({"settings": settings} if settings else {})}
            client.put(f"/{name}", json=body).raise_for_status()
            lines = [line for doc in docs for line in ({"index": {"_index": name, "_id": f"id-{doc['sku']}"}}, doc)]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            headers = {"content-type": "application/x-ndjson"}
            found = client.post("/_bulk?refresh=true", content=text, headers=headers).raise_for_status().json()
            assert not found["errors"], found
        return f"{self.product}://{self.host}/{name}"


@pytest.fixture(scope="module")
def stand_ins() -> Iterator[dict[str, Server]]:
    with ExitStack() as stack:
        found = {}
        for product in ("opensearch", "elasticsearch"):
            server = StandIn(product)
            found[product] = Server(stack.enter_context(serving(server)), product, server)
        yield found


@pytest.fixture(autouse=True)
def _fresh(stand_ins: dict[str, Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for one in stand_ins.values():
        server = one.stand_in
        assert server is not None
        server.faults, server.loses, server.halved, server.login = [], 0.0, True, ""
        server.requests.clear()
        server.cursors.clear()
    monkeypatch.setattr(elastic_client, "_PAUSE", 0.001)
    monkeypatch.chdir(tmp_path)
    for product in ("OPENSEARCH", "ELASTICSEARCH"):
        for name in ("USER", "PASSWORD", "TOKEN", "API_KEY"):
            monkeypatch.delenv(f"{product}_{name}", raising=False)


@pytest.fixture(scope="module")
def noida(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """noida-db, which others made to speak Elasticsearch's protocol (8.15). It is no Elasticsearch."""
    package = pytest.importorskip(
        "noida_db",
        reason="noida-db is not installed: a closed program of a single author, so no dependency of the tests",
    )
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    folder = tmp_path_factory.mktemp("noida")
    binary = str(Path(package.__file__).parent / "noida-db")
    process = subprocess.Popen(
        [binary, "start", "--data-dir", str(folder), "--only", "elasticsearch", "--elasticsearch-port", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait_for(f"http://127.0.0.1:{port}", process)
        yield Server(f"127.0.0.1:{port}", "elasticsearch", None)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def osmem() -> Iterator[Server]:
    """osmem, which others made to speak OpenSearch's protocol (3.8), without kNN and scripts. It is no OpenSearch."""
    osmem_server = pytest.importorskip(
        "osmem_server",
        reason="osmem-server is not installed: a closed program of a single author, so no dependency of the tests",
    )
    with osmem_server.OsmemServer.start(japanese=False) as server:
        yield Server(server.url.removeprefix("http://"), "opensearch", None)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if process.poll() is not None:
            pytest.skip("noida-db does not run on this machine")
        try:
            httpx.get(url)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("noida-db does not answer")


def opened(address: str) -> closing[OpenSearchCollection]:
    return closing(OpenSearchCollection.open(address))


def expected(
    docs: Sequence[Mapping[str, Any]], query: Any, similarity: str, passes: Callable[[Mapping[str, Any]], bool]
) -> dict[str, float]:
    """Scores by id."""
    found = {}
    for doc in docs:
        if "vec" in doc and passes(doc):
            vector = np.array(doc["vec"])
            length = np.linalg.norm(vector) * np.linalg.norm(query) if similarity == "cosine" else 1.0
            found[f"id-{doc['sku']}"] = float(vector @ query / length)
    return found


def check_nearest(address: str, docs: Sequence[Mapping[str, Any]], tolerance: float = 1e-5) -> None:
    """Compare searches with brute force."""
    rng = np.random.default_rng(1)
    filters: list[tuple[Where, Callable[[Mapping[str, Any]], bool]]] = [
        (Where(), lambda doc: True),
        (Where(("de",)), lambda doc: doc.get("lang") == "de"),
        (Where(("en", "ja")), lambda doc: doc.get("lang") in ("EN", "ja")),
        (Where(("und",)), lambda doc: "lang" not in doc),
        (Where(("de", "und"), {"year": (2000, 2001)}), lambda doc: doc.get("lang", "de") == "de" and doc["year"] < 2002),
        (Where(None, {"title": ("Title 7", "x")}), lambda doc: doc["title"] == "Title 7"),
        (Where(None, {"item": ("id-s3",)}), lambda doc: doc["sku"] == "s3"),
        (Where(("fr",)), lambda doc: False),
    ]  # fmt: skip
    with opened(address) as engine:
        assert engine.similarity is not None
        for where, passes in filters:
            for k, exact in ((5, False), (200, False), (7, True)):
                query = rng.standard_normal(DIMENSION).astype(np.float32)
                query /= np.linalg.norm(query)
                scores = expected(docs, query, engine.similarity, passes)
                (hits,) = engine.nearest(query[None], [where], k, exact=exact)
                best = sorted(scores.values(), reverse=True)[:k]
                np.testing.assert_allclose([hit.score for hit in hits], best, atol=tolerance)
                for hit in hits:
                    assert hit.score == pytest.approx(scores[hit.id], abs=tolerance)
                    doc = next(doc for doc in docs if f"id-{doc['sku']}" == hit.id)
                    tag = {"EN": "en"}.get(doc.get("lang", "und"), doc.get("lang", "und"))
                    assert (hit.item, hit.lang, hit.text) == (hit.id, tag, doc["body"])
                    assert (hit.fields["title"], hit.fields["year"]) == (doc["title"], doc["year"])


@pytest.mark.parametrize("kind", KINDS)
def test_nearest_rows_are_those_of_brute_force(kind: str, stand_ins: dict[str, Server]) -> None:
    product, vector = KINDS[kind]
    docs = documents(unit=kind in UNIT)
    address = stand_ins[product].index(docs, {**FIELDS, "vec": vector})
    check_nearest(address, docs)


@pytest.mark.parametrize("kind", ["os faiss cosinesimil", "os nmslib cosinesimil"])
def test_the_scale_of_cosines_is_found_out(kind: str, stand_ins: dict[str, Server]) -> None:
    product, vector = KINDS[kind]
    docs = documents()
    server = stand_ins[product].stand_in
    assert server is not None
    server.halved = False  # as in earlier versions
    check_nearest(stand_ins[product].index(docs, {**FIELDS, "vec": vector}), docs)


def test_a_graph_that_loses_rows_under_a_filter_is_not_the_last_word(stand_ins: dict[str, Server]) -> None:
    product, vector = KINDS["os faiss innerproduct"]
    docs = documents()
    server = stand_ins[product].stand_in
    assert server is not None
    server.loses = 0.5
    check_nearest(stand_ins[product].index(docs, {**FIELDS, "vec": vector}), docs)


def test_a_similarity_of_the_address_is_compared_exactly(stand_ins: dict[str, Server]) -> None:
    product, vector = KINDS["es l2"]
    docs = documents()
    address = stand_ins[product].index(docs, {**FIELDS, "vec": vector})
    with pytest.raises(SearchError, match=r"Euclidean distance.*\?similarity=cosine"):
        OpenSearchCollection.open(address)
    check_nearest(f"{address}?similarity=dot", docs)
    check_nearest(f"{address}?similarity=cosine", docs)
    with opened(f"{address}?similarity=dot") as engine:
        assert "is not used" in engine.notes[0]


def check_read(address: str) -> None:
    """Compare what is read besides searches."""
    with opened(f"{address}?id=sku&item=page") as engine:
        assert engine.langs() == {"de": 30, "en": 30, "ja": 27, "und": 3}
        assert "3 of 90 rows have no language" in engine.notes[-1]
        assert sorted(engine.items()) == sorted(f"p{n}" for n in range(30))
        rows = {row.id: row for row in engine.rows(texts=True)}
        assert sorted(rows) == sorted(f"s{n}" for n in range(90))
        assert (rows["s4"].item, rows["s4"].lang, rows["s4"].text) == ("p1", "EN", "text 4 of en")
        by_text = {doc["body"]: doc for doc in documents()}
        pairs = engine.some_texts(20)
        assert len(pairs) == 20
        for text, lang, stored in pairs:
            assert lang == by_text[text].get("lang")
            np.testing.assert_allclose(stored, by_text[text]["vec"], atol=1e-6)
        assert engine.columns["year"] == "integer"
        assert engine.columns["title"] == "text"
        sample = engine.draw(engine.asked(Where(("ja",))), 10)
        own = [doc["vec"] for doc in documents() if doc.get("lang") == "ja" and "vec" in doc]
        assert sample.shape == (10, DIMENSION)
        assert (np.abs(sample[:, None] - np.float32(own)[None]).max(axis=2) < 1e-6).any(axis=1).all()
        np.testing.assert_array_equal(sample, engine.draw(engine.asked(Where(("ja",))), 10))
        (hits, others) = engine.with_words(["text 7", "text 7"], [Where(), Where(("en",))], 5)
        assert (hits[0].id, hits[0].item) == ("s7", "p2")
        assert {hit.lang for hit in others} == {"en"}
        assert engine.with_words(["nowhere"], [Where()], 5) == [[]]
        assert all(first.score >= second.score for first, second in pairwise(hits))


@pytest.mark.parametrize("product", ["opensearch", "elasticsearch"])
def test_languages_rows_samples_and_words(
    product: str, stand_ins: dict[str, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("babelmix.search.foreign.opensearch._PAGE", 7)
    vector = KINDS["es cosine" if product == "elasticsearch" else "os lucene cosinesimil"][1]
    check_read(stand_ins[product].index(documents(), {**FIELDS, "vec": vector}))
    server = stand_ins[product].stand_in
    assert server is not None
    assert not server.cursors  # every scroll and point in time was closed


def test_each_language_has_its_own_field_of_text(stand_ins: dict[str, Server]) -> None:
    fields = {
        "lang": {"type": "keyword"},
        "body_de": {"type": "text"},
        "body_en": {"type": "text"},
        "vec": KINDS["es cosine"][1],
    }
    docs = [
        {"sku": "1", "lang": "de", "body_de": "der Hut", "vec": [1.0] * 8},
        {"sku": "2", "lang": "en", "body_en": ["the hat", "is red"], "vec": [1.0] * 8},
    ]
    address = stand_ins["elasticsearch"].index(docs, fields)
    server = stand_ins["elasticsearch"].stand_in
    assert server is not None
    with opened(f"{address}?text=body_{{lang}}") as engine:
        (hits,) = engine.with_words(["hat hut"], [Where()], 5)
        assert {hit.text for hit in hits} == {"der Hut", "the hat\nis red"}
        (hits,) = engine.with_words(["hat hut"], [Where(("en",))], 5)
        assert [hit.id for hit in hits] == ["id-2"]
        assert "body_de" not in json.dumps(server.requests[-1][2]["query"])
    with pytest.raises(SearchError, match="no field of the type text has a name like text_"):
        OpenSearchCollection.open(f"{address}?text=text_{{lang}}")


def test_fields_in_objects_and_texts_with_keywords(stand_ins: dict[str, Server]) -> None:
    address = stand_ins["opensearch"].index(documents(), {**FIELDS, "vec": KINDS["os lucene cosinesimil"][1]})
    with opened(f"{address}?lang=meta.lang") as engine:
        assert engine.langs() == {"de": 30, "en": 30, "ja": 30}
        (hits,) = engine.nearest(np.ones((1, 8), np.float32), [Where(("ja",))], 3)
        assert [hit.lang for hit in hits] == ["ja"] * 3
        assert engine.title == "title"
    with opened(f"{address}?lang=meta.lang&title=sku") as engine:
        (hits,) = engine.nearest(np.ones((1, 8), np.float32), [Where(("ja",))], 3)
        assert all(str(hit.fields["title"]).startswith("s") and "sku" not in hit.fields for hit in hits)


def test_a_query_of_length_zero_finds_rows_without_an_order(stand_ins: dict[str, Server]) -> None:
    address = stand_ins["elasticsearch"].index(documents(), {**FIELDS, "vec": KINDS["es cosine"][1]})
    with opened(address) as engine:
        (hits,) = engine.nearest(np.zeros((1, 8), np.float32), [Where(("de",))], 5)
        assert [(hit.lang, hit.score) for hit in hits] == [("de", 0.0)] * 5


# --- what is refused -----------------------------------------------------------------------------------------------


def refused(
    server: Server, properties: dict[str, Any], options: str = "", docs: Sequence[Mapping[str, Any]] = ()
) -> str:
    """The sentence with which an index is refused."""
    address = server.index(docs, properties)
    with pytest.raises(SearchError) as error, opened(f"{address}{options}") as engine:
        engine.langs()
    assert str(error.value).startswith(f"{address}: ")
    return str(error.value)


def test_indices_that_cannot_be_read_say_why(stand_ins: dict[str, Server]) -> None:
    es, os = stand_ins["elasticsearch"], stand_ins["opensearch"]
    vector, lang = KINDS["es cosine"][1], {"type": "keyword"}
    usual = {"lang": lang, "vec": vector}
    nested = {"lang": lang, "parts": {"type": "nested", "properties": {"vec": vector}}}
    assert "in nested documents (parts)" in refused(es, nested, "?vector=parts.vec")
    assert "fields of vectors (a, b); name one:  ?vector=FIELD" in refused(
        es, {"lang": lang, "a": vector, "b": vector}
    )
    assert "0 fields of vectors (none)" in refused(es, {"lang": lang})
    assert "type keyword, not dense_vector" in refused(es, usual, "?vector=lang")
    assert "of the type byte" in refused(es, {"lang": lang, "vec": {**vector, "element_type": "byte"}})
    assert "no dimension yet" in refused(es, {"lang": lang, "vec": {"type": "dense_vector"}})
    assert "compared by hamming" in refused(
        os, {"lang": lang, "vec": {**KINDS["os lucene cosinesimil"][1], "method": {"space_type": "hamming"}}}
    )
    assert "has no field 'tongue'" in refused(es, usual, "?lang=tongue")
    assert "no sub-field of the type keyword" in refused(es, {"lang": {"type": "text"}, "vec": vector})
    assert "similarity is cosine or dot" in refused(es, usual, "?similarity=l1")
    assert "candidates is a number" in refused(es, usual, "?candidates=many")
    assert "has no option 'langue'" in refused(es, usual, "?langue=x")
    assert "tls is true or false" in refused(es, usual, "?tls=maybe")
    several = [{"sku": "1", "lang": ["de", "en"], "vec": [1.0] * 8}]
    assert "documents have several languages" in refused(es, usual, docs=several)
    assert "has neither a field of languages nor one of texts" in refused(es, {"vec": vector})


def test_what_the_server_refuses_is_a_sentence(stand_ins: dict[str, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    one = stand_ins["elasticsearch"]
    server = one.stand_in
    assert server is not None
    address = one.index(documents(), {**FIELDS, "vec": KINDS["es cosine"][1]})
    with pytest.raises(SearchError, match="there is no such index"):
        OpenSearchCollection.open(f"elasticsearch://{one.host}/nowhere")
    with pytest.raises(SearchError, match="the server is Elasticsearch; the address begins with  elasticsearch://"):
        OpenSearchCollection.open(address.replace("elasticsearch://", "opensearch://"))
    with pytest.raises(SearchError, match=r"cannot be reached.*tried 5 times"):
        OpenSearchCollection.open("elasticsearch://127.0.0.1:1/x")
    server.login = "ApiKey abc"
    with pytest.raises(SearchError, match="set the environment variables ELASTICSEARCH_USER and"):
        OpenSearchCollection.open(address)
    monkeypatch.setenv("ELASTICSEARCH_API_KEY", "abc")
    OpenSearchCollection.open(address).close()
    monkeypatch.setenv("ELASTICSEARCH_PASSWORD", "geheim")
    with pytest.raises(SearchError, match="does not accept the user 'me'") as error:
        OpenSearchCollection.open(address.replace("://", "://me@"))
    assert "geheim" not in str(error.value)
    server.login = "Basic bWU6Z2VoZWlt"
    OpenSearchCollection.open(address.replace("://", "://me@")).close()
    OpenSearchCollection.open(address.replace("://", "://me:geheim@")).close()


def _search(method: str, path: str) -> bool:
    return method == "POST" and path.endswith("/_search")


def test_a_busy_server_is_asked_again_and_half_answers_are_errors(stand_ins: dict[str, Server]) -> None:
    one = stand_ins["opensearch"]
    server = one.stand_in
    assert server is not None
    address = one.index(documents(), {**FIELDS, "vec": KINDS["os lucene cosinesimil"][1]})
    query = np.ones((1, 8), np.float32)

    def answers(engine: OpenSearchCollection, *given: tuple[int, Any]) -> None:
        left = list(given)
        server.faults = [lambda method, path, body: left.pop(0) if left and _search(method, path) else None]
        try:
            assert len(engine.nearest(query, [Where()], 3)[0]) == 3
        finally:
            server.faults = []

    whole = {"hits": {"hits": []}, "timed_out": False, "_shards": {"total": 2, "successful": 2, "failed": 0}}
    with opened(address) as engine:
        engine.langs()
        full = {"error": {"type": "rejected_execution_exception", "reason": "queue is full"}}
        answers(engine, (429, full), (503, "{}"), (502, "a page of a proxy"))
        with pytest.raises(SearchError, match=r"the server is busy \(429: queue is full\) \(tried 5 times\)"):
            answers(engine, *[(429, full)] * 5)
        failures = [{"reason": {"type": "x", "reason": "graph is broken"}}]
        part = {**whole, "_shards": {"total": 2, "successful": 1, "failed": 1, "failures": failures}}
        with pytest.raises(SearchError, match="1 of 2 shards did not answer, so rows are missing: graph is broken"):
            answers(engine, (200, part))
        # A shard without any copy is not among the failed ones.
        with pytest.raises(SearchError, match="1 of 3 shards did not answer"):
            answers(engine, (200, {**whole, "_shards": {"total": 3, "successful": 2, "failed": 0}}))
        with pytest.raises(SearchError, match="ran out of the server's time"):
            answers(engine, (200, {**whole, "timed_out": True}))
        with pytest.raises(SearchError, match="is not OpenSearch"):
            answers(engine, (200, "<html>"))
        wrong = {"error": {"root_cause": [{"reason": "all shards failed"}], "caused_by": {"reason": "bad vector"}}}
        with pytest.raises(SearchError, match="all shards failed; bad vector"):
            answers(engine, (400, wrong))
        with pytest.raises(SearchError, match="may not do this: no permissions for search"):
            answers(engine, (403, {"error": {"reason": "no permissions for search"}}))


def test_a_server_that_does_not_answer_in_time(stand_ins: dict[str, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    one = stand_ins["opensearch"]
    address = one.index(documents(), {**FIELDS, "vec": KINDS["os lucene cosinesimil"][1]})
    with opened(address) as engine:
        monkeypatch.setattr(engine._client._client, "request", _times_out)
        with pytest.raises(SearchError, match="no answer within 60 seconds"):
            engine.langs()


def _times_out(*args: Any, **options: Any) -> None:
    raise httpx.ReadTimeout("")


@pytest.mark.parametrize(("engine", "space", "halved"), [("faiss", "cosinesimil", False), ("lucene", "l2", True)])
def test_scores_become_cosines(engine: str, space: str, halved: bool) -> None:
    spec = {"type": "knn_vector", "dimension": 2, "method": {"engine": engine, "space_type": space}}
    field = VectorField.read("x", "opensearch", "v", spec)
    for cosine in (-1.0, -0.5, 0.0, 0.7, 1.0):
        score = 1 / (1 + 2 - 2 * cosine) if space == "l2" else 1 / (2 - cosine)
        assert field.value_of_graph(score, halved=halved) == pytest.approx(cosine)


# --- vectors beside the old ones -----------------------------------------------------------------------------------


def stored(address: str) -> dict[str, Any]:
    """The new vectors of an index by id."""
    store = open_store(f"{address}?vector=new")
    with closing(store):
        keys = [key for some, _ in store.keys(50) for key in some]
        return dict(zip(keys, store.read(keys), strict=True))


def check_removal(server: Server, vector: dict[str, Any]) -> None:
    """Write corrected vectors beside the old ones."""
    docs = documents(unit=True)
    address = server.index(docs, {**FIELDS, "vec": vector})
    before = debias_store(address)
    assert (before.written, before.rows) == (None, {"de": 30, "en": 30, "ja": 27, "no language": 3})
    done = debias_store(address, to_vector="new", write=True, out="removed")
    assert (done.written, done.copied) == (90, {"no language": 3})
    new = stored(address)
    old = {f"id-{doc['sku']}": np.float32(doc["vec"]) for doc in docs if "vec" in doc}
    assert new.keys() == old.keys()
    for doc in docs[:3]:
        lang, key = doc["lang"], f"id-{doc['sku']}"
        np.testing.assert_allclose(done.removal.apply(old[key][None], [lang], "passage")[0], new[key], atol=1e-5)
    with closing(open_store(f"{address}?vector=vec")) as store:
        keys = list(old)
        np.testing.assert_allclose(store.read(keys), np.stack([old[key] for key in keys]), atol=1e-6)
    again = debias_store(address, to_vector="new", write=True, out="removed")
    assert again.written == 0
    with opened(f"{address}?vector=new") as engine:
        (hits,) = engine.nearest(new["id-s0"][None], [Where()], 1)
        assert hits[0].id == "id-s0"
    with opened(address) as engine:  # the new field is not in the way
        assert engine.dimension == 8


@pytest.mark.parametrize("kind", ["es cosine", "es unit", "os lucene cosinesimil", "os nmslib cosinesimil"])
def test_corrected_vectors_beside_the_old_ones(kind: str, stand_ins: dict[str, Server]) -> None:
    product, vector = KINDS[kind]
    check_removal(stand_ins[product], vector)


@pytest.mark.parametrize("product", ["opensearch", "elasticsearch"])
def test_a_killed_run_goes_on_and_replace_begins_again(
    product: str, stand_ins: dict[str, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = stand_ins[product]
    server = one.stand_in
    assert server is not None
    monkeypatch.setattr("babelmix.search.foreign.removing.PAGE", 20)
    vector = KINDS["es cosine" if product == "elasticsearch" else "os lucene cosinesimil"][1]
    address = one.index(documents(), {**FIELDS, "vec": vector}, routed=True)
    from babelmix.search.foreign.removing import rewrite

    monkeypatch.setattr(
        "babelmix.search.foreign.removing.rewrite", lambda *args, **options: rewrite(*args, **{**options, "size": 20})
    )
    bulks = 0

    def dies(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        nonlocal bulks
        bulks += path.endswith("_bulk")
        return (403, {"error": {"reason": "gone"}}) if path.endswith("_bulk") and bulks > 2 else None

    server.faults = [dies]
    with pytest.raises(SearchError, match="gone"):
        debias_store(address, to_vector="new", write=True, out="removed")
    server.faults = []
    done = debias_store(address, to_vector="new", write=True, out="removed")
    assert done.written == 90 - 40
    assert len(stored(address)) == 90
    with pytest.raises(SearchError, match="rows were written with"):
        debias_store(address, to_vector="new", write=True, out="removed", alpha=0.5)
    begun = debias_store(address, to_vector="new", write=True, out="removed", alpha=0.5, replace=True)
    assert begun.written == 90
    assert "a field cannot be removed from a mapping" in begun.steps["back"]


def test_documents_that_others_change_are_left_for_the_next_run(stand_ins: dict[str, Server]) -> None:
    one = stand_ins["elasticsearch"]
    server = one.stand_in
    assert server is not None
    address = one.index(documents(), {**FIELDS, "vec": KINDS["es cosine"][1]})
    index = server.indices[address.rpartition("/")[2]]

    def changes(method: str, path: str, body: Any) -> None:
        if path.endswith("_bulk") and not index.docs["id-s5"]["source"].get("changed"):
            index.put("id-s5", {**index.docs["id-s5"]["source"], "vec": [9.0] * 8, "changed": True})

    server.faults = [changes]  # type: ignore[list-item]
    with pytest.raises(SearchError, match="1 documents were changed or removed by others"):
        debias_store(address, to_vector="new", write=True, out="removed")
    assert "new" not in index.docs["id-s5"]["source"]
    again = debias_store(address, to_vector="new", write=True, out="removed")
    assert again.written == 1
    corrected = again.removal.apply(np.full((1, 8), 9.0, np.float32), ["ja"], "passage")[0]
    np.testing.assert_allclose(index.docs["id-s5"]["source"]["new"], corrected, atol=1e-5)


def test_full_servers_and_refused_documents(stand_ins: dict[str, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    one = stand_ins["elasticsearch"]
    server = one.stand_in
    assert server is not None
    monkeypatch.setattr("babelmix.search.foreign.opensearch_store._PAUSE", 0.001)
    address = one.index(documents(), {**FIELDS, "vec": KINDS["es cosine"][1]})
    first = True

    def full(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        nonlocal first
        if not path.endswith("_bulk") or not first:
            return None
        first = False
        index = server.indices[address.rpartition("/")[2]]
        answer = server.bulk(index, body[2:])
        return 200, {
            "errors": True,
            "items": [{"update": {"_id": body[0]["update"]["_id"], "status": 429}}, *answer["items"]],
        }

    server.faults = [full]
    assert debias_store(address, to_vector="new", write=True).written == 90
    assert len(stored(address)) == 90
    refusal = {"update": {"_id": "x", "status": 400, "error": {"reason": "too large"}}}
    server.faults = [lambda method, path, body: (200, {"items": [refusal]}) if path.endswith("_bulk") else None]
    with pytest.raises(SearchError, match="the document x was not written: too large"):
        debias_store(address, to_vector="other", write=True)


def test_what_others_made_is_never_written(stand_ins: dict[str, Server]) -> None:
    one = stand_ins["opensearch"]
    vector = KINDS["os lucene cosinesimil"][1]
    address = one.index(documents(), {**FIELDS, "vec": vector, "theirs": vector})
    with pytest.raises(BabelmixError, match="babelmix did not make it"):
        debias_store(f"{address}?vector=vec", to_vector="theirs", write=True)
    with pytest.raises(BabelmixError, match="cannot be the name of a field"):
        debias_store(f"{address}?vector=vec", to_vector="a.b", write=True)
    with closing(open_store(f"{address}?vector=vec")) as store:
        for name in ("vec", "theirs"):
            with pytest.raises(SearchError, match="not one that babelmix added"):
                store.write(name, ["id-s1"], np.ones((1, 8), np.float32))
            with pytest.raises(SearchError, match="not one that babelmix added"):
                store.drop(name)
    server = one.stand_in
    assert server is not None
    assert not [path for _, path, _ in server.requests if path.endswith("_bulk")]
    with pytest.raises(SearchError, match="has no field of languages"):
        open_store(one.index([], {"vec": vector, "body": {"type": "text"}}))


def test_the_removal_of_the_address_corrects_queries(stand_ins: dict[str, Server], tiny_static: Any) -> None:
    from babelmix.search.index import Index as Searched
    from babelmix.search.index_encoder import facts_of_collection

    vectors = np.random.default_rng(0).standard_normal((90, tiny_static.get_embedding_dimension()))
    dimension = vectors.shape[1]
    docs = [{**doc, "vec": vector.tolist()} for doc, vector in zip(documents(), vectors, strict=False)]
    spec = {**KINDS["es cosine"][1], "dims": dimension}
    address = stand_ins["elasticsearch"].index(docs, {**FIELDS, "vec": spec})
    done = debias_store(address, to_vector="new", write=True, out="removed")
    with opened(f"{address}?vector=new&removal=removed/removal.safetensors") as engine:
        index = Searched(engine, facts_of_collection(engine, tiny_static, "tiny"))
        query = np.float32(vectors[:1] / np.linalg.norm(vectors[:1]))
        np.testing.assert_allclose(
            index.ready(query, ["de"], "query"), done.removal.apply(query, ["de"], "query"), atol=1e-6
        )
        assert np.abs(index.ready(query, ["de"], "query") - query).max() > 0.01
    with opened(f"{address}?vector=new&removal=nowhere") as engine, pytest.raises(BabelmixError, match="nowhere"):
        facts_of_collection(engine, tiny_static, "tiny")


# --- servers of other makes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["es cosine", "es dot", "es unit", "es l2", "es no graph"])
def test_on_noida(kind: str, noida: Server) -> None:
    vector = dict(KINDS[kind][1])
    if vector["index"]:
        vector["index_options"] = {"type": "hnsw"}
    docs = documents(unit=kind in UNIT)
    check_nearest(noida.index(docs, {**FIELDS, "vec": vector}), docs)


def test_the_rest_on_noida(noida: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("babelmix.search.foreign.opensearch._PAGE", 7)
    vector = {**KINDS["es cosine"][1], "index_options": {"type": "hnsw"}}
    check_read(noida.index(documents(), {**FIELDS, "vec": vector}))
    check_removal(noida, vector)


def test_all_but_vectors_on_osmem(osmem: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("babelmix.search.foreign.opensearch._PAGE", 7)
    vector = KINDS["os lucene cosinesimil"][1]
    address = osmem.index(documents(), {**FIELDS, "vec": vector})
    check_read(address)
    done = debias_store(address, to_vector="new", write=True)
    assert done.written == 90
    assert len(stored(address)) == 90
    assert debias_store(address, to_vector="new", write=True).written == 0
