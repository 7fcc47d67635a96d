"""The removals that `babelmix.frontier` tries: given, read from files, or fitted on the collection without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.corpus import Corpus
from babelmix.encoders.removal import METHODS, AnyRemoval, Embedded, RemovalOptions, load_removal, removal_method
from babelmix.errors import ArgumentError
from babelmix.evaluation.frontier import UNTOUCHED, Part, Searched

SAMPLE = 1000
"""The most passages, and the most queries, of one language that a method is fitted on here."""

LEAST = 20
"""The fewest queries of each language from which the means of queries are taken."""

Removals = AnyRemoval | str | Path | Sequence[AnyRemoval | str | Path] | Mapping[str, AnyRemoval | str | Path]


def fitted_removals(
    given: Removals, searched: Searched, corpus: Corpus, part: Part
) -> tuple[dict[str, AnyRemoval], dict[str, Any]]:
    """The removals by name, and what each was fitted on.

    Raises:
        ArgumentError: there is none, two have one name, or a method needs translations.
        EncoderError: a file cannot be read.

    """
    several: list[tuple[str, Any]]
    if isinstance(given, Mapping):
        several = [(str(name), one) for name, one in given.items()]
    elif isinstance(given, (str, Path, AnyRemoval)):
        several = [("", given)]
    else:
        several = [("", one) for one in given]
    if not several:
        raise ArgumentError("removals", "are none; give a fitted removal, its file, or a method such as own-means")
    found: dict[str, AnyRemoval] = {}
    facts: dict[str, Any] = {}
    for name, one in several:
        if isinstance(one, str) and one in METHODS:
            removal, about = _fitted_here(one, searched, corpus, part)
        else:
            removal = load_removal(one) if isinstance(one, (str, Path)) else one
            about = {"method": removal.method, **dict(removal.facts)}
        label = name or removal.method
        if label in found or label == UNTOUCHED:
            raise ArgumentError("removals", f"have {label!r} twice, or a reserved name; name them in a dictionary")
        found[label], facts[label] = removal, about
    return found, facts


def _fitted_here(name: str, searched: Searched, corpus: Corpus, part: Part) -> tuple[AnyRemoval, dict[str, Any]]:
    """Fit a method on the passages of the corpus and the queries of the validation part, without labels."""
    method = removal_method(name)
    if method.fit_removal is None or method.needs_pairs:
        raise ArgumentError(
            "removals",
            f"{name} needs translations, or knows no languages, so it cannot be fitted here; fit it with  babelmix debias  and "
            "give its file",
        )
    langs = tuple(sorted(set(corpus.passages["lang"].to_pylist())))
    of_passages = _rows(corpus.passages["lang"].to_pylist(), langs)
    asked = _rows(corpus.queries["lang"].take(part.rows).to_pylist(), langs)
    rows, lang = _stacked(of_passages)
    vectors, numbers, kinds = [_read(searched.passages, rows)], [lang], [np.ones(len(rows), dtype=np.int64)]
    with_queries = all(len(some) >= LEAST for some in asked)
    if with_queries:
        rows, lang = _stacked(asked)
        vectors.append(_read(searched.queries, part.rows[rows]))
        numbers.append(lang)
        kinds.append(np.zeros(len(rows), dtype=np.int64))
    kind = np.concatenate(kinds)
    embedded = Embedded(
        np.concatenate(vectors), np.concatenate(numbers), kind if with_queries else np.zeros_like(kind), langs,
        similarity=searched.similarity,
    )  # fmt: skip
    # As `debias` does: a vector of zeros says nothing.
    embedded = embedded.only(np.flatnonzero(embedded.vectors.any(axis=1)))
    about = {
        "method": name,
        "passages": f"at most {SAMPLE:,} of each language of {corpus.name}, without labels",
        "queries": (
            f"at most {SAMPLE:,} of each language of the validation part, without labels"
            if with_queries
            else "none; the values of the passages are used"
        ),
    }
    return method.fit_removal(embedded, RemovalOptions()), about


def _rows(langs: Sequence[str], names: Sequence[str]) -> list[npt.NDArray[np.int64]]:
    """The rows of each language, at most `SAMPLE`, at equal distances."""
    given = np.array(langs, dtype=object)
    found = [np.flatnonzero(given == name) for name in names]
    return [
        rows if len(rows) <= SAMPLE else rows[np.linspace(0, len(rows) - 1, SAMPLE).astype(np.int64)] for rows in found
    ]


def _stacked(rows: Sequence[npt.NDArray[np.int64]]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    return np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(some) for some in rows])


def _read(matrix: Any, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Some rows, in the given order; a matrix reads them in ascending order."""
    distinct, place = np.unique(rows, return_inverse=True)
    return np.asarray(matrix[distinct], dtype=np.float64)[place]


__all__ = ["LEAST", "SAMPLE", "Removals", "fitted_removals"]
