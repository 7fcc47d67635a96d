"""The choice of a point of the frontier, by what the user says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from babelmix.errors import ArgumentError, AuditError
from babelmix.evaluation.frontier.mix import Mix
from babelmix.evaluation.frontier.sweep import Point
from babelmix.evaluation.measure_info import MULTI_MAP, check_name, measure_info

KEEP = 0.98
"""The share of same-language recall@10 that is kept, if the user says nothing."""


@dataclass(frozen=True)
class Rule:
    """How a point is chosen on the validation part.

    Among the points that keep enough, the one with the best value is chosen: the value of `mix`, or else of the measure `best`.
    Of equal values the smaller alpha is chosen, then the earlier curve.

    Args:
        keep: the least share of the untouched vectors' same-language recall@10, from 0 to 1; None: any.
        best: the measure, as `setting/metric`.
        mix: the weights of users' queries and answers; None: choose by `best`.
        surely: compare the lower end of the 95 % interval of the share with `keep`, not the share itself.

    Raises:
        ArgumentError: `keep` is not a share, `surely` has no `keep`, or neither high nor low values of `best` are better.
        ConfigError: there is no such measure.

    """

    keep: float | None = None
    best: str = MULTI_MAP
    mix: Mix | None = None
    surely: bool = False

    def __post_init__(self) -> None:
        check_rule(self.keep, self.best, self.surely)

    @property
    def objective(self) -> str:
        """What is maximised or minimised, in words."""
        if self.mix is not None:
            return f"recall@10 of users' mix ({self.mix.share:.0%} of answers wanted in the query's own language)"
        return measure_info(self.best).title

    def words(self) -> str:
        """The rule as a sentence without a full stop."""
        better = "highest" if self.mix is not None or measure_info(self.best).better == "higher" else "lowest"
        text = f"the {better} {self.objective}"
        if self.keep is None:
            return text
        surely = ", by the lower end of its interval" if self.surely else ""
        return f"{text} of those that keep {self.keep:.1%} of same-language recall@10{surely}"

    def keeps(self, point: Point) -> bool:
        """Whether a point keeps enough. Untouched vectors always do."""
        if self.keep is None or point.setting.is_start:
            return True
        if point.kept is None:
            raise AuditError(
                "no query has a relevant passage in its own language that is found among the first 10, so same-language recall "
                "cannot be kept; choose by a measure, as in  --best multi/mAP"
            )
        return (point.kept.low if self.surely else point.kept.value) >= self.keep

    def value(self, point: Point) -> float:
        """The value of a point; higher is better.

        Raises:
            AuditError: the corpus does not have the measure.

        """
        if self.mix is not None:
            return self.mix.value(point).value
        value = point.value(self.best)
        return -value if measure_info(self.best).better == "lower" else value

    def choose(self, points: Sequence[Point]) -> int:
        """The number of the chosen point.

        Raises:
            AuditError: the corpus does not have the measure, or has no same-language answers.

        """
        kept = [number for number, point in enumerate(points) if self.keeps(point)]
        return max(kept, key=lambda number: (self.value(points[number]), -points[number].setting.alpha, -number))

    def as_json(self) -> dict[str, Any]:
        """The rule as JSON-serialisable values, with its words."""
        return {
            "keep_same_language": self.keep, "best": None if self.mix is not None else self.best, "surely": self.surely,
            "mix": None if self.mix is None else self.mix.as_json(), "words": self.words(),
        }  # fmt: skip


def check_rule(keep: float | None, best: str, surely: bool) -> None:
    """Raise unless a rule can be made of these; see `Rule`."""
    if keep is not None and not 0 <= keep <= 1:
        raise ArgumentError("keep_same_language", f"{keep:g} is no share; give a number from 0 to 1, such as 0.98")
    if surely and keep is None:
        raise ArgumentError("surely", "goes with a share to keep, as in  --keep-same-language 0.98")
    check_name(best)
    if measure_info(best).better is None:
        raise ArgumentError(
            "best", f"{best}: neither high nor low values are better, so nothing can be chosen by it; use {MULTI_MAP}"
        )


__all__ = ["KEEP", "Rule", "check_rule"]
