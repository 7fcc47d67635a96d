"""Batch strategies by name. A new one is a module with a class and a line in `STRATEGIES`."""

from __future__ import annotations

import re

from babelmix._registry import Lazy, Registry, meant
from babelmix.batches.strategies.base import Strategy
from babelmix.errors import ConfigError

_HERE = "babelmix.batches.strategies"

STRATEGIES: Registry[type[Strategy]] = Registry(
    "batch strategy",
    {
        "english": Lazy(f"{_HERE}.english:English"),
        "mixed": Lazy(f"{_HERE}.mixed:Mixed"),
        "mono": Lazy(f"{_HERE}.mono:Mono"),
        "cross": Lazy(f"{_HERE}.cross:Cross"),
        "hybrid": Lazy(f"{_HERE}.hybrid:Hybrid"),
        "paired": Lazy(f"{_HERE}.paired:Paired"),
        "text_text": Lazy(f"{_HERE}.text_text:TextText"),
        "one_to_k": Lazy(f"{_HERE}.one_to_k:OneToK"),
    },
)
"""The classes of strategies by name; see `babelmix.extend.strategy` to add your own."""

_NAME = re.compile(r"\w+")
_SPEC = re.compile(r"(\w+)(?:\((.*)\))?", re.DOTALL)


def strategy(spec: str | Strategy) -> Strategy:
    """Find a batch strategy by its name and arguments.

    Args:
        spec: a name, as in `mono`, or a name with arguments, as in `hybrid(0.25)`, `one_to_k(4)`, `hybrid(0.25, one_to_k(4))`
            and, for pictures, `hybrid(0.25, paired)`. Alpha may change over the run: in `hybrid(1..0)` it falls evenly from 1 to
            0; in `hybrid(1..0 at 0.3)` it is 1 in the first three tenths of the steps and 0 in the others. A `Strategy` is
            returned as it is.

    Returns:
        The strategy. Different spellings of one strategy give equal objects; `str` gives the canonical spelling.

    Raises:
        ConfigError: there is no such strategy, or it does not take the arguments.
        PlanError: alpha is not between 0 and 1, or K is less than 1.

    Examples:
        >>> strategy("hybrid") == strategy("hybrid( .50 )")
        True
        >>> str(strategy("hybrid"))
        'hybrid(0.5)'

    """
    if isinstance(spec, Strategy):
        return spec
    match = _SPEC.fullmatch(spec.strip()) if isinstance(spec, str) else None
    if not match or match.group(1) not in STRATEGIES:
        near = meant(str(spec).partition("(")[0].strip(), STRATEGIES)
        raise ConfigError(
            f"there is no batch strategy {spec!r}{near}; name one of {', '.join(STRATEGIES)}, hybrid(ALPHA) or one_to_k(K)"
        )
    return STRATEGIES[match.group(1)].parse(match.group(2))


def register_strategy(name: str, made: object) -> None:
    """Add a class of strategies under a name; see `babelmix.extend.strategy`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"a batch strategy cannot be called {name!r}; use letters, digits and _")
    if not (isinstance(made, type) and issubclass(made, Strategy)):
        raise ConfigError(f"the batch strategy {name!r} must be a subclass of babelmix.batches.Strategy, not {made!r}")
    STRATEGIES.register(name, made)
    made.name = name


__all__ = ["STRATEGIES", "register_strategy", "strategy"]
