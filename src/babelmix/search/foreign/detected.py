"""The languages of rows that no column states: detected from the texts, once in a process."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import islice

from babelmix._progress import progress_bar
from babelmix.corpus import canonical_language
from babelmix.corpus.detecting import check_detector, detect_languages, known_languages
from babelmix.corpus.languages import check_language_tags
from babelmix.errors import MissingExtraError, SearchError
from babelmix.search.foreign.address import LANG_NAMES
from babelmix.search.foreign.languages import UNKNOWN
from babelmix.search.foreign.row import Readable

_LOOKED_AT = 2000
"""The rows whose languages are detected among all; they say which languages the collection has."""

_LEAST = 0.005
"""The share of these rows that a language needs, so that a collection does not get languages by mistakes of the detector."""

_AT_ONCE = 1000

_LIKE_LANG = re.compile("lang|local|culture|idiom|sprache", re.IGNORECASE)
"""Names of columns that may state the language."""

_SHOWN = 30


class Detected:
    """Languages that were detected.

    The first rows are compared with all languages that the detector knows. All rows are then compared with those that were found,
    which is faster and much more often right: see `babelmix.corpus.detecting`.

    Args:
        address: the address of the collection, for messages.
        langs: the languages that rows may have, separated by commas; None: those of the first rows.

    """

    def __init__(self, address: str, langs: str | None) -> None:
        self._address = address
        self._among = [tag.strip() for tag in (langs or "").split(",") if tag.strip()]
        check_language_tags(self._among, f"{address}: langs", SearchError)
        self._langs: dict[str, str] | None = None
        self._ids: dict[str, list[str]] = defaultdict(list)

    def check(self, names: Iterable[str]) -> None:
        """Raise unless languages can be detected.

        Args:
            names: the columns of the collection: one may state the language under another name.

        Raises:
            MissingExtraError: the extra `detect` is not installed.

        """
        try:
            check_detector()
        except MissingExtraError as error:
            there = list(names)
            likely = next((name for name in there if _LIKE_LANG.search(name)), "COLUMN")
            raise MissingExtraError(
                f"{self._address}: no column is called {', '.join(LANG_NAMES)}; if one states the language, name it:  "
                f"?lang={likely}  (columns: {', '.join(there[:_SHOWN])}). Else languages are detected from the texts: {error}"
            ) from error

    def langs(self, source: Readable) -> dict[str, int]:
        """The number of rows of each language, sorted by language."""
        self._read(source)
        return {lang: len(ids) for lang, ids in sorted(self._ids.items())}

    def lang_of(self, row_id: str, source: Readable) -> str:
        """The language of a row. A row that was added since is in no language."""
        return self._read(source).get(row_id, UNKNOWN)

    def ids(self, langs: Iterable[str], source: Readable) -> list[str]:
        """The ids of all rows in some languages."""
        self._read(source)
        return [row_id for lang in langs for row_id in self._ids.get(lang, ())]

    def note(self) -> str | None:
        """A sentence about what was detected."""
        if self._langs is None:
            return None
        counts = Counter({lang: len(ids) for lang, ids in self._ids.items() if lang != UNKNOWN})
        shown = ", ".join(f"{lang} {count:,}" for lang, count in counts.most_common())
        unknown = len(self._ids.get(UNKNOWN, ()))
        return (
            f"No column states the language, so it was detected from the texts of {len(self._langs):,} rows: {shown or 'none'}; "
            f"of {unknown:,} it is not known ({UNKNOWN}). If a column states it, name it with  ?lang=COLUMN"
        )

    def _read(self, source: Readable) -> dict[str, str]:
        if self._langs is not None:
            return self._langs
        found: dict[str, str] = {}
        left = ((row.id, row.text or "") for row in source.rows(texts=True))
        first = list(islice(left, _LOOKED_AT))
        among = [canonical_language(tag) for tag in self._among] or self._languages_of([text for _, text in first])
        with progress_bar("detecting languages", sum(source.count_languages().values()), "rows") as bar:
            while first:
                texts = [text for _, text in first]
                for (row_id, _), lang in zip(first, detect_languages(texts, among), strict=True):
                    found[row_id] = lang or UNKNOWN
                bar.advance(len(first))
                first = list(islice(left, _AT_ONCE))
        for row_id, lang in found.items():
            self._ids[lang].append(row_id)
        self._langs = found
        return found

    @staticmethod
    def _languages_of(texts: list[str]) -> list[str]:
        counts = Counter(lang for lang in detect_languages(texts, known_languages()) if lang is not None)
        return [lang for lang, count in counts.most_common() if count >= max(1, _LEAST * len(texts))]


__all__ = ["Detected"]
