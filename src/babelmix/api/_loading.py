"""Open the corpus and load the encoder that a function gets, by name or as an object."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._progress import console
from babelmix.corpus import Corpus, load_corpus
from babelmix.errors import ArgumentError

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


def with_queries(
    corpus: str | Path | Corpus, queries_from: str | Path, langs: str | Sequence[str] | None = None
) -> Corpus:
    """Open a collection with queries made for it; see `babelmix.load_corpus`. The pool has all languages.

    Args:
        corpus: the collection.
        queries_from: what asks.
        langs: parts of texts in these languages ask; None: in all.

    """
    from babelmix.corpus.asking import ask
    from babelmix.corpus.copies import with_copies

    if not isinstance(corpus, (str, Path, Corpus)):
        return opened(corpus, queries_from=queries_from)
    found = with_copies(ask(corpus, queries_from, langs=langs))
    if not isinstance(corpus, Corpus):
        say_notes(found.notes)
    return found


def say_notes(notes: Sequence[str]) -> None:
    """Print the notes of a corpus on standard error."""
    for note in notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def judged_by(corpus: str | Path | Corpus, qrels: str | Path | None) -> str | Path | Corpus:
    """A corpus, or its source, with the qrels of a file in place of its own, if there is one."""
    if qrels is None:
        return corpus
    from babelmix.corpus.opening import has_option
    from babelmix.corpus.qrel_files import with_qrels

    # A folder of BEIR without a folder of qrels can only be read with these.
    if isinstance(corpus, (str, Path)) and has_option(str(corpus), "qrels"):
        return opened(str(corpus), qrels=str(qrels))
    found = with_qrels(opened(corpus), qrels)
    say_notes(found.meta.get("notes", [])[-1:])
    return found


def check_unfit(why: str, **given: object) -> None:
    """Raise if an argument is given that does not go with what is audited.

    Args:
        why: the rest of the sentence.
        given: the arguments by name; None and False are not given.

    Raises:
        ArgumentError: an argument is given.

    """
    for name, value in given.items():
        if value is not None and value is not False:
            raise ArgumentError(name, why)


def loaded(model: str | Path | SentenceTransformer, **options: Any) -> tuple[SentenceTransformer, str]:
    """An encoder and its name. `options` are for `load_encoder`; they have no effect on an encoder that is given as an object."""
    from babelmix.encoders import load_encoder
    from babelmix.encoders.origin import named

    if isinstance(model, (str, Path)):
        return load_encoder(str(model), **options), str(model)
    return model, named(model)


__all__ = ["check_unfit", "judged_by", "loaded", "opened", "say_notes", "with_queries"]
