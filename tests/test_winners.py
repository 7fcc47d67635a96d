"""Comparisons lead with who is better."""

from __future__ import annotations

import numpy as np
import pytest

from babelmix.evaluation import Comparison, Estimate
from babelmix.experiment.report.figures import colours_of, differences, log_ticks, settings_overview
from babelmix.experiment.report.winners import differences_section, turned, winner, winner_hero, winner_lines


def a_test(first: str, second: str, measure: str, value: float, p: float = 0.001) -> Comparison:
    return Comparison(measure, Estimate(value, value - 0.01, value + 0.01), 0.3, p, p, p, first, second)


MEASURES = ("mono/mAP", "cross/mAP", "multi/mAP", "bias/rank distance")


def test_a_winner_in_everything_is_named_with_the_direction_of_each_difference() -> None:
    # The distance falls, which is better.
    tests = [
        a_test("old", "new", name, value) for name, value in zip(MEASURES, (-0.01, -0.2, -0.114, 200), strict=True)
    ]
    assert winner(tests) == "new"
    assert winner_lines(tests) == [
        "new is better than old in all four: monolingual mAP +0.010, cross-lingual mAP +0.200, multilingual mAP +0.114, rank "
        "distance -200."
    ]
    hero = winner_hero(tests)
    assert hero.word == "new is better"
    assert [tile.value for tile in hero.tiles] == ["+0.010", "+0.200", "+0.114", "-200"]
    assert all("better" in tile.note for tile in hero.tiles)


def test_better_in_one_and_worse_in_another_is_no_victory() -> None:
    tests = [
        a_test("a", "b", "mono/mAP", 0.1),
        a_test("a", "b", "multi/mAP", -0.1),
        a_test("a", "b", "cross/mAP", 0.1, 0.5),
    ]
    assert winner_lines(tests) == [
        "a is better than b in monolingual mAP +0.100; worse than b in multilingual mAP -0.100; not significantly different "
        "from b in cross-lingual mAP."
    ]
    assert winner_hero(tests).word == "It depends on the measure"
    nothing = [a_test("a", "b", "mono/mAP", 0.1, 0.2)]
    assert winner(nothing) is None
    assert winner_lines(nothing) == ["No system is significantly better than another."]
    assert winner_lines([]) == []
    # A measure without a better direction makes no winner.
    assert winner([a_test("a", "b", "bias/same-language share@10", 0.1)]) is None


def test_of_several_systems_the_one_with_the_most_victories_leads() -> None:
    names = ("a", "b", "c", "d", "e")
    tests = [a_test(x, y, "multi/mAP", -0.1) for i, x in enumerate(names) for y in names[i + 1 :]]
    lines = winner_lines(tests)
    assert lines[0] == "e is better than a in multilingual mAP +0.100."
    assert lines[-1] == "Its differences from 1 more are in the table."
    section = differences_section(tests)
    # Every test that Holm's correction counts stands in the table.
    assert len(section.tables[0].rows) == len(tests) == 10
    assert [row[0] for row in section.tables[0].rows][3] == "e - a"
    assert "all 10 tests" in section.text


def test_a_test_can_be_turned() -> None:
    once = a_test("a", "b", "multi/mAP", 0.1)
    assert turned(turned(once)) == once
    assert (turned(once).difference.low, turned(once).difference.high) == pytest.approx((-0.11, -0.09))


def test_ticks_of_a_logarithmic_axis_have_different_numbers() -> None:
    rng = np.random.default_rng(0)
    for low, high in [
        (0.676, 1.2),
        (1, 1.1),
        (95, 103),
        (3, 40_000),
        *np.sort(10 ** rng.uniform(-3, 5, (300, 2)), axis=1),
    ]:
        ticks = log_ticks(low, high)
        assert 2 <= len(ticks) <= 5, (low, high)
        assert len({f"{tick:,.6g}" for tick in ticks}) == len(ticks)
        assert all(low * 0.99 <= tick <= high * 1.01 for tick in ticks)


def test_a_colour_means_one_system_in_every_figure() -> None:
    colours = colours_of(["start", "mono", "cross"])
    assert len(set(colours.values())) == 3
    rows = [("cross", {"multi/mAP": (0.039, 0.03, 0.05), "bias/rank distance": (0.676, 0.6, 0.7)})]
    picture = settings_overview(rows, [("multi/mAP", "mAP"), ("bias/rank distance", "rank distance")], colours)
    assert colours["cross"].lower() in picture.lower()
    assert colours["start"].lower() not in picture.lower()
    for words in ("0.039", "0.676", "lower is better"):
        assert words in picture
    assert "better →" in differences([("a − b", {"multi/mAP": (0.1, 0.05, 0.2)})], ["multi/mAP"])
