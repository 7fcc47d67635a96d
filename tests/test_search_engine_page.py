"""What docs/search-engine.md shows runs: snippets with stand-ins for the servers, then the audits of what they wrote."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import typer

import babelmix as bm

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "search-engine.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
MARKED = dict(re.findall(r"^<!-- ([\w-]+) -->\n```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
COMMANDS = [
    line
    for kind, block in BLOCKS
    if kind == "bash"
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith("babelmix ")
]
LANGS = ("de", "en", "fr")
ITEMS = 12


def articles() -> list[dict[str, str]]:
    return [
        {
            "item": f"a{i}",
            "lang": lang,
            "title": f"title {i} {lang}",
            "text": f"{lang} text of the article number {i} " * 3,
        }
        for i in range(ITEMS)
        for lang in LANGS
    ]


def vector_of(text: str) -> list[float]:
    """A vector that says the number and the language of a text."""
    number = int(re.findall(r"\d+", text)[0])
    lang = next((place for place, one in enumerate(LANGS) if re.search(rf"\b{one}\b", text)), 0)
    vector = np.zeros(ITEMS + len(LANGS))
    vector[number], vector[ITEMS + lang] = 1.0, 0.8
    return vector.tolist()


def run(name: str) -> dict[str, Any]:
    names = {"__name__": "example"}
    exec(compile(MARKED[name], f"docs/search-engine.md, {name}", "exec"), names)
    return names


def write_articles(folder: Path) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in articles()]
    (folder / "articles.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a user with the articles, and the queries made of them."""
    monkeypatch.chdir(tmp_path)
    write_articles(tmp_path)
    bm.make_queries("articles.jsonl", queries_from="titles", out="asked")
    return tmp_path


def module(monkeypatch: pytest.MonkeyPatch, name: str, **names: Any) -> None:
    made = types.ModuleType(name)
    vars(made).update(names)
    monkeypatch.setitem(sys.modules, name, made)


def test_every_block_is_well_formed() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "bash", "json", "csv"}
    for kind, block in BLOCKS:
        if kind == "python":
            ast.parse(block)
            assert max(map(len, block.splitlines())) <= 130
        elif kind == "json" and "{{" in block:
            assert {"query"} == set(json.loads(block))
        elif kind == "json":
            assert all({"item", "lang", "text"} <= set(json.loads(line)) for line in block.splitlines())
        elif kind == "csv":
            rows = list(csv.reader(io.StringIO(block)))
            assert len({len(row) for row in rows}) == 1
    for name in ("adapter-pgvector", "adapter-qdrant", "adapter-elastic"):
        lines = [line for line in MARKED[name].splitlines() if line.strip() and not line.startswith("#")]
        assert len(lines) <= 14, name


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_has_the_options_that_are_shown(line: str) -> None:
    from babelmix.cli.app import app

    words = shlex.split(line)[1:]
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    name = " ".join(words[:2]) if " ".join(words[:2]) in commands else words[0]
    options = {option for one in commands[name].params for option in one.opts}
    assert {word for word in words if word.startswith("--")} <= options


