"""Policies that ask each language alone, against the slow, obvious way."""

from __future__ import annotations

import pytest
from test_search import all_scores, vectors_of

from babelmix.search import Row, Searcher

pytest.importorskip("qdrant_edge", reason="the extra 'serve' is not installed")


def test_equal_takes_the_best_of_each_language_in_turn(searcher: Searcher) -> None:
    scored = all_scores(searcher, "Katze 3")
    ranked = [
        (rank, row)
        for lang in ("de", "en", "fr", "ja")
        for rank, row in enumerate([r for r in scored if r[2] == lang])
    ]
    expected = sorted(ranked, key=lambda one: (one[0], -one[1][0]))
    for k in (3, 10, 160):
        found = searcher.search("Katze 3", k=k, policy="equal")
        assert [hit.score for hit in found] == pytest.approx([1 / (61 + rank) for rank, _ in expected[:k]])
        assert [(hit.item, hit.lang) for hit in found][:3] == [(row[1], row[2]) for _, row in expected[:3]]
    few = searcher.search("Katze 3", k=9, policy="equal", where={"group": ["g1", "g2", "g3"]}, langs=["de", "ja"])
    assert abs(sum(1 if hit.lang == "de" else -1 for hit in few)) == 1
    # Where a language has too few rows, the others fill its places.
    searcher.index.delete([f"i{i}" for i in range(2, 40)])
    searcher.index.write(searcher.index.changes([Row("z", "de", "Hund")]), vectors_of(searcher, ["Hund"]))
    assert [hit.lang for hit in searcher.search("Katze 3", k=9, policy="equal")].count("de") == 3
    assert searcher.search("chien", mode="words", policy="equal") == searcher.search("chien", mode="words")


def test_adaptive_compares_scores_above_the_level_of_their_language(searcher: Searcher) -> None:
    scored = all_scores(searcher, "Katze 3")
    by_lang = {lang: sorted((r[0] for r in scored if r[2] == lang), reverse=True) for lang in ("de", "en", "fr", "ja")}
    levels = {lang: sum(scores[:10]) / 10 for lang, scores in by_lang.items()}
    expected = sorted(scored, key=lambda row: -(row[0] - levels[row[2]]))
    for k in (1, 3, 12):
        found = searcher.search("Katze 3", k=k, policy="adaptive")
        assert [hit.score for hit in found] == pytest.approx([r[0] - levels[r[2]] for r in expected[:k]], abs=1e-5)
        assert [(hit.item, hit.lang) for hit in found][:1] == [(expected[0][1], expected[0][2])]
    # A language with one row has the mean level of the others. With its own level, its row would be at 0 always.
    searcher.index.delete([f"i{i}" for i in range(40)])
    rows = [Row(f"a{i}", "de", f"Hund {i}") for i in range(12)] + [Row("z", "en", "far away")]
    searcher.index.write(searcher.index.changes(rows), vectors_of(searcher, [row.text for row in rows]))
    plain = {hit.item: hit.score for hit in searcher.search("Hund 3", k=13)}
    level = sum(sorted((score for item, score in plain.items() if item != "z"), reverse=True)[:10]) / 10
    found = {hit.item: hit.score for hit in searcher.search("Hund 3", k=13, policy="adaptive")}
    assert found == pytest.approx({item: score - level for item, score in plain.items()}, abs=1e-5)
    assert searcher.search("Hund", mode="words", policy="adaptive") == searcher.search("Hund", mode="words")
