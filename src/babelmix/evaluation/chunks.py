"""Chunks: consecutive passages whose vectors are read, checked, scaled and ordered by language."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from babelmix.errors import NotFiniteError
from babelmix.evaluation.matrix import Matrix

Floats = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

COLUMNS = 64
"""The number of columns of a chunk is padded to a multiple of this. Other widths may round the same score differently."""

_QUERIES = 16
"""The queries of `product` are padded to a multiple of this, for the same reason."""

_BYTES = 8
"""The columns of a language are padded to a multiple of this. Eight comparisons, one byte each, are added as a 64-bit number."""

_ADDENDS = 255
"""The largest count that fits in a byte of that 64-bit number."""


@dataclass(frozen=True)
class Chunk:
    """The layout of consecutive passages as columns, ordered by language; each language is padded with empty columns.

    Args:
        first: corpus row of the first passage.
        row_at: corpus row of each column, -1 for padding, int64, shape (columns,).
        column_of: column of each passage, int64, shape (passages of the chunk,).
        lang_at: language of each column, int64, shape (columns,).
        langs: its languages, ascending, int64, shape (languages of the chunk,).
        runs: start of each run of columns of one language, in units of eight columns, int64, shape (runs,). A run has at most
            8 x 255 columns, so that its counts fit in a byte.
        first_run: the first run of each of `langs`, int64, shape (languages of the chunk,).

    """

    first: int
    row_at: IntArray
    column_of: IntArray
    lang_at: IntArray
    langs: IntArray
    runs: IntArray
    first_run: IntArray

    @classmethod
    def of(cls, lang: IntArray, first: int) -> Chunk:
        """Lay out the passages from corpus row `first` on; `lang` has the language of each."""
        langs, sizes = np.unique(lang, return_counts=True)
        padded = -(-sizes // _BYTES) * _BYTES
        # The padding to a multiple of COLUMNS belongs to the last language.
        padded[-1] += -padded.sum() % COLUMNS
        starts = np.cumsum(padded) - padded
        order = np.argsort(lang, kind="stable")
        column_of = np.empty(len(lang), dtype=np.int64)
        column_of[order] = np.arange(len(lang)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
        row_at = np.full(int(padded.sum()), -1, dtype=np.int64)
        row_at[column_of] = first + np.arange(len(lang))
        in_run = _BYTES * _ADDENDS
        runs = [np.arange(s, s + n, in_run) // _BYTES for s, n in zip(starts, padded, strict=True)]
        first_run = np.cumsum([0, *map(len, runs[:-1])])
        return cls(first, row_at, column_of, np.repeat(langs, padded), langs, np.concatenate(runs), first_run)

    def read(self, embeddings: Matrix, similarity: str, start: int, end: int, out: torch.Tensor) -> None:
        """Read the vectors of corpus rows from `start` to `end`, all in this chunk, into the rows of `out` for their columns.

        Raises:
            NotFiniteError: a value is not finite.

        """
        columns = self.column_of[start - self.first : end - self.first]
        out.numpy()[columns] = read(embeddings, np.arange(start, end), "passage", similarity)

    def hold(self, passage: IntArray) -> npt.NDArray[np.bool_]:
        """Whether each corpus row is in this chunk, in the shape of `passage`."""
        return (passage >= self.first) & (passage < self.first + len(self.column_of))

    def add_up(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
        """Eight partial counts in each number, uint64, shape (rows, runs); `by_language` unpacks them."""
        return np.add.reduceat(mask.view(np.uint64), self.runs, axis=1)

    def by_language(self, partial: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """Counts per language of the chunk, int32, shape (rows, languages of the chunk)."""
        counts = partial.view(np.uint8).reshape(*partial.shape, _BYTES).sum(axis=2, dtype=np.int32)
        return np.add.reduceat(counts, self.first_run, axis=1)


def read(embeddings: Matrix, rows: IntArray, side: str, similarity: str) -> Floats:
    """Read some rows as float32, check that they are finite, and scale each row to length 1 for cosine.

    Args:
        embeddings: floating, shape (rows of the corpus, dimension); may be memory-mapped, see `babelmix.evaluation.matrix`.
        rows: corpus rows, ascending, int64.
        side: `query` or `passage`, for the message.
        similarity: `"cosine"` or `"dot"`.

    Raises:
        NotFiniteError: a value is not finite, or too large for float32.

    """
    consecutive = len(rows) > 0 and rows[-1] - rows[0] == len(rows) - 1
    with np.errstate(over="ignore"):
        vectors = np.array(embeddings[rows[0] : rows[-1] + 1] if consecutive else embeddings[rows], dtype=np.float32)
    # If an array has a NaN, its minimum and its maximum are NaN.
    if vectors.size and not (np.isfinite(vectors.min()) and np.isfinite(vectors.max())):
        row = int(rows[np.argmin(np.isfinite(vectors).all(axis=1))]) + 1
        raise NotFiniteError(
            f"the embedding of {side} row {row} is not finite (NaN or infinity): the encoder is broken"
        )
    if similarity == "dot":
        return vectors
    return to_unit_length(vectors)


@dataclass(frozen=True, eq=False)
class ReadRows:
    """Rows of embeddings that are needed several times. They are read once, if they fit in memory.

    Args:
        embeddings: see `read`.
        side: see `read`.
        similarity: see `read`.
        place: the position in `vectors` of each corpus row, int64, shape (rows of the corpus,).
        vectors: the rows as `read` returns them; None: they do not fit.

    """

    embeddings: Matrix
    side: str
    similarity: str
    place: IntArray
    vectors: Floats | None

    @classmethod
    def of(
        cls,
        embeddings: Matrix,
        parts: Iterable[npt.NDArray[np.integer]],
        side: str,
        similarity: str,
        memory: int = 256 << 20,
    ) -> ReadRows:
        """Read the rows of all parts.

        Args:
            embeddings: see `read`.
            parts: corpus rows; negative ones are left out.
            side: see `read`.
            similarity: see `read`.
            memory: bytes that the rows may need.

        Raises:
            NotFiniteError: see `read`.

        """
        needed = np.zeros(len(embeddings), dtype=bool)
        for rows in parts:
            needed[rows[rows >= 0]] = True
        fit = 4 * int(needed.sum()) * embeddings.shape[1] <= memory
        vectors = read(embeddings, np.flatnonzero(needed), side, similarity) if fit else None
        return cls(embeddings, side, similarity, np.cumsum(needed) - 1, vectors)

    def __getitem__(self, rows: IntArray) -> Floats:
        """Some of the rows, in any order, float32, shape (rows, dimension)."""
        if self.vectors is not None:
            return self.vectors[self.place[rows]]
        distinct, place = np.unique(rows, return_inverse=True)
        if not len(rows):
            return np.empty((0, self.embeddings.shape[1]), dtype=np.float32)
        return read(self.embeddings, distinct, self.side, self.similarity)[place]


def to_unit_length(vectors: Floats) -> Floats:
    """Scale each row to length 1, in place; a zero row stays zero."""
    with np.errstate(over="ignore", under="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    # Squares of very small or very large values do not fit in float32.
    unsafe = np.flatnonzero(~((norms > 1e-15) & (norms < 1e15)))
    if len(unsafe):
        exact = vectors[unsafe].astype(np.float64)
        lengths = np.linalg.norm(exact, axis=1)
        vectors[unsafe] = exact / np.where(lengths > 0, lengths, 1.0)[:, None]
        norms[unsafe] = 1.0
    vectors /= norms[:, None]
    return vectors


def product(queries: Floats, passages: Floats) -> Floats:
    """The scores of a few queries and passages, float32, shape (queries, passages).

    Both sides are padded to multiples, so that passages with equal vectors have equal scores.
    """
    padded = [
        np.concatenate([side, np.zeros((-len(side) % rows, side.shape[1]), dtype=np.float32)])
        for side, rows in ((queries, _QUERIES), (passages, COLUMNS))
    ]
    left, right = (torch.from_numpy(side) for side in padded)
    scores: Floats = torch.nn.functional.linear(left, right).numpy()[: len(queries), : len(passages)]
    return scores
