"""A batch plan: a pure function of (seed, step)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from babelmix.batches.batch import Batch
from babelmix.batches.pool import CaptionIndex, Floats, PairIndex, Pool
from babelmix.batches.requests import DrawRequest, PlanFacts
from babelmix.batches.strategies import Strategy
from babelmix.batches.strategies import strategy as parse_strategy
from babelmix.errors import PlanError

if TYPE_CHECKING:
    from babelmix.corpus import Corpus


class BatchPlan:
    """`plan[step] -> Batch`: deterministic in (seed, step), in any order, without state.

    The plan permutes the clusters of a pool (see `pool`) by a key. Step s takes window s of the permutation, modulo the number of
    whole windows. Each pass over the pool has another permutation. No cluster is drawn twice in a pass. On fully parallel data
    all pools have the same clusters. So strategies that draw equally many items per batch see the same items at the same step.

    Args:
        data: the training corpus, or an index to draw from.
        strategy: a strategy or its name, as in `hybrid(0.25)`; see `babelmix.batches.strategy`.
        batch_size: rows of the global batch, over all ranks.
        seed: another seed gives another sequence.
        language_temperature: languages are drawn in proportion to size ** temperature. 0 is uniform (as in arXiv
            2408.10536), 1 is by size.
        world_size: the number of ranks that share a batch. It does not change the global batch.
        steps: the number of steps of the whole run. Only strategies that change over the run need it.

    Raises:
        ConfigError: there is no such strategy.
        PlanError: the batch cannot be shared by the ranks or cannot be filled; the message names the language. Or the strategy
            needs the number of steps.

    Examples:
        >>> from babelmix.corpus import Corpus
        >>> rows = [{"item": str(i), "lang": lang, "text": f"{lang} {i}"} for i in range(4) for lang in ("de", "en")]
        >>> queries = [row | {"text": row["text"] + "?"} for row in rows]
        >>> corpus = Corpus.from_rows(queries, rows, [(str(i), str(i)) for i in range(4)])
        >>> plan = BatchPlan(corpus, "hybrid(0.25)", 4, seed=0)
        >>> [plan[step].kind for step in range(4)]
        ['mono', 'mono', 'cross', 'mono']

    """

    def __init__(
        self,
        data: PairIndex | Corpus,
        strategy: Strategy | str,
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
        self.index, self.strategy = index_of(data), parse_strategy(strategy)
        self.batch_size, self.world_size, self.steps = batch_size, world_size, steps
        self.seed, self.language_temperature = seed, language_temperature
        self.facts = PlanFacts(self.index, batch_size, seed, language_temperature, world_size, steps)
        self._pools: dict[DrawRequest, Pool] = {}
        for request in self.strategy.requests(self.facts):
            self.pool(request)
        able = {name for pool in self._pools.values() for name in pool.sources(batch_size)}
        if idle := [name for name in self.index.sources if name not in able]:
            raise PlanError(
                f"the source {idle[0]!r} can fill no {self.strategy} batch of {batch_size}; use a smaller batch size, another "
                "strategy, or leave the source out"
            )

    def __getitem__(self, step: int) -> Batch:
        if step < 0:
            raise IndexError("a step is 0 or more")
        request = self.strategy.request(self.facts, step)
        drawn = self.pool(request).draw(self.seed, step, request.size or self.batch_size)
        return Batch(
            request.kind, step, request.lang, drawn.query_rows, drawn.passage_rows, drawn.source, drawn.negative_rows,
            drawn.second_rows,
        )  # fmt: skip

    def batches(self, first: int = 0, rank: int = 0) -> Iterator[Batch]:
        """The endless sequence of one rank's batches, from the step `first` on."""
        step = first
        while True:
            yield self[step].slice(rank, self.world_size)
            step += 1

    def pool(self, request: DrawRequest) -> Pool:
        """The pool of a request; it can fill the request's batches.

        Raises:
            PlanError: the index has no such pool, or the pool holds too few clusters.

        """
        if request not in self._pools:
            pool = self._make_pool(request)
            self._check_size(pool, request)
            self._pools[request] = pool
        return self._pools[request]

    def _check_size(self, pool: Pool, request: DrawRequest) -> None:
        size = self.batch_size if request.size is None else request.size
        if size < 1 or size % self.world_size:
            raise PlanError(
                f"{request.what}: {size} items cannot be shared by {self.world_size} ranks: use a multiple"
            )
        if len(pool) < size:
            where = "" if request.lang is None else f" in {request.lang}"
            have = "" if pool.largest_source is None else f"the largest source {pool.largest_source!r} has "
            raise PlanError(
                f"{request.what}{where}: {have}{len(pool)} distinct items are fewer than a batch of {size}; use a smaller "
                "batch size, more data, or leave the language out"
            )

    def _make_pool(self, request: DrawRequest) -> Pool:
        weights = self.facts.language_weights
        if request.pool == "same":
            return self.index.same(None if request.lang is None else self._number(request.lang), weights)
        if request.pool == "different":
            if request.query_langs is None and request.passage_langs is None:
                return self.index.different(weights)
            return self.index.different(
                self._only(weights, request.query_langs), self._only(weights, request.passage_langs)
            )
        if request.pool == "renderings":
            return self._renderings.renderings(weights, request.k)
        if request.pool == "paired":
            return self._captions.paired(weights)
        sizes = np.maximum(self._captions.caption_sizes(), 1).astype(np.float64)
        return self._captions.translations(sizes**self.language_temperature)

    def _number(self, lang: str) -> int:
        if lang not in self.index.langs:
            raise PlanError(
                f"the strategy {self.strategy} needs the language {lang!r}; the languages are {', '.join(self.index.langs)}"
            )
        return self.index.langs.index(lang)

    def _only(self, weights: Floats, langs: tuple[str, ...] | None) -> Floats:
        """The weights, with 0 for all languages but those given."""
        if langs is None:
            return weights
        only = np.zeros_like(weights)
        numbers = [self._number(lang) for lang in langs]
        only[numbers] = weights[numbers]
        return only

    @cached_property
    def _renderings(self) -> CaptionIndex:
        """The index, if it knows which queries belong to one item."""
        if not isinstance(self.index, CaptionIndex):
            raise PlanError(
                f"batches of the strategy {self.strategy} are of one corpus; use mono, cross or hybrid for several sources, "
                "ready pairs or a RegularIndex"
            )
        return self.index

    @cached_property
    def _captions(self) -> CaptionIndex:
        """The index, if it is one of pictures with captions."""
        if not isinstance(self.index, CaptionIndex) or not self.index.pictures:
            raise PlanError(
                f"batches of the strategy {self.strategy} are of one corpus of pictures with captions; use mono, cross or "
                "hybrid for others"
            )
        return self.index


