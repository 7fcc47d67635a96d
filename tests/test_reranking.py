"""The stage that reranks: its order under each policy, against the slow and obvious way, and a reranker with a planted bias."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import WORDS, parallel_corpus

from babelmix.errors import ArgumentError, EngineError, SearchError
from babelmix.search import Searcher
from babelmix.search.policies import Policy
from babelmix.search.reranking import Reranker
from babelmix.search.reranking.levels import LevelStore, levels_of_candidates
from babelmix.search.reranking.stage import Reranking, Stage, ordered
from babelmix.search.rows import Hit

pytest.importorskip("qdrant_edge", reason="the extra 'search' is not installed")

CONCEPT = {word: number for words in WORDS.values() for number, word in enumerate(words)}
LANG = {
    word: lang
    for lang, words in WORDS.items()
    for word in words
    if sum(word in other for other in WORDS.values()) == 1
}
LANGS = tuple(sorted(WORDS))


class Planted(Reranker):
    """Counts the meanings and numbers that query and text share, and adds a bias where they share the language."""

    name = "planted"

    def __init__(self, bias: float = 0.0, depth: int = 50) -> None:
        self.bias, self.depth = bias, depth
        self.pairs: list[tuple[str, str]] = []

    def scores(self, query: str, texts: Sequence[str]) -> Any:
        self.pairs += [(query, text) for text in texts]
        return np.array([self.score(query, text) for text in texts], dtype=np.float32)

    def score(self, query: str, text: str) -> float:
        own = lang_of(query) == lang_of(text)
        # The length makes most scores differ.
        return len(meanings(query) & meanings(text)) - 0.01 * len(text) + self.bias * own


def meanings(text: str) -> set[object]:
    return {CONCEPT.get(word, word) for word in text.split() if word != "."}


def lang_of(text: str) -> str | None:
    return next((LANG[word] for word in text.split() if word in LANG), None)


def reranking(searcher: Searcher, reranker: Reranker) -> Searcher:
    """The same index, with a reranker."""
    return Searcher(searcher.index, searcher.encoder, reranker)


def order(hits: Sequence[Hit]) -> list[tuple[str, str]]:
    return [(hit.item, hit.lang) for hit in hits]


QUERIES = ["Katze Hund 3", "river stone 7", "pain sel 11", "石 風 30"]


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("policy", ["any", "only=de,ja", "quota=3", "prefer=fr:1.5", "equal"])
def test_the_first_rows_are_put_into_the_order_of_their_scores(query: str, policy: str, searcher: Searcher) -> None:
    planted = Planted(bias=1.0, depth=20)
    found = reranking(searcher, planted).search(query, k=10, policy=policy)
    candidates = searcher.search(query, k=20, policy=policy)
    raw = {hit.id: planted.score(query, str(hit.text)) for hit in candidates}
    new = dict(raw)
    if policy.startswith("prefer"):
        spread = float(np.std(np.float32(list(raw.values()))))
        new = {hit.id: raw[hit.id] + 1.5 * spread * (hit.lang == "fr") for hit in candidates}
    expected = sorted(candidates, key=lambda hit: (-new[hit.id], hit.id))
    if policy == "equal":
        ranks = {hit.id: sum(o.lang == hit.lang for o in expected[: expected.index(hit)]) for hit in expected}
        expected.sort(key=lambda hit: ranks[hit.id])
        assert [hit.score for hit in found] == pytest.approx([1 / (61 + ranks[hit.id]) for hit in expected[:10]])
    elif policy != "quota=3":
        assert [hit.score for hit in found] == pytest.approx([new[hit.id] for hit in expected[:10]], abs=1e-5)
    if policy == "quota=3":
        assert len({hit.lang for hit in found}) >= 3
        assert [hit.id for hit in found[:3]] == [hit.id for hit in expected[:3]]
    else:
        assert order(found) == order(expected[:10])
    # Each row is scored once.
    assert sorted(planted.pairs) == sorted((query, str(hit.text)) for hit in candidates)


def test_at_least_as_many_rows_are_scored_as_are_asked_for(searcher: Searcher) -> None:
    planted = Planted(depth=5)
    with_it = reranking(searcher, planted)
    plain = searcher.search("Katze 3", k=12)
    found = with_it.search("Katze 3", k=12)
    assert len(planted.pairs) == 12
    assert sorted(order(found)) == sorted(order(plain))
    assert with_it.search("Katze 3", k=12, rerank=False) == plain
    assert len(planted.pairs) == 12
    with pytest.raises(ArgumentError, match="there is no reranker"):
        searcher.search("Katze 3", rerank=True)
    with pytest.raises(SearchError, match="rerank 1 to 1,000 rows"):
        reranking(searcher, Planted(depth=0))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("policy", ["balanced", "adaptive"])
def test_calibration_takes_a_planted_bias_away(policy: str, told: bool, searcher: Searcher) -> None:
    langs = ["de", "en", "fr", "ja"]
    biased, fair = (reranking(searcher, Planted(bias)) for bias in (5.0, 0.0))

    def own(found: Sequence[Sequence[Hit]]) -> float:
        return float(np.mean([hit.lang == lang for hits, lang in zip(found, langs, strict=True) for hit in hits[:10]]))

    # Without calibration, the bias decides.
    assert own(biased.search(QUERIES, k=10, policy="any")) > 0.8
    given = langs if told else None
    found, right = (one.search(QUERIES, k=50, policy=policy, query_langs=given) for one in (biased, fair))
    assert own(found) < 0.5
    for hits, expected in zip(found, right, strict=True):
        # Rows with nearly equal scores may change places.
        assert {hit.id: hit.score for hit in hits} == pytest.approx({hit.id: hit.score for hit in expected}, abs=1e-4)


def test_levels_of_a_known_language_are_computed_once(searcher: Searcher) -> None:
    planted = Planted(5.0, depth=20)
    with_it = reranking(searcher, planted)
    counts = []
    for lang in ("de", "de", "de-AT", "en", None, None):
        planted.pairs.clear()
        with_it.search("Katze 3", policy="balanced", query_langs=None if lang is None else [lang])
        counts.append(len(planted.pairs) - 20)
    # 40 pairs with each of four languages; 8 texts of each for a query of an unknown language.
    assert counts == [160, 0, 160, 160, 32, 32]
    planted.pairs.clear()
    with_it.search("Katze 3", policy="balanced", query_langs=["ko"])
    assert len(planted.pairs) == 20 + 32


def test_own_places_hold_after_reranking(searcher: Searcher) -> None:
    # Against the query's language.
    with_it = reranking(searcher, Planted(-9.0))
    assert not any(hit.lang == "de" for hit in with_it.search("Katze Hund 3", k=10))
    for policy in ("own=4", "own=4:adaptive"):
        found = with_it.search("Katze Hund 3", k=10, policy=policy, query_langs="de")
        assert sum(hit.lang == "de" for hit in found) >= 4
    # They are the best in the language by the reranker.
    only = with_it.search("Katze Hund 3", k=40, policy="only=de")
    own = [hit.id for hit in found if hit.lang == "de"]
    assert set(own[-2:]) <= {hit.id for hit in only[:6]}


def test_languages_that_nobody_reads_stay_out(searcher: Searcher) -> None:
    planted = Planted(bias=-5.0)
    with_it = reranking(searcher, planted)
    for policy in ("reads=own,ja", "balanced,reads=own,ja"):
        found = with_it.search("Katze Hund 3", k=10, policy=policy, query_langs="de")
        assert {hit.lang for hit in found} <= {"de", "ja"}
        candidates = searcher.search("Katze Hund 3", k=50, policy=policy, query_langs="de")
        assert {hit.id for hit in found} <= {hit.id for hit in candidates}
    plain = with_it.search("Katze Hund 3", k=10, policy="reads=own,ja", query_langs="de")
    assert {hit.lang for hit in plain[:5]} == {"ja"}
    shown = with_it.search("Katze Hund 3", k=5, policy="reads=own,ja", query_langs="de", show="mine")
    assert len({hit.item for hit in shown}) == 5
    # An item is found by its best rendering, and shown in the first language that is read.
    assert {hit.lang for hit in shown} == {"de"}


def test_an_item_once_is_reranked_as_its_rows(searcher: Searcher) -> None:
    planted = Planted()
    with_it = reranking(searcher, planted)
    found = with_it.search("Katze Hund 3", k=10, once=True)
    assert len({hit.item for hit in found}) == 10
    best: dict[str, Hit] = {}
    for hit in with_it.search("Katze Hund 3", k=50):
        best.setdefault(hit.item, hit)
    assert order(found)[:5] == order(list(best.values()))[:5]
    assert [hit.score for hit in found] == sorted((hit.score for hit in found), reverse=True)
    # A search that looks deeper scores no row twice.
    assert len(planted.pairs) == len(set(planted.pairs)) + 50


@pytest.mark.parametrize("mode", ["words", "hybrid"])
def test_every_mode_is_reranked(mode: str, searcher: Searcher) -> None:
    planted = Planted()
    found = reranking(searcher, planted).search("Katze Hund 3", k=5, mode=mode)
    scores = [planted.score("Katze Hund 3", str(hit.text)) for hit in found]
    assert [hit.score for hit in found] == pytest.approx(scores, abs=1e-5)


def hit(name: str, lang: str, text: str | None, score: float = 0.0) -> Hit:
    return Hit(name, score, name, lang, name, text)


def stage_of(scores: Callable[[str], float], depth: int = 50) -> Stage:
    class Given(Reranker):
        name = "given"

        def scores(self, query: str, texts: Sequence[str]) -> Any:
            return np.array([scores(text) for text in texts], dtype=np.float32)

    reranker = Given()
    reranker.depth = depth
    return Stage(reranker, LevelStore(reranker, lambda lang: []))


def test_pictures_and_deeper_rows_keep_their_places() -> None:
    stage = stage_of(lambda text: float(text), depth=5)
    names = [("p", None), ("a", "1"), ("q", None), ("b", "3"), ("c", "2"), ("d", "9"), ("e", "8")]
    hits = [hit(name, "zxx" if text is None else "de", text, 1 - i / 10) for i, (name, text) in enumerate(names)]
    found = Reranking(stage, Policy("any"), ["query"], None, 3).reordered([hits])[0]
    assert [one.id for one in found] == ["p", "b", "q", "c", "a", "d", "e"]
    scores = [one.score for one in found]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] == 3
    assert scores[0] == pytest.approx(3)
    # Nothing to score: a picture as the query, or no texts, or no rows.
    for query, some in ((None, hits), ("query", [hits[0]]), ("query", [])):
        assert Reranking(stage, Policy("balanced"), [query], None, 3).reordered([some]) == [some]


def test_a_language_with_few_candidates_has_the_usual_level() -> None:
    assert levels_of_candidates([1, 2, 9, 5, 5, 8, 0], ["de", "de", "de", "en", "en", "en", "fr"]) == {
        "de": 2.0, "en": 5.0, "fr": 3.5
    }  # fmt: skip
    assert levels_of_candidates([1, 2], ["de", "en"]) == {"de": 0.0, "en": 0.0}
    # Under `balanced`, a language without a level has the mean of the others.
    hits = [hit("a", "de", "x"), hit("b", "en", "x"), hit("c", "fr", "x")]
    found = ordered(Policy("balanced"), hits, [3.0, 5.0, 4.0], {"de": (1.0, 1.0), "en": (3.0, 2.0)})
    assert {one.id: one.score for one in found} == pytest.approx({"a": 2.0, "b": 1.0, "c": (4 - 2) / 1.5})


def test_a_broken_reranker_is_told(searcher: Searcher) -> None:
    for wrong, why in ((lambda text: math.nan, "NaN or infinite"),):
        with pytest.raises(EngineError, match=f"given: the reranker gave a score that is {why}"):
            reranking(searcher, stage_of(wrong).reranker).search("Katze")

    class Short(Planted):
        def scores(self, query: str, texts: Sequence[str]) -> Any:
            return super().scores(query, texts)[1:]

    with pytest.raises(EngineError, match=r"scores of the shape \(49,\) for 50 texts"):
        reranking(searcher, Short()).search("Katze")


def test_an_engine_without_rows_is_told(searcher: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(self: object, langs: object = None) -> object:
        raise SearchError("this engine does not give its vectors back")

    monkeypatch.setattr(type(searcher.index.engine), "points", points)
    with_it = reranking(searcher, Planted())
    with pytest.raises(SearchError, match="rerank under the policy any, equal or adaptive, which need no texts"):
        with_it.search("Katze 3", policy="balanced")
    assert with_it.search("Katze 3", policy="adaptive")


def test_a_service_reranks_unless_a_request_says_no(searcher: Searcher) -> None:
    testclient = pytest.importorskip("starlette.testclient", reason="the extra 'search' is not installed")
    from babelmix.search.service import Settings, create_app

    planted = Planted(bias=5.0)
    app = create_app(reranking(searcher, planted), Settings())
    with testclient.TestClient(app, base_url="http://localhost") as client:

        def search(**more: object) -> list[tuple[str, str]]:
            answer = client.post("/search", json={"query": "Katze Hund 3", "k": 10, **more})
            assert answer.status_code == 200, answer.text
            return [(one["item"], one["lang"]) for one in answer.json()["hits"]]

        expected = order(reranking(searcher, Planted(bias=5.0)).search("Katze Hund 3", k=10))
        assert search() == search(rerank=True) == expected
        assert search(rerank=False) == order(searcher.search("Katze Hund 3", k=10))
        balanced = search(policy="balanced", query_lang="de")
        assert sum(lang == "de" for _, lang in balanced) < sum(lang == "de" for _, lang in expected)
        # The client is not at fault.
        planted.bias = math.nan
        answer = client.post("/search", json={"query": "river 4"})
        assert answer.status_code == 503
        assert "NaN or infinite" in answer.json()["error"]


def test_the_command_searches_with_a_cross_encoder(
    tiny_bert: Path, tiny_cross_encoder: Path, tmp_path: Path, babelmix: Callable[..., tuple[int, str, str]]
) -> None:
    from babelmix.search import build_index, open_index

    index = str(tmp_path / "index")
    build_index(parallel_corpus(), index, model=str(tiny_bert), backend="torch")
    with open_index(index, rerank=f"{tiny_cross_encoder}:30") as opened:
        found = opened.search("Katze", k=5)
        assert opened.reranker is not None
        scores = opened.reranker.scores("Katze", [str(hit.text) for hit in found])
        assert [hit.score for hit in found] == pytest.approx(scores, abs=1e-5)
    status, out, _ = babelmix(
        "search", "Katze", "--in", index, "--rerank", f"{tiny_cross_encoder}:30", "-k", "5", "--json"
    )
    assert status == 0
    assert [hit["id"] for hit in json.loads(out)["hits"]] == [hit.id for hit in found]
    status, _, err = babelmix("search", "Katze", "--in", index, "--rerank", str(tiny_bert))
    assert status == 1
    assert "would rerank at random" in err
    assert "Traceback" not in err


def test_an_audit_compares_each_policy_without_and_with_the_reranker(searcher: Searcher) -> None:
    from babelmix.search.options import SearchOptions
    from babelmix.search.through import audit_through

    with_it = reranking(searcher, Planted(bias=5.0))
    options = {"k": 10, "depth": 20, "count": 24, "store": False}
    found = audit_through(with_it, parallel_corpus(), policies=["any", "balanced"], **options)
    assert list(found.found) == ["any", "balanced", "any, reranked", "balanced, reranked"]
    assert found.about["reranker"] == "planted"
    assert {one.second for one in found.comparisons} == {"any"}
    own = {name: one["bias/same-language share@10"][0].value for name, one in found.found.items()}
    # The reranker brings a bias, which its calibration takes away.
    assert own["any, reranked"] > own["balanced, reranked"] + 0.3
    assert own["any, reranked"] > own["any"]
    assert found.cost.keys() == found.found.keys()
    assert "any, reranked: mAP@20" in str(found)
    plain = audit_through(searcher, parallel_corpus(), policies=["any", "balanced"], **options)
    for name in ("any", "balanced"):
        assert {key: one[0].value for key, one in plain.found[name].items()} == {
            key: one[0].value for key, one in found.found[name].items()
        }
    alone = audit_through(with_it, parallel_corpus(), policies="any", options=SearchOptions(rerank=True), **options)
    assert list(alone.found) == ["any"]
    assert alone.found["any"] == found.found["any, reranked"]
