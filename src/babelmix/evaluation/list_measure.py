"""What a measure of ranked lists is: a function of judged lists, with bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.judged_lists import Floats, Integers, JudgedLists

AT = 10
"""The k of measures of the first answers."""


class Bounded(NamedTuple):
    """The values of a measure, one for each query that has one, and what each can be at least and at most.

    Args:
        queries: the numbers of the queries, ascending, int64, shape (values,).
        values: float64, shape (values,).
        low: the lowest possible values, float64, shape (values,).
        high: the highest possible values, float64, shape (values,).

    """

    queries: Integers
    values: Floats
    low: Floats
    high: Floats

    @classmethod
    def exact(cls, queries: Integers, values: Floats) -> Bounded:
        """Values that are known exactly."""
        return cls(queries, values, values, values)


@dataclass(frozen=True)
class ListMeasure:
    """A bias measure of ranked lists.

    Args:
        function: takes the lists and k; returns the values with their bounds.
        at: the k of the measure; several: one measure for each k that the lists reach; None: the k of the audit; 0: the measure
            has no k in its name, and is of the first answer.
        better: which values are better: `"higher"`, `"lower"`, or None if neither is.
        needs_qrels: whether it has no meaning without qrels.
        format: `"rank"` for a number of places in a list, `"score"` for everything else.
        source: the paper or the program that defines it; may be empty.

    """

    function: Callable[[JudgedLists, int], Bounded]
    at: int | tuple[int, ...] | None = AT
    better: Literal["higher", "lower"] | None = None
    needs_qrels: bool = True
    format: Literal["score", "rank"] = "score"
    source: str = ""

    def names(self, base: str, k: int) -> dict[str, int]:
        """The names of the measure in an audit of the first k answers, without `bias/`, each with its k."""
        if self.at == 0:
            return {base: 1}
        if isinstance(self.at, tuple):
            return {f"{base}@{one}": one for one in self.at if one <= k}
        return {f"{base}@{self.at or k}": self.at or k}


def clipped(queries: Integers, values: npt.NDArray[Any], low: npt.NDArray[Any], high: npt.NDArray[Any]) -> Bounded:
    """Bounds with values that are moved into them."""
    return floats(queries, np.clip(values, low, high), low, high)


def floats(queries: Integers, *numbers: npt.NDArray[Any]) -> Bounded:
    """Bounds from values of any type."""
    values, low, high = (number.astype(np.float64) for number in numbers)
    return Bounded(queries.astype(np.int64), values, low, high)


__all__ = ["AT", "Bounded", "ListMeasure", "clipped", "floats"]
