"""Intervals and tests: bootstrap over groups, paired randomisation over groups, Holm's correction.

The unit is the group (page, article, image), because the queries of one group and their translations are not independent.
Intervals and p-values generalise to other groups of the same kind, for the models that were audited. They do not include the
variation between training seeds, which reports show separately as the deviation over seeds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._lists import as_list
from babelmix.errors import AuditError
from babelmix.evaluation.measures import Measure

RESAMPLES = 1000
"""Bootstrap resamples of an interval."""
TEST_RESAMPLES = 10_000
"""Bootstrap resamples of a test. The smallest possible p-value is 1 / (1 + their number)."""
FLIPS = 10_000
"""Random swaps of a randomisation test."""
LEVEL = 0.95
"""The level of the intervals."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its percentile bootstrap interval.

    Args:
        value: the value.
        low: the lower end of the interval.
        high: the upper end.

    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """The difference A - B of one measure's macro-average.

    Args:
        measure: `setting/metric`.
        difference: the difference, with its bootstrap interval.
        effect: the effect size, Cohen's d for paired samples: the mean of the groups' differences over their standard
            deviation; NaN for medians, which are not sums over groups.
        p: p-value of the two-sided paired randomisation test over groups; for medians, of the bootstrap test.
        p_bootstrap: p-value of the two-sided paired bootstrap test over groups: the share of resamples in which the difference
            deviates from the observed difference by at least the size of the observed difference (Efron and Tibshirani 1993,
            ch. 16; Berg-Kirkpatrick et al. 2012).
        p_holm: `p` after Holm's correction over all comparisons shown together; None without the correction.
        first: the name of A, if several audits are compared.
        second: the name of B.

    """

    measure: str
    difference: Estimate
    effect: float
    p: float
    p_bootstrap: float
    p_holm: float | None = None
    first: str = ""
    second: str = ""

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON-serialisable values; an undefined effect size is null."""
        return {**asdict(self), "effect": None if np.isnan(self.effect) else self.effect}


def estimates(
    measures: Mapping[str, Measure], *, resamples: int = RESAMPLES, seed: int = 0, groups: int | None = None
) -> dict[str, tuple[Estimate, dict[str, Estimate]]]:
    """Macro-average and cells of every measure, with intervals; all measures share one set of resamples.

    Args:
        measures: measures of one table, by name.
        resamples: number of bootstrap resamples of groups.
        seed: the seed of the resampling.
        groups: the number of groups to draw from; None: those of the measures. With the number of all measures of a table, a
            part of them has the same intervals as all together.

    Returns:
        For each measure, the macro-average, and the cells by name.

    Source:
        The percentile bootstrap over clusters: Efron and Tibshirani 1993.

    Examples:
        >>> import numpy as np
        >>> from babelmix.evaluation.measures import Measure
        >>> zeros = np.zeros(4, dtype=np.int64)
        >>> one = Measure("multi", "mAP", ("de",), zeros, np.arange(4), np.array([0.0, 0.5, 0.5, 1.0]))
        >>> macro, cells = estimates({"multi/mAP": one})["multi/mAP"]
        >>> macro.value, list(cells), macro.low < 0.5 < macro.high
        (0.5, ['de'], True)

    """
    result: dict[str, tuple[Estimate, dict[str, Estimate]]] = {}
    for name, cells in resampled(measures, resamples, seed, groups=groups).items():
        measure = measures[name]
        values = measure.cell_values()
        # A resample may have no group of a small cell; its macro-average is then over the other cells.
        draws = np.concatenate([_nanmean(cells)[:, None], cells], axis=1)
        macro, *found = _intervals(draws, [float(values.mean()), *values.tolist()])
        result[name] = (macro, dict(zip(measure.cells, found, strict=True)))
    return result


def compare(
    first: Sequence[Mapping[str, Measure]],
    second: Sequence[Mapping[str, Measure]],
    names: str | Sequence[str],
    *,
    resamples: int = TEST_RESAMPLES,
    flips: int = FLIPS,
    seed: int = 0,
) -> list[Comparison]:
    """Compare two systems; the values of a query are averaged over seeds before the systems are paired.

    The randomisation test swaps the two systems within whole groups; its p-value is (1 + extremes) / (1 + flips). The
    bootstrap test draws the same groups for both; its p-value is (1 + extremes) / (1 + resamples). Where a system has no value
    for some queries (`Measure.rows`), the queries of both are compared; a measure without any has no comparison.

    Args:
        first: measures of system A, one mapping per seed, all on one corpus.
        second: the same for system B.
        names: the measures to compare, as `setting/metric`.
        resamples: bootstrap resamples, for the interval and the bootstrap test.
        flips: random swaps, for the randomisation test.
        seed: the seed of the resamples and the swaps.

    Returns:
        One comparison per measure that both have for a query, without Holm's correction.

    Raises:
        AuditError: the audits are not of the same corpus, or one of them does not have a measure.

    """
    names = as_list(names, "measures", AuditError)
    return _compared(_prepared(first, names, resamples, seed), _prepared(second, names, resamples, seed), flips, seed)


def compare_all(
    systems: Mapping[str, Sequence[Mapping[str, Measure]]],
    names: str | Sequence[str],
    *,
    against: str | None = None,
    resamples: int = TEST_RESAMPLES,
    flips: int = FLIPS,
    seed: int = 0,
) -> list[Comparison]:
    """Compare two or more systems in pairs, with Holm's correction over all comparisons.

    Args:
        systems: the measures of each system by its name, one mapping per seed; all on one corpus.
        names: the measures to compare, as `setting/metric`.
        against: compare this system with every other one; by default every pair of systems is compared.
        resamples: see `compare`.
        flips: see `compare`.
        seed: see `compare`.

    Returns:
        The comparisons, pair by pair, with the names of the two systems.

    Raises:
        AuditError: there are fewer than two systems, `against` is not one of them, they are not of the same corpus, or one of
            them does not have a measure.

    """
    names = as_list(names, "measures", AuditError)
    if len(systems) < 2:
        raise AuditError("a comparison needs two audits or more")
    if against is not None and against not in systems:
        raise AuditError(f"there is no audit {against!r} to compare with; there are {', '.join(systems)}")
    if against is not None:
        pairs = [(against, other) for other in systems if other != against]
    else:
        pairs = list(itertools.combinations(systems, 2))
    prepared = {name: _prepared(runs, names, resamples, seed) for name, runs in systems.items()}
    found = [
        replace(comparison, first=a, second=b)
        for a, b in pairs
        for comparison in _compared(prepared[a], prepared[b], flips, seed)
    ]
    return holm(found)


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Holm's step-down correction (Holm 1979) over all comparisons given."""
    order = sorted(range(len(comparisons)), key=lambda i: comparisons[i].p)
    corrected = [0.0] * len(comparisons)
    running = 0.0
    for step, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - step) * comparisons[i].p))
        corrected[i] = running
    return [replace(c, p_holm=p) for c, p in zip(comparisons, corrected, strict=True)]


