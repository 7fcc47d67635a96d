"""The measures of the field beside ours: each against a slow reference that follows the publication or its program."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from conftest import parallel_corpus, picture_corpus, sparse_corpus

from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation import RankTable, measure_info, measures, rank_table
from babelmix.evaluation.bias import default_names, ideal_value, left_out, parse_bias_metric, per_query
from babelmix.evaluation.language_gain import language_aware_ndcg
from babelmix.evaluation.last_relevant import complete, max_at_r, normalised_max_at_r
from babelmix.evaluation.measure_info import headline_bias
from babelmix.evaluation.peer import official_peer, untold_by_peer
from babelmix.evaluation.recall_by_language import cross_language_recall, same_language_recall
from babelmix.evaluation.relevant_ranks import relevant_ranks
from babelmix.evaluation.union_correlation import union_correlation
from babelmix.evaluation.who_wins import own_version_wins

LANGS = ("de", "en", "fr")


class Case:
    """A corpus with random embeddings, its rank table, and the full ranking of every query as a list of passage rows."""

    def __init__(self, corpus: Corpus, seed: int, language: float = 1.0, right: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        of_item = defaultdict(lambda: rng.normal(size=12) * right)
        of_lang = defaultdict(lambda: rng.normal(size=12) * language)
        self.vectors = [
            np.stack(
                [
                    of_item[item[1:]] + of_lang[lang] + rng.normal(size=12)
                    for item, lang in zip(table["item"].to_pylist(), table["lang"].to_pylist(), strict=True)
                ]
            ).astype(np.float32)
            for table in (corpus.queries, corpus.passages)
        ]
        self.corpus = corpus
        self.table = rank_table(corpus, *self.vectors)
        unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in self.vectors]
        self.scores = unit[0].astype(np.float64) @ unit[1].T
        self.ranked = [np.argsort(-row, kind="stable").tolist() for row in self.scores]
        self.query_lang = corpus.queries["lang"].to_pylist()
        self.query_item = corpus.queries["item"].to_pylist()
        self.lang = corpus.passages["lang"].to_pylist()
        self.relevant: dict[int, dict[int, int]] = defaultdict(dict)
        for query, passage, grade in zip(
            self.table.pair_query.tolist(),
            self.table.pair_passage.tolist(),
            self.table.pair_grade.tolist(),
            strict=True,
        ):
            self.relevant[query][passage] = grade

    def __repr__(self) -> str:
        return self.corpus.name


def cases() -> list[Case]:
    graded = sparse_corpus(np.random.default_rng(5), 24, LANGS, 0.85)
    one = Case(graded, 1)
    grade = 1 + np.arange(len(one.table.pair_grade)) % 2
    one.table = replace(one.table, pair_grade=grade)
    for query, passage, value in zip(
        one.table.pair_query.tolist(), one.table.pair_passage.tolist(), grade.tolist(), strict=True
    ):
        one.relevant[query][passage] = value
    return [
        one,
        Case(parallel_corpus(20, LANGS), 2),
        Case(sparse_corpus(np.random.default_rng(9), 30, LANGS, 0.7), 3, 3.0),
    ]


CASES = cases()


def by_query(values: np.ndarray) -> dict[int, float]:
    return {query: value for query, value in enumerate(values.tolist()) if not np.isnan(value)}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 5, 20])
def test_tlr_is_shifts_over_queries_of_each_language(case: Case, k: int) -> None:
    """SHIFT's evaluator: |top k and R_t| / |R_t|; a query without R_t is left out of the mean."""

    def shift(lang: str) -> float:
        shares = []
        for query, ranking in enumerate(case.ranked):
            target = {p for p in case.relevant[query] if case.lang[p] != lang}
            if case.query_lang[query] == lang and target:
                shares.append(len(target & set(ranking[:k])) / len(target))
        return float(np.mean(shares))

    measure = measures(case.table, ["mAP"])[f"bias/TLR@{k}"]
    for lang, value in zip(measure.cells, measure.cell_values(), strict=True):
        assert value == pytest.approx(shift(lang), abs=1e-9)
    assert measure.macro() == pytest.approx(np.mean([shift(lang) for lang in measure.cells]))


