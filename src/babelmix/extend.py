"""Add your own parts to babelmix without changing it.

Each function registers one thing under a name. Everything that takes such a name then knows it: Python functions, commands
and TOML files. A module with such calls is a plugin. There are three ways to load one:

- Import it, from Python.
- `babelmix --plugin my_plugin.py audit ...`, on the command line.
- Install it as a package with an entry point in the group `babelmix.plugins` that names the module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def engine(scheme: str) -> Callable[[T], T]:
    """Register a search engine: a store of vectors behind an index.

    Write it as a subclass of `babelmix.search.engines.Engine`, and test it with
    `babelmix.search.engines.contract.check_engine`.

    Args:
        scheme: of the addresses of its indexes: `memory` for `memory://my-index`.

    Returns:
        A decorator for the class.

    Raises:
        ConfigError: the scheme is malformed, or that of an engine of babelmix.

    Example:
        >>> from babelmix.search.engines import Engine, exists
        >>> @engine("nowhere")
        ... class NowhereEngine(Engine):
        ...     @classmethod
        ...     def exists(cls, address):
        ...         return False
        >>> exists("nowhere://my-index")
        False

    """
    from babelmix.search.engines.opening import register_engine

    def register(made: T) -> T:
        register_engine(scheme, made)  # type: ignore[arg-type]
        return made

    return register


__all__ = ["engine"]
