"""Several sources in one plan: each batch is from one source, drawn by weight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from babelmix.batches.batch import Batch
from babelmix.batches.keyed import Permutation, derive_key
from babelmix.batches.pool import Drawn, Floats, Ints, PairIndex, Pool
from babelmix.errors import PlanError

BLOCK = 1000
"""The number of steps of a block. The order of the sources is drawn for each block, with an exact share for each source."""


class Mixture:
    """An index over several sources. Each batch is from one source.

    The strategy decides the kind and the language of a batch first, so alpha and the language weights do not depend on the
    sources. Then the source is drawn by weight from those that can fill such a batch: a source in one language is only in
    monolingual batches. Each block of 1,000 steps has its own random order of the sources. The shares of a block are exact if the
    same sources can fill all of its batches; otherwise they hold on average. The number of a source's earlier steps can be
    computed. A source draws its clusters by this number, so no cluster is drawn twice in one pass over a pool.

    Row numbers are those of the sources' tables, concatenated in the order given. `local` gives a source's own row numbers.

    Args:
        sources: the indexes by name, at least one.
        weights: a positive weight for every source, by name. None: see `temperature`.
        temperature: without `weights`, the weight of a source is its number of clusters ** temperature: 1 is by size, 0 gives all
            sources the same weight.

    Raises:
        PlanError: there is no source, a weight is missing, has no source or is not positive, or the temperature is not 0
            or more.

    Examples:
        >>> from babelmix.batches import BatchPlan, RegularIndex
        >>> sources = {"news": RegularIndex(100, ["de", "en"]), "help": RegularIndex(50, ["de", "en"])}
        >>> plan = BatchPlan(Mixture(sources, {"news": 3, "help": 1}), "hybrid", 8)
        >>> sum(plan[step].source == "news" for step in range(1000))
        750

    """

    def __init__(
        self, sources: Mapping[str, PairIndex], weights: Mapping[str, float] | None = None, *, temperature: float = 1.0
    ) -> None:
        if not sources:
            raise PlanError("a mixture needs at least one source")
        if weights is not None and set(weights) != set(sources):
            raise PlanError(
                f"the source weights are for {', '.join(sorted(weights)) or 'nothing'}, but the sources are "
                f"{', '.join(sorted(sources))}: give every source one weight"
            )
        if not np.isfinite(temperature) or temperature < 0:
            raise PlanError(f"the source temperature must be 0 (all alike) or more, not {temperature}")
        self.parts = dict(sources)
        if weights is None:
            weights = {name: float(index.clusters) ** temperature for name, index in self.parts.items()}
        for name, weight in weights.items():
            if not np.isfinite(weight) or weight <= 0:
                raise PlanError(
                    f"the weight of the source {name!r} must be a positive number, not {weight}; leave out a source "
                    "that is not wanted"
                )
        self.weights = np.array([float(weights[name]) for name in self.parts])
        self.langs = tuple(sorted({lang for index in self.parts.values() for lang in index.langs}))
        sizes = np.array([index.rows for index in self.parts.values()], dtype=np.int64)
        self._starts: Ints = np.cumsum(sizes, axis=0) - sizes

    @property
    def clusters(self) -> int:
        """See `PairIndex.clusters`: the sum over the sources."""
        return sum(index.clusters for index in self.parts.values())

    @property
    def rows(self) -> tuple[int, int]:
        """See `PairIndex.rows`: the sums over the sources."""
        queries, passages = zip(*(index.rows for index in self.parts.values()), strict=True)
        return sum(queries), sum(passages)

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources."""
        return tuple(self.parts)

    def local(self, batch: Batch) -> Batch:
        """The batch with the row numbers of its source's own tables.

        Raises:
            PlanError: the batch is not from a source of this mixture.

        """
        if batch.source not in self.parts:
            raise PlanError(f"the batch is of {batch.source!r}, but the sources are {', '.join(self.parts)}")
        query, passage = self._starts[self.sources.index(batch.source)]
        negatives = None if batch.negative_rows is None else batch.negative_rows - passage
        return replace(
            batch,
            query_rows=batch.query_rows - query,
            passage_rows=batch.passage_rows - passage,
            negative_rows=negatives,
        )

    def mono_sizes(self) -> Ints:
        """See `PairIndex.mono_sizes`: the sums over the sources."""
        sizes = np.zeros(len(self.langs), dtype=np.int64)
        for index in self.parts.values():
            sizes[self._numbers(index)] += index.mono_sizes()
        return sizes

    def same(self, lang: int | None, weights: Floats) -> Pool:
        """See `PairIndex.same`."""
        pools = {}
        for place, index in enumerate(self.parts.values()):
            if lang is None or self.langs[lang] in index.langs:
                own = None if lang is None else index.langs.index(self.langs[lang])
                pools[place] = index.same(own, weights[self._numbers(index)])
        return _MixedPool(self, pools)

    def different(self, weights: Floats, passage_weights: Floats | None = None) -> Pool:
        """See `PairIndex.different`."""
        pools = {}
        for place, index in enumerate(self.parts.values()):
            numbers = self._numbers(index)
            own = () if passage_weights is None else (passage_weights[numbers],)
            pools[place] = index.different(weights[numbers], *own)
        return _MixedPool(self, pools)

    def start(self, place: int) -> tuple[int, int]:
        """The first query row and the first passage row of the source at a position."""
        query, passage = self._starts[place]
        return int(query), int(passage)

    def _numbers(self, index: PairIndex) -> Ints:
        """The mixture's numbers of a source's languages, int64, shape (the source's languages,)."""
        return np.array([self.langs.index(lang) for lang in index.langs], dtype=np.int64)


