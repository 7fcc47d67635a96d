"""One batch of training pairs."""

from __future__ import annotations

from dataclasses import dataclass, replace

from babelmix.batches.pool import Ints


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of training pairs, as row numbers.

    Args:
        kind: `mono` (one language), `cross` (two languages per row), `mixed` (one language per row), `one_to_k` (several queries
            per passage), `paired` (two captions per picture) or `text_text` (two captions without their picture).
        step: the step of the plan, from 0.
        lang: the language of a `mono` batch, else None.
        query_rows: rows of the corpus's queries, int64, shape (batch,). A `one_to_k` batch has K rows in succession for each
            passage.
        passage_rows: rows of the corpus's passages, int64, shape (batch,); empty in a `text_text` batch.
        source: the name of the source that all rows come from, if the plan has several sources.
        negative_rows: rows of passages that are hard negatives of the queries, int64, shape (batch,), or None.
        second_rows: rows of the second captions, each in another language than its first, int64, shape (batch,), or None.

    """

    kind: str
    step: int
    lang: str | None
    query_rows: Ints
    passage_rows: Ints
    source: str | None = None
    negative_rows: Ints | None = None
    second_rows: Ints | None = None

    def __len__(self) -> int:
        return len(self.query_rows)

    def slice(self, rank: int, world_size: int) -> Batch:
        """The part of one rank: consecutive rows of every field.

        Examples:
            >>> import numpy as np
            >>> batch = Batch("mono", 0, "en", np.arange(4), np.arange(4))
            >>> batch.slice(rank=1, world_size=2).query_rows.tolist()
            [2, 3]

        """

        def mine(rows: Ints) -> Ints:
            share = len(rows) // world_size
            return rows[rank * share : (rank + 1) * share]

        negatives = None if self.negative_rows is None else mine(self.negative_rows)
        second = None if self.second_rows is None else mine(self.second_rows)
        return replace(
            self, query_rows=mine(self.query_rows), passage_rows=mine(self.passage_rows), negative_rows=negatives,
            second_rows=second,
        )  # fmt: skip


__all__ = ["Batch"]
