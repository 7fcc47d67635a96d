"""Apply a language policy: retrieve the best rows of each language, and merge them.

A policy that treats languages differently retrieves the best rows of each of them and merges the lists, so its result is exact.
`balanced` needs one search only, where the index has corrected vectors: see `babelmix.search.correcting`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from babelmix.corpus import canonical_language
from babelmix.search.calibration import Calibration
from babelmix.search.policies import Policy
from babelmix.search.rows import Hit, Vectors, Where

Retriever = Callable[[Sequence[int], Sequence[Where], int], list[list[Hit]]]
"""A function that searches: from query numbers, a filter for each query, and k, to the best k rows of each query, best first."""

OneSearch = Callable[[Where, int, Sequence[str]], list[list[Hit] | None]]
"""A function that finds the best rows of every query under `balanced`: from a filter, k, and the languages that the filter
allows. None in place of the rows of a query: each language has to be searched alone."""

LEVEL_OF = 10
"""The level of a language is the mean of a query's first 10 scores in it."""

RRF = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

SPREAD_OF = 50
"""For BM25, the spread of a query's scores is computed from the first 50 rows found."""


class Scale:
    """The spread of the dense scores of some queries.

    Args:
        calibration: a function that returns the calibration. It is called only if a policy needs it.
        vectors: the vectors of the queries as the index compares them, float32, shape (queries, dimension).
        one_search: finds the best rows of every query under `balanced` in one search; None: each language is searched alone.

    """

    def __init__(
        self, calibration: Callable[[], Calibration], vectors: Vectors, one_search: OneSearch | None = None
    ) -> None:
        self._get, self._vectors = calibration, vectors
        self.one_search = one_search
        self._scales: dict[str, tuple[Vectors, Vectors]] = {}

    @cached_property
    def _calibration(self) -> Calibration:
        return self._get()

    @cached_property
    def _spreads(self) -> Vectors:
        return self._calibration.spreads(self._vectors)

    def of(self, query: int, lang: str) -> tuple[float, float]:
        """Mean and spread of a query's scores in a language: (score - mean) / spread is comparable between languages."""
        if lang not in self._scales:
            self._scales[lang] = self._calibration.scale(lang, self._vectors)
        offset, spread = self._scales[lang]
        return float(offset[query]), float(spread[query])

    def spread(self, query: int, hits: Sequence[Hit]) -> float:
        """Standard deviation of a query's scores over the index."""
        del hits
        return float(self._spreads[query])


class WordScale:
    """The spread of BM25 scores. They are not calibrated: texts in another language share no words with the query."""

    def spread(self, query: int, hits: Sequence[Hit]) -> float:
        """Standard deviation of the scores of the first `SPREAD_OF` rows found."""
        del query
        return float(np.std([hit.score for hit in hits])) if hits else 0.0


@dataclass(frozen=True)
class _Task:
    """The arguments of a search under a policy.

    Args:
        retrieve: the function that searches.
        queries: the number of queries.
        where: the filter.
        k: the most rows per query.
        langs: the languages of the index that the filter allows.
        scale: the spread of the scores.

    """

    retrieve: Retriever
    queries: int
    where: Where
    k: int
    langs: list[str]
    scale: Scale | WordScale

    def best(self, k: int | None = None) -> list[list[Hit]]:
        """The best rows of each query."""
        return self.retrieve(list(range(self.queries)), [self.where] * self.queries, self.k if k is None else k)

    def best_by_lang(
        self, langs: Sequence[str], queries: Sequence[int] | None = None, k: int | None = None
    ) -> list[dict[str, list[Hit]]]:
        """The best rows of each query in each of some languages."""
        some = list(range(self.queries)) if queries is None else queries
        found = self.retrieve(
            [query for query in some for _ in langs],
            [self.where.only([lang]) for _ in some for lang in langs],
            self.k if k is None else k,
        )
        width = len(langs)
        return [dict(zip(langs, found[i * width : (i + 1) * width], strict=True)) for i in range(len(some))]


def apply_policy(
    policy: Policy,
    retrieve: Retriever,
    queries: int,
    where: Where,
    k: int,
    langs: Sequence[str],
    scale: Scale | WordScale,
) -> list[list[Hit]]:
    """The first k rows of each query under a policy.

    Args:
        policy: the policy.
        retrieve: the function that searches.
        queries: the number of queries.
        where: the filter.
        k: the most rows per query.
        langs: the languages of the index.
        scale: the spread of the scores.

    Returns:
        For each query its rows, best first. The scores are those that the policy compares: `balanced`, `equal`, `adaptive`
        and `prefer` change them.

    """
    where = policy.narrowed(where)
    allowed = [lang for lang in langs if where.langs is None or lang in where.langs]
    task = _Task(retrieve, queries, where, k, allowed, scale)
    # `any` and `only` are the best by score: `only` has narrowed the filter.
    # The places of `own` are filled when all lists are merged.
    policies = {"balanced": _balanced, "equal": _equal, "adaptive": _adaptive, "prefer": _prefer, "quota": _quota}
    apply = policies.get(policy.base if policy.name == "own" else policy.name)
    return task.best() if apply is None else apply(policy, task)


def _balanced(policy: Policy, task: _Task) -> list[list[Hit]]:
    del policy
    if isinstance(task.scale, WordScale):
        return task.best()
    found: list[list[Hit] | None] = [None] * task.queries
    if task.scale.one_search is not None and len(task.langs) > 1:
        found = task.scale.one_search(task.where, task.k, task.langs)
    missing = [query for query, hits in enumerate(found) if hits is None]
    apart = dict(zip(missing, _balanced_apart(task, task.scale, missing), strict=True))
    return [apart[query] if hits is None else hits for query, hits in enumerate(found)]


