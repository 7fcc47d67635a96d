"""Checks of an index, or of a collection that babelmix did not make."""

from __future__ import annotations

from collections.abc import Iterator

from babelmix.checks.base import OWN_INDEX, NotCheckedError, Problem, Subject
from babelmix.encoders.removal import AnyRemoval, load_removal
from babelmix.errors import BabelmixError, SearchError
from babelmix.search.foreign.checking import another_encoder
from babelmix.search.foreign.engine import ForeignEngine

_LARGE = 10_000
"""Smaller indexes are searched row by row, or nearly so."""
_SHARE = 0.01


def notes(subject: Subject) -> Iterator[Problem]:
    """What the collection itself says: fields without an index, languages that were detected."""
    if isinstance(subject.index, ForeignEngine):
        for note in subject.index.notes:
            yield Problem(
                note.rstrip("."),
                None,
                None,
                "Measure what it costs:  babelmix audit --through  prints the recall of each language.",
                serious="no index" in note,
            )


def empty(subject: Subject) -> Iterator[Problem]:
    """An index without rows."""
    assert subject.index is not None
    if not sum(subject.index.langs().values()):
        yield Problem("the index has no rows", None, None, "Add documents with  babelmix index.")


def without_language(subject: Subject) -> Iterator[Problem]:
    """Rows without a language."""
    assert subject.index is not None
    counts = subject.index.langs()
    if counts.get("und"):
        yield Problem(
            "rows have no language: policies and filters by language never find them",
            counts["und"],
            sum(counts.values()),
            "Give each row the column  lang.",
        )


def small_languages(subject: Subject) -> Iterator[Problem]:
    """Languages with a small share of the rows."""
    assert subject.index is not None
    counts = {lang: number for lang, number in subject.index.langs().items() if lang != "und"}
    total = sum(counts.values())
    few = {lang: number for lang, number in counts.items() if number < _SHARE * total}
    if few and total >= _LARGE:
        named = ", ".join(f"{lang} {number:,}" for lang, number in sorted(few.items(), key=lambda pair: pair[1])[:5])
        yield Problem(
            f"languages have less than {_SHARE:.0%} of the rows ({named})",
            len(few),
            len(counts),
            "A graph finds rare languages worst when a search is filtered. Look at their recall in  babelmix audit --through.",
            serious=False,
        )


def encoder(subject: Subject) -> Iterator[Problem]:
    """An encoder that did not make the vectors of the index."""
    index = subject.index
    assert subject.encoder is not None
    assert index is not None
    if isinstance(index, ForeignEngine):
        own = subject.encoder.get_embedding_dimension()
        if own != index.dimension:
            yield Problem(
                f"the encoder has {own} dimensions, but the vectors of the collection have {index.dimension}",
                None,
                None,
                "Name the encoder that made the vectors.",
            )
        elif (said := another_encoder(index, subject.encoder, _removal_of(index))) is not None:
            yield Problem(said.rstrip("."), None, None, "Name the encoder that made the vectors.")
        return
    try:
        index.check_encoder(subject.encoder)
    except SearchError as error:
        yield _problem_of(error, index.address)


def _removal_of(index: ForeignEngine) -> AnyRemoval | None:
    return None if index.removal is None else load_removal(index.removal)


def removal(subject: Subject) -> Iterator[Problem]:
    """A removal or a calibration that cannot be used."""
    index = subject.index
    if index is None or isinstance(index, ForeignEngine):
        raise NotCheckedError(OWN_INDEX)
    try:
        _ = index.removal
    except BabelmixError as error:
        yield _problem_of(error, index.address)


def _problem_of(error: BabelmixError, address: str) -> Problem:
    """An error that says what is wrong and, after a semicolon, what to do."""
    what, _, remedy = str(error).removeprefix(f"{address}: ").partition("; ")
    return Problem(
        f"the index {what}", None, None, f"{remedy[:1].upper()}{remedy[1:]}." if remedy else "Make the index again."
    )


__all__ = ["empty", "encoder", "notes", "removal", "small_languages", "without_language"]
