"""PEER, mean rank correlation and rank distance over chance, against scipy, loops and simulation."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from conftest import parallel_corpus, sparse_corpus
from hypothesis import given
from hypothesis import strategies as st

from babelmix.evaluation import RankTable, measures, rank_table
from babelmix.evaluation.bias import per_query
from babelmix.evaluation.chance import distance_by_chance
from babelmix.evaluation.correlation import rank_correlation
from babelmix.evaluation.peer import kruskal_wallis, peer


@pytest.fixture(scope="module")
def sparse() -> RankTable:
    rng = np.random.default_rng(8)
    corpus = sparse_corpus(rng, 25, ("de", "en", "fr"), 0.8)
    vectors = (rng.normal(size=(t.num_rows, 6)).astype(np.float32) for t in (corpus.queries, corpus.passages))
    return rank_table(corpus, *vectors)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 6)), min_size=1, max_size=40))
def test_kruskal_wallis_is_scipys(rows: list[tuple[int, int, int]]) -> None:
    tests = sorted({row[0] for row in rows})
    test, sample, value = np.array([(tests.index(t), s, v) for t, s, v in rows]).T
    found = kruskal_wallis(test, sample, value)
    assert len(found) == len(tests)
    for number, p in enumerate(found):
        mine = test == number
        samples = [value[mine & (sample == s)] for s in np.unique(sample[mine])]
        told = len(samples) > 1 and max(map(len, samples)) > 1 and len(np.unique(value[mine])) > 1
        if told:
            assert p == pytest.approx(scipy.stats.kruskal(*samples).pvalue)
        else:
            assert np.isnan(p)


@pytest.mark.parametrize("by_group", [False, True])
def test_peer_is_a_mean_of_kruskals_p_values(table: RankTable, sparse: RankTable, by_group: bool) -> None:
    graded = np.arange(len(sparse.pair_grade)) % 2 + 1
    for given_table, grade in ((table, table.pair_grade), (sparse, sparse.pair_grade), (sparse, graded)):
        one = replace(given_table, pair_grade=grade)
        ranks: dict[object, dict[int, dict[int, list[int]]]] = defaultdict(
            lambda: defaultdict(lambda: defaultdict(list))
        )
        first: dict[object, int] = {}
        for pair, query in enumerate(one.pair_query.tolist()):
            unit = (one.query_group[query], one.query_lang[query]) if by_group else query
            first.setdefault(unit, query)
            ranks[unit][int(grade[pair])][int(one.pair_lang[pair])].append(int(one.rank_in_all()[pair]))
        expected = {}
        for unit, grades in ranks.items():
            usable = [g for g in grades.values() if len(g) > 1 and max(map(len, g.values())) > 1]
            if usable:
                expected[first[unit]] = np.mean([scipy.stats.kruskal(*g.values()).pvalue for g in usable])
        query, values = peer(one, by_group=by_group)
        assert dict(zip(query.tolist(), values.tolist(), strict=True)) == pytest.approx(expected)
        assert query.tolist() == sorted(expected)
        assert expected


def test_one_passage_a_language_tells_peer_nothing_but_a_group_does() -> None:
    corpus = parallel_corpus(48, group_size=12)
    rng = np.random.default_rng(0)
    langs = [np.array(t["lang"].to_pylist()) for t in (corpus.queries, corpus.passages)]
    noise = [rng.normal(size=(len(lang), 8)).astype(np.float32) for lang in langs]
    of_lang = [np.stack([lang == name for name in ("de", "en", "fr", "ja")], axis=1) * 5.0 for lang in langs]
    fair = measures(rank_table(corpus, *noise))
    biased = measures(rank_table(corpus, *(np.hstack([n, o]) for n, o in zip(noise, of_lang, strict=True))))
    assert "bias/PEER" not in fair
    assert fair["bias/PEER by group"].macro() == pytest.approx(0.5, abs=0.2)
    assert biased["bias/PEER by group"].macro() < 1e-4
    assert len(fair["bias/PEER by group"].values) == 4 * 4
    assert fair["bias/PEER by group"].lower_is_better is False


def test_rank_correlation_is_spearmans_by_loops(table: RankTable, sparse: RankTable) -> None:
    kept = table.pair_query > 0
    pairs_of = ("pair_query", "pair_passage", "pair_lang", "pair_grade", "outranking_counts")
    first_query_has_none = replace(table, **{name: getattr(table, name)[kept] for name in pairs_of})
    for one in (table, first_query_has_none, sparse):
        by_query: dict[int, dict[int, int]] = defaultdict(dict)
        pairs = zip(one.pair_query.tolist(), one.pair_passage.tolist(), one.rank_in_all().tolist(), strict=True)
        for query, passage, rank in pairs:
            by_query[query][passage] = rank
        expected = {}
        for query, mine in by_query.items():
            others = [
                scipy.stats.spearmanr(list(mine.values()), [theirs[p] for p in mine]).statistic
                for other, theirs in by_query.items()
                if one.query_item[other] == one.query_item[query] and one.query_lang[other] != one.query_lang[query]
                if len(mine) > 1
            ]
            if others:
                expected[query] = np.mean(others)
        query, values = rank_correlation(one)
        assert dict(zip(query.tolist(), values.tolist(), strict=True)) == pytest.approx(expected)
    assert len(expected) > 20


def test_parallel_queries_that_order_alike_correlate_and_those_with_their_own_language_first_do_not() -> None:
    corpus = parallel_corpus(12, ("de", "en"))
    rng = np.random.default_rng(1)
    passages = rng.normal(size=(24, 30)).astype(np.float32)
    langs = np.array(corpus.queries["lang"].to_pylist())
    items = np.array([int(item[1:]) for item in corpus.queries["item"].to_pylist()])
    alike = rng.normal(size=(12, 30)).astype(np.float32)[items]
    assert measures(rank_table(corpus, alike, passages))["bias/mean rank correlation"].macro() == pytest.approx(1.0)
    own = np.stack([langs == "de", langs == "en"], axis=1).astype(np.float32)
    assert measures(rank_table(corpus, own, own))["bias/mean rank correlation"].macro() == pytest.approx(-1.0)


@pytest.mark.parametrize("counts", [(1, 1), (1, 1, 1, 1), (3, 1), (2, 0, 5, 1), (1, 1, 1, 40), (200, 3)])
def test_distance_by_chance_is_what_shuffling_gives(counts: tuple[int, ...]) -> None:
    pool, times = 400, 4000
    rng = np.random.default_rng(2)
    edges = np.cumsum(counts)[:-1]
    places = np.argsort(rng.random((times, pool)), axis=1)[:, : sum(counts)]
    best = np.stack([part.min(axis=1) for part in np.split(places, edges, axis=1) if part.shape[1]], axis=1)
    distance = best.max(axis=1) - best.min(axis=1)
    error = distance.std() / np.sqrt(times)
    assert distance_by_chance(np.array([counts]), pool)[0] == pytest.approx(distance.mean(), abs=4 * error)


def test_distance_by_chance_in_closed_form_and_by_inclusion_and_exclusion() -> None:
    langs = np.arange(2, 30)
    parallel = (np.arange(30) < langs[:, None]).astype(np.int64)
    assert distance_by_chance(parallel, 1000) == pytest.approx(1001 * (langs - 1) / (langs + 1))
    assert distance_by_chance(np.array([[3, 0], [0, 0]]), 10).tolist() == [0, 0]
    sizes = np.array([2, 7, 1, 30])
    subsets = [np.array([bool(mask >> bit & 1) for bit in range(4)]) for mask in range(1, 16)]
    worst = sum((-1) ** (int(s.sum()) + 1) * 101 / (sizes[s].sum() + 1) for s in subsets)
    assert distance_by_chance(sizes[None], 100)[0] == pytest.approx(worst - 101 / 41)


def test_a_ranking_by_chance_has_a_distance_over_chance_of_one(sparse: RankTable) -> None:
    corpus = parallel_corpus(100)
    rng = np.random.default_rng(3)
    vectors = (rng.normal(size=(400, 16)).astype(np.float32) for _ in range(2))
    assert per_query(rank_table(corpus, *vectors))["rank distance over chance"].values.mean() == pytest.approx(
        1, abs=0.06
    )
    found = per_query(sparse)
    ratio = found["rank distance"].values / found["rank distance over chance"].values
    counts = np.zeros((len(sparse.query_item), 3), dtype=np.int64)
    np.add.at(counts, (sparse.pair_query, sparse.pair_lang), 1)
    assert found["rank distance over chance"].query.tolist() == np.flatnonzero((counts > 0).sum(axis=1) > 1).tolist()
    assert ratio == pytest.approx(
        distance_by_chance(counts[found["rank distance"].query], int(sparse.pool_sizes.sum()))
    )
