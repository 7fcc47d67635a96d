"""The weight of words in a hybrid search, and the language of a query: given, detected, or unknown."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Serve, parallel_corpus

from babelmix.api.index_auditing import audit_index
from babelmix.corpus.detecting import detect_languages
from babelmix.encoders.removal import Removal
from babelmix.errors import ArgumentError, MissingExtraError, SearchError
from babelmix.search import Index, Searcher, index_rows
from babelmix.search.documents import rows_of_corpus
from babelmix.search.fusion import DEFAULT_WEIGHT
from babelmix.search.options import SearchOptions
from babelmix.search.policies import Policy
from babelmix.search.system import IndexSystem

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


def test_the_weight_of_words_goes_from_meaning_to_both(searcher: Searcher) -> None:
    def search(**options: Any) -> list[tuple[str, float]]:
        return [(hit.id, hit.score) for hit in searcher.search("Katze 3", k=12, **options)]

    assert search(mode="hybrid", words_weight=0) == search()
    assert search(mode="hybrid", words_weight="0,de=0") == search()
    assert search(mode="hybrid", words_weight=DEFAULT_WEIGHT) == search(mode="hybrid")
    assert search(mode="hybrid", words_weight=0.01) not in (search(), search(mode="hybrid", words_weight=1))
    best = search(mode="words")[0][0]
    places = [[name for name, _ in search(mode="hybrid", words_weight=weight)].index(best) for weight in (0.1, 1)]
    assert places[0] >= places[1]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"words_weight": 0.5}, "a weight of words is for the mode 'hybrid', not 'dense'"),
        ({"mode": "hybrid", "words_weight": 10.5}, "the weight of words is 10.5; give a number from 0"),
        ({"mode": "hybrid", "words_weight": "0.2,jp=1"}, "the weight of words: 'jp' is not a BCP 47"),
        ({"fusion": "rrf"}, "a fusion is for the mode 'hybrid', not 'dense'"),
        ({"mode": "hybrid", "fusion": "rrf:k=x"}, "the fusion 'rrf:k=x' has the wrong option 'k=x'"),
        ({"mode": "hybrid", "words_weight": float("nan")}, "the weight of words is nan"),
        ({"query_langs": "jp"}, "the language of a query: 'jp' is not a BCP 47 .*did you mean 'ja'.*give detect or a language"),
        ({"query_langs": ["de", "en"]}, "there are 1 queries, and the languages of 2; give one for each query"),
        ({"query_langs": 5}, "the language of a query is 5; give a text"),
        ({"query_langs": [5]}, "the language of a query is 5; give detect or a language, as a text"),
        ({"k": "5"}, "k is '5'; ask for 1 to 1,000 rows, a whole number"),
        ({"k": 2.5}, "k is 2.5; ask for 1 to 1,000 rows, a whole number"),
        ({"k": True}, "k is True; ask"),
        ({"k": None}, "k is None; ask"),
        ({"k": np.int64(0)}, "k is 0; ask"),
        ({"k": float("nan")}, "k is nan; ask"),
        ({"once": "no"}, "once is 'no'; give True or False"),
        ({"once": None}, "once is None; give True or False"),
        ({"exact": 1}, "exact is 1; give True or False"),
        ({"rerank": "no"}, "rerank is 'no'; give True or False"),
        ({"policy": None}, "the policy is None; give a text such as 'balanced'"),
        ({"policy": ["any"]}, r"the policy is \['any'\]; give a text such as"),
        ({"mode": None}, "the mode None is unknown; use dense"),
        ({"show": None}, "show is None; use found or mine"),
        ({"mode": "hybrid", "fusion": 5}, "the fusion is 5; give a text such as 'rrf:k=20'"),
        ({"mode": "hybrid", "words_weight": [1]}, "the weight of words is "),
        ({"langs": 5}, "langs: give a text or a list of texts, not int"),
        ({"langs": [5]}, "langs: give a text or a list of texts"),
        ({"where": 5}, "where: give a text or a list of texts, not int"),
        ({"where": {"group": None}}, "the filter 'group' is None; give a value, or a list of values"),
        ({"where": {"group": {"a": 1}}}, "the filter 'group' is {'a': 1}; give"),
        ({"where": {"group": [None]}}, "is a text, a number, true or false, not NoneType"),
        ({"where": {5: "a"}}, "there is no column 5 to filter by"),
        ({"vectors": np.zeros((2, 16), "f4")}, r"have the shape \(2, 16\); give one vector for each query, shape \(1, 16\)"),
        ({"vectors": np.zeros(16, "f4")}, r"vectors have the shape \(16,\)"),
        ({"vectors": np.zeros((1, 3), "f4")}, r"vectors have the shape \(1, 3\)"),
        ({"vectors": np.full((1, 16), np.nan, "f4")}, "vectors: a number is not finite"),
        ({"vectors": "cat"}, "vectors: give an array of numbers"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_said(searcher: Searcher, options: dict[str, Any], match: str) -> None:
    with pytest.raises((SearchError, ArgumentError), match=match):
        searcher.search("cat", **options)


def test_queries_and_numbers_of_the_right_types(searcher: Searcher) -> None:
    for wrong in (None, 5, [5], [None], ["cat", b"dog"], b"cat", [["cat"]]):
        with pytest.raises(SearchError, match="give a text"):
            searcher.search(wrong)  # type: ignore[call-overload]
    with pytest.raises(
        SearchError, match=r"have the shape \(1, 16\); give one vector for each query, shape \(2, 16\)"
    ):
        searcher.search(["cat", "dog"], vectors=searcher.embed(["cat"]))
    with pytest.raises(SearchError, match="the language policy 'al' is unknown"):
        Policy("al")
    # Numbers of numpy, and lists in place of arrays, are as good.
    vectors = searcher.embed("cat")
    plain = searcher.search("cat", k=3, once=True)
    assert searcher.search("cat", k=np.int32(3), once=np.True_, vectors=vectors.tolist()) == plain
    assert searcher.search("cat", k=3, once=True, where=[], vectors=vectors.astype(np.float64)) == plain
    assert searcher.search([]) == []
    assert len(searcher.search("", k=2, vectors=vectors)) == 2


def test_languages_are_given_or_detected(searcher: Searcher) -> None:
    asked = ["das Haus am Fluss", "the house by the river", "42"]
    assert searcher.query_langs(asked, "detect") == ["de", "en", None]
    assert searcher.query_langs(asked, ["fra", None, "detect"]) == ["fr", None, None]
    assert searcher.query_langs(asked, "iw") == ["he"] * 3
    assert searcher.query_langs(asked, None) is None


def test_the_language_reaches_the_embedding(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    embed = Searcher.embed

    def remembered(self: Searcher, queries: Any, langs: Any = None, **options: Any) -> Any:
        seen.append(langs)
        return embed(self, queries, langs, **options)

    monkeypatch.setattr(Searcher, "embed", remembered)
    searcher.search("das Haus am Fluss", query_langs="detect")
    searcher.search(["a", "b"], query_langs=["de", None])
    searcher.search("a")
    assert seen == [["de"], ["de", None], None]


def test_a_removal_of_the_index_moves_a_query_by_its_language(tiny_static: Any, tmp_path: Path) -> None:
    langs = ("de", "en", "fr", "ja")
    offsets = np.zeros((2, 4, tiny_static.get_embedding_dimension()), dtype=np.float32)
    offsets[:, np.arange(4), np.arange(4)] = 0.5
    # It tells every vector to be French.
    biases = np.tile(np.array([0, 0, 50, 0], dtype=np.float32), (2, 1))
    removal = Removal("offsets", langs, offsets, discriminants=np.zeros_like(offsets), biases=biases)
    index = Index.create(str(tmp_path / "index"), tiny_static, "tiny", removal=removal)
    index_rows(index, tiny_static, rows_of_corpus(parallel_corpus()))
    with Searcher(index, tiny_static) as searcher:
        text = "das Haus am Fluss"
        raw = tiny_static.encode_query([text])
        for said, lang in (("fr", "fr"), ("detect", "de"), ("de-AT", "de"), (None, "fr")):
            expected = removal.apply(raw, [lang], "query")
            told = searcher.query_langs([text], said)
            np.testing.assert_allclose(searcher.embed([text], told), expected, atol=1e-6)
            hits = searcher.search(text, k=5, query_langs=said)
            assert hits == searcher.search(text, k=5, vectors=expected)


def test_a_detector_chooses_among_the_languages_that_there_may_be() -> None:
    text = "Tenho uma pergunta sobre a configuração"
    assert detect_languages(text, ["en", "pt-BR", "pt-PT"]) == ["pt-BR"]
    assert detect_languages(text, ["en", "es"], least=0) == ["es"]
    assert detect_languages(["", "?!", "1,5"], ["en", "es"], least=0) == [None] * 3
    assert detect_languages(text, []) == [None]
    # A language that the detector does not know is never detected.
    assert detect_languages(text, ["tlh"]) == [None]


def test_without_the_extra(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py3langid.langid", None)
    with pytest.raises(MissingExtraError, match=r"Detecting the language of a text needs .*babelmix\[detect\]"):
        searcher.search("cat", query_langs="detect")


def test_the_service(serve: Serve, searcher: Searcher) -> None:
    client = serve()
    asked = {"query": "Katze 3", "mode": "hybrid", "words_weight": 0.2}
    answer = client.post("/search", json=asked).json()
    expected = searcher.search("Katze 3", mode="hybrid", words_weight=0.2)
    assert [hit["id"] for hit in answer["hits"]] == [hit.id for hit in expected]
    assert answer["query_lang"] is None
    for said, lang in (("detect", "de"), ("fra", "fr")):
        answer = client.post("/search", json={"query": "das Haus am Fluss", "query_lang": said}).json()
        assert answer["query_lang"] == lang
    for body, status, words in (
        ({"query_lang": "jp"}, 400, "did you mean 'ja'"),
        ({"words_weight": 0.5}, 400, "for the mode 'hybrid'"),
        ({"mode": "hybrid", "words_weight": 70}, 400, "the weight of words is 70"),
        ({"mode": "hybrid", "words_weight": "0.2,de"}, 400, "the weight of words is '0.2,de'"),
        ({"mode": "hybrid", "fusion": "max"}, 400, "the fusion 'max' is unknown"),
    ):
        refused = client.post("/search", json={"query": "cat", **body})
        assert (refused.status_code, words in refused.json()["error"]) == (status, True), refused.json()


def test_an_audit_says_how_it_searched(searcher: Searcher) -> None:
    corpus = parallel_corpus()
    report = audit_index(searcher, corpus, queries=20, mode="hybrid", words_weight=0.2, query_langs="known")
    assert report.comparison.about.items() >= {"mode": "hybrid", "words_weight": 0.2, "query_langs": "known"}.items()
    assert "mode" not in audit_index(searcher, corpus, queries=20).comparison.about
    queries = corpus.queries.slice(0, 2)
    system = IndexSystem(searcher, options=SearchOptions("hybrid", 0.2))
    assert system.facts(corpus).extra["words_weight"] == 0.2
    expected = searcher.search(queries["text"].to_pylist(), k=5, mode="hybrid", words_weight=0.2)
    found = [[one.item for one in some] for some in system.retrieve(queries, [5, 5])]
    assert found == [[hit.item for hit in some] for some in expected]
    with pytest.raises(SearchError, match="give known, detect or a language"):
        audit_index(searcher, corpus, query_langs="xx")
    assert SearchOptions(query_langs="known").langs_of(["de", "en"]) == ["de", "en"]


def test_the_commands(searcher: Searcher, tiny_static: Any, babelmix: Any, tmp_path: Path) -> None:
    searcher.index.close()
    tiny_static.save(str(tmp_path / "encoder"))
    parallel_corpus().save(tmp_path / "toy")
    place = ["--in", str(tmp_path / "index"), "--model", str(tmp_path / "encoder")]
    options = ["--mode", "hybrid", "--words-weight", "0.3", "--query-lang", "detect"]
    code, printed, error = babelmix("search", "das Haus 3", *place, *options, "--json")
    assert (code, len(json.loads(printed)["hits"])) == (0, 10), error
    audit = [
        "audit", str(tmp_path / "encoder"), "-c", str(tmp_path / "toy"), "--through", str(tmp_path / "index"), "--queries", "20",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    code, printed, error = babelmix(*audit, *options, "--json")
    assert code == 0, error
    assert json.loads(printed)["about"].items() >= {"words_weight": 0.3, "query_langs": "detect"}.items()
    for words, message in (
        (["search", "x", *place, "--words-weight", "0.3"], "a weight of words is for the mode 'hybrid'"),
        (["search", "x", *place, "--query-lang", "xx"], "the language of a query: 'xx' is not a BCP 47"),
        ([*audit, "--mode", "best"], "the mode 'best' is unknown"),
        (["audit", "x", "-c", "y", "--mode", "hybrid"], "--mode: is for audits of an index"),
        (["audit", "x", "-c", "y", "--query-lang", "known"], "--query-lang: is for audits of an index"),
    ):
        code, _, error = babelmix(*words)
        assert (code, message in error, "Traceback" in error) == (1, True, False), error
