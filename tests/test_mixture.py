"""Several sources in one plan, and rows that are ready pairs."""

from __future__ import annotations

import itertools
import pickle
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from conftest import parallel_corpus, sparse_corpus
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from test_batches import SPECS, check_batch

from babelmix.batches import (
    BatchPlan,
    CorpusIndex,
    Mixture,
    PlanBatchSampler,
    RegularIndex,
    RowIndex,
    batch_sampler,
    largest_batch,
    strategy,
)  # fmt: skip
from babelmix.batches.keyed import derive_key
from babelmix.batches.mixture import BLOCK, quotas, turn_of
from babelmix.corpus.labels import LABELS, TRANSLATIONS
from babelmix.errors import PlanError

LANGS = ("de", "en", "fr", "ja")
# Of the plan in `test_the_sequence_of_a_seed_is_pinned`.
SOURCES = "bbaaaaaaaaaababbabaaabaa"
FIRST = ("b", [299, 312, 268, 319], [259, 272, 308, 279])


def rows(batch) -> tuple[str | None, list[int], list[int]]:
    return batch.source, batch.query_rows.tolist(), batch.passage_rows.tolist()


def two_corpora():
    return {"news": parallel_corpus(40), "help": parallel_corpus(24, ("de", "en"))}


@pytest.mark.parametrize("spec", SPECS)
def test_batches_obey_their_definition_in_their_source(spec: str) -> None:
    corpora = two_corpora()
    mixture = Mixture({name: CorpusIndex(c) for name, c in corpora.items()}, {"news": 1, "help": 2})
    plan = BatchPlan(mixture, strategy(spec), 8, seed=3, world_size=2)
    sources = Counter()
    for step in range(60):
        batch = plan[step]
        own = mixture.local(batch)
        assert (own.kind, own.lang, own.step, own.source) == (batch.kind, batch.lang, step, batch.source)
        check_batch(corpora[batch.source], own, spec)
        parts = [batch.slice(rank, 2) for rank in (0, 1)]
        assert {part.source for part in parts} == {batch.source}
        assert [r for part in parts for r in part.passage_rows] == batch.passage_rows.tolist()
        if batch.lang in ("fr", "ja"):
            assert batch.source == "news"
        sources[batch.source] += 1
    assert set(sources) == {"news", "help"}


def test_rows_are_the_sources_tables_put_end_to_end() -> None:
    corpora = two_corpora()
    mixture = Mixture({name: CorpusIndex(c) for name, c in corpora.items()})
    assert mixture.sources == ("news", "help")
    assert mixture.langs == LANGS
    assert mixture.rows == (160 + 48, 160 + 48)
    assert mixture.clusters == 64
    assert mixture.mono_sizes().tolist() == [64, 64, 40, 40]
    assert mixture.mono_sizes().dtype == np.int64
    queries = [*corpora["news"].queries["text"].to_pylist(), *corpora["help"].queries["text"].to_pylist()]
    plan = BatchPlan(mixture, strategy("hybrid"), 8, seed=1)
    for step in range(20):
        batch = plan[step]
        own = corpora[batch.source].queries["text"].take(mixture.local(batch).query_rows).to_pylist()
        assert [queries[row] for row in batch.query_rows] == own
    with pytest.raises(PlanError, match="the batch is of None, but the sources are news, help"):
        mixture.local(BatchPlan(CorpusIndex(corpora["news"]), strategy("mono"), 8)[0])


def test_the_two_sides_may_have_tables_of_different_sizes() -> None:
    corpus = sparse_corpus(np.random.default_rng(1), 20, ("de", "en"), 0.9)
    index = CorpusIndex(corpus)
    assert index.rows == (corpus.queries.num_rows, corpus.passages.num_rows)
    assert index.rows[0] != index.rows[1]
    mixture = Mixture({"a": index, "b": index})
    batch = next(batch for batch in BatchPlan(mixture, strategy("cross"), 4).batches() if batch.source == "b")
    assert batch.query_rows.min() >= index.rows[0]
    assert batch.passage_rows.min() >= index.rows[1]
    check_batch(corpus, mixture.local(batch), "cross")


