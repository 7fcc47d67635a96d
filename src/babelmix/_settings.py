"""Types of fields in settings files, for pydantic models."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

Texts = Annotated[list[str], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
"""A list of strings. A single string is a list with one entry."""


def _as_list(given: Any) -> Any:
    return [given] if isinstance(given, (int, float)) and not isinstance(given, bool) else given


Integers = Annotated[list[int], BeforeValidator(_as_list)]
"""A list of whole numbers. A single number is a list with one entry."""
Numbers = Annotated[list[float], BeforeValidator(_as_list)]
"""A list of numbers. A single number is a list with one entry."""

__all__ = ["Integers", "Numbers", "Texts"]
