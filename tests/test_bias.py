"""Bias metrics and cells of a small table of sparse coverage, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix.errors import ConfigError
from babelmix.evaluation import RankTable, crowding, language_shares, measure_info, measures, rank_table
from babelmix.evaluation.bias import own_language, per_query
from babelmix.evaluation.measures import Measure

LESS_IS_BETTER = (
    "rank distance", "median rank distance", "log rank distance", "relative rank distance", "rank distance over chance",
    "rank std", "rank variance", "Max@R", "first answer wrong same-language", "first answer wrong other-language",
)  # fmt: skip
MORE_IS_BETTER = (
    "mean rank correlation", "PEER", "PEER by group", "normalised Max@R", "TLR", "same-language recall",
    "cross-language recall", "Comp", "language-aware nDCG", "official PEER", "languages",
)  # fmt: skip


def test_ranks_in_the_whole_pool_and_in_the_passages_own_language(table: RankTable) -> None:
    assert table.rank_in_all().tolist() == [1, 4, 0, 3, 1, 5, 2, 0, 7, 2, 6]
    assert table.rank_in_own().tolist() == [1, 1, 0, 2, 0, 3, 1, 0, 1, 1, 0]


def test_distances_are_between_the_best_of_each_language_where_there_are_two(table: RankTable) -> None:
    found = per_query(table)
    ranks = [[1, 4], [3, 1], [2, 0, 7], [2, 6]]
    expected = {
        "rank distance": [3, 2, 7, 4],
        "median rank distance": [3, 2, 7, 4],
        "log rank distance": [np.log2(5 / 2), 1, 3, np.log2(7 / 3)],
        "relative rank distance": [3 / 12, 2 / 12, 7 / 12, 4 / 12],
        "rank std": [np.std(r) for r in ranks],
        "rank variance": [np.var(r) for r in ranks],
    }
    for name, values in expected.items():
        assert found[name].query.tolist() == [0, 2, 3, 5]
        assert found[name].values == pytest.approx(values)


def test_preference_is_of_queries_with_an_answer_in_their_language(table: RankTable) -> None:
    preference = per_query(table)["same-language preference"]
    assert preference.query.tolist() == [0, 3]
    assert preference.values.tolist() == [1.0, 0.5]


def test_shares_are_of_all_queries_whose_language_has_passages(table: RankTable) -> None:
    found = per_query(table)
    assert own_language(table).tolist() == [0, 1, -1]
    for k, share, excess in ((3, [2, 1, 0, 3, 1], [4, 3, 0, 6, 2]), (20, [1.5, 1, 1.5, 1.5, 1.5], [3, 3, 3, 3, 3])):
        for name, thirds in (("share", share), ("excess", excess)):
            assert found[f"same-language {name}@{k}"].query.tolist() == [0, 1, 3, 4, 5]
            assert found[f"same-language {name}@{k}"].values == pytest.approx(np.array(thirds) / 3)
    assert language_shares(table, 3) == pytest.approx(np.array([[6, 3, 3], [4, 4, 4], [0, 12, 0]]) / 12)


def test_less_bias_is_better_and_a_preference_is_neither(table: RankTable) -> None:
    for name in per_query(table):
        base = name if "Max@R" in name else name.partition("@")[0]
        better = "lower" if base in LESS_IS_BETTER else "higher" if base in MORE_IS_BETTER else None
        info, shown = measure_info(f"bias/{name}"), measures(table)[f"bias/{name}"]
        assert info.better == better, name
        assert info.aggregate == ("median" if name.startswith("median") else "mean"), name
        assert (shown.lower_is_better, shown.aggregate) == (info.lower_is_better, info.aggregate)
    assert all(m.lower_is_better is False for m in measures(table).values() if m.setting != "bias")
    for name in ("rank std@5", "same-language share@all", "same-language share"):
        with pytest.raises(
            ConfigError,
            match=r"there is no bias metric .*; there are rank distance, .*, union MRC@K; .* --plugin FILE$",
        ):
            measure_info(f"bias/{name}")


def test_crowding_is_a_mean_over_relevant_passages(table: RankTable) -> None:
    found = crowding(table)
    assert found[0, 0] == pytest.approx(np.array([5, 2, 1]) / 3)
    assert found[0, 1] == pytest.approx(np.array([3, 2, 1]) / 3)
    assert found[2, 0].tolist() == [2, 1, 0]
    assert np.isnan(found[1, [0, 2]]).all()
    assert np.isnan(found[2, 2]).all()


def test_cells_groups_and_values_of_every_setting(table: RankTable) -> None:
    found = measures(table, ["MRR"])

    def facts(measure: Measure):
        names = [measure.cells[cell] for cell in measure.cell]
        return list(zip(names, measure.group.tolist(), measure.values.tolist(), strict=True))

    assert found["mono/MRR"].cells == ("de", "en")
    assert facts(found["mono/MRR"]) == [("de", 1, 1 / 2), ("en", 0, 1.0), ("de", 1, 1 / 2)]
    assert facts(found["cross/MRR"]) == [
        ("de > en", 1, 1 / 2),
        ("fr > de", 2, 1 / 3), ("fr > en", 2, 1.0),
        ("de > en", 1, 1.0), ("de > it", 1, 1 / 2),
        ("de > en", 2, 1 / 2), ("de > it", 2, 1.0),
    ]  # fmt: skip
    assert facts(found["multi/MRR"]) == [
        ("de", 1, 1 / 2), ("en", 0, 1.0), ("fr", 2, 1 / 2), ("de", 1, 1.0), ("de", 2, 1 / 3),
    ]  # fmt: skip
    assert facts(found["bias/rank distance"]) == [("de", 1, 3), ("fr", 2, 2), ("de", 1, 7), ("de", 2, 4)]
    assert found["multi/MRR"].macro() == pytest.approx((11 / 18 + 1 + 1 / 2) / 3)
    assert all(name == measure.name == f"{measure.setting}/{measure.metric}" for name, measure in found.items())


def test_one_language_has_no_distance_but_a_share() -> None:
    corpus = parallel_corpus(10, ("en",))
    vectors = [np.ones((10, 2), dtype=np.float32)] * 2
    found = measures(rank_table(corpus, *vectors))
    assert not any(name.startswith("cross/") or "distance" in name or "preference" in name for name in found)
    assert found["bias/same-language share@5"].values.tolist() == [1.0] * 10
