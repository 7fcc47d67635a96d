"""From a block of scores to counts: what outranks each relevant passage, and which passages are the first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.chunks import Chunk

Floats = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_AT_ONCE = 1 << 18
"""Scores compared at once: few enough to stay in a core's own cache, many enough to be worth a call."""

_LOWEST = np.finfo(np.float32).min
"""No score is below it, only padding."""


def count_above(
    scores: Floats, chunk: Chunk, pairs: IntArray, sizes: IntArray, own: Floats, passage: IntArray
) -> npt.NDArray[np.int32]:
    """How many passages of a chunk outrank the relevant passages of a block of queries, by language.

    Every relevant passage's score is compared with the whole row: a few passes over scores that are in the cache, no
    sort. A second pass looks for equal scores, of which the lower corpus row outranks.

    Args:
        scores: float32, shape (queries, columns of the chunk), -inf in the padding; queries with more pairs come first.
        chunk: the layout of the columns.
        pairs: index of the first pair of each query in what follows, int64, shape (queries,).
        sizes: pairs of each query, falling, int64, shape (queries,).
        own: score of each pair, bitwise what `scores` has for it if its passage is in the chunk; float32, shape (pairs,).
        passage: corpus row of each pair's passage, int64, shape (pairs,).

    Returns:
        int32, shape (pairs, languages of the chunk).

    """
    partial = np.zeros((len(own), len(chunk.runs)), dtype=np.uint64)
    inside = chunk.hold(passage)
    tied: list[tuple[IntArray, IntArray]] = []
    step = max(1, _AT_ONCE // scores.shape[1])
    mask = np.empty((step, scores.shape[1]), dtype=np.bool_)
    for first in range(0, len(scores), step):
        here = sizes[first : first + step]
        for n in range(int(here[0])):
            # Since sizes fall, the queries that have an n-th pair are the first ones.
            some = int(np.searchsorted(-here, -n))
            pair = pairs[first : first + some] + n
            block, threshold, out = scores[first : first + some], own[pair, None], mask[:some]
            partial[pair] = chunk.add_up(np.greater(block, threshold, out=out))
            np.equal(block, threshold, out=out)
            if np.count_nonzero(out) != np.count_nonzero(inside[pair]):
                row, column = np.nonzero(out)
                lower = chunk.row_at[column] < passage[pair[row]]
                tied.append((pair[row[lower]], column[lower]))
    counts = chunk.by_language(partial)
    for pair, column in tied:
        np.add.at(counts, (pair, np.searchsorted(chunk.langs, chunk.lang_at[column])), 1)
    return counts


@dataclass(frozen=True)
class Best:
    """The first passages of every query so far.

    Args:
        scores: falling, float32, shape (queries, depth).
        rows: corpus rows, of equal scores the lower first; -1 where there is none yet; int64, shape (queries, depth).

    """

    scores: Floats
    rows: IntArray

    @classmethod
    def none_yet(cls, queries: int, depth: int) -> Best:
        """Of `queries` queries, the first `depth` passages each."""
        return cls(np.full((queries, depth), -np.inf, dtype=np.float32), np.full((queries, depth), -1, dtype=np.int64))

    def update(self, scores: Floats, chunk: Chunk, queries: IntArray) -> None:
        """Take in a block of scores.

        Args:
            scores: float32, shape (queries of the block, columns of the chunk), -inf in the padding.
            chunk: the layout of the columns; its rows are higher than any before.
            queries: rows of `self` that the block is of, int64, shape (queries of the block,).

        """
        depth = self.scores.shape[1]
        least = np.maximum(self.scores[queries, -1], np.maximum(_LOWEST, _lower_bound(scores, depth)))
        row, column = np.divmod(np.flatnonzero(scores >= least[:, None]), scores.shape[1])
        value, passage = scores[row, column], chunk.row_at[column]
        if chunk.first > 0:
            before = np.nonzero(self.rows[queries] >= 0)
            row = np.concatenate([before[0], row])
            value = np.concatenate([self.scores[queries][before], value])
            passage = np.concatenate([self.rows[queries][before], passage])
        order = np.lexsort((passage, -value, row))
        row, value, passage = row[order], value[order], passage[order]
        place = np.arange(len(row)) - np.searchsorted(row, row)
        kept = place < depth
        at = (queries[row[kept]], place[kept])
        self.scores[at], self.rows[at] = value[kept], passage[kept]


def _lower_bound(scores: Floats, depth: int) -> Floats:
    """For each row a number that at least `depth` of its scores reach, -inf where it has fewer; shape (rows,)."""
    rows, columns = scores.shape
    if columns < depth:
        return np.full(rows, -np.inf, dtype=np.float32)
    # The best of disjoint sets of scores are themselves scores: fewer to choose from, and close enough.
    fold = next(n for n in (16, 8, 4, 2, 1) if columns // n >= depth)
    best = scores.reshape(rows, fold, -1).max(axis=1)
    return np.partition(best, best.shape[1] - depth, axis=1)[:, -depth]
