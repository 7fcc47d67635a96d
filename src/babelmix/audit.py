"""The former place of `babelmix.evaluation`; importing from here is deprecated.

Python sets the attribute `babelmix.audit` to this module when the module is imported, in place of the function of that name. So
the module can be called like the function.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from typing import Any

from babelmix.api.auditing import audit as _audit

_NOW = "babelmix.evaluation"
_MOVED = ("calibration", "chance", "metrics", "mteb", "perturb")
"""The sub-modules that were documented."""


class _Moved(types.ModuleType):
    """A module that takes its names from another one, with a warning."""

    def __getattr__(self, name: str) -> Any:
        now = self.__name__.replace("babelmix.audit", _NOW, 1)
        if name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(now), name)
        warnings.warn(f"{self.__name__} is deprecated: use {now}.{name}", DeprecationWarning, stacklevel=2)
        return found

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call the function `babelmix.audit`."""
        return _audit(*arguments, **options)


sys.modules[__name__].__class__ = _Moved
for _name in _MOVED:
    sys.modules.setdefault(f"{__name__}.{_name}", _Moved(f"{__name__}.{_name}"))
