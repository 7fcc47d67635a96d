"""What a reader leaves out, in one shape for all readers: how many of what, and the first of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

EXAMPLES = 10
"""How many of a kind are named."""


class LeftOut:
    """Counts what is left out, by a plural noun such as `empty documents`.

    Args:
        counts: what was counted before.

    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts: dict[str, int] = dict(counts or {})
        self._examples: dict[str, list[str]] = {}

    def add(self, what: str, example: str = "", count: int = 1) -> None:
        """Count some more of a kind; `example` says which one it is, as in `corpus.jsonl, row 7: '105'`."""
        if not count:
            return
        self._counts[what] = self._counts.get(what, 0) + count
        examples = self._examples.setdefault(what, [])
        if example and len(examples) < EXAMPLES:
            examples.append(example)

    def count(self, what: str) -> int:
        """How many of a kind are left out."""
        return self._counts.get(what, 0)

    def facts(self) -> dict[str, Any]:
        """What `meta` says: `left_out`, numbers by kind, and `left_out_examples`; nothing where nothing is left out."""
        counts = {what: number for what, number in self._counts.items() if number}
        examples = {what: found for what, found in self._examples.items() if found}
        return ({"left_out": counts} if counts else {}) | ({"left_out_examples": examples} if examples else {})


__all__ = ["EXAMPLES", "LeftOut"]
