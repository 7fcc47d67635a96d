"""Open the corpus and load the encoder that a function gets, by name or as an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._progress import console
from babelmix.corpus import Corpus, load_corpus

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def opened(
    corpus: str | Path | Corpus, *, langs: str | Sequence[str] | None = None, part: str = "all", **options: Any
) -> Corpus:
    """Open a corpus, and print the notes of its reader on standard error."""
    found = load_corpus(corpus, langs=langs, part=part, **options)
    if not isinstance(corpus, Corpus):
        say_notes(found.notes)
    return found


def say_notes(notes: Sequence[str]) -> None:
    """Print the notes of a corpus on standard error."""
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def loaded(model: str | Path | SentenceTransformer, **options: Any) -> tuple[SentenceTransformer, str]:
    """An encoder and its name. `options` are for `load_encoder`; they have no effect on an encoder that is given as an object."""
    from babelmix.encoders import load_encoder
    from babelmix.encoders.origin import named

    if isinstance(model, (str, Path)):
        return load_encoder(str(model), **options), str(model)
    return model, named(model)


__all__ = ["loaded", "opened", "say_notes"]