@pytest.mark.parametrize("case", CASES)
def test_recall_splits_by_language_and_its_parts_make_up_recall_of_all(case: Case) -> None:
    found, k = relevant_ranks(case.table), 10
    same, cross, every = {}, {}, {}
    for query, relevant in case.relevant.items():
        first = set(case.ranked[query][:k])
        own = {p for p in relevant if case.lang[p] == case.query_lang[query]}
        every[query] = len(first & set(relevant))
        if own:
            same[query] = len(first & own) / len(own)
        if set(relevant) - own:
            cross[query] = len(first & (set(relevant) - own)) / len(set(relevant) - own)
    assert by_query(same_language_recall(found, k)) == pytest.approx(same)
    assert by_query(cross_language_recall(found, k)) == pytest.approx(cross)
    sizes = {q: sum(case.lang[p] == case.query_lang[q] for p in rel) for q, rel in case.relevant.items()}
    for query, relevant in case.relevant.items():
        parts = same.get(query, 0) * sizes[query] + cross.get(query, 0) * (len(relevant) - sizes[query])
        assert parts == pytest.approx(every[query])


def test_an_unknown_language_is_neither_the_same_nor_another() -> None:
    rows = [{"item": "a", "lang": lang, "text": lang} for lang in ("de", "en", "und")]
    corpus = Corpus.from_rows(rows, rows, [("a", "a")], name="unknown")
    vectors = np.ones((3, 2), dtype=np.float32)
    table = rank_table(corpus, vectors, vectors)
    found = relevant_ranks(table)
    # All scores are equal, so passages rank by row: de, en, und.
    assert by_query(cross_language_recall(found, 1)) == {0: 0.0, 1: 1.0}
    assert by_query(same_language_recall(found, 1)) == {0: 1.0, 1: 0.0}


def test_the_ceiling_of_tlr_is_below_1_with_more_targets_than_k() -> None:
    case = Case(parallel_corpus(20, ("de", "en", "fr", "ja")), 4)
    assert ideal_value(case.table, "TLR@1") == pytest.approx(1 / 3)
    assert ideal_value(case.table, "TLR@20") == 1.0
    perfect = np.eye(20, dtype=np.float32)[[int(item[1:]) for item in case.query_item]]
    found = measures(rank_table(case.corpus, perfect, perfect), ["mAP"])
    assert found["bias/TLR@5"].macro() == 1.0
    assert found["bias/Max@R"].macro() == ideal_value(case.table, "Max@R") == 4.0
    assert found["bias/normalised Max@R"].macro() == found["bias/Comp@10"].macro() == 1.0
    assert found["bias/rank distance"].macro() == ideal_value(case.table, "rank distance") == 3.0


@pytest.mark.parametrize("case", CASES)
def test_max_at_r_and_comp_are_the_last_relevant_passage(case: Case) -> None:
    found = relevant_ranks(case.table)
    pool = np.full(len(case.ranked), len(case.lang))
    worst, normalised, whole = {}, {}, {}
    for query, relevant in case.relevant.items():
        worst[query] = max(case.ranked[query].index(p) + 1 for p in relevant)
        size, everything = len(relevant), len(case.lang)
        normalised[query] = (np.log2(everything) - np.log2(worst[query])) / (np.log2(everything) - np.log2(size))
        if size <= 3:
            whole[query] = float(set(relevant) <= set(case.ranked[query][:3]))
    assert by_query(max_at_r(found)) == worst
    assert by_query(normalised_max_at_r(found, pool)) == pytest.approx(normalised)
    assert by_query(complete(found, 3, pool)) == whole
    assert whole


def test_max_at_r_and_comp_have_no_value_where_everything_is_relevant() -> None:
    rows = [{"item": "a", "lang": lang, "text": lang} for lang in LANGS]
    corpus = Corpus.from_rows(rows, rows, [("a", "a")], name="one")
    table = rank_table(corpus, np.ones((3, 2)), np.ones((3, 2)))
    found = per_query(table)
    assert found["Max@R"].values.tolist() == [3, 3, 3]
    assert not {"normalised Max@R", "Comp@10"} & set(found)


