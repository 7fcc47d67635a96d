"""What is known of measures by their names."""

from __future__ import annotations

import numpy as np
import pytest

from babelmix.errors import ConfigError
from babelmix.evaluation import Estimate, RankTable, measure_info, measures
from babelmix.evaluation.bias import BIAS_METRICS
from babelmix.evaluation.measure_info import (
    HEADLINE,
    HEADLINE_FROM_PICTURES,
    HEADLINE_TO_PICTURES,
    check_name,
    headline,
    ranking_metrics,
    titles,
)


@pytest.mark.parametrize(
    ("name", "title", "short"),
    [
        ("mono/mAP", "monolingual mAP", "mono mAP"),
        ("cross/hit@5", "cross-lingual hit@5", "hit@5, one lang."),
        ("multi/hit@5", "multilingual hit@5", "hit@5"),
        ("mono/hit@5", "monolingual hit@5", "mono hit@5"),
        ("bias/rank distance", "rank distance", "rank dist."),
        ("bias/same-language share@10", "same-language share@10", "own lang.@10"),
        ("bias/PEER by group", "PEER by group", "PEER by group"),
        ("bias/right languages@10", "right languages@10", "right languages@10"),
    ],
)
def test_measures_have_a_title_and_a_column_head(name: str, title: str, short: str) -> None:
    found = measure_info(name)
    assert (found.name, found.title, found.short) == (name, title, short)


def test_numbers_are_shown_by_size_and_ranks_with_fewer_decimals() -> None:
    score, rank = measure_info("multi/mAP"), measure_info("bias/rank distance")
    assert [score.shown(v) for v in (0.12345, 1.5, 12.34, 1234.5)] == ["0.123", "1.500", "12.3", "1,234"]
    assert [rank.shown(v) for v in (0.12345, 1.5, 12.34, 1234.5)] == ["0.123", "1.5", "12.3", "1,234"]
    assert [score.shown(v, leading_zero=False) for v in (0.5, -0.5, 1.0, 10.5)] == [".500", "-.500", "1.000", "10.5"]
    assert score.shown(np.nan) == ""
    assert rank.with_interval(Estimate(5.04, 0.5, 100.4)) == "5.0 [0.500, 100]"


def test_every_measure_of_a_table_is_known_with_its_direction(table: RankTable) -> None:
    found = measures(table, ["mAP", "R@1"])
    assert {name for name in found if name.startswith("bias/")}
    for name, measure in found.items():
        info = measure_info(name)
        assert (info.lower_is_better, info.aggregate) == (measure.lower_is_better, measure.aggregate)
        assert info.is_bias == (measure.setting == "bias")
    # Not every metric whose name begins like that of another has its direction.
    assert measure_info("bias/rank distance over chance").better == "lower"
    assert measure_info("bias/mean rank correlation").better == "higher"
    assert measure_info("bias/same-language share@3").better is None


def test_headlines_are_of_texts_or_of_either_way_between_captions_and_pictures() -> None:
    every = {*HEADLINE, *HEADLINE_TO_PICTURES, *HEADLINE_FROM_PICTURES}
    assert headline(HEADLINE) == list(HEADLINE)
    assert headline({*HEADLINE, "multi/hit@1", "mono/hit@1"}) == list(HEADLINE)
    assert headline(HEADLINE_TO_PICTURES) == list(HEADLINE_TO_PICTURES)
    assert headline({*HEADLINE_FROM_PICTURES, "multi/hit@1"}) == list(HEADLINE_FROM_PICTURES)
    assert all(measure_info(name).headline for name in every)
    assert not measure_info("multi/MRR@10").headline


def test_a_measure_of_ranked_lists_is_none_of_an_audit_by_scores() -> None:
    assert measure_info("bias/right languages@10").better == "higher"
    for name in ("bias/right languages@10", "bias/same-language preference@10"):
        with pytest.raises(ConfigError, match="there is no bias metric"):
            check_name(name)


@pytest.mark.parametrize("name", ["mAP", "any/mAP", "multi/", "bias/", "multi/mAP@0", "multi/R", "bias/rank std@5"])
def test_unknown_measures_are_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        measure_info(name)


def test_names_are_turned_into_metrics_and_titles() -> None:
    names = ["mono/mAP", "multi/mAP", "cross/R@1", "bias/rank distance"]
    assert ranking_metrics(names) == ["mAP", "R@1"]
    assert titles(names) == ["monolingual mAP", "multilingual mAP", "cross-lingual R@1", "rank distance"]
    assert all(
        measure_info(f"bias/{name}@3" if one.per_cutoff else f"bias/{name}") for name, one in BIAS_METRICS.items()
    )


def test_a_value_rounded_to_zero_has_no_sign() -> None:
    info = measure_info("multi/mAP")
    assert info.shown(-0.0) == "0.000"
    assert info.shown(-0.0004) == "0.000"
    assert info.shown(-0.0006) == "-0.001"
