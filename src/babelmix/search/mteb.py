"""The former name of `babelmix.search.mteb_index`."""

from __future__ import annotations

import warnings
from typing import Any

from babelmix.search import mteb_index


def __getattr__(name: str) -> Any:
    if name.startswith("__") or not hasattr(mteb_index, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        f"babelmix.search.mteb is called babelmix.search.mteb_index now; import {name} from there",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(mteb_index, name)
