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
