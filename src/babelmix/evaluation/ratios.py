"""The ratio of two systems in one measure, and weighted means of cells, with intervals over groups."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from babelmix.errors import AuditError
from babelmix.evaluation.measures import Measure
from babelmix.evaluation.significance import LEVEL, RESAMPLES, Estimate, resampled

Floats = npt.NDArray[np.float64]


def ratio(first: Measure, second: Measure, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """The macro-average of the first system over that of the second, with its percentile bootstrap interval.

    Both are drawn with the same groups, so that the interval is that of a paired comparison.

    Args:
        first: a measure of system A.
        second: the same measure of system B, for the same queries.
        resamples: bootstrap resamples of groups.
        seed: the seed of the resampling.

    Raises:
        AuditError: the measures are not of the same queries, or the second is zero.

    Examples:
        >>> import numpy as np
        >>> zeros = np.zeros(4, dtype=np.int64)
        >>> whole = Measure("multi", "mAP", ("de",), zeros, np.arange(4), np.array([0.2, 0.4, 0.6, 0.8]))
        >>> half = Measure("multi", "mAP", ("de",), zeros, np.arange(4), np.array([0.1, 0.2, 0.3, 0.4]))
        >>> ratio(half, whole)
        Estimate(value=0.5, low=0.5, high=0.5)

    """
    if first.cells != second.cells or not np.array_equal(first.cell, second.cell):
        raise AuditError(f"{first.name}: the two systems have no values for the same queries")
    if second.macro() == 0:
        raise AuditError(f"{second.name} is zero, so no share of it can be computed")
    both = {"first": first, "second": second}
    draws = {name: _mean(found) for name, found in resampled(both, resamples, seed).items()}
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = draws["first"] / draws["second"]
    return _with_interval(first.macro() / second.macro(), shares)


def weighted(
    parts: Mapping[str, tuple[Measure, Mapping[str, float]]], *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """A weighted mean of the cells of several measures, with its percentile bootstrap interval.

    Args:
        parts: by any name, a measure and the weights of its cells. A cell without a weight counts nothing. All measures are of
            one table.
        resamples: bootstrap resamples of groups.
        seed: the seed of the resampling.

    Raises:
        AuditError: all weights are zero.

    """
    weights = {
        name: np.array([cells.get(cell, 0.0) for cell in measure.cells]) for name, (measure, cells) in parts.items()
    }
    total = sum(float(one.sum()) for one in weights.values())
    if total <= 0:
        raise AuditError("all weights are zero, so there is no weighted mean")
    value = sum(float(weights[name] @ measure.cell_values()) for name, (measure, _) in parts.items()) / total
    drawn = resampled({name: measure for name, (measure, _) in parts.items()}, resamples, seed)
    # A cell without a query in a resample is left out of that resample, with its weight.
    sums = sum(np.where(np.isnan(cells), 0.0, cells) @ weights[name] for name, cells in drawn.items())
    used = sum((~np.isnan(cells)).astype(np.float64) @ weights[name] for name, cells in drawn.items())
    with np.errstate(invalid="ignore", divide="ignore"):
        return _with_interval(value, np.asarray(sums / used))


def _mean(cells: Floats) -> Floats:
    """The mean over the cells of each resample that have a query, shape (resamples,)."""
    known = ~np.isnan(cells)
    with np.errstate(invalid="ignore"):
        return np.where(known, cells, 0.0).sum(axis=1) / known.sum(axis=1)


def _with_interval(value: float, draws: Floats) -> Estimate:
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0:
        return Estimate(value, value, value)
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, float(low), float(high))


__all__ = ["ratio", "weighted"]
