"""`hybrid`: a batch is monolingual with probability alpha, else cross-lingual (arXiv 2408.10536).

Alpha may change over the run; see `alpha`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies.alpha import Alpha, parse_alpha
from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.cross import Cross
from babelmix.batches.strategies.english import English
from babelmix.batches.strategies.mono import Mono
from babelmix.batches.strategies.registry import STRATEGIES, strategy
from babelmix.errors import ConfigError, PlanError

_MONO = Mono()


@dataclass(frozen=True, init=False)
class Hybrid(Strategy):
    """Monolingual batches with probability alpha, cross-lingual ones with probability 1 - alpha.

    Args:
        alpha: 0 is `cross`, 1 is `mono`. The paper found 0.5 best, and 0.4 to 0.6 about as good. An `Alpha` may change over the
            run; then the plan must know its steps.
        cross: the strategy of the other batches: `Cross` (default) or `OneToK`. For pictures also `Paired` or `TextText`.

    Raises:
        PlanError: alpha is not between 0 and 1.

    Examples:
        >>> Hybrid(0.25)
        Hybrid(alpha=Alpha(start=0.25, end=0.25, at=None), cross=Cross())
        >>> Hybrid(0.25) == Hybrid.parse(" .250 ")
        True

    """

    name: ClassVar[str] = "hybrid"
    alpha: Alpha
    cross: Strategy

    def __init__(self, alpha: float | Alpha = 0.5, cross: Strategy | None = None) -> None:
        object.__setattr__(self, "alpha", alpha if isinstance(alpha, Alpha) else Alpha(alpha, alpha))
        object.__setattr__(self, "cross", cross or Cross())

    @classmethod
    def parse(cls, arguments: str | None) -> Self:
        """See `Strategy.parse`: an alpha, and after a comma the strategy of the other batches."""
        if arguments is None:
            return cls()
        alpha, comma, other = (part.strip() for part in arguments.partition(","))
        if comma:
            name = other.partition("(")[0].strip()
            if name not in STRATEGIES or issubclass(STRATEGIES[name], (Hybrid, Mono, English)):
                raise ConfigError(
                    f"the other batches of 'hybrid({arguments})' cannot be {other!r}; name cross, paired, text_text or one_to_k"
                )
        try:
            return cls(parse_alpha(alpha), strategy(other) if comma else None)
        except ValueError:
            raise ConfigError(
                f"the strategy 'hybrid' does not take {arguments!r}; it takes a number, as in hybrid(0.5), or two, as in "
                "hybrid(1..0)"
            ) from None

    def __str__(self) -> str:
        other = "" if self.cross == Cross() else f", {self.cross}"
        return f"hybrid({self.alpha}{other})"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        """See `Strategy.requests`."""
        if not self.alpha.constant and facts.steps is None:
            raise PlanError(f"the alpha of {self} changes over the run: say how many steps it has (`steps`)")
        if self.alpha.start > 0 or self.alpha.end > 0:
            yield from _MONO.requests(facts)
        if self.alpha.start < 1 or self.alpha.end < 1:
            yield from self.cross.requests(facts)

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        """See `Strategy.request`."""
        alpha = self.alpha.of(step, facts.steps or 1)
        return (_MONO if facts.chance(step, "kind") < alpha else self.cross).request(facts, step)

    @property
    def several_queries(self) -> bool:
        """See `Strategy.several_queries`."""
        return self.cross.several_queries

    @property
    def draws_text_only(self) -> bool:
        """See `Strategy.draws_text_only`."""
        return self.cross.draws_text_only


__all__ = ["Hybrid"]