def index_of(data: PairIndex | Corpus) -> PairIndex:
    """The index of a corpus, or the index itself."""
    if isinstance(data, PairIndex):
        return data
    # Imported here: a plan over a `RegularIndex` needs none of the libraries that a corpus needs.
    from babelmix.batches.index import CorpusIndex
    from babelmix.corpus import Corpus

    if not isinstance(data, Corpus):
        raise PlanError(f"a plan draws from a Corpus or an index such as RegularIndex, not from {type(data).__name__}")
    return CorpusIndex(data)


def largest_batch(data: PairIndex | Corpus, strategy: Strategy | str, limit: int = 1 << 16) -> int:
    """The largest batch size, up to `limit`, at which a strategy can fill every batch.

    Args:
        data: the training corpus, or an index.
        strategy: a strategy or its name.
        limit: the largest size to try.

    Raises:
        PlanError: not even a batch of two rows can be filled.

    Examples:
        >>> from babelmix.batches import RegularIndex
        >>> largest_batch(RegularIndex(pairs=10, langs=["de", "en"]), "hybrid")
        10

    """
    index, chosen = index_of(data), parse_strategy(strategy)
    low, high = 2, limit
    # Whether batches can be filled does not depend on the number of steps.
    BatchPlan(index, chosen, low, steps=1)
    while low < high:
        middle = (low + high + 1) // 2
        try:
            BatchPlan(index, chosen, middle, steps=1)
            low = middle
        except PlanError:
            high = middle - 1
    return low


__all__ = ["BatchPlan", "index_of", "largest_batch"]
