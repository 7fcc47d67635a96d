"""The languages that a removal was fitted on, and which of them a tag means, in whatever spelling."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from babelmix.corpus.languages import IMAGE, canonical_language, language_as_written

NO_TAGS = frozenset({"und", "mul", "mis", ""})
"""Tags that name no language: a vector with one is like a vector without."""

_MOST_SHOWN = 20


class Places:
    """The numbers of the languages of a removal.

    Args:
        langs: the languages as the removal has them. Older ones have them as a table spelled them, such as `de_DE`.

    Examples:
        >>> places = Places(["de_DE", "en", "pt-BR", "pt-PT"])
        >>> [places.of(lang) for lang in ("de-DE", "de", "de-AT", "en-US", "pt", "sw", None)]
        [0, 0, 0, 1, -1, -1, -1]

    """

    def __init__(self, langs: Sequence[str]) -> None:
        self.tags = tuple(language_as_written(lang) or lang for lang in langs)
        self._spelled: dict[str, int] = {}
        self._primary: dict[str, list[int]] = {}
        for names in (langs, self.tags):
            for number, name in enumerate(names):
                self._spelled.setdefault(name, number)
        for tag, number in self._spelled.items():
            numbers = self._primary.setdefault(tag.replace("_", "-").partition("-")[0], [])
            if number not in numbers:
                numbers.append(number)
        self._warned: set[str] = set()

    def of(self, lang: str | None) -> int:
        """The number of a language: the same tag, a longer one's beginning, or the only one of the same language; -1: none."""
        if lang is None or lang in NO_TAGS:
            return -1
        if lang in self._spelled:
            return self._spelled[lang]
        tag = whole = language_as_written(lang) or canonical_language(lang)
        while tag:
            if tag in self._spelled:
                return self._spelled[tag]
            tag = tag.rpartition("-")[0]
        same = self._primary.get(whole.partition("-")[0], [])
        return same[0] if len(same) == 1 else -1

    def is_untold(self, lang: str | None) -> bool:
        """Whether a query is of a language that is not known here. A picture has none that could be told."""
        return lang != IMAGE and self.of(lang) < 0

    def warn(self, langs: Sequence[str | None], told: bool) -> None:
        """Warn once about each language of queries that is not known here.

        Args:
            langs: the languages of the queries.
            told: whether the removal tells the language of a vector; else such a query stays as it is.

        """
        new = [
            lang for lang in dict.fromkeys(langs)
            if lang is not None and lang not in NO_TAGS and lang not in self._warned and self.is_untold(lang)
        ]  # fmt: skip
        if not new:
            return
        self._warned.update(new)
        more = len(self.tags) - _MOST_SHOWN
        known = ", ".join(self.tags[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        like = "corrected like queries of an unknown language" if told else "left as they are"
        warnings.warn(
            f"the removal of language was not fitted on {', '.join(new[:_MOST_SHOWN])}: such queries are {like}; "
            f"it knows {known}",
            UserWarning,
            stacklevel=4,
        )


__all__ = ["NO_TAGS", "Places"]
