"""Names of a package that are imported at their first use."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def imported_name(package: str, homes: Mapping[str, str], name: str) -> Any:
    """A name of a package, for the package's `__getattr__`.

    Args:
        package: the package, or a module that had these names before.
        homes: for each name the module that defines it, relative to the package.
        name: the name that is asked for.

    Raises:
        AttributeError: the package has no such name.

    Examples:
        >>> imported_name("babelmix.corpus", {"Corpus": "model"}, "Corpus").__name__
        'Corpus'

    """
    if name not in homes:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)


__all__ = ["imported_name"]