def _prepared(
    runs: Sequence[Mapping[str, Measure]], names: Sequence[str], resamples: int, seed: int
) -> dict[str, tuple[Measure, Floats]]:
    """The measures of a system averaged over its seeds, each with its macro-average in every resample, shape (resamples,)."""
    averaged = {name: _averaged(runs, name) for name in names}
    drawn = resampled(averaged, resamples, seed, _nanmean)
    return {name: (measure, drawn[name]) for name, measure in averaged.items()}


def _compared(
    first: Mapping[str, tuple[Measure, Floats]], second: Mapping[str, tuple[Measure, Floats]], flips: int, seed: int
) -> list[Comparison]:
    comparisons = []
    for name, (a, drawn_a) in first.items():
        b, drawn_b = second[name]
        mine, others = a.paired(b)
        if mine is not a:
            a, b = mine, others
            if not len(a.values):
                continue
            drawn_a, drawn_b = (resampled({name: one}, len(drawn_a), seed, _nanmean)[name] for one in (a, b))
        if a.cells != b.cells or not np.array_equal(a.cell, b.cell) or not np.array_equal(a.group, b.group):
            raise AuditError(f"{name}: the two audits are not of the same corpus, so their queries cannot be paired")
        observed = a.macro() - b.macro()
        draws = drawn_a - drawn_b
        p_bootstrap = _bootstrap_p(draws, observed)
        if a.aggregate == "mean":
            parts = _parts(replace(a, values=a.values - b.values))
            spread = float(parts.std(ddof=1)) if len(parts) > 1 else 0.0
            effect = float(parts.mean()) / spread if spread > 0 else 0.0
            p = _randomisation_p(parts, flips, seed)
        else:
            effect, p = float("nan"), p_bootstrap
        comparisons.append(Comparison(name, _interval(draws, observed), effect, p, p_bootstrap))
    return comparisons


