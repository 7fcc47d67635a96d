"""Queries of the user's own: the system itself embeds and ranks, and its answers are audited."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opensearch_server import Index, StandIn, serving
from postgres_server import at, postgres_server

from babelmix.api.through_auditing import audit_through
from babelmix.corpus import Corpus
from babelmix.errors import ArgumentError, BabelmixError, ConfigError, SearchError
from babelmix.search.foreign import elastic_client
from babelmix.search.foreign.templates import filled, open_template, read_json

LANGS = ("de", "en")
ITEMS = tuple("abcdef")


def embed(text: str) -> list[float]:
    """A model that finds the item, and likes rows of the query's language."""
    item, lang = text.split()[:2]
    vector = np.zeros(8)
    vector[ITEMS.index(item)] = 1.0
    vector[6 + LANGS.index(lang)] = 2.0
    return [float(value) for value in vector / np.linalg.norm(vector)]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rows = [
        {"item": item, "lang": lang, "text": f'{item} {lang} "quoted" {{{{k}}}}'} for item in ITEMS for lang in LANGS
    ]
    return Corpus.from_rows(rows, rows, [(item, item) for item in ITEMS], name="six")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, StandIn]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(elastic_client, "_PAUSE", 0.001)
    stand_in = StandIn("opensearch")
    stand_in.embed = embed
    vector = {"type": "knn_vector", "dimension": 8, "method": {"engine": "lucene", "space_type": "cosinesimil"}}
    fields = {"page": {"type": "keyword"}, "lang": {"type": "keyword"}, "body": {"type": "text"}, "vec": vector}
    index = Index({"properties": fields}, {"knn": "true"})
    for item in ITEMS:
        for lang in LANGS:
            source = {"page": item, "lang": lang.upper(), "body": f"{item} {lang}", "vec": embed(f"{item} {lang}")}
            index.put(f"{item}/{lang}", source)
    index.put("z/fr", {"page": "z", "lang": "fr", "body": "no passage of the corpus", "vec": [0.1] * 8})
    index.refresh()
    stand_in.indices["docs"] = index
    with serving(stand_in) as host:
        yield f"opensearch://{host}/docs", stand_in


NEURAL = {"query": {"neural": {"vec": {"query_text": "{{query}}", "model_id": "m", "k": "{{k}}"}}}}


def write(name: str, body: Any) -> str:
    Path(name).write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
    return name


def test_the_server_embeds_and_its_bias_is_measured(server: tuple[str, StandIn], corpus: Corpus) -> None:
    address, stand_in = server
    file = write("neural.json", NEURAL)
    report = audit_through(f"{address}?template={file}", corpus, depth=12)
    (audit,) = report.audits.values()
    assert np.mean(audit.measures["bias/same-language preference@12"].values) == pytest.approx(1.0)
    sent = [body for _, path, body in stand_in.requests if path.endswith("_search")]
    assert len(sent) == 12
    texts = {body["query"]["neural"]["vec"]["query_text"] for body in sent}
    assert 'a de "quoted" {{k}}' in texts  # what a query says is never read as a template
    assert {body["query"]["neural"]["vec"]["k"] for body in sent} == {12}
    joined = audit_through(f"{address}?template={file}&item=page", corpus, depth=12)
    (again,) = joined.audits.values()
    np.testing.assert_array_equal(again.measures["multi/mAP@12"].values, audit.measures["multi/mAP@12"].values)


def test_an_interrupted_audit_goes_on(server: tuple[str, StandIn], corpus: Corpus) -> None:
    address, stand_in = server
    file = write("neural.json", NEURAL)
    asked = 0

    def dies(method: str, path: str, body: Any) -> tuple[int, Any] | None:
        nonlocal asked
        asked += path.endswith("_search")
        return (403, {"error": "gone"}) if asked > 8 and path.endswith("_search") else None

    stand_in.faults = [dies]
    with pytest.raises(BabelmixError, match="the same audit goes on from there"):
        audit_through(f"{address}?template={file}", corpus, depth=10, out="audit")
    stand_in.faults = []
    stand_in.requests.clear()
    audit_through(f"{address}?template={file}", corpus, depth=10, out="audit")
    again = [path for _, path, _ in stand_in.requests if path.endswith("_search")]
    assert 0 < len(again) < 12


