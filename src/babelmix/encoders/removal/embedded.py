"""The embedded texts that a removal is fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from babelmix.errors import EncoderError

Array = npt.NDArray[np.float64]

LEAST = 20
"""The smallest number of texts of a language."""


@dataclass(frozen=True)
class Embedded:
    """The embedded texts that a method is fitted on.

    Args:
        vectors: float64, shape (texts, dimension).
        lang: number of each text's language, int64, shape (texts,).
        kind: 0 for texts that were embedded as queries, 1 for passages, int64, shape (texts,). All are 0 where the encoder
            embeds both alike.
        langs: the languages, by number.
        item: number of what each text says, int64, shape (texts,): texts of one number are translations of each other. None: no
            translations are known.
        similarity: `cosine` or `dot`: how the encoder compares. With cosine, a method is fitted on vectors of length one; they
            may have any length here, see `ready`.

    """

    vectors: Array
    lang: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    langs: tuple[str, ...] = ()
    item: npt.NDArray[np.int64] | None = None
    similarity: str = "cosine"

    def means_of_langs(self) -> Array:
        """Mean embedding of each language, shape (languages, dimension); queries and passages count alike."""
        return np.stack([np.mean([some.mean(axis=0) for some in kinds], axis=0) for kinds in self.members()])

    def members(self) -> list[list[Array]]:
        """The embeddings of each language, by kind; each of shape (texts, dimension)."""
        return [
            [self.vectors[(self.lang == lang) & (self.kind == kind)] for kind in range(self.kind.max() + 1)]
            for lang in range(self.lang.max() + 1)
        ]

    def counts(self) -> npt.NDArray[np.int64]:
        """The number of texts of each language and kind, int64, shape (languages, 2)."""
        found = np.zeros((max(len(self.langs), int(self.lang.max(initial=-1)) + 1), 2), dtype=np.int64)
        np.add.at(found, (self.lang, self.kind), 1)
        return found

    def ready(self) -> Embedded:
        """The same texts as a removal sees them when it is applied: under cosine, vectors of length one."""
        if self.similarity != "cosine":
            return self
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return replace(self, vectors=self.vectors / np.where(lengths > 0, lengths, 1))

    def only(self, rows: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Embedded:
        """Some of the texts: a mask or row numbers."""
        item = None if self.item is None else self.item[rows]
        return replace(self, vectors=self.vectors[rows], lang=self.lang[rows], kind=self.kind[rows], item=item)


def complete(embedded: Embedded) -> tuple[Embedded, list[str]]:
    """Embedded texts with enough queries of each language.

    A language with fewer than `LEAST` queries gets its passages in their place, moved by the mean difference between queries and
    passages of the other languages. Without any queries, passages stand for both.

    Returns:
        The embedded texts, and the languages whose passages stand for queries, while other languages have queries.

    Raises:
        EncoderError: a language has fewer than `LEAST` passages.

    """
    counts = embedded.counts()
    if not len(embedded.lang):
        raise EncoderError("there are no vectors to fit on")
    if not counts[:, 1].any() or not counts[:, 0].any():
        embedded = replace(embedded, kind=np.zeros_like(embedded.kind))
        _check_counts(embedded, embedded.counts()[:, 0], "texts")
        return embedded, []
    _check_counts(embedded, counts[:, 1], "passages")
    few = np.flatnonzero(counts[:, 0] < LEAST)
    if not len(few):
        return embedded, []
    enough = np.setdiff1d(np.arange(len(counts)), few)
    members = embedded.members()
    apart = np.zeros(embedded.vectors.shape[1])
    if len(enough):
        apart = np.mean([members[n][0].mean(axis=0) - members[n][1].mean(axis=0) for n in enough], axis=0)
    of_few = np.isin(embedded.lang, few)
    kept, moved = embedded.only(~(of_few & (embedded.kind == 0))), embedded.only(of_few & (embedded.kind == 1))
    item = None if kept.item is None or moved.item is None else np.concatenate([kept.item, moved.item])
    together = replace(
        embedded, vectors=np.concatenate([kept.vectors, moved.vectors + apart]), item=item,
        lang=np.concatenate([kept.lang, moved.lang]), kind=np.concatenate([kept.kind, np.zeros_like(moved.kind)]),
    )  # fmt: skip
    return together, [embedded.langs[n] if embedded.langs else str(n) for n in few]


def _check_counts(embedded: Embedded, counts: npt.NDArray[np.int64], what: str) -> None:
    for number, count in enumerate(counts):
        if count < LEAST:
            lang = embedded.langs[number] if embedded.langs else str(number)
            raise EncoderError(f"there are {count} {what} in {lang!r}; each language needs {LEAST} or more")


__all__ = ["LEAST", "Array", "Embedded", "complete"]