def _averaged(runs: Sequence[Mapping[str, Measure]], name: str) -> Measure:
    if not runs or any(name not in run for run in runs):
        raise AuditError(f"the measure {name!r} is not in every audit to be compared")
    first = runs[0][name]
    for run in runs[1:]:
        same = run[name].cells == first.cells and np.array_equal(run[name].cell, first.cell)
        if not same or not np.array_equal(run[name].group, first.group):
            raise AuditError(f"{name}: the audits of the seeds are not of the same corpus")
    return replace(first, values=np.mean([run[name].values for run in runs], axis=0))


def resampled(
    measures: Mapping[str, Measure],
    resamples: int,
    seed: int,
    kept: Callable[[Floats], Floats] = lambda cells: cells,
    groups: int | None = None,
) -> dict[str, Floats]:
    """The cells of every measure in every resample, float64, shape (resamples, cells); NaN for a cell without a query.

    `kept` reduces a block of resamples, shape (block, cells), where all cells of all resamples would need too much memory.
    """
    groups = group_count(measures) if groups is None else groups
    means = {name: measure for name, measure in measures.items() if measure.aggregate == "mean"}
    totals = {name: _group_sums(measure, groups) for name, measure in means.items()}
    # Most measures have values for the same queries, so their counts are multiplied once.
    same = {
        name: (len(measure.cells), measure.cell.tobytes(), measure.group.tobytes()) for name, measure in means.items()
    }
    counts = {key: _group_counts(means[name], groups) for name, key in same.items()}
    draws: dict[str, list[Floats]] = {name: [] for name in measures}
    for weights in _resampled_weights(groups, resamples, seed):
        drawn = {key: weights @ count for key, count in counts.items()}
        for name, measure in measures.items():
            if measure.aggregate == "median":
                cells = _weighted_medians(measure, weights)
            else:
                with np.errstate(invalid="ignore", divide="ignore"):
                    cells = (weights @ totals[name]) / drawn[same[name]]
            draws[name].append(kept(cells))
    return {
        name: np.concatenate(parts) if parts else kept(np.empty((0, len(measures[name].cells))))
        for name, parts in draws.items()
    }


def group_count(measures: Mapping[str, Measure]) -> int:
    """The number of groups of measures of one table: one more than the largest group number."""
    return 1 + max((int(measure.group.max(initial=-1)) for measure in measures.values()), default=-1)


