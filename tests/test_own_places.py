"""The policy `own=N`: at least N of the first 10 answers are in the query's language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.corpus.languages import readable_languages
from babelmix.errors import SearchError
from babelmix.evaluation.frontier.applied import own_languages
from babelmix.search import Searcher
from babelmix.search.options import SearchOptions
from babelmix.search.own_places import FIRST, fill_places, with_places
from babelmix.search.policies import Policy
from babelmix.search.rows import Hit
from babelmix.search.system import IndexSystem


def hit(name: str, lang: str, score: float) -> Hit:
    return Hit(id=f"{name}/{lang}", item=name, lang=lang, text=name, group=name, score=score)


def brute_force(hits: list[Hit], best: list[Hit], langs: set[str], places: int, k: int) -> list[str]:
    """One row after the other: the last other row of the first 10 goes behind them, the next own row comes."""
    first, rest = hits[: min(FIRST, k)], hits[min(FIRST, k) :]
    while sum(one.lang in langs for one in first) < min(places, k):
        came = next((one for one in best if one not in first), None)
        if came is None:
            break
        if len(first) == min(FIRST, k):
            last = [one for one in first if one.lang not in langs][-1]
            first.remove(last)
            rest.insert(0, last)
        first.append(came)
        rest = [one for one in rest if one.id != came.id]
    return [one.id for one in [*first, *rest][:k]]


def test_places_are_filled_one_after_the_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        k = int(rng.integers(1, 30))
        rows = [hit(str(n), str(rng.choice(["de", "en", "fr"])), float(-n)) for n in range(60)]
        best = [one for one in rows if one.lang == "de"]
        places = int(rng.integers(1, 11))
        found = with_places(rows[:k], best[:places], {"de"}, places, k=k)
        assert [one.id for one in found] == brute_force(rows[:k], best[:places], {"de"}, places, k)
        assert sorted((one.score for one in found[:FIRST]), reverse=True) == [one.score for one in found[:FIRST]]


def test_an_item_is_shown_once() -> None:
    hits = [hit("a", "en", 3), hit("b", "en", 2), hit("c", "fr", 1)]
    found = with_places(hits, [hit("a", "de", 1.5), hit("d", "de", 0.5)], {"de"}, 2, k=3, once=True)
    assert [one.id for one in found] == ["b/en", "a/de", "d/de"]


def test_an_item_that_is_there_in_another_tag_of_the_language_is_not_shown_twice() -> None:
    hits = [hit("a", "de-AT", 3), hit("b", "en", 2), hit("c", "fr", 1)]
    best = [hit("a", "de", 2.5), hit("d", "de", 1.5)]
    found = with_places(hits, best, {"de", "de-AT"}, 2, k=3, once=True)
    assert [one.id for one in found] == ["a/de-AT", "b/en", "d/de"]


@pytest.mark.parametrize(
    ("lang", "tags", "own"),
    [
        ("de-AT", ["de", "en"], {"de"}),
        ("de-DE", ["de", "de-DE", "de-AT", "en"], {"de", "de-DE"}),
        ("de", ["de", "de-AT", "en"], {"de", "de-AT"}),
        ("zh-Hant-TW", ["zh", "zh-Hant", "zh-Hans", "en"], {"zh", "zh-Hant"}),
        ("fr-CA", ["de", "en"], set()),
    ],
)
def test_a_region_takes_the_places_of_its_language(lang: str, tags: list[str], own: set[str]) -> None:
    assert set(readable_languages([lang], tags)) == own
    rows = [hit(f"{tag}{n}", tag, float(-n)) for n in range(12) for tag in tags]
    english = [one for one in rows if one.lang == "en"]

    def search(numbers: Sequence[int], langs: Sequence[str], count: int) -> list[list[Hit]]:
        return [[one for one in rows if one.lang in langs][:count] for _ in numbers]

    found = fill_places([english], [lang], tags, search, 9, k=10)[0]
    assert sum(one.lang in own for one in found) == (9 if own else 0)
    by_only = Policy.parse("only=own").of_query(lang, tags)
    assert not own or set(by_only.langs) == own


def test_a_frontier_has_the_places_of_a_search() -> None:
    langs = np.array(["de-AT", "de", "en", None, "sw"], dtype=object)
    passages = np.array(["de", "de-AT", "de-CH", "en-GB", None], dtype=object)
    is_own, numbers = own_languages(langs, passages)
    found = is_own[:, numbers].tolist()
    assert found == [
        [True, True, False, False, False],
        [True, True, True, False, False],
        [False, False, False, True, False],
        [False] * 5,
        [False] * 5,
    ]


def test_the_policy_is_parsed() -> None:
    for text in ("own=5", "own=5:adaptive"):
        assert str(Policy.parse(text)) == text
    assert Policy.parse("own=5:balanced") == Policy.parse("own=5")
    for wrong in ("own", "own=0", "own=11", "own=x", "own=5:any"):
        with pytest.raises(SearchError, match=r"own=5|unknown"):
            Policy.parse(wrong)


@pytest.mark.parametrize("mode", ["dense", "hybrid"])
@pytest.mark.parametrize("once", [False, True])
def test_a_search_has_its_places(searcher: Searcher, mode: Any, once: bool) -> None:
    corpus = parallel_corpus(40)
    some = corpus.queries.slice(0, 24)
    # Another language than that of the words, which BM25 would find by itself.
    texts, langs = some["text"].to_pylist(), ["ja" if lang == "de" else "de" for lang in some["lang"].to_pylist()]
    plain = searcher.search(texts, k=15, policy="balanced", mode=mode, once=once)
    kept = searcher.search(texts, k=15, policy="own=6", mode=mode, once=once, query_langs=langs)
    changed = 0
    for lang, before, after in zip(langs, plain, kept, strict=True):
        assert sum(one.lang == lang for one in after[:10]) >= 6
        assert len({one.id for one in after}) == len(after) == 15
        assert not once or len({one.item for one in after}) == 15
        if sum(one.lang == lang for one in before[:10]) >= 6:
            assert [one.id for one in before] == [one.id for one in after]
        else:
            changed += 1
            others = [one.id for one in after[:10] if one.lang != lang]
            assert others == [one.id for one in before if one.id in others]
    assert changed > 5


def test_an_unknown_language_leaves_the_answers_alone(searcher: Searcher) -> None:
    texts = ["Katze Haus 3", "cat 4"]
    plain = searcher.search(texts, policy="balanced")
    kept = searcher.search(texts, policy="own=9", query_langs=[None, "sw"])
    assert [[one.id for one in some] for some in kept] == [[one.id for one in some] for some in plain]
    with pytest.raises(SearchError, match="needs the language of the query"):
        searcher.search(texts, policy="own=5")
    german = searcher.search("cat 4", policy="own=4", query_langs="de", langs=["en", "de"])
    assert sum(one.lang == "de" for one in german) >= 4
    # Under `adaptive` the other places are those of another policy.
    some = searcher.search("cat 4", policy="own=3:adaptive", query_langs="ja")
    plain = [one.id for one in searcher.search("cat 4", policy="adaptive")]
    others = [one.id for one in some if one.lang != "ja"]
    assert len(some) - len(others) >= 3
    assert others == [one for one in plain if one in others]
    english = searcher.search("cat 4", policy="own=4", query_langs="de", langs="en")
    assert {one.lang for one in english} == {"en"}


def test_a_search_from_a_region_has_its_places(searcher: Searcher) -> None:
    for lang in ("ja", "ja-JP"):
        found = searcher.search("cat 4", policy="own=10", query_langs=lang)
        assert [one.lang for one in found] == ["ja"] * 10


def test_an_audit_through_an_index_knows_the_languages(searcher: Searcher) -> None:
    corpus = parallel_corpus(40)
    system = IndexSystem(searcher, "own=7", options=SearchOptions(query_langs="known"))
    some = corpus.queries.slice(0, 8)
    for lang, answers in zip(some["lang"].to_pylist(), system.retrieve(some, [10] * 8), strict=True):
        assert sum(answer.lang == lang for answer in answers) >= 7
