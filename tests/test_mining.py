"""Mined negatives against their definition, by brute force."""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus, sparse_corpus
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers.util import mine_hard_negatives
from test_negatives import check_negatives, with_negatives

from babelmix.batches import BatchPlan, CorpusIndex, clusters_of, strategy
from babelmix.corpus import Corpus
from babelmix.errors import TrainingError
from babelmix.training import mining
from babelmix.training.mining import _Candidate, mine, pooled


def forbidden(corpus: Corpus) -> set[tuple[str, str]]:
    """Pairs of items that are no negatives, from the words of the documentation."""
    queries, passages = corpus.queries.to_pylist(), corpus.passages.to_pylist()
    relevant = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    orders = [list(dict.fromkeys(row["item"] for row in rows)) for rows in (queries, passages)]
    classes = [dict(zip(items, found, strict=True)) for items, found in zip(orders, clusters_of(corpus), strict=True)]
    bad = set(relevant)
    for query in orders[0]:
        near = {row["group"] for row in queries if row["item"] == query}
        near |= {row["group"] for row in passages if (query, row["item"]) in relevant}
        bad |= {(query, row["item"]) for row in passages if row["group"] in near}
        bad |= {(query, passage) for passage in orders[1] if classes[1][passage] == classes[0][query]}
    return bad


def slow_candidates(encoder, corpus: Corpus, number: int, margin: float, skip: int) -> dict[str, list[_Candidate]]:
    queries, passages = corpus.queries.to_pylist(), corpus.passages.to_pylist()
    relevant = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    bad = forbidden(corpus)
    unit = lambda rows: encoder.encode([row["text"] for row in rows], normalize_embeddings=True)
    scores = unit(queries) @ unit(passages).T
    of_text: dict[tuple[str, str], list[str]] = {}
    for row in passages:
        of_text.setdefault((row["text"], row["lang"]), []).append(row["item"])
    found: dict[str, list[_Candidate]] = {}
    for q, query in enumerate(queries):
        for lang in corpus.langs:
            same_text = {other["item"] for other in queries if other["text"] == query["text"]}
            own = [
                scores[q, p] for p, row in enumerate(passages)
                if row["lang"] == lang and any((item, row["item"]) in relevant for item in same_text)
            ]  # fmt: skip
            if not any(row["lang"] == lang and (query["item"], row["item"]) in relevant for row in passages):
                continue
            good = {
                row["text"]: scores[q, p] for p, row in enumerate(passages)
                if row["lang"] == lang and scores[q, p] <= min(own) * (1 - margin)
                and not any((query["item"], item) in bad for item in of_text[row["text"], lang])
            }  # fmt: skip
            ranked = sorted(good.items(), key=lambda pair: -pair[1])[skip : skip + number]
            for place, (text, score) in enumerate(ranked):
                candidate = _Candidate(place, float(score), of_text[text, lang][0], query["lang"], lang)
                found.setdefault(query["item"], []).append(candidate)
    return found


def pairs_of(corpus: Corpus) -> set[tuple[str, str]]:
    return set(zip(*(corpus.negatives[c].to_pylist() for c in ("query_item", "passage_item")), strict=True))


@pytest.mark.parametrize(("kind", "given"), [
    ("parallel", {"number": 3, "other_share": 0.5, "margin": 0.05}),
    ("parallel", {"number": 2, "other_share": 0.0, "margin": 0.2, "skip": 1}),
    ("sparse", {"number": 4, "other_share": 1.0, "margin": 0.0}),
])  # fmt: skip
def test_negatives_are_those_of_the_definition(tiny_static, kind: str, given: dict[str, float]) -> None:
    corpus = (
        parallel_corpus(16, ("de", "en", "ja"))
        if kind == "parallel"
        else sparse_corpus(np.random.default_rng(4), 18, ("de", "en"), 0.8)
    )
    made = mine(tiny_static, corpus, **given)
    slow = slow_candidates(tiny_static, corpus, given["number"], given["margin"], given.get("skip", 0))
    expected = {
        (query, one.passage)
        for query, candidates in slow.items()
        for one in pooled(candidates, given["number"], given["other_share"], random.Random(query))
    }
    found = pairs_of(made)
    assert not found & forbidden(corpus)
    # Scores that are equal but for rounding may come in either order.
    assert len(found & expected) >= 0.95 * len(expected)
    assert abs(len(found) - len(expected)) <= 0.05 * len(expected)
    assert made.meta["mined"]["negatives"] == len(found) == sum(made.meta["mined"]["found_in"].values())
    assert made.queries == corpus.queries


