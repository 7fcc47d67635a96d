"""Types of fields in settings files, for pydantic models."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

Texts = Annotated[list[str], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]
"""A list of strings. A single string is a list with one entry."""

__all__ = ["Texts"]