@pytest.mark.parametrize("case", CASES)
def test_own_version_wins_if_it_is_before_all_others(case: Case) -> None:
    wins, at_1 = {}, {}
    for query, relevant in case.relevant.items():
        order = [p for p in case.ranked[query] if p in relevant]
        own = [p for p in relevant if case.lang[p] == case.query_lang[query]]
        if own and len(own) < len(relevant):
            wins[query] = float(case.lang[order[0]] == case.query_lang[query])
            if case.ranked[query][0] in relevant:
                at_1[query] = wins[query]
    found = relevant_ranks(case.table)
    assert by_query(own_version_wins(found)) == wins
    assert by_query(own_version_wins(found, only_at_rank_1=True)) == at_1
    assert 0 < len(at_1) < len(wins)


@pytest.mark.parametrize("case", CASES)
def test_the_cells_of_rank_1_sum_to_1(case: Case) -> None:
    found = per_query(case.table)
    cells = {
        (right, same): found[f"first answer {right} {same}-language"]
        for right in ("right", "wrong")
        for same in ("same", "other")
    }
    assert sum(cell.values for cell in cells.values()) == pytest.approx(np.ones(len(case.relevant)))
    for (right, same), cell in cells.items():
        for query, value in zip(cell.query.tolist(), cell.values.tolist(), strict=True):
            first = case.ranked[query][0]
            is_right, is_same = first in case.relevant[query], case.lang[first] == case.query_lang[query]
            assert value == (is_right == (right == "right") and is_same == (same == "same"))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
def test_language_aware_ndcg_by_loops(case: Case, gain: float) -> None:
    expected = {}
    for query, relevant in case.relevant.items():
        gains = {p: g * (1 if case.lang[p] == case.query_lang[query] else gain) for p, g in relevant.items()}
        got = sum(gains.get(p, 0) / np.log2(place + 2) for place, p in enumerate(case.ranked[query][:10]))
        best = sum(g / np.log2(place + 2) for place, g in enumerate(sorted(gains.values(), reverse=True)[:10]))
        if best:
            expected[query] = got / best
    values = language_aware_ndcg(relevant_ranks(case.table), 10, gain=gain)
    assert by_query(values) == pytest.approx(expected)
    if gain == 1.0:
        assert values[~np.isnan(values)] == pytest.approx(measures(case.table, ["nDCG@10"])["multi/nDCG@10"].values)


def test_the_gain_is_an_option_of_the_name() -> None:
    table = CASES[0].table
    found = measures(table, ["mAP", "bias/language-aware nDCG(0.2)@10", "bias/TLR@3"])
    expected = language_aware_ndcg(relevant_ranks(table), 10, gain=0.2)
    name = "bias/language-aware nDCG(0.2)@10"
    assert found[name].values == pytest.approx(expected[~np.isnan(expected)])
    assert measure_info(name).title == "language-aware nDCG(0.2)@10"
    assert measure_info("bias/language-aware nDCG@10").title == "language-aware nDCG(0.5)@10"
    assert "bias/TLR@3" in found
    for wrong in (
        "TLR(2)@10",
        "language-aware nDCG(x)@10",
        "language-aware nDCG(1.2.3)@10",
        "TLR",
        "TLR@0",
        "Max@R@3",
    ):
        with pytest.raises(ConfigError, match="there is no bias metric"):
            parse_bias_metric(wrong)
    with pytest.raises(ConfigError, match="from 0 to 1"):
        measures(table, ["bias/language-aware nDCG(2)@10"])
    with pytest.raises(
        AuditError, match="the languages of the first 7 answers were not counted; name one of the cut-offs"
    ):
        measures(table, ["bias/same-language share@7"])


def published_peer(samples: list[list[float]]) -> float:
    """The statistic of peer_measure as it is described: ranks, NaN for passages behind the cut-off."""
    everything = list(itertools.chain.from_iterable(samples))
    missed = sum(np.isnan(everything))
    if missed == len(everything):
        return 1.0
    shared = (2 * len(everything) + missed + 1) / 2
    filled = [[shared if np.isnan(rank) else rank for rank in sample] for sample in samples if sample]
    if len(filled) < 2:
        return 1.0
    flat = np.concatenate(filled)
    between = sum(len(sample) * (np.mean(sample) - flat.mean()) ** 2 for sample in filled)
    total = ((flat - flat.mean()) ** 2).sum()
    return 1.0 if total == 0 else float(scipy.stats.chi2.sf((len(flat) - 1) * between / total, len(filled) - 1))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [5, 20])
