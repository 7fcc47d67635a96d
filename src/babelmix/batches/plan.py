"""A batch plan: a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from babelmix.batches.keyed import derive_key, uniform
from babelmix.batches.pool import CaptionIndex, Ints, PairIndex, Pool, Wheel
from babelmix.batches.strategies import Strategy
from babelmix.errors import PlanError


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of training pairs.

    Args:
        kind: `mono`, `cross` or `mixed`; a corpus has `one_to_k` too, and pictures with captions
            also `paired` or `text_text`.
        step: of the plan.
        lang: the language of a `mono` batch, else None.
        query_rows: rows of the corpus's queries, int64, shape (batch,); of a `one_to_k` batch K in a row for each
            passage.
        passage_rows: rows of its passages, int64, shape (batch,); none in a `text_text` batch.
        source: the source that all rows are of, if the plan has several.
        negative_rows: rows of the passages that are hard negatives of the queries, int64, shape (batch,), or None.
        second_rows: rows of the queries that say the same in another language, int64, shape (batch,), or None.

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
        """The part of one rank: the same kind, consecutive rows."""

        def mine(rows: Ints) -> Ints:
            share = len(rows) // world_size
            return rows[rank * share : (rank + 1) * share]

        negatives = None if self.negative_rows is None else mine(self.negative_rows)
        second = None if self.second_rows is None else mine(self.second_rows)
        return replace(
            self, query_rows=mine(self.query_rows), passage_rows=mine(self.passage_rows), negative_rows=negatives,
            second_rows=second,
        )  # fmt: skip


class BatchPlan:
    """`plan[step] -> Batch`: deterministic in (seed, step), in any order, with no state.

    The classes of a pool (see `pool`) are permuted by a key; step s takes the window of the batch's size at s modulo the
    number of whole windows, and every turn through the pool has another permutation. On fully parallel data all pools
    have the same classes, so every strategy sees the same items at the same step, and each item once per turn.

    Args:
        index: what to draw from.
        strategy: how, see `babelmix.batches.strategies`.
        batch_size: rows of the global batch, over all ranks.
        seed: another seed gives another sequence.
        language_temperature: languages are drawn in proportion to size ** temperature; 0 is uniform (as in arXiv
            2408.10536), 1 is by size.
        world_size: number of ranks that share a batch; it does not change the global batch.
        steps: of the whole run, for strategies that change over it; others do without.

    Raises:
        PlanError: the batch cannot be shared or filled, by which language the message says; or the strategy needs the number of
            steps, and there is none.

    """

    def __init__(
        self,
        index: PairIndex,
        strategy: Strategy,
        batch_size: int,
        *,
        seed: int = 0,
        language_temperature: float = 0.0,
        world_size: int = 1,
        steps: int | None = None,
    ) -> None:
        if batch_size < 1 or world_size < 1 or batch_size % world_size:
            raise PlanError(f"a batch of {batch_size} cannot be shared by {world_size} ranks: use a multiple")
        if not np.isfinite(language_temperature) or language_temperature < 0:
            raise PlanError(f"the language temperature must be 0 (uniform) or more, not {language_temperature}")
        if steps is not None and steps < 1:
            raise PlanError(f"a run has at least one step, not {steps}")
        self.index, self.strategy, self.batch_size, self.steps = index, strategy, batch_size, steps
        self.seed, self.language_temperature, self.world_size = seed, language_temperature, world_size
        self._pools: dict[tuple[str, int | None, int | None], Pool] = {}
        strategy.check(self)
        able = {name for pool in self._pools.values() for name in pool.sources(batch_size)}
        if idle := [name for name in index.sources if name not in able]:
            raise PlanError(
                f"the source {idle[0]!r} can fill no {strategy} batch of {batch_size}; use a smaller batch size, another "
                "strategy, or leave the source out"
            )

    def __getitem__(self, step: int) -> Batch:
        if step < 0:
            raise IndexError("a step is 0 or more")
        return self.strategy.draw(self, step)

    def batches(self, first: int = 0, rank: int = 0) -> Iterator[Batch]:
        """The endless sequence of one rank's batches from step `first` on."""
        step = first
        while True:
            yield self[step].slice(rank, self.world_size)
            step += 1

    def pool(self, kind: str, lang: int | None = None, *, k: int | None = None) -> Pool:
        """The pool of one kind: `same` (of one language, or of each row's own) or `different`.

        For a corpus also `renderings` (in `k` languages), for pictures with captions `paired` or `translations`; see
        `CaptionIndex`.

        Raises:
            PlanError: the kind is for pictures, and the index has none.

        """
        if (kind, lang, k) not in self._pools:
            self._pools[kind, lang, k] = self._make_pool(kind, lang, k)
        return self._pools[kind, lang, k]

    def _make_pool(self, kind: str, lang: int | None, k: int | None) -> Pool:
        if kind == "same":
            return self.index.same(lang, self.language_weights)
        if kind == "different":
            return self.index.different(self.language_weights)
        if kind == "renderings":
            return self.renderings.renderings(self.language_weights, k)
        index = self.captions
        if kind == "translations":
            sizes = np.maximum(index.caption_sizes(), 1).astype(np.float64)
            return index.translations(sizes**self.language_temperature)
        return index.paired(self.language_weights)

    @property
    def renderings(self) -> CaptionIndex:
        """The index, if it knows which queries are of one item.

        Raises:
            PlanError: it does not.

        """
        if not isinstance(self.index, CaptionIndex):
            raise PlanError(
                f"batches of the strategy {self.strategy} are of one corpus; use mono, cross or hybrid for several sources, "
                "ready pairs or a RegularIndex"
            )
        return self.index

    @property
    def captions(self) -> CaptionIndex:
        """The index, if it is one of pictures with captions.

        Raises:
            PlanError: it is not.

        """
        if not isinstance(self.index, CaptionIndex) or not self.index.pictures:
            raise PlanError(
                f"batches of the strategy {self.strategy} are of one corpus of pictures with captions; use mono, cross or "
                "hybrid for others"
            )
        return self.index

    def chance(self, step: int, what: str) -> float:
        """A uniform number of this step, by purpose."""
        return uniform(derive_key(self.seed, what, step))

    def language(self, step: int) -> int:
        """The number of the language of this step, drawn by weight among those with same-language pairs."""
        return self._languages.one(self.chance(step, "language"))

    def fill(self, kind: str, step: int, pool: Pool, lang: int | None = None, *, size: int | None = None) -> Batch:
        """Draw the batch of a step from a pool, of `size` distinct classes: by default as many as a batch has rows."""
        drawn = pool.draw(self.seed, step, size or self.batch_size)
        tag = None if lang is None else self.index.langs[lang]
        return Batch(
            kind, step, tag, drawn.query_rows, drawn.passage_rows, drawn.source, drawn.negative_rows, drawn.second_rows
        )

    @cached_property
    def mono_sizes(self) -> Ints:
        """Classes with a same-language pair, by language, int64, shape (languages,)."""
        return self.index.mono_sizes()

    @cached_property
    def language_weights(self) -> npt.NDArray[np.float64]:
        """Relative weight of each language, shape (languages,)."""
        if self.language_temperature == 0:
            return np.ones(len(self.index.langs))
        # A language without same-language pairs can still stand in a cross-lingual row.
        return np.maximum(self.mono_sizes, 1).astype(np.float64) ** self.language_temperature

    @cached_property
    def _languages(self) -> Wheel:
        return Wheel(self.language_weights * (self.mono_sizes > 0))

    def require_steps(self, what: str) -> None:
        """Raise unless the number of the run's steps is known.

        Args:
            what: needs it, for the message.

        Raises:
            PlanError: it is not.

        """
        if self.steps is None:
            raise PlanError(f"{what} changes over the run: say how many steps it has (`steps`)")

    def require(self, pool: Pool, what: str, langs: Sequence[str] = (), *, size: int | None = None) -> None:
        """Raise unless a pool can fill a batch.

        Args:
            pool: of the batches.
            what: they are, for the message.
            langs: that they are in, likewise.
            size: distinct classes that they need, by default as many as a batch has rows.

        Raises:
            PlanError: it holds fewer.

        """
        size = size or self.batch_size
        if len(pool) < size:
            where = f" in {', '.join(langs)}" if langs else ""
            have = "" if pool.largest_source is None else f"the largest source {pool.largest_source!r} has "
            raise PlanError(
                f"{what}{where}: {have}{len(pool)} distinct items are fewer than a batch of {size}; use a smaller "
                "batch size, more data, or leave the language out"
            )


def largest_batch(index: PairIndex, strategy: Strategy, limit: int = 1 << 16) -> int:
    """The largest batch size, up to `limit`, that every batch of a strategy can be filled to.

    Raises:
        PlanError: not even two rows fit.

    """
    low, high = 2, limit
    # Whether batches can be filled does not depend on the length of the run.
    BatchPlan(index, strategy, low, steps=1)
    while low < high:
        middle = (low + high + 1) // 2
        try:
            BatchPlan(index, strategy, middle, steps=1)
            low = middle
        except PlanError:
            high = middle - 1
    return low
