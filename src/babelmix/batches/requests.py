"""The records that a plan and its strategy exchange: the plan gives `PlanFacts`, the strategy returns a `DrawRequest`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from babelmix.batches.keyed import derive_key, uniform
from babelmix.batches.pool import CaptionIndex, Categorical, Ints, PairIndex
from babelmix.errors import PlanError

PoolKind = Literal["same", "different", "renderings", "paired", "translations"]


@dataclass(frozen=True)
class DrawRequest:
    """The request of a strategy for one step: rows of one pool of the index.

    Args:
        kind: the kind of the batch, see `Batch.kind`. A strategy of your own may have a kind of its own.
        pool: the pool to draw from.

            - `same`: query and passage of a row are in one language.
            - `different`: query and passage of a row are in two languages.
            - `renderings`: each passage has queries in K languages.
            - `paired`: a picture has two captions in different languages.
            - `translations`: two captions of one picture in different languages, without the picture.
        what: a name for the batches in error messages, such as `monolingual batches`.
        lang: for the pool `same`, the language of all rows. None: each row draws its own.
        query_langs: for the pool `different`, the languages that queries may be in. None: all.
        passage_langs: for the pool `different`, the languages that passages may be in. None: all.
        k: for the pool `renderings`, the number of languages. None: all of the index.
        size: the number of distinct clusters to draw, a multiple of the ranks. None: the batch size.

    Raises:
        PlanError: there is no such pool, or the pool does not take one of the arguments.

    Examples:
        >>> DrawRequest("mono", "same", "monolingual batches", lang="de").lang
        'de'

    """

    kind: str
    pool: PoolKind
    what: str
    lang: str | None = None
    query_langs: tuple[str, ...] | None = None
    passage_langs: tuple[str, ...] | None = None
    k: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if self.pool not in get_args(PoolKind):
            raise PlanError(f"there is no pool {self.pool!r}; name one of {', '.join(get_args(PoolKind))}")
        pools = {"lang": "same", "query_langs": "different", "passage_langs": "different", "k": "renderings"}
        for field, pool in pools.items():
            if getattr(self, field) is not None and self.pool != pool:
                raise PlanError(f"{field} is for the pool {pool!r}, not for {self.pool!r}; leave it out")
        for field in ("query_langs", "passage_langs"):
            langs = getattr(self, field)
            if langs is not None and (isinstance(langs, str) or not langs):
                raise PlanError(f"{field} is a tuple of language tags, as in ('de',); not {langs!r}")


@dataclass(frozen=True, eq=False)
class PlanFacts:
    """The facts about a plan that its strategy may use.

    Args:
        index: the index that the plan draws from.
        batch_size: rows of the global batch, over all ranks.
        seed: the seed of the plan.
        language_temperature: the weight of a language is its size ** language_temperature.
        world_size: the number of ranks that share a batch.
        steps: the number of steps of the whole run, or None if it is not known.

    """

    index: PairIndex
    batch_size: int
    seed: int = 0
    language_temperature: float = 0.0
    world_size: int = 1
    steps: int | None = None

    @property
    def langs(self) -> tuple[str, ...]:
        """The languages of the index."""
        return self.index.langs

    @cached_property
    def mono_sizes(self) -> Ints:
        """The number of clusters with a same-language pair, by language, int64, shape (languages,)."""
        return self.index.mono_sizes()

    @cached_property
    def mono_langs(self) -> tuple[str, ...]:
        """The languages that have same-language pairs."""
        return tuple(lang for lang, size in zip(self.langs, self.mono_sizes.tolist(), strict=True) if size > 0)

    @cached_property
    def language_weights(self) -> npt.NDArray[np.float64]:
        """The relative weight of each language, float64, shape (languages,)."""
        if self.language_temperature == 0:
            return np.ones(len(self.langs))
        # A language without same-language pairs can still be one side of a cross-lingual row.
        return np.maximum(self.mono_sizes, 1).astype(np.float64) ** self.language_temperature

    @cached_property
    def max_renderings(self) -> int | None:
        """The most languages that the queries of one item can be in; None if the index is not a `CaptionIndex`."""
        return self.index.max_renderings if isinstance(self.index, CaptionIndex) else None

    def chance(self, step: int, purpose: str) -> float:
        """A uniform number in [0, 1), the same whenever the seed, the step and the purpose are the same."""
        return uniform(derive_key(self.seed, purpose, step))

    def draw_language(self, step: int, langs: Sequence[str]) -> str:
        """The language of a step, drawn by weight from the languages given."""
        chosen = tuple(langs)
        if chosen not in self._draws:
            self._draws[chosen] = Categorical(self.language_weights[[self.langs.index(lang) for lang in chosen]])
        return chosen[self._draws[chosen].one(self.chance(step, "language"))]

    def clusters_per_batch(self, texts: int) -> int:
        """The number of clusters of a batch if each cluster has `texts` texts: at least two, and a multiple of the ranks."""
        # A batch of one cluster has no negatives.
        least = 2 if self.world_size == 1 else 1
        return max(self.batch_size // (texts * self.world_size), least) * self.world_size

    @cached_property
    def _draws(self) -> dict[tuple[str, ...], Categorical]:
        return {}


__all__ = ["DrawRequest", "PlanFacts", "PoolKind"]