class _MixedPool(Pool):
    """The pools of one kind of batch, by the position of the source."""

    def __init__(self, mixture: Mixture, pools: Mapping[int, Pool]) -> None:
        self._mixture, self._pools = mixture, pools

    def __len__(self) -> int:
        return max((len(pool) for pool in self._pools.values()), default=0)

    def sources(self, size: int) -> frozenset[str]:
        """See `Pool.sources`."""
        return frozenset(self._mixture.sources[place] for place in self._able(size))

    @property
    def largest_source(self) -> str | None:
        """See `Pool.largest_source`."""
        place = max(self._pools, key=lambda place: len(self._pools[place]), default=None)
        return None if place is None else self._mixture.sources[place]

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """See `Pool.draw`: the source of the step draws its batch, by the number of its own earlier steps."""
        able = self._able(size)
        number, own_step = turn_of(self._mixture.weights[able], seed, step)
        name, pool = self._mixture.sources[able[number]], self._pools[able[number]]
        query, passage = self._mixture.start(able[number])
        drawn = pool.draw(derive_key(seed, "source", name), own_step, size)
        negatives = None if drawn.negative_rows is None else drawn.negative_rows + passage
        return Drawn(drawn.query_rows + query, drawn.passage_rows + passage, name, negatives)

    def _able(self, size: int) -> list[int]:
        return [place for place, pool in self._pools.items() if len(pool) >= size]


def quotas(weights: Floats) -> Ints:
    """The number of steps of each source in a block: in proportion to the weights (largest remainder), at least one.

    Args:
        weights: positive, shape (sources,).

    Returns:
        int64, shape (sources,). The sum is `BLOCK`, or the number of sources if that is larger.

    """
    length = max(BLOCK, len(weights))
    exact = weights / weights.sum() * length
    quota: Ints = np.maximum(np.floor(exact).astype(np.int64), 1)
    while quota.sum() != length:
        # Rounding down gives out too few steps, so some are added. Raising tiny weights to one step may give out too many.
        missing = exact - quota
        if quota.sum() < length:
            quota[np.argmax(missing)] += 1
        else:
            quota[np.argmin(np.where(quota > 1, missing, np.inf))] -= 1
    return quota


def turn_of(weights: Floats, seed: int, step: int) -> tuple[int, int]:
    """The source of a step, and the number of earlier steps that this source had.

    Args:
        weights: positive weights of the sources that can fill the batch, shape (sources,).
        seed: the seed of the plan.
        step: the step of the plan.

    Returns:
        The number of the source, and the source's own step.

    """
    if len(weights) == 1:
        return 0, step
    quota, length = _quotas(weights.tobytes())
    block, place = divmod(step, length)
    order = _order(quota, derive_key(seed, "sources", block))
    source = int(order[place])
    return source, block * quota[source] + int(np.count_nonzero(order[:place] == source))


@lru_cache(maxsize=256)
def _quotas(weights: bytes) -> tuple[tuple[int, ...], int]:
    quota = quotas(np.frombuffer(weights))
    return tuple(quota.tolist()), int(quota.sum())


@lru_cache(maxsize=64)
def _order(quota: tuple[int, ...], key: int) -> Ints:
    """The source of each step of a block; cached for the following steps."""
    places = np.repeat(np.arange(len(quota)), quota)
    return places[Permutation(len(places), key)(np.arange(len(places)))]


__all__ = ["BLOCK", "Mixture", "quotas", "turn_of"]