def _balanced_apart(task: _Task, scale: Scale, queries: Sequence[int]) -> Iterator[list[Hit]]:
    """The best rows of some queries, by a search in each language."""
    for query, by_lang in zip(queries, task.best_by_lang(task.langs, queries), strict=True):
        adjusted = []
        for lang, hits in by_lang.items():
            offset, spread = scale.of(query, lang)
            adjusted += [((hit.score - offset) / spread, hit) for hit in hits]
        yield best_scored(adjusted, task.k)


def _equal(policy: Policy, task: _Task) -> list[list[Hit]]:
    """Reciprocal rank fusion of the best rows of each language.

    Source: "balanced retrieval", arXiv 2507.07543.

    """
    del policy
    # Words of a query are rare in other languages: equally many rows of each would bring up rows by chance.
    if isinstance(task.scale, WordScale) or not task.langs:
        return task.best()
    depth = -(-task.k // len(task.langs))
    found = task.best_by_lang(task.langs, k=depth)
    # Where languages have too few rows, the others fill their places.
    short = [query for query, by_lang in enumerate(found) if sum(map(len, by_lang.values())) < task.k]
    for query, by_lang in zip(short, task.best_by_lang(task.langs, short), strict=True):
        found[query] = by_lang
    fused = []
    for by_lang in found:
        ranked = [
            (rank, -hit.score, hit.id, hit) for hits in by_lang.values() for rank, hit in enumerate(hits, start=1)
        ]
        fused.append(
            [hit.scored(1 / (RRF + rank)) for rank, *_, hit in sorted(ranked, key=lambda one: one[:3])[: task.k]]
        )
    return fused


def _adaptive(policy: Policy, task: _Task) -> list[list[Hit]]:
    """Scores less the level of their language: the mean of the query's first scores in it.

    Unlike `balanced`, it needs no statistics, and it compares the rows that compete for the first places, not all rows. A
    language with fewer than `LEVEL_OF` rows has the mean level of the others: the level of one row would be its own score.

    Source: adaptive T-norm, Sturim and Reynolds, ICASSP 2005.

    """
    del policy
    if isinstance(task.scale, WordScale) or len(task.langs) < 2:
        return task.best()
    found = []
    for by_lang in task.best_by_lang(task.langs, k=max(task.k, LEVEL_OF)):
        levels = {
            lang: float(np.mean([hit.score for hit in hits[:LEVEL_OF]]))
            for lang, hits in by_lang.items()
            if len(hits) >= LEVEL_OF
        }
        usual = float(np.mean(list(levels.values()))) if levels else 0.0
        levelled = [(hit.score - levels.get(lang, usual), hit) for lang, hits in by_lang.items() for hit in hits]
        found.append(best_scored(levelled, task.k))
    return found


def _prefer(policy: Policy, task: _Task) -> list[list[Hit]]:
    # The spread of BM25 scores is computed from the first 50 rows, even if k is smaller.
    plain = task.best(max(task.k, SPREAD_OF) if isinstance(task.scale, WordScale) else None)
    wanted = [lang for lang in policy.langs if lang in task.langs]
    found = []
    for query, (hits, by_lang) in enumerate(zip(plain, task.best_by_lang(wanted), strict=True)):
        together = {hit.id: hit for hit in [*hits, *(hit for some in by_lang.values() for hit in some)]}
        boost = policy.boost * task.scale.spread(query, hits[:SPREAD_OF]) if together else 0.0
        raised = [(hit.score + boost if hit.lang in wanted else hit.score, hit) for hit in together.values()]
        found.append(best_scored(raised, task.k))
    return found


def _quota(policy: Policy, task: _Task) -> list[list[Hit]]:
    plain = task.best()
    several = min(policy.languages, len({canonical_language(lang) for lang in task.langs}), task.k)
    few = [query for query, hits in enumerate(plain) if len({canonical_language(hit.lang) for hit in hits}) < several]
    for query, by_lang in zip(few, task.best_by_lang(task.langs, few, 1), strict=True):
        firsts = [(hit.score, hit) for some in by_lang.values() for hit in some]
        plain[query] = with_quota(plain[query], best_scored(firsts, len(firsts)), policy.languages)
    return plain


def best_scored(scored: Sequence[tuple[float, Hit]], k: int) -> list[Hit]:
    """The k rows with the largest new scores."""
    best = heapq.nsmallest(k, ((-score, hit.id, i) for i, (score, hit) in enumerate(scored)))
    return [scored[i][1].scored(-score) for score, _, i in best]


def with_quota(hits: Sequence[Hit], others: Sequence[Hit], languages: int) -> list[Hit]:
    """Replace rows so that the list has at least a number of languages, if `others` has enough languages.

    Args:
        hits: rows, best first.
        others: rows that may replace some of them, best first.
        languages: the least number of languages; 0 leaves `hits` as they are.

    Returns:
        As many rows as `hits`, best first. The last rows of languages that have several rows are replaced by the best rows of
        languages that have none.

    """
    kept = list(hits)
    for other in others:
        # An old index may have two tags of one language.
        counts = Counter(canonical_language(hit.lang) for hit in kept)
        if len(counts) >= min(languages, len(kept)):
            break
        if canonical_language(other.lang) not in counts:
            last = max(i for i, hit in enumerate(kept) if counts[canonical_language(hit.lang)] > 1)
            kept[last] = other
            kept.sort(key=lambda hit: (-hit.score, hit.id))
    return kept
