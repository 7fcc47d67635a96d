"""Vectors with language taken out, read when they are needed; and the scores that search policies compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.corpus.languages import readable_languages
from babelmix.encoders.removal import AnyRemoval
from babelmix.evaluation.chunks import read
from babelmix.evaluation.matrix import Matrix
from babelmix.evaluation.relevant_ranks import UNKNOWN_LANGUAGES
from babelmix.evaluation.remedies import MIN_ROWS
from babelmix.evaluation.scoring import ScoreChange

Floats = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Names = npt.NDArray[np.object_]

_ROWS = 4096
"""Rows that are read in one step."""

LEVEL_OF = 10
"""`adaptive`: the level of a language is the mean of a query's first 10 scores in it, as in `babelmix.search.applying`."""


@dataclass(frozen=True, eq=False)
class Removed:
    """A matrix whose rows have language taken out when they are read.

    Args:
        matrix: the vectors, shape (rows, dimension).
        removal: what is applied.
        langs: the language of each row, None where it is unknown, shape (rows,).
        kind: `query` or `passage`.

    """

    matrix: Matrix
    removal: AnyRemoval
    langs: Names
    kind: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        return self.matrix.shape

    def __len__(self) -> int:
        return len(self.matrix)

    def __getitem__(self, rows: Any, /) -> Floats:
        return self.removal.apply(self.matrix[rows], self.langs[rows].tolist(), self.kind)


@dataclass(frozen=True, eq=False)
class Sides:
    """The vectors of some queries and of all passages, with their languages.

    Args:
        queries: float32, shape (queries, dimension).
        passages: shape (passages, dimension); may be memory-mapped.
        query_langs: the language of each query, None where it is unknown, shape (queries,).
        passage_langs: the same for the passages.
        similarity: `cosine` or `dot`.
        rows: the rows of the queries in the whole corpus, int64, shape (queries,).

    """

    queries: Matrix
    passages: Matrix
    query_langs: Names
    passage_langs: Names
    similarity: str
    rows: IntArray

    def removed(self, removal: AnyRemoval, memory: int) -> Sides:
        """The same with language taken out; passages are held in memory if they need at most `memory` bytes."""
        passages: Matrix = Removed(self.passages, removal, self.passage_langs, "passage")
        if 4 * len(passages) * passages.shape[1] <= memory:
            passages = held(passages)
        queries = held(Removed(self.queries, removal, self.query_langs, "query"))
        return Sides(queries, passages, self.query_langs, self.passage_langs, self.similarity, self.rows)


Policy = Callable[[Sides], ScoreChange | None]
"""Makes, from the vectors that are searched, what a search does to their scores. None: it leaves them as they are."""


def known_langs(langs: list[str | None]) -> Names:
    """Languages as an array, with None for tags that name no single language."""
    return np.array([None if lang in UNKNOWN_LANGUAGES else lang for lang in langs], dtype=object)


def held(matrix: Matrix) -> Floats:
    """The rows of a matrix in memory, float32."""
    found = np.empty(matrix.shape, dtype=np.float32)
    for start in range(0, len(matrix), _ROWS):
        found[start : start + _ROWS] = matrix[start : start + _ROWS]
    return found


def plain(sides: Sides) -> None:
    """The policy `any`: passages are ranked by their scores."""
    del sides


def balanced(sides: Sides) -> ScoreChange:
    """The policy `balanced`: (score - mean) / standard deviation over the query's scores with passages of one language.

    Mean and deviation are those of all passages of the language, from the mean and the covariance of their vectors. A language
    with fewer than 20 passages gets those of all languages together. An index keeps a part of the covariance, from a sample.
    """
    names, lang = np.unique([str(one) for one in sides.passage_langs.tolist()], return_inverse=True)
    queries = read(sides.queries, np.arange(len(sides.queries)), "query", sides.similarity)
    mean, spread = np.zeros((2, len(queries), len(names)), dtype=np.float32)
    sizes = np.bincount(lang)
    for number in range(len(names)):
        rows = np.flatnonzero(lang == number)
        mean[:, number], spread[:, number] = _score_moments(queries, sides, rows)
    few = sizes < MIN_ROWS
    if few.any():
        weight = (sizes / sizes.sum()).astype(np.float32)
        together = mean @ weight
        spread[:, few] = ((spread + mean**2) @ weight - together**2)[:, None]
        mean[:, few] = together[:, None]
    spread = np.sqrt(np.maximum(spread, 1e-12))

    def change(scores: Floats, query: IntArray, passage: IntArray) -> Floats:
        of = lang[passage]
        changed: Floats = (scores - mean[query][:, of]) / spread[query][:, of]
        return changed

    return change