@pytest.mark.parametrize("spec", ["mono", "cross", "hybrid(0.3)"])
def test_sources_have_their_exact_share_of_every_thousand_steps(spec: str) -> None:
    parts = {"a": RegularIndex(64, LANGS), "b": RegularIndex(1000, LANGS), "c": RegularIndex(32, LANGS)}
    plan = BatchPlan(Mixture(parts, {"a": 1, "b": 2.5, "c": 0.5}), strategy(spec), 8, seed=5)
    batches = [plan[step] for step in range(2 * BLOCK)]
    for block in (batches[:BLOCK], batches[BLOCK:]):
        assert Counter(batch.source for batch in block) == {"a": 250, "b": 625, "c": 125}
    assert [b.source for b in batches[:BLOCK]] != [b.source for b in batches[BLOCK:]]
    # Neighbours are independent: no source is dealt in rounds.
    same = sum(a.source == b.source for a, b in itertools.pairwise(batches))
    assert same / len(batches) == pytest.approx(0.25**2 + 0.625**2 + 0.125**2, abs=0.05)


@pytest.mark.parametrize("spec", ["mono", "cross", "hybrid"])
def test_every_source_shows_each_of_its_items_once_a_turn(spec: str) -> None:
    parts = {"a": RegularIndex(64, LANGS), "b": RegularIndex(40, LANGS)}
    mixture = Mixture(parts, {"a": 1, "b": 3})
    plan = BatchPlan(mixture, strategy(spec), 8, seed=5)
    pairs = {"a": [], "b": []}
    for step in range(1200):
        batch = plan[step]
        own, _ = parts[batch.source].locate(mixture.local(batch).query_rows)
        pairs[batch.source] += own.tolist()
    for name, index in parts.items():
        turns = [pairs[name][i : i + index.pairs] for i in range(0, len(pairs[name]) - index.pairs, index.pairs)]
        assert len(turns) > 30
        assert all(sorted(turn) == list(range(index.pairs)) for turn in turns)
        assert turns[0] != turns[1]


def test_a_source_in_one_language_enters_monolingual_batches_only() -> None:
    parts = {"parallel": RegularIndex(100, ("de", "en", "fr")), "faq": RegularIndex(50, ("de",))}
    plan = BatchPlan(Mixture(parts, {"parallel": 1, "faq": 4}), strategy("hybrid(0.5)"), 8, seed=1)
    batches = [plan[step] for step in range(3000)]
    faq = [batch for batch in batches if batch.source == "faq"]
    assert {(batch.kind, batch.lang) for batch in faq} == {("mono", "de")}
    # Kind and language are drawn first: neither alpha nor the languages' shares know of the weights.
    kinds = Counter((batch.kind, batch.lang) for batch in batches)
    assert kinds["cross", None] / 3000 == pytest.approx(0.5, abs=0.03)
    assert kinds["mono", "de"] / 3000 == pytest.approx(1 / 6, abs=0.03)
    assert len(faq) / kinds["mono", "de"] == pytest.approx(0.8, abs=0.05)


def test_a_mixture_is_pure_in_seed_and_step_and_can_be_sent_to_a_worker() -> None:
    make = lambda seed: BatchPlan(
        Mixture({"a": RegularIndex(64, LANGS), "b": RegularIndex(40, ("de", "en"))}), strategy("hybrid"), 8, seed=seed
    )
    plan = make(1)
    forward = [rows(plan[step]) for step in range(40)]
    assert [rows(make(1)[step]) for step in reversed(range(40))] == forward[::-1]
    assert [rows(b) for b in itertools.islice(pickle.loads(pickle.dumps(plan)).batches(first=9), 5)] == forward[9:14]
    assert [rows(make(2)[step]) for step in range(40)] != forward
    far = rows(plan[10**12])
    assert rows(make(1)[10**12]) == far