def check_export(place: Path) -> None:
    """The exported articles are indexed, and their vectors are found by their ids."""
    lines = [json.loads(line) for line in (place / "articles.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted((row["item"], row["lang"]) for row in lines) == sorted(
        (row["item"], row["lang"]) for row in articles()
    )
    assert all(row["title"] and row["text"] for row in lines)
    vectors, ids = np.load("passages.npy"), Path("passages.ids.txt").read_text(encoding="utf-8").split()
    assert len(vectors) == len(ids) == len(lines)
    by_id = dict(zip(ids, vectors.tolist(), strict=True))
    for row in articles():
        assert by_id[f"{row['item']}/{row['lang']}"] == pytest.approx(vector_of(row["text"]))


def test_the_export_from_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/test")
    rows = [(r["item"], r["lang"], r["title"], r["text"], json.dumps(vector_of(r["text"]))) for r in articles()]

    class Both:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def cursor(self, name):
            return self

        def execute(self, query):
            assert "FROM articles" in query

        def __iter__(self):
            return iter(rows)

    module(monkeypatch, "psycopg", connect=lambda url: Both())
    run("pgvector")
    check_export(tmp_path)


def test_the_export_from_qdrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    class Client:
        def __init__(self, url):
            assert url == "http://localhost:6333"

        def scroll(self, name, *, limit, offset, with_payload, with_vectors):
            rows, start = articles(), offset or 0
            points = [
                types.SimpleNamespace(payload=row, vector=vector_of(row["text"])) for row in rows[start : start + 10]
            ]
            return points, (start + 10 if start + 10 < len(rows) else None)

    module(monkeypatch, "qdrant_client", QdrantClient=Client)
    run("qdrant")
    check_export(tmp_path)


def test_the_export_from_elasticsearch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def scan(client, *, index, query):
        for row in articles():
            yield {"_source": {**row, "embedding": vector_of(row["text"])}}

    module(monkeypatch, "elasticsearch", Elasticsearch=lambda url: url)
    module(monkeypatch, "elasticsearch.helpers", scan=scan)
    run("elastic")
    check_export(tmp_path)
    # Ids keep their order through the selection of those that are asked for.
    bm.make_queries("articles.jsonl", queries_from="titles", out="asked")
    ids = Path("passages.ids.txt").read_text(encoding="utf-8")
    Path("passages.ids.txt").write_text("gone/de\n" + ids, encoding="utf-8")
    np.save("passages.npy", np.vstack([np.zeros((1, ITEMS + len(LANGS))), np.load("passages.npy")]).astype(np.float32))
    run("keep")
    assert sorted(Path("passages.ids.txt").read_text(encoding="utf-8").split()) == sorted(ids.split())
    check_export(tmp_path)


def mocked(monkeypatch: pytest.MonkeyPatch, handler: Any) -> None:
    real = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **options: real(**options, transport=httpx.MockTransport(handler)))


