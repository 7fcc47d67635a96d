"""The former name of `babelmix.evaluation.score_levels`."""

from __future__ import annotations

import warnings
from typing import Any

from babelmix.evaluation import score_levels

_NEW_NAMES = {"score_calibration": "score_levels"}


def __getattr__(name: str) -> Any:
    if name.startswith("_") or not hasattr(score_levels, _NEW_NAMES.get(name, name)):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = _NEW_NAMES.get(name, name)
    warnings.warn(
        f"babelmix.evaluation.calibration.{name} is now babelmix.evaluation.score_levels.{new}",
        DeprecationWarning,
        stacklevel=2,
    )
    return getattr(score_levels, new)