@given(
    st.lists(st.builds(
        _Candidate, st.integers(0, 3), st.floats(0, 1), st.sampled_from("abcdef"), st.sampled_from(["de", "en"]),
        st.sampled_from(["de", "en"]),
    ), max_size=12),
    st.integers(1, 5), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 9),
)  # fmt: skip
def test_the_pool_has_both_kinds_by_their_share(
    candidates: list[_Candidate], number: int, share: float, seed: int
) -> None:
    chosen = pooled(candidates, number, share, random.Random(seed))
    names = [one.passage for one in chosen]
    assert len(names) == len(set(names)) == min(number, len({one.passage for one in candidates}))
    other = [one for one in chosen if one.lang != one.query_lang]
    available = {same: {c.passage for c in candidates if (c.lang == c.query_lang) == same} for same in (True, False)}
    low, high = math.floor(number * share), math.ceil(number * share)
    if len(available[False]) >= high and len(available[True] - available[False]) >= number - low:
        assert low <= len(other) <= high
    # Of a kind no better place was passed over for a worse one.
    for kind in (True, False):
        mine_ = [one for one in chosen if (one.lang == one.query_lang) == kind]
        left = [c for c in candidates if (c.lang == c.query_lang) == kind and c.passage not in names]
        assert all(one.place <= c.place for one in mine_ for c in left)


def test_no_language_comes_first_by_its_scores_and_shares_are_met_on_average() -> None:
    places = {("de", "de"): 0.2, ("de", "en"): 0.9, ("de", "fr"): 0.5, ("en", "en"): 0.8}
    candidates = [
        _Candidate(place, score, f"{a}{b}{place}", a, b) for (a, b), score in places.items() for place in range(3)
    ]
    chosen = [one for query in range(400) for one in pooled(candidates, 3, 0.5, random.Random(query))]
    found = Counter((one.query_lang, one.lang) for one in chosen)
    assert len(chosen) == 1200
    for pair in places:
        assert abs(found[pair] - 300) < 75


def test_they_are_added_to_those_that_are_there_and_trained_on(tiny_static) -> None:
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    made = mine(tiny_static, corpus)
    assert pairs_of(corpus) < pairs_of(made)
    plan = BatchPlan(CorpusIndex(made, hard_negatives=True), strategy("hybrid"), 8)
    totals = np.sum([check_negatives(made, plan[step]) for step in range(10)], axis=0)
    assert totals[0] == totals[1] > 50


def test_scores_are_held_in_blocks_of_bounded_memory(tiny_static, monkeypatch) -> None:
    corpus = parallel_corpus(80, ("de", "en"))
    asked: list[tuple[int, int]] = []

    def watched(*args, **kwargs):
        asked.append((kwargs["faiss_batch_size"], len(kwargs["corpus"])))
        return mine_hard_negatives(*args, **kwargs)

    monkeypatch.setattr(mining, "mine_hard_negatives", watched)
    found = []
    for memory in (mining._SCORES, 4 * 80 * 100, 0):
        monkeypatch.setattr(mining, "_SCORES", memory)
        made = mine(tiny_static, corpus)
        found.append((made.negatives.to_pylist(), made.meta["mined"]))
    assert asked == [(16_384, 80)] * 2 + [(100, 80)] * 2 + [(64, 80)] * 2
    assert found[0] == found[1] == found[2]


def test_what_cannot_be_mined_is_refused(tiny_static) -> None:
    with pytest.raises(TrainingError, match="for texts, not for pictures"):
        mine(tiny_static, picture_corpus(8))
    with pytest.raises(TrainingError, match="is a benchmark"):
        mine(tiny_static, parallel_corpus(8).named("x", evaluation_only=True))
    for bad in ({"number": 0}, {"skip": -1}, {"other_share": 1.1}, {"margin": 1.0}):
        with pytest.raises(TrainingError, match="number is 1 or more"):
            mine(tiny_static, parallel_corpus(8), **bad)
    with pytest.raises(TrainingError, match="no hard negative was found"):
        mine(tiny_static, parallel_corpus(8, group_size=8))


def test_the_command_line(babelmix, tmp_path: Path) -> None:
    parallel_corpus(20, ("de", "en")).save(tmp_path / "toy")
    code, out, err = babelmix(
        "train", "-c", str(tmp_path / "toy"), "--model", "static", "--steps", "3", "--out", str(tmp_path / "m")
    )
    assert code == 0, err
    given = ("mine", str(tmp_path / "m"), "-c", str(tmp_path / "toy"), "--out", str(tmp_path / "mined"))
    code, out, err = babelmix(*given)
    assert code == 0, err
    assert "new negatives" in out
    code, out, err = babelmix(*given, "--json", "--number", "1", "--other-share", "0")
    assert code == 0, err
    assert set(json.loads(out)["found_in"]) <= {"de:de", "en:en"}
    assert Corpus.load(tmp_path / "mined").negatives.num_rows == json.loads(out)["negatives"] == 20