def adaptive(sides: Sides) -> ScoreChange:
    """The policy `adaptive`: a score less the mean of the query's first 10 scores with passages of the same language.

    A language with fewer than 10 passages gets the mean level of the others.
    """
    names, lang = np.unique([str(one) for one in sides.passage_langs.tolist()], return_inverse=True)
    queries = read(sides.queries, np.arange(len(sides.queries)), "query", sides.similarity)
    level = np.full((len(queries), len(names)), np.nan, dtype=np.float32)
    for number in range(len(names)):
        rows = np.flatnonzero(lang == number)
        if len(rows) < LEVEL_OF:
            continue
        best = np.full((len(queries), LEVEL_OF), -np.inf, dtype=np.float32)
        for start in range(0, len(rows), _ROWS):
            vectors = read(sides.passages, rows[start : start + _ROWS], "passage", sides.similarity)
            scores = np.concatenate([best, queries @ vectors.T], axis=1)
            best = -np.partition(-scores, LEVEL_OF - 1, axis=1)[:, :LEVEL_OF]
        level[:, number] = best.mean(axis=1)
    known = ~np.isnan(level)
    usual = np.where(known, level, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    level = np.where(known, level, usual[:, None]).astype(np.float32)

    def change(scores: Floats, query: IntArray, passage: IntArray) -> Floats:
        changed: Floats = scores - level[query][:, lang[passage]]
        return changed

    return change


def _score_moments(queries: Floats, sides: Sides, rows: IntArray) -> tuple[Floats, Floats]:
    """Mean and variance of the scores of queries with some passages, each float32, shape (queries,)."""
    dimension = queries.shape[1]
    total, squares = np.zeros(dimension), np.zeros((dimension, dimension))
    for start in range(0, len(rows), _ROWS):
        vectors = read(sides.passages, rows[start : start + _ROWS], "passage", sides.similarity).astype(np.float64)
        total += vectors.sum(axis=0)
        squares += vectors.T @ vectors
    mean = total / len(rows)
    covariance = (squares / len(rows) - np.outer(mean, mean)).astype(np.float32)
    variance = np.einsum("ij,ij->i", queries @ covariance, queries)
    return queries @ mean.astype(np.float32), variance


def own_languages(query_langs: Names, passage_langs: Names) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """Which passages are in the language of each query, as the policy `own=N` understands it: `de-AT` takes de, too.

    Args:
        query_langs: the language of each query, None where it is unknown, shape (queries,).
        passage_langs: the same for the passages.

    Returns:
        Whether each language is that of each query, shape (queries, languages + 1), and the number of each passage's language,
        int64, shape (passages,). The last number stands for an unknown language, which is nobody's.

    """
    names = sorted({lang for lang in passage_langs.tolist() if lang is not None})
    number = {lang: place for place, lang in enumerate(names)}
    rows: dict[str | None, npt.NDArray[np.bool_]] = {}
    for one in set(query_langs.tolist()):
        mine = [] if one is None else readable_languages([one], names)
        rows[one] = np.array([*(name in mine for name in names), False])
    is_own = np.array([rows[one] for one in query_langs.tolist()], dtype=bool).reshape(
        len(query_langs), len(names) + 1
    )
    return is_own, np.array([number.get(lang, len(names)) for lang in passage_langs.tolist()], dtype=np.int64)


def favouring_own(sides: Sides, before: ScoreChange | None, bonus: float) -> ScoreChange:
    """Add a bonus to the scores of passages in the query's language.

    Args:
        sides: the vectors, with their languages.
        before: what the search does to scores before that.
        bonus: what is added: to a cosine or dot product under `any`, to standard deviations under `balanced`. A query or a
            passage of an unknown language has none.

    """
    is_own, lang = own_languages(sides.query_langs, sides.passage_langs)

    def change(scores: Floats, query: IntArray, passage: IntArray) -> Floats:
        found = scores if before is None else before(scores, query, passage)
        added: Floats = found + np.float32(bonus) * is_own[query][:, lang[passage]].astype(np.float32)
        return added

    return change


POLICIES: dict[str, Policy] = {"any": plain, "balanced": balanced, "adaptive": adaptive}
"""The policies of a sweep by name."""

__all__ = [
    "POLICIES",
    "Policy",
    "Removed",
    "Sides",
    "adaptive",
    "balanced",
    "favouring_own",
    "held",
    "known_langs",
    "own_languages",
    "plain",
]