def test_languages_vectors_and_pipelines(server: tuple[str, StandIn]) -> None:
    address, stand_in = server
    body = {
        "size": 3, "query": {"bool": {
            "filter": [{"terms": {"lang": "{{langs}}"}}], "must": [{"match": {"body": {"query": "{{query}}"}}}],
        }},
    }  # fmt: skip
    template = open_template(f"{address}?template={write('words.json', body)}&pipeline=mine")
    assert template.asks == {"langs", "query"}
    found = template({"query": "a", "langs": ["DE", "EN"], "k": 5, "lang": "de"})
    assert sorted(answer.item for answer in found) == ["a/de", "a/en"]
    template.close()
    near = {"query": {"knn": {"vec": {"vector": "{{vector}}", "k": "{{k}}"}}}}
    template = open_template(f"{address}?template={write('near.json', near)}&item=page")
    (first, *_) = template({"vector": embed("b en"), "k": 2})
    assert (first.item, first.lang) == ("b", "en")
    template.close()
    assert stand_in.requests[-1][2]["size"] == 2


def test_an_encoder_is_named_if_the_template_asks_for_vectors(server: tuple[str, StandIn], corpus: Corpus) -> None:
    address, _ = server
    near = write("near.json", {"query": {"knn": {"vec": {"vector": "{{vector}}", "k": "{{k}}"}}}})
    with pytest.raises(ArgumentError, match="the template asks for vectors; name the encoder"):
        audit_through(f"{address}?template={near}", corpus)
    with pytest.raises(ArgumentError, match="the template has no  vector"):
        audit_through(f"{address}?template={write('neural.json', NEURAL)}", corpus, model="static-e5")
    with pytest.raises(ArgumentError, match="a template says itself what is asked"):
        audit_through(f"{address}?template={near}", corpus, policies="own")
    with pytest.raises(ArgumentError, match="name the corpus"):
        audit_through(f"{address}?template={near}")


def test_files_that_are_no_templates(tmp_path: Path) -> None:
    cases = {
        "{": "is no JSON",
        "[]": "is the body of a search",
        '{"a": "no query"}': "asks for no query",
        '{"a": ["x {{query}}"]}': "a.0: {{query}} has to be the whole value",
        '{"body_{{lang}}": "{{query}}"}': "never in the name of a field",
        '{"a": "{{user}}"}': "has no value 'user'",
    }
    for text, why in cases.items():
        file = tmp_path / "template.json"
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"template\.json: ") as error:
            read_json(file)
        assert why in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_json(tmp_path / "nowhere.json")
    with pytest.raises(SearchError, match="has no templates"):
        open_template("qdrant://h/c?template=x.json")
    assert filled({"a": ["{{ k }}", 1, None]}, {"k": 3}) == {"a": [3, 1, None]}


@pytest.mark.slow
def test_statements_of_postgresql_only_read(corpus: Corpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    import psycopg

    with postgres_server() as url, psycopg.connect(url, autocommit=True) as base:
        base.execute("CREATE TABLE docs (id text, page text, lang text, body text)")
        with base.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO docs VALUES (%s, %s, %s, %s)",
                [(f"{item}/{lang}", item, lang, f"{item} {lang}") for item in ITEMS for lang in LANGS],
            )
        address = f"{at(url, 'docs')}&template="
        select = (
            "SELECT page AS item, lang, ts_rank(to_tsvector('simple', body), q) AS score FROM docs, "
            "plainto_tsquery('simple', split_part(%(query)s, ' ', 1)) AS q WHERE to_tsvector('simple', body) @@ q "
            "ORDER BY lang = %(lang)s DESC, page LIMIT %(k)s"
        )
        report = audit_through(f"{address}{write('words.sql', select)}", corpus, depth=10)
        (audit,) = report.audits.values()
        assert np.mean(audit.measures["multi/mAP@10"].values) == pytest.approx(1.0)
        for number, (statement, why) in enumerate({
            "WITH x AS (DELETE FROM docs RETURNING id) SELECT id FROM x WHERE id <> %(query)s": "read-only transaction",
            "SELECT 1 AS one WHERE %(query)s <> ''": "it needs  id,",
            "SELECT nothing FROM docs WHERE body = %(query)s": "does not exist",
        }.items()):  # fmt: skip
            with pytest.raises(BabelmixError, match=why):
                audit_through(f"{address}{write(f'{number}.sql', statement)}", corpus)
        assert base.execute("SELECT count(*) FROM docs").fetchone() == (12,)


def test_from_the_command_line(
    server: tuple[str, StandIn], corpus: Corpus, babelmix: Callable[..., tuple[int, str, str]]
) -> None:
    address, _ = server
    corpus.save("six")
    file = write("neural.json", NEURAL)
    asked = ("audit", "-c", "six", "--through", f"{address}?template={file}", "--depth", "10", "--out", "x")
    code, out, _ = babelmix(*asked, "--json")
    assert code == 0
    assert json.loads(out)["about"]["queries"] == 12
    code, _, told = babelmix(*asked[:4], f"{address}?template=nowhere.json")
    assert code != 0
    assert "nowhere.json: cannot be read" in told