@pytest.mark.parametrize("weights", [None, {1: 0.3, 2: 0.7}])
def test_official_peer_is_that_of_its_package(case: Case, k: int, weights: dict[int, float] | None) -> None:
    grades = sorted({grade for relevant in case.relevant.values() for grade in relevant.values()})
    used = dict.fromkeys(grades, 1 / len(grades)) if weights is None else weights
    expected = {}
    for query, relevant in case.relevant.items():
        value = 0.0
        for grade in set(relevant.values()):
            samples: dict[str, list[float]] = defaultdict(list)
            for passage, own in relevant.items():
                if own == grade:
                    rank = case.ranked[query].index(passage) + 1
                    samples[case.lang[passage]].append(rank if rank <= k else np.nan)
            value += used.get(grade, 0) * published_peer(list(samples.values()))
        expected[query] = value
    assert by_query(official_peer(relevant_ranks(case.table), k, weights=weights)) == pytest.approx(expected)


def test_one_passage_a_language_makes_official_peer_a_constant_and_it_is_left_out_with_the_reason() -> None:
    case = Case(parallel_corpus(30, ("de", "en", "fr", "ja")), 7, language=0.2, right=0.5)
    values = official_peer(relevant_ranks(case.table), 5)
    some = np.bincount(case.table.pair_query, case.table.rank_in_all() < 5) > 0
    # The constants of H = N - 1: .3916 with four languages; 1 for a query that finds nothing.
    assert values[some] == pytest.approx(scipy.stats.chi2.sf(3, 3))
    assert set(values[~some].tolist()) == {1.0}
    assert untold_by_peer(relevant_ranks(case.table))
    found = measures(case.table, ["mAP"])
    assert not [name for name in found if "PEER" in name and name != "bias/PEER by group"]
    assert left_out(case.table)["PEER"].startswith(
        "PEER is left out: no query has two relevant passages in one language"
    )
    assert not untold_by_peer(relevant_ranks(CASES[0].table))
    assert not left_out(CASES[0].table)


def test_equal_ranks_of_found_and_missed_passages_are_1_where_the_package_divides_by_zero(table: RankTable) -> None:
    # Query 1 of two passages: one at rank 3, one behind k. The missed one gets (2 * 2 + 1 + 1) / 2 = 3.
    one = replace(
        table, pair_query=np.array([0, 0]), pair_passage=np.array([0, 1]), pair_lang=np.array([0, 1]),
        pair_grade=np.array([1, 1]), outranking_counts=np.array([[2, 0, 0], [9, 0, 0]], dtype=np.int32),
    )  # fmt: skip
    assert official_peer(relevant_ranks(one), 5)[0] == 1.0


@pytest.mark.parametrize("weights", [{0: 0.5, 1: 0.5}, {1: 0.5}])
def test_weights_of_peer_are_for_relevant_passages_and_sum_to_1(table: RankTable, weights: dict[int, float]) -> None:
    with pytest.raises(ConfigError, match="from 1 on, and sum to 1"):
        official_peer(relevant_ranks(table), 10, weights=weights)


@pytest.mark.parametrize("case", CASES)
def test_mrc_over_the_union_is_mimos(case: Case) -> None:
    """MIMO's rule: the union of two top-k sets, Spearman on the scores of these passages; other languages averaged."""
    found = union_correlation(case.table, *case.vectors, cutoffs=(2, 5, 10))
    assert list(found) == ["union MRC@2", "union MRC@5", "union MRC@10"]
    for k, values in zip((2, 5, 10), found.values(), strict=True):
        expected = {}
        for query, item in enumerate(case.query_item):
            rhos = []
            for other, its_item in enumerate(case.query_item):
                if item == its_item and case.query_lang[query] != case.query_lang[other]:
                    union = sorted({*case.ranked[query][:k], *case.ranked[other][:k]})
                    rhos.append(scipy.stats.spearmanr(case.scores[query, union], case.scores[other, union]).statistic)
            if rhos:
                expected[query] = np.mean(rhos)
        assert by_query(values) == pytest.approx(expected, abs=1e-9)
        assert expected