def test_the_sequence_of_a_seed_is_pinned() -> None:
    """A change here changes every saved plan: it needs a note in the changelog."""
    mixture = Mixture({"a": RegularIndex(64, LANGS), "b": RegularIndex(40, ("de", "en"))})
    plan = BatchPlan(mixture, strategy("hybrid"), 4, seed=7)
    assert "".join(plan[step].source for step in range(24)) == SOURCES
    assert rows(plan[0]) == FIRST


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    sizes=st.lists(st.integers(3, 20), min_size=1, max_size=3),
    keep=st.sampled_from([0.4, 1.0]),
    spec=st.sampled_from(SPECS),
)
def test_random_sources_give_lawful_batches_or_a_clear_error(seed, sizes, keep, spec) -> None:
    rng = np.random.default_rng(seed)
    corpora = {}
    for number, size in enumerate(sizes):
        corpus = sparse_corpus(rng, size, [("de", "en", "fr"), ("en",), ("en", "ja")][number], keep)
        if corpus.qrels.num_rows:
            corpora[f"s{number}"] = corpus
    if not corpora:
        return
    mixture = Mixture({name: CorpusIndex(corpus) for name, corpus in corpora.items()})
    try:
        size = largest_batch(mixture, strategy(spec))
    except PlanError as error:
        assert str(error)
        return
    plan = BatchPlan(mixture, strategy(spec), size, seed=seed)
    for step in range(8):
        batch = plan[step]
        check_batch(corpora[batch.source], mixture.local(batch), spec)
    with pytest.raises(PlanError, match=r"fewer than a batch|can fill no"):
        BatchPlan(mixture, strategy(spec), size + 1)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1.0], [1000]),
        ([1.0, 3.0], [250, 750]),
        ([1.0, 1.0, 1.0], [334, 333, 333]),
        ([2.0, 2.0, 3.0], [286, 286, 428]),
        ([1.0, 1e-9, 1e-9], [998, 1, 1]),
        ([1e-9, 1e-9, 1.0], [1, 1, 998]),
        ([0.9985] * 999 + [2.5], [1] * 1000),
        ([0.4996, 0.4996, 0.0004, 0.0004], [499, 499, 1, 1]),
    ],
)
def test_quotas_are_by_the_largest_remainder(weights: list[float], expected: list[int]) -> None:
    assert quotas(np.array(weights)).tolist() == expected


def test_more_sources_than_a_block_has_steps_have_one_each() -> None:
    assert quotas(np.arange(1.0, 2001.0)).tolist() == [1] * 2000


@settings(max_examples=30, deadline=None)
@given(weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=6), seed=st.integers(0, 2**63))
def test_a_source_counts_its_own_steps(weights, seed) -> None:
    own = [0] * len(weights)
    for step in range(2 * BLOCK + 100):
        source, earlier = turn_of(np.array(weights), seed, step)
        assert earlier == own[source]
        own[source] += 1


