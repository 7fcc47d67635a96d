"""Count in a block of scores how many passages outrank each relevant passage, and keep the first passages of each query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from babelmix.evaluation.chunks import Chunk

Floats = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_AT_ONCE = 1 << 18
"""Scores in one comparison. Few enough to fit the cache of a core; many enough that the cost of a call does not matter."""

_LOWEST = np.finfo(np.float32).min
"""The smallest score. Only padding, -inf, is below it."""


def count_outranking(
    scores: Floats, chunk: Chunk, pairs: IntArray, sizes: IntArray, own: Floats, passage: IntArray
) -> npt.NDArray[np.int32]:
    """Count, by language, the passages of a chunk that outrank each relevant passage of a block of queries.

    The score of each relevant passage is compared with the whole row of its query. Nothing is sorted. A second pass finds
    equal scores; among those, the passage with the lower corpus row outranks.

    Args:
        scores: float32, shape (queries, columns of the chunk), -inf in the padding; queries with more pairs come first.
        chunk: the layout of the columns.
        pairs: index of the first pair of each query in `own` and `passage`, int64, shape (queries,).
        sizes: number of pairs of each query, descending, int64, shape (queries,).
        own: score of each pair, float32, shape (pairs,). For a passage in the chunk it must be bitwise equal to its value in
            `scores`.
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
            # Sizes descend, so the queries with an n-th pair come first.
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
    """The first passages of every query, among the chunks seen so far.

    Args:
        scores: descending, float32, shape (queries, depth).
        rows: corpus rows, int64, shape (queries, depth); of equal scores the lower row first; -1 for none.

    """

    scores: Floats
    rows: IntArray

    @classmethod
    def none_yet(cls, queries: int, depth: int) -> Best:
        """Room for the first `depth` passages of each query."""
        return cls(np.full((queries, depth), -np.inf, dtype=np.float32), np.full((queries, depth), -1, dtype=np.int64))

    def update(self, scores: Floats, chunk: Chunk, queries: IntArray) -> None:
        """Add a block of scores.

        Args:
            scores: float32, shape (queries of the block, columns of the chunk), -inf in the padding.
            chunk: the layout of the columns; its corpus rows are higher than those of all chunks before.
            queries: the queries of the block, as rows of `self`, int64, shape (queries of the block,).

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
    """For each row, a number that at least `depth` of its scores reach; -inf if it has fewer scores; shape (rows,)."""
    rows, columns = scores.shape
    if columns < depth:
        return np.full(rows, -np.inf, dtype=np.float32)
    # Each maximum over a set of scores is a score. So the depth-th largest maximum is a lower bound, and is found faster.
    fold = next(n for n in (16, 8, 4, 2, 1) if columns // n >= depth)
    best = scores.reshape(rows, fold, -1).max(axis=1)
    return np.partition(best, best.shape[1] - depth, axis=1)[:, -depth]
