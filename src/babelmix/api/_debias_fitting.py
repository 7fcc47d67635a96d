"""Fit a removal on vectors whose languages are known: which vectors, and what stands in for queries that are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from babelmix.api._debias_sides import Integers, Side
from babelmix.encoders.removal import LEAST, Embedded, RemovalOptions, removal_method
from babelmix.errors import ArgumentError, EncoderError

if TYPE_CHECKING:
    from babelmix.encoders.removal import AnyRemoval

MOST = 30_000
"""The approximate number of vectors of a side that a removal is fitted on. Of rare languages there are more than their share."""

_OF_A_LANG = 500
_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Sample:
    """Vectors to fit on.

    Args:
        vectors: float32, shape (rows, dimension).
        lang: the number of each row's language in `names`, int64, shape (rows,).
        names: the languages.
        item: the number of what each row says, int64, shape (rows,): rows of one number are translations of each other. None: no
            translations are known.

    """

    vectors: npt.NDArray[np.float32]
    lang: Integers
    names: tuple[str, ...]
    item: Integers | None = None

    def counts(self) -> dict[str, int]:
        """The number of rows of each language."""
        return dict(zip(self.names, np.bincount(self.lang, minlength=len(self.names)).tolist(), strict=True))

    def paired(self) -> dict[str, int]:
        """The number of items of each language that another language has too."""
        if self.item is None:
            return dict.fromkeys(self.names, 0)
        cells = np.unique(np.stack([self.item, self.lang]), axis=1)
        langs_of_item = np.bincount(cells[0])
        found = np.bincount(cells[1][langs_of_item[cells[0]] > 1], minlength=len(self.names)).tolist()
        return dict(zip(self.names, found, strict=True))

    def among(self, names: Sequence[str]) -> Sample:
        """The rows of some languages, with their numbers in `names`."""
        places = np.array([names.index(name) if name in names else -1 for name in self.names], dtype=np.int64)
        lang = places[self.lang]
        rows = np.flatnonzero(lang >= 0)
        return Sample(self.vectors[rows], lang[rows], tuple(names), None if self.item is None else self.item[rows])


def check_texts(texts: int | None) -> None:
    """Raise unless a largest number of texts of a language is enough for a fit.

    Raises:
        ArgumentError: it is not.

    """
    if texts is not None and texts < LEAST:
        raise ArgumentError("texts", f"{texts} is too few: a removal needs {LEAST} or more of each language")


def sample_of(side: Side, langs: Sequence[str] | None = None, *, most: int = MOST) -> Sample:
    """Draw the rows of a side to fit on, always the same; translations stay together.

    Args:
        side: the vectors. Rows of an unknown language and vectors that are zero are left out.
        langs: only these languages.
        most: see `MOST`.

    Raises:
        VectorsError: a value is not finite.

    """
    allowed = np.array([langs is None or name in langs for name in side.names], dtype=bool)
    rows = np.flatnonzero((side.lang >= 0) & allowed[side.lang]) if len(allowed) else np.array([], dtype=np.int64)
    rows = rows[drawn(side.lang[rows], rows if side.item is None else side.item[rows], most)]
    vectors = np.empty((len(rows), side.values.shape[1]), dtype=np.float32)
    for start in range(0, len(rows), _AT_ONCE):
        vectors[start : start + _AT_ONCE] = side.values[rows[start : start + _AT_ONCE]]
        side.forget()
    good = np.flatnonzero(vectors.any(axis=1))
    rows = rows[good]
    return Sample(vectors[good], side.lang[rows], side.names, None if side.item is None else side.item[rows])


def drawn(lang: Integers, key: Integers, most: int) -> Integers:
    """Rows of a sample: rows with one key together, and of each language 500 or more.

    Args:
        lang: numbers of languages, int64, shape (rows,).
        key: whole numbers from 0 on, int64, shape (rows,).
        most: the approximate number of rows.

    Returns:
        Row numbers in order, int64, shape (rows of the sample,).

    """
    if len(lang) <= most:
        return np.arange(len(lang))
    numbers = np.random.default_rng(0).random(int(key.max()) + 1)
    return np.flatnonzero(numbers[key] < shares_of(np.bincount(lang), most)[lang])


def shares_of(counts: Integers, most: int) -> npt.NDArray[np.float64]:
    """The share of each language's rows that is drawn: equal, but 500 rows or all of a rare language.

    Args:
        counts: rows by language, int64, shape (languages,).
        most: the approximate number of rows to draw.

    Returns:
        float64, shape (languages,); 1 or more: all.

    """
    total = max(int(counts.sum()), 1)
    if total <= most:
        return np.ones(len(counts))
    return np.maximum(most / total, _OF_A_LANG / np.maximum(counts, 1))


def fit(
    passages: Sample | None,
    queries: Sample | None,
    *,
    method: str,
    alpha: float,
    options: RemovalOptions,
    similarity: str,
) -> tuple[AnyRemoval, dict[str, Any]]:
    """Fit a removal.

    Queries of a language that has fewer than `LEAST` of them are fitted on its passages; see `encoders.removal.complete`.

    Args:
        passages: vectors of passages.
        queries: vectors of queries, or of documents that were embedded as queries.
        method: one of `babelmix.encoders.removal.METHODS`.
        alpha: how much of it is applied.
        options: of the method.
        similarity: `cosine` or `dot`.

    Returns:
        The removal, and how it was fitted, JSON-serialisable.

    Raises:
        EncoderError: there is no such method, it lacks translations, or there are too few vectors.
        ArgumentError: the method has no rank, and one is given.

    """
    chosen = removal_method(method)
    main, other = (passages, queries) if passages is not None else (queries, None)
    if main is None:
        raise EncoderError("there are no vectors to fit on")
    counts = main.counts()
    names = tuple(name for name, count in counts.items() if count >= LEAST)
    if len(names) < 2:
        there = ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
        raise EncoderError(
            f"there are {len(names)} languages with {LEAST} or more vectors to fit on ({there}); two or more are needed"
        )
    main = main.among(names)
    asked = None if other is None else other.among(names)
    # Items of queries are not those of passages, so one side gives the translations of all languages.
    if asked is not None and chosen.needs_pairs and min(asked.paired().values()) < LEAST:
        asked = None
    given = {} if asked is None else {name: count for name, count in asked.counts().items() if count >= LEAST}
    options = replace(options, rank=chosen.rank_for(method, options.rank, len(names)))
    removal = chosen.fit_removal(_embedded(main, asked if given else None, similarity), options).with_alpha(alpha)
    by = "passages" if passages is not None else "queries"
    facts = {
        "method": method, "alpha": alpha, "similarity": similarity,
        "fitted_on": {"passages": main.counts(), "queries": given} if by == "passages" else {by: main.counts()},
        "stand_in": {name: by for name in names if name not in given},
        **({"pivot": options.pivot} if "pivot" in removal.facts else {}),
        # What `auto` has chosen, and why.
        **{name: value for name, value in removal.facts.items() if name in ("chosen", "because") or "topic" in name},
    }  # fmt: skip
    return removal.with_facts({**removal.facts, **facts}), facts


def _embedded(main: Sample, asked: Sample | None, similarity: str) -> Embedded:
    """What a method is fitted on. Kinds are 0 for queries and 1 for passages; all are 0 if the passages stand in for queries."""
    parts = [main] if asked is None else [asked, main]
    vectors = np.concatenate([part.vectors for part in parts]).astype(np.float64)
    return Embedded(
        vectors,
        np.concatenate([part.lang for part in parts]),
        np.repeat(np.arange(len(parts)), [len(part.lang) for part in parts]),
        main.names,
        _items(parts),
        similarity,
    )


def _items(parts: Sequence[Sample]) -> Integers | None:
    if any(part.item is None for part in parts):
        # The passages alone may be translations of each other; a method needs the items of all.
        return None if len(parts) == 1 or parts[-1].item is None else _with_own_items(parts)
    found: list[Integers] = []
    for part in parts:
        assert part.item is not None
        found.append(part.item + (int(found[-1].max()) + 1 if found and len(found[-1]) else 0))
    return np.concatenate(found)


def _with_own_items(parts: Sequence[Sample]) -> Integers:
    """The items of passages, and an item of its own for each query."""
    passages = parts[-1].item
    assert passages is not None
    start = int(passages.max()) + 1
    return np.concatenate([start + np.arange(len(parts[0].lang)), passages])


__all__ = ["MOST", "Sample", "check_texts", "drawn", "fit", "sample_of", "shares_of"]
