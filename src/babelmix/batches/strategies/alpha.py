"""Alpha over a run: from one value to another, as the learner's needs change (curriculum; Bengio et al., ICML 2009).

A linear schedule of the probability with which a step is of one kind is that of scheduled sampling (arXiv 1506.03099).
"""

from __future__ import annotations

from dataclasses import dataclass

from babelmix.errors import PlanError


@dataclass(frozen=True)
class Alpha:
    """Alpha of each step of a run.

    Without `at`, `alpha(step) = start + (end - start) * step / (steps - 1)`: `start` at the first step, `end` at the last.
    With it, `start` in the first `round(at * steps)` steps and `end` in the others. After the run it stays at `end`.

    Args:
        start: in [0, 1].
        end: in [0, 1].
        at: the share of the run after which alpha jumps, in (0, 1); None: it goes evenly.

    Raises:
        PlanError: a value is out of its range.

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

    @property
    def constant(self) -> bool:
        """Whether it is the same at every step, so that the run's length does not matter."""
        return self.start == self.end

    def of(self, step: int, steps: int) -> float:
        """Alpha at a step, from 0, of a run of so many."""
        if self.at is not None:
            return self.start if step < round(self.at * steps) else self.end
        if step >= steps - 1:
            return self.end if step else self.start
        return self.start + (self.end - self.start) * step / (steps - 1)

    def __str__(self) -> str:
        jump = "" if self.at is None else f" at {self.at:g}"
        return f"{self.start:g}" if self.constant else f"{self.start:g}..{self.end:g}{jump}"


def parse_alpha(text: str) -> Alpha:
    """Alpha from its spelling: `0.5`, `1..0` (evenly), `1..0 at 0.3` (a jump after three tenths of the run).

    Raises:
        ValueError: it is spelt otherwise.
        PlanError: see `Alpha`.

    """
    start, dots, rest = text.partition("..")
    if not dots:
        return Alpha(float(text), float(text))
    end, word, at = rest.partition(" at ")
    return Alpha(float(start), float(end), float(at) if word else None)


__all__ = ["Alpha", "parse_alpha"]
