"""Fully parallel data without memory: rows as arithmetic, and pairs that share a query or a passage."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tracemalloc
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from test_batches import SPECS, check_batch

from babelmix.batches import BatchPlan, CorpusIndex, RegularIndex, largest_batch, strategy
from babelmix.batches.regular import SUBSTITUTES
from babelmix.corpus import Corpus
from babelmix.errors import PlanError

LANGS = ("de", "en", "fr", "ja")
# The first kinds, and rows of three steps, of the plan in `test_the_sequence_of_a_seed_is_pinned`.
KINDS = [("cross", None), ("cross", None), ("cross", None), ("cross", None), ("mono", "ja"), ("cross", None)]
FIRST = ([882, 3785, 1180, 2800], [2882, 2785, 2180, 1800])
SECOND = ([1324, 1829, 107, 3428], [3324, 829, 1107, 2428])
# Pairs of the first two steps where ten pairs share each query: some are substitutes.
SUBSTITUTED = [
    [41, 186, 169, 193, 75, 51, 175, 2, 98, 153, 80, 26, 105, 12, 121, 36, 141, 68, 130, 113],
    [123, 117, 36, 145, 45, 72, 14, 52, 103, 168, 185, 91, 28, 136, 4, 83, 155, 199, 177, 68],
]
FAR = ([556, 3808, 1977, 2933], [1556, 1808, 977, 1933])


def one_file_per_language(pairs: int, langs: tuple[str, ...] = LANGS) -> Corpus:
    """The corpus whose rows a `RegularIndex` numbers."""
    rows = [(str(i), lang) for lang in langs for i in range(pairs)]
    queries = [{"item": i, "lang": lang, "text": f"query {i} {lang}"} for i, lang in rows]
    passages = [{"item": i, "lang": lang, "text": f"passage {i} {lang}"} for i, lang in rows]
    return Corpus.from_rows(queries, passages, [(str(i), str(i)) for i in range(pairs)])


def rows(batch) -> tuple[list[int], list[int]]:
    return batch.query_rows.tolist(), batch.passage_rows.tolist()


@pytest.mark.parametrize("spec", SPECS)
def test_batches_obey_their_definition(spec: str) -> None:
    corpus = one_file_per_language(21)
    plan = BatchPlan(RegularIndex(21, LANGS), strategy(spec), 10, seed=3, world_size=2)
    for step in range(40):
        batch = plan[step]
        assert len(batch) == 10
        assert batch.source is None
        check_batch(corpus, batch, spec)
        parts = [batch.slice(rank, 2) for rank in (0, 1)]
        assert np.array_equal(np.concatenate([p.query_rows for p in parts]), batch.query_rows)
        assert np.array_equal(np.concatenate([p.passage_rows for p in parts]), batch.passage_rows)


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.integers(1, 60),
    langs=st.integers(1, 4),
    spec=st.sampled_from(SPECS),
    ranks=st.integers(1, 70),
    share=st.integers(1, 3),
    seed=st.integers(0, 2**64),
    step=st.integers(0, 10**12),
)
def test_any_size_gives_lawful_batches_in_any_order_or_a_clear_error(
    pairs, langs, spec, ranks, share, seed, step
) -> None:
    index = RegularIndex(pairs, LANGS[:langs])
    make = lambda: BatchPlan(index, strategy(spec), ranks * share, seed=seed, world_size=ranks)
    impossible = {
        "cross-lingual batches need two languages": spec.startswith(("cross", "hybrid")) and langs < 2,
        "the corpus has no English": spec == "english" and langs < 2,
        f"{pairs} distinct items are fewer than a batch of {ranks * share}": pairs < ranks * share,
    }
    if any(impossible.values()):
        with pytest.raises(PlanError, match="|".join(message for message, holds in impossible.items() if holds)):
            make()
        return
    plan = make()
    batch = plan[step]
    (query, query_lang), (passage, passage_lang) = index.locate(batch.query_rows), index.locate(batch.passage_rows)
    assert query.tolist() == passage.tolist()
    assert len(set(query.tolist())) == ranks * share
    assert 0 <= query.min() <= query.max() < pairs
    assert ((query_lang == passage_lang) == (batch.kind != "cross")).all()
    if batch.kind == "mono":
        assert {LANGS[i] for i in query_lang} == {batch.lang}
    later = plan[step + 1]
    other = make()
    assert rows(other[step + 1]) == rows(later)
    assert rows(other[step]) == rows(batch)
    parts = [batch.slice(rank, ranks) for rank in range(ranks)]
    assert [len(part) for part in parts] == [share] * ranks
    assert [row for part in parts for row in part.query_rows] == batch.query_rows.tolist()


def test_the_items_of_a_step_are_those_of_every_strategy_and_of_a_corpus() -> None:
    corpus = one_file_per_language(23)
    regular = RegularIndex(23, LANGS)
    plans = [BatchPlan(index, strategy(s), 5, seed=5) for s in SPECS for index in (regular, CorpusIndex(corpus))]
    for turn in range(3):
        seen = []
        for step in range(4 * turn, 4 * turn + 4):
            items = [plan[step].query_rows % 23 for plan in plans]
            assert all(np.array_equal(items[0], other) for other in items[1:])
            seen += items[0].tolist()
        assert len(seen) == len(set(seen)) == 20


def test_the_sequence_of_a_seed_is_pinned() -> None:
    """A change here changes every saved plan: it needs a note in the changelog."""
    plan = BatchPlan(RegularIndex(1000, LANGS), strategy("hybrid"), 4, seed=7)
    assert [(plan[s].kind, plan[s].lang) for s in range(6)] == KINDS
    assert rows(plan[0]) == FIRST
    assert rows(plan[1]) == SECOND
    assert rows(plan[10**9]) == FAR
    shared = RegularIndex(200, LANGS, query=np.arange(200) // 10)
    plan = BatchPlan(shared, strategy("mono"), 20, seed=7)
    assert [shared.locate(plan[step].query_rows)[0].tolist() for step in (0, 1)] == SUBSTITUTED


def test_rows_are_one_file_per_language_put_end_to_end() -> None:
    index = RegularIndex(10, ("fr", "de"))
    assert index.langs == ("fr", "de")
    assert index.rows == (20, 20)
    assert index.clusters == 10
    assert index.sources == ()
    assert index.mono_sizes().tolist() == [10, 10]
    pairs, langs = index.locate(np.array([0, 9, 10, 19]))
    assert pairs.tolist() == [0, 9, 0, 9]
    assert langs.tolist() == [0, 0, 1, 1]
    assert (
        len(index.different(np.ones(2))) == len(index.same(1, np.ones(2))) == len(index.same(None, np.ones(2))) == 10
    )
    assert len(RegularIndex(10, ("fr",)).different(np.ones(1))) == 0
    assert largest_batch(index, strategy("hybrid")) == 10
    assert largest_batch(index, strategy("hybrid"), limit=7) == 7
    assert largest_batch(RegularIndex(2, ("fr", "de")), strategy("hybrid")) == 2


@pytest.mark.parametrize("spec", ["cross", "mixed", "mono"])
def test_languages_are_uniform(spec: str) -> None:
    index = RegularIndex(50, LANGS)
    plan = BatchPlan(index, strategy(spec), 10 if spec != "mono" else 1, seed=1)
    counts = Counter()
    for step in range(1200):
        query, passage = (index.locate(r)[1].tolist() for r in rows_of(plan[step]))
        counts.update(zip(query, passage, strict=True))
    assert len(counts) == (12 if spec == "cross" else 4)
    assert scipy.stats.chisquare(list(counts.values())).pvalue > 0.001


def rows_of(batch):
    return batch.query_rows, batch.passage_rows


def test_weights_of_languages_are_kept_in_cross_lingual_rows() -> None:
    index = RegularIndex(100, ("de", "en", "fr"))
    weights = np.array([1.0, 2.0, 5.0])
    drawn = Counter()
    for step in range(300):
        query, passage, *_ = index.different(weights).draw(1, step, 50)
        drawn.update(zip(index.locate(query)[1].tolist(), index.locate(passage)[1].tolist(), strict=True))
    expected = {(a, b): weights[a] * weights[b] for a in range(3) for b in range(3) if a != b}
    total = sum(expected.values())
    assert set(drawn) == set(expected)
    chi = scipy.stats.chisquare([drawn[k] for k in expected], [15000 * expected[k] / total for k in expected])
    assert chi.pvalue > 0.001


def test_weights_of_languages_are_kept_in_same_language_rows() -> None:
    index = RegularIndex(100, ("de", "en", "fr"))
    weights = np.array([1.0, 2.0, 5.0])
    pool = index.same(None, weights)
    drawn = np.zeros(3, dtype=int)
    for step in range(200):
        query, passage, *_ = pool.draw(1, step, 50)
        assert query.tolist() == passage.tolist()
        drawn += np.bincount(index.locate(query)[1], minlength=3)
    assert scipy.stats.chisquare(drawn, 10000 * weights / weights.sum()).pvalue > 0.001


def test_memory_does_not_grow_with_the_pairs() -> None:
    tracemalloc.start()
    plan = BatchPlan(RegularIndex(10**12, LANGS), strategy("hybrid"), 512, seed=1)
    for step in (0, 1, 10**9):
        assert plan[step].query_rows.max() < 4 * 10**12
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_plan_needs_neither_torch_nor_tables() -> None:
    code = (
        "import sys; from babelmix.batches import BatchPlan, RegularIndex, strategy\n"
        "BatchPlan(RegularIndex(40_000_000, 'abcdefghi'.split() + ['x']), strategy('hybrid'), 512)[0]\n"
        "print([m for m in ('torch', 'polars', 'pyarrow', 'scipy', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_plan_can_be_sent_to_a_worker() -> None:
    plan = BatchPlan(RegularIndex(100, LANGS), strategy("hybrid"), 8, seed=1)
    assert rows(pickle.loads(pickle.dumps(plan))[5]) == rows(plan[5])


@pytest.mark.parametrize("spec", ["mono", "cross", "hybrid", "mixed"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64])
def test_no_batch_holds_an_item_twice(spec: str, dtype, tmp_path) -> None:
    rng = np.random.default_rng(0)
    pairs = 400
    for side in ("query", "passage"):
        np.save(tmp_path / f"{side}.npy", rng.integers(60, size=pairs).astype(dtype))
    query, passage = (np.load(tmp_path / f"{side}.npy", mmap_mode="r") for side in ("query", "passage"))
    index = RegularIndex(pairs, LANGS, query=query, passage=passage)
    plan = BatchPlan(index, strategy(spec), 16, seed=2)
    plain = BatchPlan(RegularIndex(pairs, LANGS), strategy(spec), 16, seed=2)
    replaced = 0
    for step in range(50):
        batch, as_drawn = plan[step], plain[step]
        own, other = index.locate(batch.query_rows)[0], index.locate(as_drawn.query_rows)[0]
        assert np.array_equal(own, index.locate(batch.passage_rows)[0])
        assert len(set(query[own].tolist())) == len(set(passage[own].tolist())) == 16
        # Only a pair that clashes with an earlier one gives its place away, and the languages stay.
        seen_query, seen_passage = set(), set()
        for mine, drawn in zip(own.tolist(), other.tolist(), strict=True):
            clash = query[drawn] in seen_query or passage[drawn] in seen_passage
            assert clash == (mine != drawn)
            seen_query.add(query[drawn])
            seen_passage.add(passage[drawn])
            replaced += clash
        for side in ("query_rows", "passage_rows"):
            mine, drawn = getattr(batch, side), getattr(as_drawn, side)
            assert np.array_equal(index.locate(mine)[1], index.locate(drawn)[1])
    assert replaced > 50
    again = BatchPlan(index, strategy(spec), 16, seed=2)
    assert [rows(again[s]) for s in reversed(range(50))] == [rows(plan[s]) for s in range(50)][::-1]


def test_one_side_alone_may_share_items() -> None:
    query = np.arange(100) // 10
    index = RegularIndex(100, LANGS, query=query)
    plan = BatchPlan(index, strategy("mono"), 10)
    for step in range(20):
        assert sorted(query[plan[step].query_rows % 100].tolist()) == list(range(10))
    passage = BatchPlan(RegularIndex(100, LANGS, passage=query), strategy("mono"), 10)
    assert all(rows(passage[step]) == rows(plan[step]) for step in range(5))


def test_the_last_items_are_found_after_many_rounds() -> None:
    # A batch of all 80 queries: the last ones take several times 64 substitutes.
    query = np.arange(800) // 10
    plan = BatchPlan(RegularIndex(800, ("en",), query=query), strategy("mono"), 80)
    for step in range(20):
        assert sorted(query[plan[step].query_rows].tolist()) == list(range(80))


def test_substitutes_are_drawn_evenly() -> None:
    # Pairs 0 to 9 share one query, so that nine of ten are replaced whenever all are drawn.
    query = np.concatenate([np.zeros(10, dtype=int), np.arange(1, 1001)])
    index = RegularIndex(1010, ("en",), query=query)
    found = np.concatenate([index.without_clashes(np.arange(10), key)[1:] for key in range(4000)])
    assert found.min() >= 10
    assert scipy.stats.chisquare(np.bincount(found - 10, minlength=1000)).pvalue > 0.001
    assert SUBSTITUTES > 10


def test_too_few_items_are_an_error() -> None:
    plan = BatchPlan(RegularIndex(100, LANGS, query=np.arange(100) % 7), strategy("mono"), 8)
    with pytest.raises(PlanError, match=r"a batch of 8 distinct queries and passages was not found.*smaller batch"):
        plan[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, LANGS), "at least one pair, not 0"),
        ((5, ()), "name every language once"),
        ((5, ("de", "de")), "name every language once"),
        ((5, "de"), "name every language once"),
    ],
)
def test_bad_sizes_say_why(arguments, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        RegularIndex(*arguments)


@pytest.mark.parametrize(
    ("side", "items", "message"),
    [
        ("query", np.zeros(4, dtype=int), r"query items: expected 5 integers.*got int64 of shape \(4,\)"),
        ("passage", np.zeros(5), r"passage items: expected 5 integers.*got float64 of shape \(5,\)"),
    ],
)
def test_bad_items_say_why(side: str, items, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        RegularIndex(5, LANGS, **{side: items})
