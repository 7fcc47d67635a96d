"""Intervals and tests against definitions, exhaustive enumeration and simulation."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from babelmix.errors import AuditError
from babelmix.evaluation import Measure, compare, compare_all, estimates, holm
from babelmix.evaluation.significance import Comparison, Estimate


def measure(values: np.ndarray, groups: np.ndarray, cells: np.ndarray, names: tuple[str, ...] = ("a", "b")) -> Measure:
    return Measure("multi", "mAP", names, cells, groups, values)


def random_measure(rng: np.random.Generator, shift: float = 0.0, groups: int = 12, per_group: int = 6) -> Measure:
    n = groups * per_group
    return measure(rng.random(n) + shift, np.repeat(np.arange(groups), per_group), np.tile([0, 1, 0, 1, 0, 0], groups))


def test_macro_average_weighs_cells_alike() -> None:
    one = measure(np.array([1.0, 1.0, 1.0, 0.0]), np.arange(4), np.array([0, 0, 0, 1]))
    assert one.macro() == 0.5


def test_bootstrap_interval_equals_a_loop() -> None:
    one = random_measure(np.random.default_rng(0))
    macro, cells = estimates({"m": one}, resamples=500, seed=3)["m"]
    rng = np.random.default_rng(3)
    drawn = rng.integers(0, 12, size=(500, 12))
    loop = []
    for groups in drawn:
        by_cell = []
        for cell in (0, 1):
            values = [v for g in groups for v in one.values[(one.group == g) & (one.cell == cell)]]
            by_cell.append(np.mean(values))
        loop.append(np.mean(by_cell))
    assert (macro.low, macro.high) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))
    assert macro.value == pytest.approx(one.macro())
    assert set(cells) == {"a", "b"}


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(200):
        groups = rng.normal(0.5, 0.1, size=40)
        values = np.repeat(groups, 5) + rng.normal(0, 0.05, size=200)
        one = measure(values, np.repeat(np.arange(40), 5), np.zeros(200, dtype=np.int64), ("a",))
        estimate, _ = estimates({"m": one}, resamples=300)["m"]
        hits += estimate.low <= 0.5 <= estimate.high
    assert 0.88 <= hits / 200 <= 0.99


def test_randomisation_p_equals_enumeration() -> None:
    rng = np.random.default_rng(2)
    a, b = random_measure(rng, 0.1, groups=8), random_measure(rng, groups=8)
    found = compare([{"m": a}], [{"m": b}], ["m"], flips=40_000)[0]
    difference = a.values - b.values
    sizes = np.bincount(a.cell)
    parts = np.array([
        sum(difference[(a.group == g) & (a.cell == c)].sum() / sizes[c] for c in (0, 1)) / 2 for g in range(8)
    ])  # fmt: skip
    sums = [abs(np.dot(signs, parts)) for signs in itertools.product((1, -1), repeat=8)]
    exact = np.mean(np.array(sums) >= abs(parts.sum()) - 1e-12)
    assert found.p == pytest.approx(exact, abs=0.01)
    assert found.difference.value == pytest.approx(a.macro() - b.macro())


def test_no_difference_is_not_significant_and_a_large_one_is() -> None:
    one = random_measure(np.random.default_rng(4))
    assert compare([{"m": one}], [{"m": one}], ["m"])[0].p == 1.0
    other = measure(one.values - 0.5, one.group, one.cell)
    found = compare([{"m": one}], [{"m": other}], ["m"])[0]
    assert found.p < 0.001
    assert found.difference.low == pytest.approx(0.5)


def test_p_values_under_the_null_are_uniform() -> None:
    rng = np.random.default_rng(6)
    p = [
        compare([{"m": random_measure(rng)}], [{"m": random_measure(rng)}], ["m"], flips=400, resamples=5)[0].p
        for _ in range(150)
    ]
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.001


def test_seeds_are_averaged_before_pairing() -> None:
    rng = np.random.default_rng(7)
    runs = [random_measure(rng) for _ in range(4)]
    found = compare([{"m": runs[0]}, {"m": runs[1]}], [{"m": runs[2]}, {"m": runs[3]}], ["m"])[0]
    expected = np.mean([runs[0].macro(), runs[1].macro()]) - np.mean([runs[2].macro(), runs[3].macro()])
    assert found.difference.value == pytest.approx(expected)


def test_holm_equals_its_definition() -> None:
    comparisons = [Comparison(str(p), Estimate(0, 0, 0), 0.0, p, p) for p in (0.04, 0.001, 0.03, 0.5)]
    corrected = {c.p: c.p_holm for c in holm(comparisons)}
    assert corrected == pytest.approx({0.001: 0.004, 0.03: 0.09, 0.04: 0.09, 0.5: 0.5})
    large = [Comparison("m", Estimate(0, 0, 0), 0.0, p, p) for p in (0.9, 0.4, 0.6)]
    assert [c.p_holm for c in holm(large)] == [1.0, 1.0, 1.0]


def test_the_bootstrap_test_equals_a_loop() -> None:
    rng = np.random.default_rng(9)
    a, b = random_measure(rng, 0.05), random_measure(rng)
    found = compare([{"m": a}], [{"m": b}], ["m"], resamples=500, seed=4)[0]
    draws = np.random.default_rng(4).integers(0, 12, size=(500, 12))
    difference = a.values - b.values
    loop = [
        np.mean([
            np.mean([d for g in groups for d in difference[(a.group == g) & (a.cell == c)]]) for c in (0, 1)
        ])
        for groups in draws
    ]  # fmt: skip
    observed = a.macro() - b.macro()
    extremes = sum(abs(value - observed) >= abs(observed) for value in loop)
    assert found.p_bootstrap == pytest.approx((1 + extremes) / 501)
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))
    assert 0.01 < found.p_bootstrap < 1


def test_the_two_tests_agree_on_many_groups() -> None:
    rng = np.random.default_rng(10)
    for shift in (0.0, 0.02, 0.05):
        a, b = random_measure(rng, shift, groups=80), random_measure(rng, groups=80)
        found = compare([{"m": a}], [{"m": b}], ["m"], resamples=5000)[0]
        assert found.p_bootstrap == pytest.approx(found.p, abs=0.05)


def test_bootstrap_p_values_under_the_null_are_uniform() -> None:
    rng = np.random.default_rng(11)
    p = [
        compare(
            [{"m": random_measure(rng, groups=40)}],
            [{"m": random_measure(rng, groups=40)}],
            ["m"],
            flips=5,
            resamples=400,
        )[0].p_bootstrap
        for _ in range(150)
    ]
    assert scipy.stats.kstest(p, "uniform").pvalue > 0.001


def median_measure(one: Measure) -> Measure:
    return Measure("bias", "median", one.cells, one.cell, one.group, one.values, True, "median")


@pytest.mark.parametrize("per_group", [6, 7])
def test_medians_are_resampled_as_a_loop_would(per_group: int) -> None:
    rng = np.random.default_rng(12)
    n = 12 * per_group
    one = median_measure(measure(rng.random(n), np.repeat(np.arange(12), per_group), rng.integers(0, 2, n)))
    assert one.macro() == pytest.approx(np.mean([np.median(one.values[one.cell == c]) for c in (0, 1)]))
    macro, cells = estimates({"m": one}, resamples=300, seed=3)["m"]
    drawn = np.random.default_rng(3).integers(0, 12, size=(300, 12))
    loop = np.array([
        [np.median([v for g in groups for v in one.values[(one.group == g) & (one.cell == c)]]) for c in (0, 1)]
        for groups in drawn
    ])  # fmt: skip
    assert (macro.low, macro.high) == pytest.approx(tuple(np.quantile(loop.mean(axis=1), [0.025, 0.975])))
    assert cells["b"].low == pytest.approx(np.quantile(loop[:, 1], 0.025))


def test_a_resample_with_one_query_or_none_of_a_cell() -> None:
    one = median_measure(measure(np.array([5.0, 7.0]), np.array([0, 1]), np.array([0, 1])))
    drawn = np.random.default_rng(0).integers(0, 2, size=(200, 2))
    expected = [5.0 if set(groups) == {0} else 7.0 if set(groups) == {1} else 6.0 for groups in drawn.tolist()]
    macro, cells = estimates({"m": one}, resamples=200)["m"]
    assert (macro.low, macro.high) == tuple(np.quantile(expected, [0.025, 0.975]))
    assert (cells["a"].low, cells["a"].high, cells["b"].low) == (5.0, 5.0, 7.0)


def test_medians_are_compared_by_the_bootstrap() -> None:
    rng = np.random.default_rng(13)
    a, b = random_measure(rng, groups=40), random_measure(rng, groups=40)
    higher = median_measure(measure(a.values + 0.3, a.group, a.cell))
    found = compare([{"m": higher}], [{"m": median_measure(b)}], ["m"])[0]
    assert found.difference.value == pytest.approx(higher.macro() - median_measure(b).macro())
    assert found.p == found.p_bootstrap < 0.01
    assert np.isnan(found.effect)


def test_holm_spans_everything_shown_together() -> None:
    rng = np.random.default_rng(14)
    shifts = {"x": 0.0, "y": 0.1, "z": 0.2}
    systems = {name: [{"m": random_measure(rng, shift), "n": random_measure(rng)}] for name, shift in shifts.items()}
    found = compare_all(systems, ["m", "n"])
    assert [(c.first, c.second, c.measure) for c in found] == [
        (a, b, name) for a, b in (("x", "y"), ("x", "z"), ("y", "z")) for name in ("m", "n")
    ]
    alone = [compare(systems[c.first], systems[c.second], [c.measure])[0] for c in found]
    assert [c.p for c in found] == [c.p for c in alone]
    assert [c.p_holm for c in found] == [c.p_holm for c in holm(alone)]
    one = compare_all(systems, ["m"], against="y")
    assert [(c.first, c.second) for c in one] == [("y", "x"), ("y", "z")]
    with pytest.raises(AuditError, match="there is no audit 'w'"):
        compare_all(systems, ["m"], against="w")
    with pytest.raises(AuditError, match="two audits or more"):
        compare_all({"x": systems["x"]}, ["m"])


def test_audits_of_different_corpora_are_refused() -> None:
    rng = np.random.default_rng(8)
    with pytest.raises(AuditError, match="not of the same corpus"):
        compare([{"m": random_measure(rng)}], [{"m": random_measure(rng, groups=5)}], ["m"])
    with pytest.raises(AuditError, match="not in every audit"):
        compare([{"m": random_measure(rng)}], [{}], ["m"])


def parts_of(a: Measure, b: Measure) -> np.ndarray:
    """What each group adds to the difference of the macro-averages."""
    difference, sizes = a.values - b.values, np.bincount(a.cell)
    return np.array([
        np.mean([difference[(a.group == g) & (a.cell == c)].sum() / sizes[c] for c in range(len(sizes))])
        for g in np.unique(a.group)
    ])  # fmt: skip


@pytest.mark.parametrize("groups", [2, 3, 12])
def test_the_effect_is_cohens_d_over_groups(groups: int) -> None:
    rng = np.random.default_rng(15)
    a, b = random_measure(rng, 0.1, groups=groups), random_measure(rng, groups=groups)
    parts = parts_of(a, b)
    for first, second, sign in ((a, b, 1), (b, a, -1)):
        found = compare([{"m": first}], [{"m": second}], ["m"], resamples=10, flips=10)[0]
        assert found.effect == pytest.approx(sign * parts.mean() / parts.std(ddof=1))


def test_a_group_without_queries_is_no_part_of_the_effect() -> None:
    rng = np.random.default_rng(21)
    a, b = (
        replace(m, values=m.values[keep], group=m.group[keep], cell=m.cell[keep])
        for m in (random_measure(rng, 0.1), random_measure(rng))
        for keep in [m.group != 5]
    )
    parts = parts_of(a, b)
    assert len(parts) == 11
    found = compare([{"m": a}], [{"m": b}], ["m"], resamples=10, flips=10)[0]
    assert found.effect == pytest.approx(parts.mean() / parts.std(ddof=1))


def test_without_spread_there_is_no_effect() -> None:
    one = random_measure(np.random.default_rng(16))
    assert compare([{"m": one}], [{"m": one}], ["m"])[0].effect == 0.0
    lone = random_measure(np.random.default_rng(16), groups=1)
    other = measure(lone.values - 0.5, lone.group, lone.cell)
    found = compare([{"m": lone}], [{"m": other}], ["m"])[0]
    assert (found.effect, found.p) == (0.0, 1.0)


@pytest.mark.parametrize("aggregate", ["mean", "median"])
def test_a_resample_without_a_cell_counts_the_others(aggregate: str) -> None:
    # Cell b has a query in each of the first two of four groups, and one resample in sixteen misses both.
    rng = np.random.default_rng(17)
    one = measure(
        rng.random(20), np.repeat(np.arange(4), 5), (np.arange(20) % 5 + np.arange(20) // 10 == 0).astype(int)
    )
    one = one if aggregate == "mean" else median_measure(one)
    middle = np.mean if aggregate == "mean" else np.median
    macro, cells = estimates({"m": one}, resamples=200, seed=3)["m"]
    loop, of_b = [], []
    for groups in np.random.default_rng(3).integers(0, 4, size=(200, 4)):
        values = [[v for g in groups for v in one.values[(one.group == g) & (one.cell == c)]] for c in (0, 1)]
        loop.append(np.mean([middle(v) for v in values if v]))
        of_b += [middle(values[1])] if values[1] else []
    assert 150 < len(of_b) < 200
    assert (macro.low, macro.high) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))
    assert (cells["b"].low, cells["b"].high) == pytest.approx(tuple(np.quantile(of_b, [0.025, 0.975])))
    assert cells["b"].value == pytest.approx(middle(one.values[[0, 5]]))


def test_an_interval_is_of_the_resamples_there_are() -> None:
    one = random_measure(np.random.default_rng(22))
    macro, cells = estimates({"m": one}, resamples=1)["m"]
    assert macro.low == macro.high != macro.value
    macro, cells = estimates({"m": one}, resamples=0)["m"]
    assert macro == Estimate(one.macro(), one.macro(), one.macro())
    assert cells["b"].low == cells["b"].value == cells["b"].high


def test_many_groups_are_resampled_in_blocks_that_lose_nothing() -> None:
    count = 3000
    one = measure(np.random.default_rng(18).random(count), np.arange(count), np.zeros(count, dtype=np.int64), ("a",))
    drawn = one.values[np.random.default_rng(0).integers(0, count, size=(count, count))]
    found = estimates({"mean": one, "median": median_measure(one)}, resamples=count)
    for name, values in (("mean", drawn.mean(axis=1)), ("median", np.median(drawn, axis=1))):
        macro, _ = found[name]
        assert (macro.low, macro.high) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])))
    same = compare([{"m": one}], [{"m": one}], ["m"], resamples=10)[0]
    assert same.p == same.p_bootstrap == 1.0


def test_a_comparison_keeps_of_a_resample_its_macro_average_only() -> None:
    rng, cells = np.random.default_rng(23), 200
    where = np.arange(60 * cells)
    names = tuple(map(str, range(cells)))
    some = {f"m{n}": measure(rng.random(len(where)), where // cells, where % cells, names) for n in range(20)}
    tracemalloc.start()
    try:
        found = compare([some], [some], list(some), resamples=2000, flips=10)
        # All cells would be 64 million bytes, those of one measure 3.2 million.
        assert tracemalloc.get_traced_memory()[1] < 32_000_000
    finally:
        tracemalloc.stop()
    assert [one.difference.value for one in found] == [0] * 20


def test_the_same_call_gives_the_same_numbers() -> None:
    rng = np.random.default_rng(19)
    a, b = {"m": random_measure(rng)}, {"m": random_measure(rng)}
    assert estimates({}) == {}
    assert estimates(a) == estimates(a, seed=0) != estimates(a, seed=1)
    once = compare([a], [b], ["m"])
    assert once == compare([a], [b], ["m"], seed=0)
    other = compare([a], [b], ["m"], seed=1)[0]
    assert (other.p, other.p_bootstrap) != (once[0].p, once[0].p_bootstrap)
    assert compare_all({"a": [a], "b": [b]}, ["m"])[0].p == once[0].p


@pytest.mark.parametrize("changed", ["cells", "cell", "group"])
def test_queries_that_cannot_be_paired_are_refused(changed: str) -> None:
    one = random_measure(np.random.default_rng(20))
    new = {"cells": ("a", "c"), "cell": one.cell[::-1].copy(), "group": one.group[::-1].copy()}[changed]
    other = replace(one, **{changed: new})
    with pytest.raises(AuditError, match="m: the two audits are not of the same corpus"):
        compare([{"m": one}], [{"m": other}], ["m"])
    with pytest.raises(AuditError, match="m: the audits of the seeds are not of the same corpus"):
        compare([{"m": one}, {"m": other}], [{"m": one}], ["m"])
    with pytest.raises(AuditError, match="'m' is not in every audit"):
        compare([], [{"m": one}], ["m"])
    with pytest.raises(AuditError, match="'m' is not in every audit"):
        compare([{"m": one}, {}], [{"m": one}], ["m"])
