"""The stage of a search that reranks: which rows are scored, and their order under each language policy.

The first rows that retrieval found under the policy are scored, 50 or as many as are asked for, and put into a new order. Rows
behind them keep their order. A row without a text, which is a picture, cannot be scored: it keeps its place in the list. A query
that is a picture is not reranked.

| policy | order of the scored rows |
|---|---|
| `any`, `only`, `quota` | by score |
| `prefer` | by score, with the boost in spreads of the query's scores |
| `balanced`, `own=N` | by how far a score is above those of unrelated pairs of the same languages, in their spreads |
| `adaptive`, `own=N:adaptive` | by how far a score is above the median of the query's candidates in the same language |
| `equal` | the best of each language by score, then the second of each |

Languages that a policy leaves out stay out, because nothing is added. `quota`, and the places of `own`, are filled after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from babelmix.search.applying import RRF
from babelmix.search.engines import Engine
from babelmix.search.policies import Policy
from babelmix.search.reranking.base import Reranker, checked_depth, checked_scores
from babelmix.search.reranking.levels import Levels, LevelStore, levels_of_candidates, texts_of
from babelmix.search.rows import Hit


@dataclass(frozen=True, eq=False)
class Stage:
    """A reranker as a stage of the searches on one index.

    Args:
        reranker: the reranker.
        levels: the levels of its scores on the index.

    """

    reranker: Reranker
    levels: LevelStore

    @classmethod
    def on(cls, engine: Engine, reranker: Reranker) -> Stage:
        """The stage of searches in an engine."""
        checked_depth(reranker.depth)
        return cls(reranker, LevelStore(reranker, texts_of(engine)))


@dataclass(eq=False)
class Reranking:
    """The reranking of one search: it remembers scores, because a search may look deeper and deeper.

    Args:
        stage: the reranker, and its levels.
        policy: the language policy.
        queries: the text of each query; None for a picture.
        langs: the language of each query, None where it is unknown; None: all are unknown.
        k: the rows that are asked for.

    """

    stage: Stage
    policy: Policy
    queries: Sequence[str | None]
    langs: Sequence[str | None] | None
    k: int
    _scores: dict[tuple[int, str], float] = field(default_factory=dict, init=False)

    @property
    def depth(self) -> int:
        """The rows of each query that are scored."""
        return max(self.stage.reranker.depth, self.k)

    def reordered(self, lists: Sequence[Sequence[Hit]]) -> list[list[Hit]]:
        """The rows of each query in their new order.

        Args:
            lists: the rows of each query, best first.

        Returns:
            The same rows. Their scores fall: a row that was not scored has a score just below that of the row before it.

        Raises:
            SearchError: the levels cannot be computed, because the engine does not give its rows back.
            EngineError: the reranker fails.

        """
        scored = [
            [] if query is None else [hit for hit in hits[: self.depth] if hit.text is not None]
            for query, hits in zip(self.queries, lists, strict=True)
        ]
        self._score(scored)
        levels = self._levels(scored)
        found = []
        for number, (hits, some) in enumerate(zip(lists, scored, strict=True)):
            raw = [self._scores[number, hit.id] for hit in some]
            found.append(
                _placed(hits, ordered(self.policy, some, raw, levels.get(number, {}))) if some else list(hits)
            )
        return found

    def _score(self, scored: Sequence[Sequence[Hit]]) -> None:
        new = [[hit for hit in hits if (number, hit.id) not in self._scores] for number, hits in enumerate(scored)]
        asked = [number for number, hits in enumerate(new) if hits]
        if not asked:
            return
        lists = [[str(hit.text) for hit in new[number]] for number in asked]
        reranker = self.stage.reranker
        given = reranker.scores_of_lists([str(self.queries[number]) for number in asked], lists)
        for number, one in zip(asked, given, strict=True):
            scores = checked_scores(one, len(new[number]), reranker.name)
            self._scores |= {(number, hit.id): float(score) for hit, score in zip(new[number], scores, strict=True)}

    def _levels(self, scored: Sequence[Sequence[Hit]]) -> Mapping[int, Levels]:
        if not needs_levels(self.policy):
            return {}
        wanted = {number: sorted({hit.lang for hit in hits}) for number, hits in enumerate(scored)}
        # One language alone needs no level.
        asked = [number for number, langs in wanted.items() if len(langs) > 1]
        found = self.stage.levels.of(
            [str(self.queries[number]) for number in asked],
            [None if self.langs is None else self.langs[number] for number in asked],
            [wanted[number] for number in asked],
        )
        return dict(zip(asked, found, strict=True))


def order_of(policy: Policy) -> str:
    """The policy whose order the scored rows have: `own` has that of its other places."""
    return policy.base if policy.name == "own" else policy.name


def needs_levels(policy: Policy) -> bool:
    """Whether the order under a policy depends on the level of each language, which the language of the query helps to tell."""
    return order_of(policy) == "balanced"


def ordered(policy: Policy, hits: Sequence[Hit], raw: Sequence[float], levels: Levels) -> list[Hit]:
    """Scored rows in the order of a policy, with their new scores.

    Args:
        policy: the language policy.
        hits: the rows.
        raw: the score of each.
        levels: mean and spread of unrelated scores by language, for the policy `balanced`.

    """
    order, langs = order_of(policy), [hit.lang for hit in hits]
    if order == "equal":
        return _interleaved(hits, raw)
    if order == "balanced" and levels:
        usual = (float(np.mean([mean for mean, _ in levels.values()])), _mean_spread(levels))
        pairs = [levels.get(lang, usual) for lang in langs]
        new = [(score - mean) / spread for score, (mean, spread) in zip(raw, pairs, strict=True)]
    elif order == "adaptive":
        level = levels_of_candidates(raw, langs)
        new = [score - level[lang] for score, lang in zip(raw, langs, strict=True)]
    elif order == "prefer":
        boost = policy.boost * float(np.std(raw))
        new = [score + boost if lang in policy.langs else score for score, lang in zip(raw, langs, strict=True)]
    else:
        new = list(raw)
    return [
        hit.scored(score) for score, hit in sorted(zip(new, hits, strict=True), key=lambda one: (-one[0], one[1].id))
    ]


def _mean_spread(levels: Levels) -> float:
    return float(np.mean([spread for _, spread in levels.values()]))


def _interleaved(hits: Sequence[Hit], raw: Sequence[float]) -> list[Hit]:
    """The best row of each language by score, then the second of each; see `equal` in `babelmix.search.applying`."""
    ranked, counts = [], dict.fromkeys((hit.lang for hit in hits), 0)
    for score, hit in sorted(zip(raw, hits, strict=True), key=lambda one: (-one[0], one[1].id)):
        counts[hit.lang] += 1
        ranked.append((counts[hit.lang], -score, hit.id, hit))
    return [hit.scored(1 / (RRF + rank)) for rank, *_, hit in sorted(ranked, key=lambda one: one[:3])]


def _placed(hits: Sequence[Hit], new: Sequence[Hit]) -> list[Hit]:
    """Rows in which the scored ones have taken the places of scored ones; the others have theirs, with scores in order."""
    ids, rows = {hit.id for hit in new}, iter(new)
    found: list[Hit] = []
    # A row before the first scored one is just above it.
    above = math.nextafter(new[0].score, math.inf)
    for hit in hits:
        if hit.id in ids:
            found.append(next(rows))
        else:
            found.append(hit.scored(math.nextafter(found[-1].score, -math.inf) if found else above))
    return found


__all__ = ["Reranking", "Stage", "needs_levels", "order_of", "ordered"]
