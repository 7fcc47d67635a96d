"""What a bias metric is: a function of a rank table, and the facts about its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Better = Literal["higher", "lower"] | None
"""Which values of a measure are better; None: neither."""


class BiasValues(NamedTuple):
    """The values of a bias metric.

    Attributes:
        query: query rows, int64, shape (values,).
        values: float64, shape (values,).
        of_items: whether each value belongs to an item, not to a query: queries in several languages look for the item. `query`
            is then one of these queries.

    """

    query: npt.NDArray[np.int64]
    values: Floats
    of_items: bool = False


@dataclass(frozen=True)
class BiasMetric:
    """A bias metric of a rank table.

    Args:
        function: takes the rank table, and the cut-off if `per_cutoff`. Returns a value per query row, float64, shape
            (queries,), NaN where a query has none; or `BiasValues`.
        better: which values are better: `"higher"`, `"lower"` or None.
        title: the name in reports, before `@k`; empty: the name it is registered under.
        short: the column head on a terminal; empty: the title.
        aggregate: how the values of a language are combined: by their `"mean"` or by their `"median"`.
        per_cutoff: whether there is one measure `NAME@k` for each cut-off k.
        format: `"rank"` for a number of places in a list, `"score"` for everything else.
        source: the paper or the program that defines it.
        ideal: the value of a system without language bias that finds every relevant passage; a function of the rank table
            where it depends on the corpus. The function returns a value per query row, float64, shape (queries,). None: there
            is no such number.
        ideal_words: the ideal value in words, for tables: `languages - 1`; empty: the number says it.
        group: the heading of reports under which the measure stands.
        cutoffs: the k that every audit computes, if `per_cutoff`; None: the cut-offs of the rank table. Any other k is computed
            if it is asked for, as `bias/NAME@k`.
        option: the name of a number that the function takes as a keyword argument; `NAME(0.3)@k` then sets it. Empty: none.

    """

    function: Callable[..., BiasValues | Floats]
    better: Better
    title: str = ""
    short: str = ""
    aggregate: Literal["mean", "median"] = "mean"
    per_cutoff: bool = False
    format: Literal["score", "rank"] = "score"
    source: str = ""
    ideal: float | Callable[..., Floats] | None = None
    ideal_words: str = ""
    group: str = ""
    cutoffs: tuple[int, ...] | None = None
    option: str = ""


__all__ = ["Better", "BiasMetric", "BiasValues", "Floats"]