def _weighted_medians(measure: Measure, weights: Floats) -> Floats:
    """Median of each cell in each resample; a query counts as often as its group was drawn; shape (resamples, cells)."""
    medians = np.full((len(weights), len(measure.cells)), np.nan)
    for cell in range(len(measure.cells)):
        mine = np.flatnonzero(measure.cell == cell)
        mine = mine[np.argsort(measure.values[mine], kind="stable")]
        values, group = measure.values[mine], measure.group[mine]
        # How often the values up to the end of each piece are drawn; only one piece of each resample is looked through.
        pieces = min(math.isqrt(len(mine) - 1) + 1, max(1, 4_000_000 // weights.shape[1]))
        size = -(-len(mine) // pieces)
        pieces = -(-len(mine) // size)
        in_piece = np.bincount(group * pieces + np.arange(len(mine)) // size, minlength=weights.shape[1] * pieces)
        running = np.cumsum(weights @ in_piece.reshape(-1, pieces).astype(np.float64), axis=1)
        known = np.flatnonzero(running[:, -1] > 0)
        running, total = running[known], running[known, -1]
        # The two middle values of n are at (n - 1) // 2 and n // 2, counted from 0.
        lower, upper = (
            _place_of(middle, running, weights, known, group, size) for middle in ((total - 1) // 2, total // 2)
        )
        medians[known, cell] = (values[lower] + values[upper]) / 2
    return medians


def _place_of(
    middle: Floats,
    running: Floats,
    weights: Floats,
    rows: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
    size: int,
) -> npt.NDArray[np.int64]:
    """For each resample, the place of the drawn value that `middle` drawn values precede, int64, shape (resamples,).

    Args:
        middle: shape (resamples,).
        running: how often the values up to the end of each piece are drawn, shape (resamples, pieces).
        weights: how often each group is drawn, shape (all resamples, groups).
        rows: the row in `weights` of each resample, int64, shape (resamples,).
        group: the group of each value, in the order of values, int64, shape (values,).
        size: the values of a piece; the last piece may have fewer.

    """
    piece = (running <= middle[:, None]).sum(axis=1)
    before = np.where(piece > 0, running[np.arange(len(piece)), np.maximum(piece - 1, 0)], 0.0)
    place = piece[:, None] * size + np.arange(size)
    drawn = weights[rows[:, None], group[np.minimum(place, len(group) - 1)]]
    within = before[:, None] + np.cumsum(drawn, axis=1)
    found: npt.NDArray[np.int64] = piece * size + (within <= middle[:, None]).sum(axis=1)
    return found


def _parts(difference: Measure) -> Floats:
    """The contribution of each group to the macro-average of a difference, shape (groups with queries,).

    The contributions sum to the macro-average. Swapping the two systems within a group flips the sign of its contribution.
    """
    total = _group_sums(difference, int(difference.group.max()) + 1)
    cell_sizes = np.bincount(difference.cell, minlength=len(difference.cells))
    parts = (total / cell_sizes).sum(axis=1) / len(difference.cells)
    return parts[np.bincount(difference.group, minlength=len(parts)) > 0]


def _group_sums(measure: Measure, groups: int) -> Floats:
    """Sum of the values by group and cell, float64, shape (groups, cells)."""
    key = measure.group * len(measure.cells) + measure.cell
    total: Floats = np.bincount(key, measure.values, minlength=groups * len(measure.cells)).astype(np.float64)
    return total.reshape(groups, len(measure.cells))


def _group_counts(measure: Measure, groups: int) -> Floats:
    """Number of values by group and cell, float64, shape (groups, cells)."""
    key = measure.group * len(measure.cells) + measure.cell
    count: Floats = np.bincount(key, minlength=groups * len(measure.cells)).astype(np.float64)
    return count.reshape(groups, len(measure.cells))


def _resampled_weights(groups: int, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each group is drawn in each resample, in blocks of bounded memory, shape (block, groups)."""
    rng = np.random.default_rng(seed)
    block = max(1, min(resamples, 4_000_000 // max(groups, 1)))
    for first in range(0, resamples, block):
        count = min(block, resamples - first)
        drawn = rng.integers(0, groups, size=(count, groups)) + groups * np.arange(count)[:, None]
        yield np.bincount(drawn.ravel(), minlength=count * groups).reshape(count, groups).astype(np.float64)


def _nanmean(cells: Floats) -> Floats:
    known = ~np.isnan(cells)
    with np.errstate(invalid="ignore"):
        return np.where(known, cells, 0.0).sum(axis=1) / known.sum(axis=1)


def _interval(draws: Floats, value: float) -> Estimate:
    draws = draws[~np.isnan(draws)]
    if len(draws) == 0:
        return Estimate(value, value, value)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


def _intervals(draws: Floats, values: Sequence[float]) -> list[Estimate]:
    """The interval of each column of draws, shape (resamples, columns): `_interval` of many at once."""
    known = len(draws) > 0 and not np.isnan(draws).any()
    if not known:
        return [_interval(column, value) for column, value in zip(draws.T, values, strict=True)]
    # Each row is one column of the draws, so that its values are next to each other in memory.
    ends = np.quantile(np.ascontiguousarray(draws.T), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return [Estimate(value, low, high) for value, (low, high) in zip(values, ends.T.tolist(), strict=True)]


def _bootstrap_p(draws: Floats, observed: float) -> float:
    draws = draws[~np.isnan(draws)]
    # With this tolerance, rounding cannot make an observed difference of zero significant.
    extremes = int((np.abs(draws - observed) >= abs(observed) - 1e-12 * max(1.0, abs(observed))).sum())
    return (1 + extremes) / (1 + len(draws))


def _randomisation_p(parts: Floats, flips: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    observed = abs(parts.sum())
    # With this tolerance, a swap that gives the observed value again counts in spite of rounding.
    tolerance = 1e-12 * max(1.0, float(np.abs(parts).sum()))
    extremes = 0
    block = max(1, min(flips, 8_000_000 // max(len(parts), 1)))
    for first in range(0, flips, block):
        signs = rng.integers(0, 2, size=(min(block, flips - first), len(parts)), dtype=np.int8) * 2.0 - 1.0
        extremes += int((np.abs(signs @ parts) >= observed - tolerance).sum())
    return (1 + extremes) / (1 + flips)
