"""Take language out of the vectors of a store: draw rows, fit, and write page by page."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from babelmix.corpus.languages import in_range, language_as_written
from babelmix.encoders.removal import AnyRemoval, Embedded, RemovalOptions, removal_method
from babelmix.encoders.removal.fitted import ANY
from babelmix.errors import ArgumentError, EncoderError, SearchError
from babelmix.search.foreign.base import Floats, ForeignStore, Key

PAGE = 1000
"""Rows that are read and written together."""

LEAST = 20
"""The fewest rows of a language that a removal is fitted on."""

NO_LANGUAGE = "no language"
"""The name of rows without a language in tables."""

_MOST_SHOWN = 5
"""The most languages that an error names."""

_UNIT = 1e-2
"""How far the length of a vector may be from one, in half precision too."""


@dataclass(frozen=True)
class Drawn:
    """Rows that were drawn from a store.

    Languages are canonical tags: a store that writes `de_DE` has rows of de-DE.

    Args:
        rows: the number of all rows by language, the largest first; rows without a language count under `NO_LANGUAGE`.
        vectors: by language, float32, each of shape (rows drawn, dimension). Languages with fewer rows than `LEAST` are absent.

    """

    rows: dict[str, int]
    vectors: dict[str, Floats]


@dataclass
class Written:
    """The rows that were written.

    Args:
        corrected: by language.
        copied: rows of other languages or of none, whose vectors were copied, by language.

    """

    corrected: Counter[str] = field(default_factory=Counter)
    copied: Counter[str] = field(default_factory=Counter)


def tag_or_text(lang: str | None) -> str | None:
    """A language as a canonical tag; what is no tag stays as the store writes it.

    Examples:
        >>> tag_or_text("de_DE"), tag_or_text("German")
        ('de-DE', 'German')

    """
    return language_as_written(lang) or lang


def draw(store: ForeignStore, limit: int, *, size: int = PAGE) -> Drawn:
    """Draw rows of each language.

    One pass reads keys and languages. A hash of the key decides which rows are drawn, so that the order of the rows does not
    matter and a second call draws the same ones. Memory does not grow with the store.

    Args:
        store: the store.
        limit: the most rows of one language.
        size: rows of a page.

    Raises:
        SearchError: the store is empty.

    """
    rows: Counter[str] = Counter()
    # A heap of each language holds the rows with the smallest hashes; the largest of them is its first.
    heaps: dict[str, list[tuple[int, int, Key]]] = {}
    for keys, langs in store.keys(size):
        for key, spelled in zip(keys, langs, strict=True):
            lang = tag_or_text(spelled)
            rows[lang or NO_LANGUAGE] += 1
            if not lang:
                continue
            digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
            # The count keeps keys of two types from being compared.
            entry = (-int.from_bytes(digest, "big"), rows[lang], key)
            heap = heaps.setdefault(lang, [])
            if len(heap) < limit:
                heapq.heappush(heap, entry)
            elif entry > heap[0]:
                heapq.heapreplace(heap, entry)
    if not rows:
        raise SearchError(f"{store.address}: has no row with a vector {store.vector!r}")
    found = {}
    for lang in (lang for lang, _ in rows.most_common() if len(heaps.get(lang, ())) >= LEAST):
        drawn = [key for _, _, key in sorted(heaps[lang], reverse=True)]
        found[lang] = np.concatenate([store.read(drawn[at : at + size]) for at in range(0, len(drawn), size)])
    return Drawn(dict(rows.most_common()), found)


def similarity_of(store: ForeignStore, drawn: Drawn) -> str:
    """How vectors are to be compared: as the store says; or by cosine if all drawn vectors have length one.

    Raises:
        SearchError: it cannot be told.

    """
    if store.similarity is not None:
        return store.similarity
    lengths = np.concatenate([np.linalg.norm(some, axis=1) for some in drawn.vectors.values()] or [np.ones(1)])
    if (np.abs(lengths - 1) < _UNIT).all():
        return "cosine"
    raise SearchError(
        f"{store.address}: does not say how its vectors are compared, and they do not have length one; add "
        "similarity=cosine  or  similarity=dot  to the address"
    )


def fit(drawn: Drawn, method: str, options: RemovalOptions, similarity: str, column: str = "") -> AnyRemoval:
    """Fit a removal on the rows that were drawn. Queries are corrected like rows of their language.

    Args:
        drawn: the rows.
        method: the name of the method.
        options: its options.
        similarity: `cosine` or `dot`.
        column: the column of the languages if the address names one, for messages.

    Raises:
        ArgumentError: the method needs translations or an encoder.
        EncoderError: there are fewer than two languages with enough rows, or there is no such method.

    """
    found = removal_method(method)
    if found.fit_removal is None or found.needs_pairs:
        needs = "translations, which a store does not tell" if found.needs_pairs else "an encoder"
        raise ArgumentError("method", f"{method} needs {needs}; use own-means, or give a file with --removal")
    if len(drawn.vectors) < 2:
        raise EncoderError(
            f"a removal needs two languages with {LEAST} rows each; there are " + _examples(drawn.rows, column)
        )
    langs = tuple(drawn.vectors)
    vectors = np.concatenate([drawn.vectors[lang] for lang in langs]).astype(np.float64)
    lang = np.repeat(np.arange(len(langs)), [len(drawn.vectors[lang]) for lang in langs])
    options = replace(options, rank=found.rank_for(method, options.rank, len(langs)))
    return found.fit_removal(Embedded(vectors, lang, np.zeros_like(lang), langs, None, similarity), options)


def _examples(rows: Mapping[str, int], column: str) -> str:
    """The languages of the most rows in words. Where most are no languages, another column may be meant."""
    shown = ", ".join(f"{count:,} rows of {lang[:40]}" for lang, count in list(rows.items())[:_MOST_SHOWN])
    more = len(rows) - _MOST_SHOWN
    named = [lang for lang in rows if lang != NO_LANGUAGE]
    strange = sum(language_as_written(lang) is None for lang in named)
    asked = f"is {column!r} the language column?" if column else "which is the language column?"
    doubt = f"; {asked}  ?lang=COLUMN  names another" if strange > len(named) / 2 else ""
    return shown + (f" and {more:,} others" if more > 0 else "") + doubt


def rewrite(
    store: ForeignStore,
    name: str,
    removal: AnyRemoval,
    langs: Sequence[str] | None = None,
    *,
    size: int = PAGE,
    tick: Callable[[int], None] = lambda _: None,
) -> Written:
    """Write the corrected vector of each row that has none yet. A call after a killed one writes the rows that are left.

    The vector of a row whose language was not fitted, or that has none, is copied as it is.

    Args:
        store: the store.
        name: the name of the new vector.
        removal: the removal.
        langs: correct only these languages, each a range; None: all that were fitted.
        size: rows of a page.
        tick: called with the number of rows of each page that was written.

    """
    if name == store.vector:
        raise SearchError(f"{store.address}: {name!r} is the original vector, which is never written")
    done = Written()
    for page in store.left(name, size):
        copied = not_fitted(Counter(lang or NO_LANGUAGE for lang in page.langs), removal, langs)
        known = np.array([(lang or NO_LANGUAGE) not in copied for lang in page.langs], dtype=bool)
        vectors = page.vectors.copy()
        if known.any():
            spelled = [lang for lang, one in zip(page.langs, known, strict=True) if one]
            vectors[known] = removal.apply(page.vectors[known], spelled, "passage")
        store.write(name, page.keys, vectors)
        for lang, one in zip(page.langs, known, strict=True):
            (done.corrected if one else done.copied)[tag_or_text(lang) or NO_LANGUAGE] += 1
        tick(len(page.keys))
    return done


def not_fitted(rows: Mapping[str, int], removal: AnyRemoval, langs: Sequence[str] | None = None) -> dict[str, int]:
    """The rows whose vectors are copied as they are, by language: not fitted, or not in the ranges `langs`."""
    named = [lang for lang in rows if lang != NO_LANGUAGE]
    left = set() if removal.langs == (ANY,) else {NO_LANGUAGE, *removal.not_fitted(named)}
    if langs is not None:
        own = {lang for lang in named if any(in_range(tag_or_text(lang) or lang, one) for one in langs)}
        left |= set(rows) - own
    return {lang: count for lang, count in rows.items() if lang in left}


__all__ = ["LEAST", "NO_LANGUAGE", "PAGE", "Drawn", "Written", "draw", "fit", "not_fitted", "rewrite", "similarity_of"]