def test_weights_are_given_or_by_size_and_temperature() -> None:
    parts = {"a": RegularIndex(100, LANGS), "b": RegularIndex(25, LANGS)}
    assert Mixture(parts).weights.tolist() == [100, 25]
    assert Mixture(parts, temperature=0.5).weights.tolist() == [10, 5]
    assert Mixture(parts, temperature=0).weights.tolist() == [1, 1]
    assert Mixture(parts, {"b": 3, "a": 1}).weights.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"a": 1}, "weights are for a, but the sources are a, b"),
        ({"a": 1, "b": 1, "c": 1}, "weights are for a, b, c, but the sources are a, b"),
        ({}, "weights are for nothing"),
        ({"a": 1, "b": 0}, "weight of the source 'b' must be a positive number, not 0"),
        ({"a": float("nan"), "b": 1}, "weight of the source 'a' must be a positive number, not nan"),
    ],
)
def test_bad_weights_say_why(weights, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Mixture({"a": RegularIndex(5, LANGS), "b": RegularIndex(5, LANGS)}, weights)


def test_bad_mixtures_say_why() -> None:
    with pytest.raises(PlanError, match="at least one source"):
        Mixture({})
    for temperature in (-1, float("inf")):
        with pytest.raises(PlanError, match="source temperature must be 0"):
            Mixture({"a": RegularIndex(5, LANGS)}, temperature=temperature)
    small = Mixture({"a": RegularIndex(9, ("de", "en")), "b": RegularIndex(7, ("fr",))})
    with pytest.raises(PlanError, match="in fr: the largest source 'b' has 7 distinct items are fewer"):
        BatchPlan(small, strategy("mono"), 8)
    with pytest.raises(PlanError, match=r"the source 'b' can fill no cross batch of 7"):
        BatchPlan(small, strategy("cross"), 7)
    with pytest.raises(PlanError, match=r"the source 'b' can fill no english batch of 4"):
        BatchPlan(small, strategy("english"), 4)
    assert BatchPlan(small, strategy("hybrid"), 7)[0].source in ("a", "b")
    with pytest.raises(PlanError, match="no item has a query and a passage in one language"):
        BatchPlan(Mixture({"c": RowIndex(["i"], ["de"], ["en"])}), strategy("mono"), 1)


def pairs_dataset(source: str, items: int, langs: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"source": source, "item": f"{source}{i}", "query_lang": a, "passage_lang": b,
         "query": f"{source} {i} {a}", "passage": f"{source} {i} {b} ."}
        for i in range(items) for a in langs for b in langs
    ]  # fmt: skip


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_batch_sampler_keeps_sources_apart(ranks: int) -> None:
    listed = pairs_dataset("mmarco", 30, ("de", "en", "fr")) + pairs_dataset("faq", 16, ("de",))
    # Sources stand in any order in a data set.
    order = np.random.default_rng(0).permutation(len(listed))
    dataset = Dataset.from_list([listed[i] for i in order])
    make = batch_sampler(dataset, "hybrid", source_weights={"mmarco": 1.0, "faq": 3.0}, world_size=ranks)
    sampler = make(dataset.select_columns(["query", "passage"]), 8 // ranks, seed=1)
    assert len(sampler) == (286 // 8) * ranks
    shares = Counter()
    batches = list(sampler)
    for epoch in range(1, 12):
        sampler.set_epoch(epoch)
        batches += list(sampler)
    for parts in (batches[i : i + ranks] for i in range(0, len(batches), ranks)):
        rows = [dataset[row] for part in parts for row in part]
        assert len({row["item"] for row in rows}) == len(rows) == 8
        assert len({row["source"] for row in rows}) == 1
        langs = {lang for row in rows for lang in (row["query_lang"], row["passage_lang"])}
        mono = all(row["query_lang"] == row["passage_lang"] for row in rows)
        assert len(langs) == 1 if mono else all(row["query_lang"] != row["passage_lang"] for row in rows)
        if mono and langs == {"de"}:
            shares[rows[0]["source"]] += 1
        else:
            assert rows[0]["source"] == "mmarco"
    assert shares["faq"] / shares.total() == pytest.approx(0.75, abs=0.12)


def test_the_batch_sampler_is_the_plan_from_its_first_step_on(monkeypatch) -> None:
    dataset = Dataset.from_list(pairs_dataset("faq", 12, ("de", "en")))
    sampler = batch_sampler(dataset, world_size=1)(dataset, 4, seed=5)
    assert str(sampler.plan.strategy) == "hybrid(0.5)"
    assert (sampler.plan.seed, sampler.plan.language_temperature, len(sampler)) == (5, 0.0, 12)
    assert list(sampler) == [sampler.plan[step].query_rows.tolist() for step in range(12)]
    later = PlanBatchSampler(sampler.plan, steps=2, first=3)
    later.set_epoch(2)
    assert list(later) == [sampler.plan[step].query_rows.tolist() for step in (7, 8)]
    assert batch_sampler(dataset)(dataset, 4).plan.seed == 0
    by_size = batch_sampler(dataset, "mono", language_temperature=0.5, world_size=1)(dataset, 4)
    assert (str(by_size.plan.strategy), by_size.plan.language_temperature) == ("mono", 0.5)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert batch_sampler(dataset)(dataset, 4).plan.world_size == 3
    assert batch_sampler(dataset)(dataset, 4).plan.batch_size == 12
    assert batch_sampler(dataset, world_size=2)(dataset, 4).plan.world_size == 2
    monkeypatch.delenv("WORLD_SIZE")
    assert batch_sampler(dataset)(dataset, 4).plan.world_size == 1


def test_the_batch_sampler_refuses_bad_sources() -> None:
    dataset = Dataset.from_list(pairs_dataset("faq", 4, ("de", "en")))
    with pytest.raises(PlanError, match="weights are for blog, but the sources are faq"):
        batch_sampler(dataset, source_weights={"blog": 1.0})
    with pytest.raises(PlanError, match="no column 'source'"):
        batch_sampler(dataset.remove_columns("source"), source_weights={"faq": 1.0})
    for index in (RegularIndex(9, LANGS), Mixture({"a": RegularIndex(9, LANGS)}), CorpusIndex(parallel_corpus(9))):
        with pytest.raises(PlanError, match=f"a {type(index).__name__} numbers queries and passages separately"):
            PlanBatchSampler(BatchPlan(index, strategy("cross"), 4), steps=5)


@pytest.mark.parametrize("kind", ["same", "different"])
def test_rows_of_a_class_are_drawn_by_their_languages_weights(kind: str) -> None:
    # Two items; the second has its English-German row twice, which share that pair's weight.
    listed = [("0", "de", "de"), ("0", "en", "en"), ("0", "de", "en"), ("0", "en", "de"), ("0", "fr", "de"),
              ("1", "fr", "fr"), ("1", "de", "de"), ("1", "en", "de"), ("1", "en", "de"), ("1", "fr", "en")]  # fmt: skip
    index = RowIndex(*map(list, zip(*listed, strict=True)))
    assert index.clusters == 2
    assert index.rows == (10, 10)
    assert index.mono_sizes().tolist() == [2, 1, 1]
    weights = {"de": 1.0, "en": 2.0, "fr": 5.0}
    given_weights = np.array(list(weights.values()))
    pool = index.same(None, given_weights) if kind == "same" else index.different(given_weights)
    count = 4000
    chosen = Counter(row for key in range(count) for row in pool.pick(np.array([0, 1]), key)[0].tolist())
    for item in "01":
        share = {}
        for row, (name, a, b) in enumerate(listed):
            if name == item and (a == b) == (kind == "same"):
                share[row] = weights[a] * (1 if a == b else weights[b]) / listed.count((name, a, b))
        total = sum(share.values())
        observed = [chosen.pop(row) for row in share]
        assert scipy.stats.chisquare(observed, [count * s / total for s in share.values()]).pvalue > 0.001
    assert not chosen


def test_tiny_weights_of_a_class_are_kept_beside_large_ones() -> None:
    items = [str(i) for i in range(1000) for _ in range(2)]
    langs = ["de", "de"] * 999 + ["en", "fr"]
    index = RowIndex(items, langs, langs)
    pool = index.same(None, np.array([1e30, 1.0, 3.0]))
    last = np.array([999])
    drawn = [int(pool.pick(last, key)[0][0]) for key in range(1000)]
    assert np.mean([row == 1999 for row in drawn]) == pytest.approx(0.75, abs=0.05)
    assert set(drawn) == {1998, 1999}


def test_cross_lingual_pairs_of_a_corpus_are_by_the_product_of_weights() -> None:
    from babelmix.corpus import Corpus

    queries = [{"item": "0", "lang": lang, "text": f"q {lang}"} for lang in ("de", "en", "fr")]
    passages = [{"item": "0", "lang": lang, "text": f"p {lang}"} for lang in ("de", "fr", "ja")]
    index = CorpusIndex(Corpus.from_rows(queries, passages, [("0", "0")]))
    assert index.langs == LANGS
    weights = dict(zip(LANGS, (1.0, 2.0, 3.0, 1e30), strict=True))
    for large in (False, True):
        weights["ja"] = 1e30 if large else 4.0
        pool = index.different(np.array(list(weights.values())))
        drawn = Counter()
        for key in range(3000):
            (query,), (passage,) = pool.pick(np.array([0]), derive_key("draw", key))
            drawn[queries[query]["lang"], passages[passage]["lang"]] += 1
        pairs = [(q["lang"], p["lang"]) for q in queries for p in passages if q["lang"] != p["lang"]]
        share = {pair: weights[pair[0]] * weights[pair[1]] for pair in pairs}
        if large:
            assert {b for _, b in drawn} == {"ja"}
            share = {pair: value for pair, value in share.items() if pair[1] == "ja"}
        total = sum(share.values())
        assert set(drawn) == set(share)
        expected = [3000 * s / total for s in share.values()]
        assert scipy.stats.chisquare([drawn[pair] for pair in share], expected).pvalue > 0.001


def test_a_bitext_is_only_in_cross_lingual_batches() -> None:
    # In its own language each of its texts finds itself: such a batch teaches nothing.
    bitext = replace(parallel_corpus(40), meta={LABELS: TRANSLATIONS})
    assert CorpusIndex(bitext).mono_sizes().tolist() == [0] * len(LANGS)
    plan = BatchPlan(Mixture({"pages": CorpusIndex(parallel_corpus(40)), "bitext": CorpusIndex(bitext)}), "hybrid", 8)
    kinds = Counter((batch.source, batch.kind) for batch in (plan[step] for step in range(400)))
    assert ("bitext", "mono") not in kinds
    assert kinds["bitext", "cross"] > 50 < kinds["pages", "cross"]
    with pytest.raises(PlanError, match="mono"):
        BatchPlan(CorpusIndex(bitext), "mono", 8)[0]
