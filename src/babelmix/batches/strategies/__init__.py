"""Batch strategies by name. A new one is a module and a line in `STRATEGIES`."""

from __future__ import annotations

import re
from collections.abc import Callable

from babelmix.batches.strategies.alpha import Alpha, parse_alpha
from babelmix.batches.strategies.base import Strategy
from babelmix.batches.strategies.cross import Cross
from babelmix.batches.strategies.english import English
from babelmix.batches.strategies.hybrid import Hybrid
from babelmix.batches.strategies.mixed import Mixed
from babelmix.batches.strategies.mono import Mono
from babelmix.batches.strategies.one_to_k import OneToK
from babelmix.batches.strategies.paired import Paired
from babelmix.batches.strategies.text_text import TextText, WithTextText
from babelmix.errors import ConfigError

STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "english": English,
    "mixed": Mixed,
    "mono": Mono,
    "cross": Cross,
    "hybrid": Hybrid,
    "paired": Paired,
    "text_text": TextText,
    "one_to_k": OneToK,
}

_SPEC = re.compile(r"^(\w+)(?:\((.*)\))?$")


def strategy(spec: str) -> Strategy:
    """A strategy from its name and, for `hybrid`, its alpha and its other batches, for `one_to_k` its K.

    As in `mono`, `hybrid`, `hybrid(0.25)`, `one_to_k(4)`, `hybrid(0.25, one_to_k(4))` and, for pictures, `hybrid(0.25, paired)`.
    Alpha may change over the run: `hybrid(1..0)` goes evenly from 1 to 0, `hybrid(1..0 at 0.3)` is 1 in the first three tenths of
    the steps and 0 in the others.

    Raises:
        ConfigError: there is no such strategy, or its arguments are not a number and a strategy.
        PlanError: alpha is not between 0 and 1, or K is less than 1.

    """
    match = _SPEC.match(spec.strip())
    if not match or match.group(1) not in STRATEGIES:
        raise ConfigError(
            f"there is no batch strategy {spec!r}; name one of {', '.join(STRATEGIES)}, hybrid(ALPHA) or one_to_k(K)"
        )
    name, arguments = match.groups()
    if arguments is None:
        return STRATEGIES[name]()
    alpha, comma, other = (part.strip() for part in arguments.partition(","))
    kind = other.partition("(")[0].strip()
    if kind in ("hybrid", "mono", "english") or (comma and kind not in STRATEGIES):
        raise ConfigError(
            f"the other batches of {spec!r} cannot be {other!r}; name cross, paired, text_text or one_to_k"
        )
    try:
        if name == OneToK.name:
            return OneToK(int(arguments))
        return STRATEGIES[name](parse_alpha(alpha), *([strategy(other)] if other else []))
    except (ValueError, TypeError):
        raise ConfigError(
            f"the strategy {name!r} does not take {arguments!r}; hybrid takes a number, as in hybrid(0.5), or two, as in "
            "hybrid(1..0), and one_to_k a whole number, as in one_to_k(4)"
        ) from None


__all__ = [
    "STRATEGIES",
    "Alpha",
    "Cross",
    "English",
    "Hybrid",
    "Mixed",
    "Mono",
    "OneToK",
    "Paired",
    "Strategy",
    "TextText",
    "WithTextText",
    "strategy",
]
