"""Count what a reader leaves out, by kind, with examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXAMPLES = 10
"""The most examples of a kind."""


class LeftOut:
    """Counts what is left out. A kind is a plural noun such as `empty documents`.

    Args:
        counts: earlier counts to start from.

    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts: dict[str, int] = dict(counts or {})
        self._examples: dict[str, list[str]] = {}

    def add(self, what: str, example: str = "", count: int = 1) -> None:
        """Add to the count of a kind. `example` names what was left out, as in `corpus.jsonl, row 7: '105'`."""
        if not count:
            return
        self._counts[what] = self._counts.get(what, 0) + count
        examples = self._examples.setdefault(what, [])
        if example and len(examples) < EXAMPLES:
            examples.append(example)

    def count(self, what: str) -> int:
        """The count of a kind."""
        return self._counts.get(what, 0)

    def facts(self) -> dict[str, Any]:
        """The entries of `meta`: `left_out`, the counts by kind, and `left_out_examples`. Empty if nothing was left out."""
        counts = {what: number for what, number in self._counts.items() if number}
        examples = {what: found for what, found in self._examples.items() if found}
        return ({"left_out": counts} if counts else {}) | ({"left_out_examples": examples} if examples else {})


__all__ = ["EXAMPLES", "LeftOut"]
