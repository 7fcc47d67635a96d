"""Policies that promise numbers of languages, against the slow, obvious way: every list of rows is tried."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Serve

from babelmix.search import Index, Row, Searcher
from babelmix.search.policies import Policy
from babelmix.search.rows import Hit
from babelmix.search.spreading import in_languages

LANGS = ("de", "en", "fr", "ja", "zh")
WORDS = ("cat", "dog", "river", "house", "wind")


def hit(item: str, lang: str, score: float, place: int = 0) -> Hit:
    return Hit(id=f"{item}/{lang}/{place}", item=item, lang=lang, text=item, group=item, score=score)


def brute_force(rows: Sequence[Hit], k: int, languages: int) -> tuple[int, float]:
    """The languages of the best list of items, and its sum of scores: every choice of k items and of their rows."""
    by_item: dict[str, list[Hit]] = {}
    for row in rows:
        by_item.setdefault(row.item, []).append(row)
    size = min(k, len(by_item))
    found = (0, 0.0)
    for items in combinations(by_item, size):
        for chosen in product(*(by_item[item] for item in items)):
            there = min(len({row.lang for row in chosen}), languages)
            found = max(found, (there, sum(row.score for row in chosen)), key=lambda one: (one[0], round(one[1], 9)))
    return found


def most_languages(rows: Sequence[Hit], k: int) -> int:
    """The most languages of k items that come once: a matching of languages with items."""
    items: dict[str, set[str]] = {}
    for row in rows:
        items.setdefault(row.lang, set()).add(row.item)
    taken: dict[str, str] = {}

    def has_place(lang: str, tried: set[str]) -> bool:
        for item in items[lang] - tried:
            tried.add(item)
            if item not in taken or has_place(taken[item], tried):
                taken[item] = lang
                return True
        return False

    return min(sum(has_place(lang, set()) for lang in items), k)


def check(found: Sequence[Hit], k: int, rows: Sequence[Hit], once: bool) -> None:
    assert len({one.id for one in found}) == len(found)
    assert len(found) == min(k, len({one.item for one in rows} if once else rows))
    assert not once or len({one.item for one in found}) == len(found)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_items_are_spread_over_languages(share: float) -> None:
    rng = np.random.default_rng(int(8 * share))
    for _ in range(250):
        rows = [
            # A language that is far behind is what a quota is for. Some scores are equal, and some negative.
            hit(f"i{item}", lang, round(float(rng.normal()) - number * float(rng.integers(0, 4)), 1), place)
            for item in range(int(rng.integers(1, 6)))
            for number, lang in enumerate(LANGS[: int(rng.integers(1, 6))])
            for place in range(int(rng.integers(1, 3)))
            if rng.random() < share
        ]
        rows = sorted(rows, key=lambda one: (-one.score, one.id))
        k, languages = int(rng.integers(1, 6)), int(rng.integers(1, 6))
        found = in_languages(rows, k, languages)
        check(found, k, rows, once=True)
        count, total = brute_force(rows, k, languages)
        assert min(len({one.lang for one in found}), languages) == count
        assert sum(one.score for one in found) == pytest.approx(total)
        assert count == min(most_languages(rows, k), languages)


def test_two_tags_of_a_language_are_one() -> None:
    rows = [hit("a", "iw", 5), hit("b", "he", 4), hit("c", "iw", 3), hit("b", "de", 1)]
    assert [one.id for one in in_languages(rows, 2, 2)] == ["a/iw/0", "b/de/0"]
    assert [one.id for one in in_languages(rows, 2, 1)] == ["a/iw/0", "b/he/0"]


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory, tiny_static: Any) -> Iterator[list[Searcher]]:
    """Indexes of random rows: translated whole, in part and not at all; the first language is nearest to every query."""
    folder, rng, made = tmp_path_factory.mktemp("spread"), np.random.default_rng(5), []
    for number, (items, share) in enumerate([(30, 1.0), (40, 0.4), (60, 0.2), (4, 0.7)]):
        rows = [
            Row(f"i{n}", lang, f"{WORDS[n % 5]} {lang} {n} {place}", group=f"g{n % 2}")
            for n in range(items)
            for lang in LANGS
            for place in range(int(rng.integers(1, 4)))
            if rng.random() < share or lang == LANGS[n % (5 if share > 0.5 else 2)]
        ]
        index = Index.create(str(folder / str(number)), tiny_static, "tiny")
        changes = index.changes(rows)
        vectors = rng.normal(size=(len(changes.points), index.about.dimension)).astype(np.float32)
        vectors[:, 0] += [8 - 3 * LANGS.index(point.row.lang) for point in changes.points]
        index.write(changes, vectors)
        index.calibrate()
        made.append(Searcher(index, tiny_static))
    yield made
    for searcher in made:
        searcher.index.close()


@pytest.mark.parametrize("once", [False, True])
@pytest.mark.parametrize("mode", ["dense", "words", "hybrid"])
def test_a_search_keeps_what_its_policy_promises(indexes: list[Searcher], mode: Any, once: bool) -> None:
    short = 0
    for searcher in indexes:
        query = np.zeros((1, searcher.index.about.dimension), dtype=np.float32)
        query[0, 0] = 1
        given: dict[str, Any] = {"mode": mode, "vectors": query}
        for filters in ({}, {"where": {"group": "g1"}}, {"langs": ["en", "ja", "zh"]}):
            rows = searcher.search("cat 3 en", k=1000, **given, **filters)
            for k, languages in ((1, 2), (3, 3), (5, 4), (12, 9), (24, 5)):
                found = searcher.search("cat 3 en", k=k, policy=f"quota={languages}", once=once, **given, **filters)
                check(found, k, rows, once)
                most = most_languages(rows, k) if once else min(len({row.lang for row in rows}), k)
                assert len({one.lang for one in found}) >= min(languages, most)
                plain = searcher.search("cat 3 en", k=k, once=once, **given, **filters)
                if len({one.lang for one in plain}) >= languages:
                    assert found == plain
                else:
                    short += 1
            for k, places, lang in ((5, 3, "zh"), (10, 10, "ja"), (15, 8, "zh-TW"), (12, 4, "ja")):
                policy = f"own={places}" + (":adaptive" if k == 12 else "")
                found = searcher.search(
                    "cat 3 en", k=k, policy=policy, once=once, query_langs=lang, **given, **filters
                )
                assert len({one.item if once else one.id for one in found}) == len(found)
                own = [row for row in rows if row.lang == lang[:2]]
                most = len({row.item for row in own} if once else own)
                assert sum(one.lang == lang[:2] for one in found[:10]) >= min(places, most, k)
    assert short > 20


def test_scores_lose_as_little_as_can_be(indexes: list[Searcher]) -> None:
    searcher = indexes[3]
    for query in np.eye(searcher.index.about.dimension, dtype=np.float32)[:8]:
        given: dict[str, Any] = {"vectors": query[None] + np.eye(1, len(query), dtype=np.float32)}
        rows = searcher.search("cat", k=1000, **given)
        for k, languages in ((2, 2), (3, 3), (4, 4), (4, 3)):
            found = searcher.search("cat", k=k, policy=f"quota={languages}", once=True, **given)
            assert sum(one.score for one in found) == pytest.approx(brute_force(rows, k, languages)[1], abs=1e-4)


def test_each_query_of_a_call_and_the_service_have_their_languages(serve: Serve, searcher: Searcher) -> None:
    texts = ["Katze 3", "cat 4", "猫 5"]
    together = searcher.search(texts, k=6, policy="quota=4", once=True)
    assert together == [searcher.search(text, k=6, policy="quota=4", once=True) for text in texts]
    assert all(len({one.lang for one in found}) == 4 for found in together)
    answer = serve().post("/search", json={"query": "Katze 3", "k": 6, "policy": "quota=4", "once": True}).json()
    assert len({one["lang"] for one in answer["hits"]}) == 4
    assert Policy.parse("quota=4").depends_on_k


def test_the_places_hold_after_reranking(tmp_path: Path, indexes: list[Searcher]) -> None:
    class ByLength:
        name, depth = "by-length", 20

        def scores_of_lists(self, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> list[np.ndarray]:
            return [np.array([float(sum(map(ord, text)) % 17) for text in texts]) for texts in lists]

    for searcher in indexes:
        reranked = Searcher(searcher.index, searcher.encoder, ByLength())  # type: ignore[arg-type]
        query = np.eye(1, searcher.index.about.dimension, dtype=np.float32)
        rows = searcher.search("cat", k=1000, vectors=query)
        for mode in ("dense", "hybrid"):
            found = reranked.search("cat", k=6, policy="quota=5", once=True, vectors=query, mode=mode)
            check(found, 6, rows, once=True)
            assert len({one.lang for one in found}) >= min(5, most_languages(rows, 6))
