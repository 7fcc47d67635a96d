"""Batch strategies by name. A new one is a module and a line in `STRATEGIES`."""

from __future__ import annotations

import re
from collections.abc import Callable

from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.cross import Cross
from babelmix.batches.strategies.english import English
from babelmix.batches.strategies.hybrid import Hybrid
from babelmix.batches.strategies.mixed import Mixed
from babelmix.batches.strategies.mono import Mono
from babelmix.errors import ConfigError

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "english": English,
    "mixed": Mixed,
    "mono": Mono,
    "cross": Cross,
    "hybrid": Hybrid,
}

_SPEC = re.compile(r"^(\w+)(?:\(([^)]*)\))?$")


def strategy(spec: str) -> Strategy:
    """A strategy from its name and, for `hybrid`, its alpha: `mono`, `hybrid`, `hybrid(0.25)`.

    Raises:
        ConfigError: there is no such strategy, or its argument is not a number.
        PlanError: alpha is not between 0 and 1.

    """
    match = _SPEC.match(spec.strip())
    if not match or match.group(1) not in STRATEGIES:
        raise ConfigError(f"there is no batch strategy {spec!r}; name one of {', '.join(STRATEGIES)} or hybrid(ALPHA)")
    name, argument = match.groups()
    if argument is None:
        return STRATEGIES[name]()
    try:
        return STRATEGIES[name](float(argument))
    except (ValueError, TypeError):
        raise ConfigError(
            f"the strategy {name!r} does not take {argument!r}; hybrid takes a number, as in hybrid(0.5)"
        ) from None


__all__ = ["STRATEGIES", "Cross", "English", "Hybrid", "Mixed", "Mono", "Strategy", "strategy"]