def test_disjoint_lists_are_strongly_negative_and_equal_queries_are_1() -> None:
    corpus = parallel_corpus(40, ("de", "en"))
    langs = [[lang == "de" for lang in side["lang"].to_pylist()] for side in (corpus.queries, corpus.passages)]
    rng = np.random.default_rng(0)
    own = [
        np.stack([lang, ~np.array(lang)], axis=1) + rng.normal(size=(80, 2)) * 0.01 for lang in map(np.array, langs)
    ]
    table = rank_table(corpus, *own)
    assert np.nanmax(union_correlation(table, *own)["union MRC@10"]) < -0.4
    item = [int(item[1:]) for item in corpus.queries["item"].to_pylist()]
    alike, passages = rng.normal(size=(40, 6))[item], rng.normal(size=(80, 6))
    found = union_correlation(rank_table(corpus, alike, passages), alike, passages)
    assert np.nanmin(found["union MRC@20"]) == 1.0


def test_mrc_needs_translations_of_half_of_the_queries_and_pools_may_be_small() -> None:
    queries = [
        {"item": f"q{i}", "lang": lang, "text": f"{i}"}
        for i in range(9)
        for lang in (LANGS[:2] if i < 2 else LANGS[:1])
    ]
    passages = [{"item": f"p{i}", "lang": "de", "text": f"{i}"} for i in range(3)]
    corpus = Corpus.from_rows(queries, passages, [("q0", "p0")], name="few")
    rng = np.random.default_rng(0)
    vectors = [rng.normal(size=(table.num_rows, 4)) for table in (corpus.queries, corpus.passages)]
    assert union_correlation(rank_table(corpus, *vectors), *vectors) == {}
    kept = [row for row in queries if row["item"] in ("q0", "q1")]
    corpus = Corpus.from_rows(kept, passages, [("q0", "p0")], name="few")
    vectors[0] = vectors[0][: corpus.queries.num_rows]
    table = rank_table(corpus, *vectors)
    found = union_correlation(table, *vectors)
    scores = (vectors[0] / np.linalg.norm(vectors[0], axis=1)[:, None]) @ (
        vectors[1] / np.linalg.norm(vectors[1], axis=1)[:, None]
    ).T
    langs = corpus.queries["item"].to_pylist()
    for a, b in itertools.combinations(range(len(langs)), 2):
        if langs[a] == langs[b]:
            assert found["union MRC@20"][[a, b]] == pytest.approx(
                scipy.stats.spearmanr(scores[a], scores[b]).statistic
            )
    assert union_correlation(replace(table, first=None), *vectors) == {}


def test_values_of_scores_are_saved_and_read_with_the_table(tmp_path) -> None:
    case = CASES[0]
    table = replace(case.table, values=union_correlation(case.table, *case.vectors))
    table.save(tmp_path)
    again = RankTable.load(tmp_path)
    assert list(again.values) == ["union MRC@5", "union MRC@10", "union MRC@20"]
    for name, values in table.values.items():
        assert np.array_equal(again.values[name], values, equal_nan=True)
    assert measures(again)["bias/union MRC@10"].macro() == measures(table)["bias/union MRC@10"].macro()
    assert "bias/union MRC@10" not in measures(case.table)


def test_a_pool_of_one_language_and_pictures_have_none_of_them() -> None:
    corpus = parallel_corpus(10, ("en",))
    one = per_query(rank_table(corpus, np.eye(10), np.eye(10)))
    assert sorted(one) == sorted(f"same-language {what}@{k}" for what in ("share", "excess") for k in (1, 5, 10, 20))
    pictures = picture_corpus(12)
    vectors = [
        np.random.default_rng(0).normal(size=(side.num_rows, 4)) for side in (pictures.queries, pictures.passages)
    ]
    found = per_query(rank_table(pictures, *vectors))
    assert all("query languages" in name or "overlap" in name for name in found)


def test_the_four_of_the_headline_have_an_ideal_value_each() -> None:
    table = CASES[1].table
    found = measures(table)
    names = headline_bias(found)
    assert names == [
        "bias/rank distance",
        "bias/same-language share@10",
        "bias/same-language preference",
        "bias/TLR@20",
    ]
    values = [ideal_value(table, name.removeprefix("bias/")) for name in names]
    assert values == [2.0, pytest.approx(1 / 3), 0.5, 1.0]
    for name in default_names(table):
        info = measure_info(f"bias/{name}")
        assert info.group, name
        assert info.ideal is not None or info.ideal_words, name
    assert ideal_value(table, "median rank distance") == 2.0
    assert ideal_value(table, "rank std") is None
    assert ideal_value(table, "own version wins") == pytest.approx(1 / 3)
