"""Alpha over a run: the share of monolingual batches may change from one value to another.

This is a curriculum (Bengio et al., ICML 2009). The linear schedule is that of scheduled sampling (arXiv 1506.03099).
"""

from __future__ import annotations

from dataclasses import dataclass

from babelmix.errors import PlanError


@dataclass(frozen=True)
class Alpha:
    """The probability of a monolingual batch at each step of a run.

    Without `at`, alpha changes evenly: `alpha(step) = start + (end - start) * step / (steps - 1)`. With `at`, alpha is `start` in
    the first `round(at * steps)` steps and `end` in the others. After the last step alpha stays at `end`.

    Args:
        start: alpha at the first step, in [0, 1].
        end: alpha at the last step, in [0, 1].
        at: the share of the run after which alpha jumps, in (0, 1). None: alpha changes evenly.

    Raises:
        PlanError: a value is out of its range.

    Examples:
        >>> [Alpha(1.0, 0.0).of(step, steps=5) for step in range(5)]
        [1.0, 0.75, 0.5, 0.25, 0.0]

    """

    start: float
    end: float
    at: float | None = None

    def __post_init__(self) -> None:
        for value in (self.start, self.end):
            if not 0 <= value <= 1:
                raise PlanError(f"alpha is a probability between 0 and 1, not {value}")
        if self.at is not None and not 0 < self.at < 1:
            raise PlanError(f"alpha changes at a share of the run between 0 and 1, not at {self.at}")
        # Equal schedules must compare and print as equal: a constant has no jump, and -0.0 becomes 0.0.
        object.__setattr__(self, "at", None if self.start == self.end else self.at)
        object.__setattr__(self, "start", self.start + 0.0)
        object.__setattr__(self, "end", self.end + 0.0)

    @property
    def constant(self) -> bool:
        """Whether alpha is the same at every step."""
        return self.start == self.end

    def of(self, step: int, steps: int) -> float:
        """Alpha at a step (from 0) of a run of `steps` steps."""
        if self.at is not None:
            return self.start if step < round(self.at * steps) else self.end
        if step >= steps - 1:
            return self.end if step else self.start
        return self.start + (self.end - self.start) * step / (steps - 1)

    def __str__(self) -> str:
        jump = "" if self.at is None else f" at {_shortest(self.at)}"
        return _shortest(self.start) if self.constant else f"{_shortest(self.start)}..{_shortest(self.end)}{jump}"


def _shortest(value: float) -> str:
    """A short text that `float` converts back to exactly this value."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def parse_alpha(text: str) -> Alpha:
    """Read an alpha: `0.5`, `1..0` (it changes evenly), or `1..0 at 0.3` (it jumps after three tenths of the run).

    Raises:
        ValueError: the text is not one of these.
        PlanError: see `Alpha`.

    """
    start, dots, rest = text.partition("..")
    if not dots:
        return Alpha(float(text), float(text))
    end, word, at = rest.partition(" at ")
    return Alpha(float(start), float(end), float(at) if word else None)


__all__ = ["Alpha", "parse_alpha"]
