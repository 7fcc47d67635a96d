"""The languages of rows as someone else's collection writes them, and as tags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from babelmix.corpus.languages import language_as_written

UNKNOWN = "und"
"""The tag of rows without a language, or with one that is no tag: BCP 47's `und`, undetermined."""


def tag_of(value: str | None) -> str:
    """The tag of a language as a collection writes it.

    Examples:
        >>> [tag_of(value) for value in ("de", "EN_us", "ger", "German", "", None)]
        ['de', 'en-US', 'de', 'und', 'und', 'und']

    """
    return language_as_written(value) or UNKNOWN


class Languages:
    """The languages of a collection.

    Args:
        counts: the number of rows of each language as the collection writes it; None: rows without a language.

    Examples:
        >>> found = Languages({"en": 3, "EN": 1, "de": 2, None: 1})
        >>> found.rows
        {'de': 2, 'en': 4, 'und': 1}
        >>> found.values(["en"]), found.values(["und"])
        (['EN', 'en'], [None])

    """

    def __init__(self, counts: Mapping[str | None, int]) -> None:
        self.counts = dict(counts)
        self._values: dict[str, list[str | None]] = defaultdict(list)
        rows: dict[str, int] = defaultdict(int)
        for value, count in sorted(counts.items(), key=lambda one: (one[0] is not None, one[0] or "")):
            self._values[tag_of(value)].append(value)
            rows[tag_of(value)] += count
        self.rows = dict(sorted(rows.items()))

    def values(self, tags: Iterable[str]) -> list[str | None]:
        """What the collection writes for some tags; None stands for rows without a language."""
        return [value for tag in tags for value in self._values.get(tag, ())]

    def note(self) -> str | None:
        """A sentence about rows whose language is not known; None if there are none."""
        count = self.rows.get(UNKNOWN, 0)
        if not count:
            return None
        strange = [value for value in self._values[UNKNOWN] if value and value.strip()]
        such = f" or one that is no language tag, such as {strange[0][:40]!r}," if strange else ""
        return f"{count:,} of {sum(self.rows.values()):,} rows have no language{such} and count as {UNKNOWN} (undetermined)."


__all__ = ["UNKNOWN", "Languages", "tag_of"]
