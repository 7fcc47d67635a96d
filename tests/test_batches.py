"""Batch plans against their definitions, by brute force."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from conftest import parallel_corpus, sparse_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.batches import STRATEGIES, BatchPlan, CorpusIndex, RowIndex, clusters_of, largest_batch, strategy
from babelmix.batches.keyed import derive_key
from babelmix.corpus import Corpus
from babelmix.errors import ConfigError, PlanError

SPECS = ("english", "mixed", "mono", "cross", "hybrid", "hybrid(0.25)")
# Of the plans in `test_the_sequence_of_a_seed_is_pinned_over_listed_rows`.
LISTED = [
    ([14, 102, 122, 71, 8, 146], [15, 103, 121, 70, 11, 147]),
    ([157, 116, 62, 68, 134, 91], [158, 119, 63, 70, 132, 89]),
]
READY = [[119, 349, 357, 355, 112, 96], [300, 246, 281, 355, 71, 127]]


def facts(corpus: Corpus):
    return [
        {name: table[name].to_pylist() for name in ("item", "lang", "text")}
        for table in (corpus.queries, corpus.passages)
    ]


def check_batch(corpus: Corpus, batch, spec: str) -> None:
    """Everything that must hold of one global batch, from the corpus alone."""
    queries, passages = facts(corpus)
    qrels = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    rows = [
        (queries["item"][q], queries["lang"][q], passages["item"][p], passages["lang"][p])
        for q, p in zip(batch.query_rows, batch.passage_rows, strict=True)
    ]
    for query_item, query_lang, passage_item, passage_lang in rows:
        assert (query_item, passage_item) in qrels
        assert (query_lang == passage_lang) == (batch.kind != "cross")
    if batch.kind == "mono":
        assert {lang for _, *langs in rows for lang in (langs[0], langs[2])} == {batch.lang}
    if spec == "english":
        assert batch.lang == "en"
    texts = {}
    for side, table in (("q", queries), ("p", passages)):
        for item, text in zip(table["item"], table["text"], strict=True):
            texts.setdefault((side, item), set()).add(text.strip())
    for (q1, _, p1, _), (q2, _, p2, _) in itertools.combinations(rows, 2):
        # No translation of a positive, no copy of one in any language, and nothing relevant is a negative.
        assert q1 != q2
        assert p1 != p2
        assert (q1, p2) not in qrels
        assert (q2, p1) not in qrels
        assert not texts["p", p1] & texts["p", p2]
        assert not texts["q", q1] & texts["q", q2]
        assert len({q1, q2}) == len({p1, p2}) == 2


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_batches_obey_their_definition_on_every_rank(spec: str, world_size: int) -> None:
    corpus = parallel_corpus(40)
    plan = BatchPlan(CorpusIndex(corpus), strategy(spec), 8, seed=3, world_size=world_size)
    kinds = Counter()
    for step in range(60):
        whole = plan[step]
        assert len(whole) == 8
        check_batch(corpus, whole, spec)
        parts = [whole.slice(rank, world_size) for rank in range(world_size)]
        assert {(p.kind, p.lang, p.step) for p in parts} == {(whole.kind, whole.lang, step)}
        assert np.array_equal(np.concatenate([p.query_rows for p in parts]), whole.query_rows)
        assert np.array_equal(np.concatenate([p.passage_rows for p in parts]), whole.passage_rows)
        kinds[whole.kind] += 1
    expected = {"english": {"mono"}, "mono": {"mono"}, "mixed": {"mixed"}, "cross": {"cross"}}
    assert set(kinds) == expected.get(spec, {"mono", "cross"})


@pytest.mark.parametrize("spec", SPECS)
def test_a_plan_is_pure_in_seed_and_step(spec: str) -> None:
    corpus = parallel_corpus(40)

    def rows(plan: BatchPlan, step: int) -> list[int]:
        batch = plan[step]
        return [*batch.query_rows.tolist(), *batch.passage_rows.tolist()]

    plan = BatchPlan(CorpusIndex(corpus), strategy(spec), 8, seed=1)
    forward = [rows(plan, step) for step in range(30)]
    again = BatchPlan(CorpusIndex(corpus), strategy(spec), 8, seed=1)
    assert [rows(again, step) for step in reversed(range(30))] == forward[::-1]
    resumed = [
        [*b.query_rows.tolist(), *b.passage_rows.tolist()] for b in itertools.islice(plan.batches(first=17), 13)
    ]
    assert resumed == forward[17:]
    assert next(plan.batches()).step == 0
    shared_by_four = BatchPlan(CorpusIndex(corpus), strategy(spec), 8, seed=1, world_size=4)
    assert [rows(shared_by_four, step) for step in range(30)] == forward
    other = BatchPlan(CorpusIndex(corpus), strategy(spec), 8, seed=2)
    assert [rows(other, step) for step in range(30)] != forward


@pytest.mark.parametrize("spec", ["mono", "cross", "hybrid", "mixed"])
def test_each_item_once_a_turn_and_the_same_items_for_all_strategies(spec: str) -> None:
    corpus = parallel_corpus(40)
    items = corpus.queries["item"].to_pylist()
    plans = [BatchPlan(CorpusIndex(corpus), strategy(s), 8, seed=5) for s in (spec, "english")]
    seen = Counter(items[row] for step in range(5) for row in plans[0][step].query_rows)
    assert set(seen.values()) == {1}
    assert len(seen) == 40
    for step in range(12):
        assert [items[r] for r in plans[0][step].query_rows] == [items[r] for r in plans[1][step].query_rows]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    items=st.integers(3, 25),
    langs=st.sampled_from([("en",), ("de", "en"), ("de", "en", "fr", "ja")]),
    keep=st.sampled_from([0.3, 0.6, 1.0]),
    spec=st.sampled_from(SPECS),
    ranks=st.integers(2, 40),
)
def test_random_corpora_give_lawful_batches_or_a_clear_error(seed, items, langs, keep, spec, ranks) -> None:
    corpus = sparse_corpus(np.random.default_rng(seed), items, langs, keep)
    if corpus.qrels.num_rows == 0:
        return
    index = CorpusIndex(corpus)
    try:
        size = largest_batch(index, strategy(spec))
    except PlanError as error:
        assert str(error)
        return
    plan = BatchPlan(index, strategy(spec), size, seed=seed)
    for step in range(8):
        check_batch(corpus, plan[step], spec)
    again = BatchPlan(index, strategy(spec), size, seed=seed)
    for step in (7, 0, 3):
        assert np.array_equal(again[step].query_rows, plan[step].query_rows)
        assert np.array_equal(again[step].passage_rows, plan[step].passage_rows)
    with pytest.raises(PlanError, match="fewer than a batch"):
        BatchPlan(index, strategy(spec), size + 1)
    # A row a rank at least: more ranks than a batch can have rows cannot be served.
    whole = ranks * max(1, size // ranks)
    if whole > size:
        with pytest.raises(PlanError, match="fewer than a batch"):
            BatchPlan(index, strategy(spec), whole, world_size=ranks)
        with pytest.raises(PlanError, match=f"cannot be shared by {ranks} ranks"):
            BatchPlan(index, strategy(spec), size, world_size=ranks)
        return
    batch = BatchPlan(index, strategy(spec), whole, seed=seed, world_size=ranks)[5]
    check_batch(corpus, batch, spec)
    parts = [batch.slice(rank, ranks) for rank in range(ranks)]
    assert [row for part in parts for row in part.query_rows] == batch.query_rows.tolist()
    assert [row for part in parts for row in part.passage_rows] == batch.passage_rows.tolist()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), count=st.integers(1, 60), langs=st.integers(1, 3), spec=st.sampled_from(SPECS))
def test_random_ready_pairs_give_lawful_batches_or_a_clear_error(seed, count, langs, spec) -> None:
    rng = np.random.default_rng(seed)
    tags = ["en", "de", "fr"][:langs]
    item, query, passage = (rng.integers(high, size=count).astype(str) for high in (20, 40, 40))
    query_lang, passage_lang = (rng.choice(tags, size=count) for _ in range(2))
    index = RowIndex(*map(list, (item, query_lang, passage_lang, query, passage)))
    try:
        size = largest_batch(index, strategy(spec))
    except PlanError as error:
        assert str(error)
        return
    plan = BatchPlan(index, strategy(spec), size, seed=seed, language_temperature=0.5)
    for step in range(8):
        batch = plan[step]
        assert np.array_equal(batch.query_rows, batch.passage_rows)
        for column in (item, query, passage):
            assert len(set(column[batch.query_rows])) == size
        same = query_lang[batch.query_rows] == passage_lang[batch.query_rows]
        assert same.all() if batch.kind != "cross" else not same.any()
        if batch.kind == "mono":
            assert set(query_lang[batch.query_rows]) == {batch.lang}


def test_the_sequence_of_a_seed_is_pinned_over_listed_rows() -> None:
    """A change here changes every saved plan: it needs a note in the changelog."""
    corpus = parallel_corpus(40)
    rows = list(itertools.product(range(40), ("de", "en", "fr"), ("de", "en", "fr")))
    # Rows of an item far apart, so that gathering them has to keep their order.
    order = np.random.default_rng(0).permutation(len(rows))
    index = RowIndex(*map(list, zip(*[map(str, rows[i]) for i in order], strict=True)))
    assert index.row_cluster.dtype == np.int64
    listed, ready = BatchPlan(CorpusIndex(corpus), strategy("cross"), 6), BatchPlan(index, strategy("mixed"), 6)
    assert [(listed[s].query_rows.tolist(), listed[s].passage_rows.tolist()) for s in (0, 10**9)] == LISTED
    assert [ready[s].query_rows.tolist() for s in (0, 10**9)] == READY


def test_hybrid_is_monolingual_with_probability_alpha() -> None:
    index = CorpusIndex(parallel_corpus(40))
    for alpha in (0.0, 0.25, 0.5, 1.0):
        plan = BatchPlan(index, strategy(f"hybrid({alpha})"), 8, seed=0)
        share = np.mean([plan[step].kind == "mono" for step in range(1000)])
        assert share == pytest.approx(alpha, abs=0.05)


def test_hybrid_asks_only_for_what_it_draws() -> None:
    one_language = CorpusIndex(parallel_corpus(10, ("en",)))
    assert BatchPlan(one_language, strategy("hybrid(1)"), 8)[0].kind == "mono"
    with pytest.raises(PlanError, match="need two languages"):
        BatchPlan(one_language, strategy("hybrid(0.99)"), 8)
    never_the_same = RowIndex(["a", "b"], ["de", "en"], ["en", "de"])
    assert BatchPlan(never_the_same, strategy("hybrid(0)"), 2)[0].kind == "cross"
    with pytest.raises(PlanError, match="no item has a query and a passage in one language"):
        BatchPlan(never_the_same, strategy("hybrid(0.01)"), 2)


def test_languages_are_uniform_or_by_size() -> None:
    corpus = parallel_corpus(40)
    few = corpus.queries["lang"].to_pylist()
    rows = [row for row in corpus.queries.to_pylist() if row["lang"] != "ja" or int(row["item"][1:]) < 10]
    smaller = Corpus.from_rows(rows, corpus.passages.to_pylist(), [(f"i{i}", f"i{i}") for i in range(40)])
    assert len(few) > smaller.queries.num_rows
    for temperature, expected in ((0.0, 0.25), (1.0, 10 / 130)):
        plan = BatchPlan(CorpusIndex(smaller), strategy("mono"), 8, language_temperature=temperature)
        share = np.mean([plan[step].lang == "ja" for step in range(800)])
        assert share == pytest.approx(expected, abs=0.04)
    plan = BatchPlan(CorpusIndex(corpus), strategy("cross"), 8)
    queries, passages = facts(corpus)
    pairs = Counter(
        (queries["lang"][q], passages["lang"][p])
        for step in range(2000)
        for q, p in zip(plan[step].query_rows, plan[step].passage_rows, strict=True)
    )
    assert len(pairs) == 12
    assert scipy.stats.chisquare(list(pairs.values())).pvalue > 0.001


@pytest.mark.parametrize(
    ("spec", "corpus", "message"),
    [
        ("cross", parallel_corpus(20, ("en",)), "need two languages"),
        ("english", parallel_corpus(20, ("de", "fr")), "has no English"),
        ("english", parallel_corpus(5), "^monolingual batches in en: 5 distinct items are fewer than a batch of 8"),
        ("mixed", parallel_corpus(5), "^batches of same-language rows: 5 distinct items are fewer than a batch of 8"),
        ("mono", parallel_corpus(5), "^monolingual batches in de: 5 distinct items are fewer than a batch of 8"),
        ("cross", parallel_corpus(5), "^cross-lingual batches: 5 distinct items are fewer than a batch of 8"),
    ],
)
def test_impossible_plans_say_why(spec: str, corpus: Corpus, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        BatchPlan(CorpusIndex(corpus), strategy(spec), 8)


def test_bad_settings_say_why() -> None:
    index = CorpusIndex(parallel_corpus(20))
    with pytest.raises(PlanError, match="cannot be shared by 3 ranks"):
        BatchPlan(index, strategy("mono"), 8, world_size=3)
    for size, ranks in ((0, 1), (-8, 1), (8, 0), (8, -1)):
        with pytest.raises(PlanError, match=f"a batch of {size} cannot be shared by {ranks} ranks"):
            BatchPlan(index, strategy("mono"), size, world_size=ranks)
    with pytest.raises(PlanError, match="language temperature"):
        BatchPlan(index, strategy("mono"), 8, language_temperature=-1)
    with pytest.raises(PlanError, match="probability"):
        strategy("hybrid(1.5)")
    for spec in ("hybrd", "hybrid(x)", "mono(0.5)", ""):
        with pytest.raises(ConfigError):
            strategy(spec)
    with pytest.raises(PlanError, match="has no xx"):
        CorpusIndex(parallel_corpus(5), langs=["xx"])


def test_classes_join_qrels_and_copies() -> None:
    rows = lambda side, texts: [{"item": f"{side}{i}", "lang": "en", "text": t} for i, t in enumerate(texts)]
    corpus = Corpus.from_rows(
        rows("q", ["a", "b", "c", "d"]),
        rows("p", ["x", "y", "y ", "z"]),
        [("q0", "p0"), ("q1", "p1"), ("q2", "p2"), ("q3", "p3")],
    )
    query_cluster, passage_cluster = clusters_of(corpus)
    assert query_cluster[1] == query_cluster[2] == passage_cluster[1] == passage_cluster[2]
    assert query_cluster.tolist() == passage_cluster.tolist()
    assert query_cluster.shape == (4,)
    assert query_cluster.dtype == passage_cluster.dtype == np.int64
    assert len({query_cluster[0], query_cluster[1], query_cluster[3]}) == 3


def test_an_untranslated_name_is_a_copy_in_another_language_too() -> None:
    rows = [
        ("0", "en", "Bluetooth"),
        ("0", "de", "Funk"),
        ("1", "en", "radio"),
        ("1", "de", "Bluetooth"),
        ("2", "en", "x"),
    ]
    passages = [{"item": i, "lang": lang, "text": text} for i, lang, text in rows]
    queries = [{"item": i, "lang": "en", "text": f"q{i}"} for i in "012"]
    query_cluster, _ = clusters_of(Corpus.from_rows(queries, passages, [(i, i) for i in "012"]))
    assert query_cluster[0] == query_cluster[1] != query_cluster[2]


@pytest.mark.parametrize("kind", ["rows", "corpus"])
def test_mixed_batches_draw_languages_by_their_weight(kind: str) -> None:
    corpus = parallel_corpus(60, ("de", "en"))
    small = [row for row in corpus.queries.to_pylist() if row["lang"] == "en" or int(row["item"][1:]) < 20]
    corpus = Corpus.from_rows(small, corpus.passages.to_pylist(), [(f"i{i}", f"i{i}") for i in range(60)])
    langs = corpus.queries["lang"].to_pylist()
    item = corpus.queries["item"].to_pylist()
    index = CorpusIndex(corpus) if kind == "corpus" else RowIndex(item, langs, langs)
    plan = BatchPlan(index, strategy("mixed"), 10, language_temperature=1.0)
    both = [langs[r] for s in range(300) for r in plan[s].query_rows if int(item[r][1:]) < 20]
    assert np.mean([lang == "en" for lang in both]) == pytest.approx(0.75, abs=0.03)


def test_row_index_for_ready_pairs() -> None:
    langs = ("de", "en", "fr")
    rows = [(f"i{i}", a, b) for i in range(12) for a in langs for b in langs]
    item, query_lang, passage_lang = map(list, zip(*rows, strict=True))
    index = RowIndex(item, query_lang, passage_lang)
    for spec in ("mono", "cross", "hybrid", "mixed", "english"):
        plan = BatchPlan(index, strategy(spec), 6, seed=1)
        for step in range(20):
            batch = plan[step]
            assert np.array_equal(batch.query_rows, batch.passage_rows)
            chosen = [rows[row] for row in batch.query_rows]
            assert len({i for i, _, _ in chosen}) == 6
            assert all((a == b) == (batch.kind != "cross") for _, a, b in chosen)
            if batch.kind == "mono":
                assert {a for _, a, _ in chosen} == {batch.lang}
    copies = RowIndex(["a", "b"], ["en", "en"], ["en", "en"], ["q", "q2"], ["same", "same"])
    assert copies.row_cluster[0] == copies.row_cluster[1]
    passages_only = RowIndex(["a", "b"], ["en", "en"], ["en", "en"], passage=["same", "same"])
    assert passages_only.row_cluster[0] == passages_only.row_cluster[1]
    with pytest.raises(PlanError, match="one length"):
        RowIndex(["a"], ["en", "de"], ["en", "de"])


def test_every_strategy_is_listed() -> None:
    built_in = ["english", "mixed", "mono", "cross", "hybrid", "paired", "text_text", "one_to_k"]
    assert [name for name in STRATEGIES if name in built_in] == built_in
    assert str(strategy("hybrid")) == "hybrid(0.5)"


@pytest.mark.parametrize("kind", ["same", "different"])
def test_what_a_row_draws_is_independent_of_the_rest_of_its_batch(kind: str) -> None:
    # Two queries, each with two relevant passages, and each of these twice in two languages.
    copies = list(itertools.product(("de", "en"), "xy"))
    queries = [{"item": f"q{i}", "lang": lang, "text": f"{i} {lang} {c}"} for i in "01" for lang, c in copies]
    passages = [
        {"item": f"p{i}{n}", "lang": lang, "text": f"{i} {n} {lang} {c}"}
        for i in "01" for n in "ab" for lang, c in copies
    ]  # fmt: skip
    qrels = [(f"q{i}", f"p{i}{n}") for i in "01" for n in "ab"]
    index = CorpusIndex(Corpus.from_rows(queries, passages, qrels))
    pool = index.same(None, np.ones(2)) if kind == "same" else index.different(np.ones(2))
    drawn = Counter()
    for key in range(4000):
        rows = zip(*pool.pick(np.array([0, 1]), derive_key("draw", key)), strict=True)
        drawn[tuple((queries[q]["text"], passages[p]["text"]) for q, p in rows)] += 1
    # The passage, the language and both copies: 16 ways for each of the two rows, whatever the other drew.
    assert len(drawn) == 16 * 16
    assert scipy.stats.chisquare(list(drawn.values())).pvalue > 0.001


def test_a_corpus_has_cross_lingual_pairs_where_the_two_sides_differ() -> None:
    sides = {"a": ("de", "en"), "b": ("de", "de"), "c": ("de en", "de"), "d": ("de", "de en")}
    queries, passages = (
        [{"item": i, "lang": lang, "text": f"{i} {lang}"} for i, both in sides.items() for lang in both[side].split()]
        for side in (0, 1)
    )
    index = CorpusIndex(Corpus.from_rows(queries, passages, [(i, i) for i in sides]))
    pool = index.different(np.ones(2))
    assert len(pool) == 3
    assert len(index.same(None, np.ones(2))) == 3
    drawn = {(int(q), int(p)) for key in range(30) for q, p in zip(*pool.pick(np.arange(3), key), strict=True)}
    assert {(queries[q]["text"], passages[p]["text"]) for q, p in drawn} == {
        ("a de", "a en"), ("c en", "c de"), ("d de", "d en"),
    }  # fmt: skip