def test_from_an_api_to_a_gate(place: Path, monkeypatch: pytest.MonkeyPatch, babelmix) -> None:
    def embeddings(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/embeddings"
        texts = json.loads(request.content)["input"]
        data = [{"index": i, "embedding": vector_of(text)} for i, text in enumerate(texts)]
        return httpx.Response(200, json={"data": data[::-1]})

    mocked(monkeypatch, embeddings)
    run("embed")
    first, gate, *_ = (line for line in COMMANDS if line.startswith("babelmix audit --vectors"))
    code, out, err = babelmix(*shlex.split(first)[1:])
    assert code == 0, err
    assert "iased" in out.splitlines()[0]
    assert (place / "before" / "report.html").is_file()
    code, out, err = babelmix(*shlex.split(gate)[1:])
    assert code == 0, err
    # Bias comes back: passages of the query's language first.
    for side in ("queries", "passages"):
        vectors = np.load(f"{side}.npy")
        vectors[:, ITEMS:] *= 9
        np.save(f"{side}.npy", vectors)
    code, out, err = babelmix(*[word.replace("now", "later") for word in shlex.split(gate)[1:]])
    assert code == 3, (out, err)
    assert "FAILED" in out + err


def test_adapters_and_runs(place: Path, monkeypatch: pytest.MonkeyPatch, babelmix) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/articles/_search"
        asked = json.loads(request.content)
        text, size = asked["query"]["multi_match"]["query"], asked["size"]
        return httpx.Response(
            200, json={"hits": {"hits": [{"_source": row, "_score": s} for row, s in found(text, size)]}}
        )

    def found(text: str, k: int) -> list[tuple[dict[str, str], float]]:
        scored = [(row, float(np.dot(vector_of(text), vector_of(row["text"])))) for row in articles()]
        return sorted(scored, key=lambda pair: -pair[1])[:k]

    class Connection:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def execute(self, query, values):
            rows = [(row["item"], row["lang"], s) for row, s in found(json.loads(values[0])["text"], values[2])]
            return types.SimpleNamespace(fetchall=lambda: rows)

    class Client:
        def __init__(self, url):
            pass

        def query_points(self, name, *, query, limit, with_payload):
            points = [types.SimpleNamespace(payload=row, score=s) for row, s in found(query["text"], limit)]
            return types.SimpleNamespace(points=points)

    class Text(dict):
        def __str__(self):
            return json.dumps(self)

    monkeypatch.setenv("DATABASE_URL", "postgresql://localhost/test")
    mocked(monkeypatch, answer)
    module(monkeypatch, "embed_one", embed=lambda text: Text(text=text))
    module(monkeypatch, "psycopg", connect=lambda url: Connection())
    module(monkeypatch, "qdrant_client", QdrantClient=Client)
    searches = {name: run(f"adapter-{name}")["search"] for name in ("pgvector", "qdrant", "elastic")}
    expected = [(f"{row['item']}/{row['lang']}", score) for row, score in found("title 3 fr", 5)]
    for name, search in searches.items():
        assert search("title 3 fr", "fr", 5) == expected, name
    module(monkeypatch, "my_adapter", search=searches["elastic"])
    run("run")
    Path("my_adapter.py").write_text(MARKED["adapter-elastic"], encoding="utf-8")
    code, _, err = babelmix("audit", "-c", "asked", "--run", "mine.trec", "--out", "lists")
    assert code == 0, err
    code, _, err = babelmix(
        "audit", "-c", "asked", "--through", "my_adapter.py:search", "--depth", "20", "--out", "live"
    )
    assert code == 0, err
    run_found, live = (json.loads(Path(name, "lists.json").read_text("utf-8")) for name in ("lists", "live"))
    assert run_found.keys() == live.keys()


def test_clicks_are_queries(place: Path, babelmix) -> None:
    (clicks,) = [block for kind, block in BLOCKS if kind == "csv"]
    # A template of a query holds names in double braces.
    lines = [line for kind, block in BLOCKS if kind == "json" and "{{" not in block for line in block.splitlines()]
    Path("articles.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    Path("clicks.csv").write_text(clicks, encoding="utf-8")
    (command,) = [line for line in COMMANDS if "clicks.csv" in line]
    code, _, err = babelmix(*[word.replace("asked", "clicked") for word in shlex.split(command)[1:]])
    assert code == 0, err
    assert bm.load_corpus("clicked").queries.num_rows == 2


def test_language_is_taken_out_of_vectors_and_of_an_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, babelmix, tiny_static: Any
) -> None:
    pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")
    monkeypatch.chdir(tmp_path)
    # A language is fitted on 20 rows or more.
    monkeypatch.setattr(sys.modules[__name__], "ITEMS", 24)
    write_articles(tmp_path)
    bm.make_queries("articles.jsonl", queries_from="titles", out="asked")
    corpus = bm.load_corpus("asked")
    for side, table in (("queries", corpus.queries), ("passages", corpus.passages)):
        vectors = np.array([vector_of(text) for text in table["text"].to_pylist()], dtype=np.float32)
        vectors[:, ITEMS:] *= 3  # a strong language bias
        np.save(f"{side}.npy", vectors)
    ids = corpus.row_ids("passages")
    Path("passages.ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    np.save("new-passages.npy", np.load("passages.npy")[:5])
    Path("new-passages.ids.txt").write_text("\n".join(ids[:5]) + "\n", encoding="utf-8")
    tiny_static.save("model", create_model_card=False)
    section = PAGE[
        PAGE.index("## Take language out of stored vectors") : PAGE.index("## Take language out, in PostgreSQL")
    ]
    lines = [line for line in section.replace("\\\n", " ").splitlines() if line.startswith("babelmix ")]
    assert len(lines) == 7
    printed = {}
    for line in ["babelmix audit --vectors my-api=queries.npy passages.npy -c asked --out before", *lines]:
        words = shlex.split(line.replace("e5-small-offline", "model"))[1:]
        code, printed[line], err = babelmix(*words)
        assert code == 0, err
    before, after = (
        json.loads(Path(name, "metrics.json").read_text("utf-8"))["macro"]["multi/mAP"]["value"]
        for name in ("before", "after")
    )
    assert after > before
    assert Path("new-corrected/passages.ids.txt").read_text("utf-8").split() == ids[:5]
    np.testing.assert_allclose(np.load("new-corrected/passages.npy"), np.load("corrected/passages.npy")[:5], atol=1e-6)
    names: dict[str, Any] = {}
    exec(compile(printed["babelmix debias --export corrected"], "exported", "exec"), names)
    langs = [name.rpartition("/")[2] for name in ids]
    found = names["without_language"](np.load("passages.npy"), langs, "passage")
    np.testing.assert_allclose(found, np.load("corrected/passages.npy"), atol=1e-6)
