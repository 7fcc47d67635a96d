"""Language policies: they decide in which languages the first answers are.

| policy | the first k answers |
|---|---|
| `any` | the best by score |
| `balanced` | the best by scores calibrated per language, so that no language is favoured (`Calibration`) |
| `equal` | equally many of each language: first the best of each, then the second of each; by score where ranks are equal |
| `adaptive` | the best by how far a score is above the query's first scores in the same language |
| `own=N` or `own=N:adaptive` | as `balanced` or `adaptive`, but at least N of the first 10 in the query's language, if known |
| `quota=N` | the best by score, in at least N languages |
| `prefer=de,fr` or `prefer=de:1.5` | the best, scores of these languages raised by 1 (or 1.5) spreads of the query's scores |
| `only=de,fr` | the best in these languages |

A language includes its regions and scripts (RFC 4647, basic filtering): `only=en` finds en, en-US and en-GB; `*` finds all.

A policy that treats languages differently retrieves the best rows of each of them and merges the lists, so its result is exact.
`balanced` needs one search only, where the index has corrected vectors: see `babelmix.search.correcting`.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from babelmix._lists import as_list
from babelmix.corpus import canonical_language
from babelmix.corpus.languages import check_language_tags, match_languages
from babelmix.errors import SearchError
from babelmix.search.calibration import Calibration
from babelmix.search.own_places import FIRST
from babelmix.search.rows import Hit, Vectors, Where

Retriever = Callable[[Sequence[int], Sequence[Where], int], list[list[Hit]]]
"""A function that searches: from query numbers, a filter for each query, and k, to the best k rows of each query, best first."""

OneSearch = Callable[[Where, int, Sequence[str]], list[list[Hit] | None]]
"""A function that finds the best rows of every query under `balanced`: from a filter, k, and the languages that the filter
allows. None in place of the rows of a query: each language has to be searched alone."""

POLICIES = ("any", "balanced", "equal", "adaptive", "own", "quota", "prefer", "only")

LEVEL_OF = 10
"""The level of a language is the mean of a query's first 10 scores in it."""

RRF = 60
"""The constant of reciprocal rank fusion: Cormack, Clarke and Büttcher, SIGIR 2009."""

MAX_BOOST = 10.0
"""The largest boost of `prefer`, in spreads (standard deviations) of the query's scores."""

SPREAD_OF = 50
"""For BM25, the spread of a query's scores is computed from the first 50 rows found."""


@dataclass(frozen=True)
class Policy:
    """A language policy.

    Args:
        name: one of `POLICIES`.
        langs: for `prefer` and `only`: the languages, as ranges.
        languages: for `quota`: the least number of languages.
        boost: for `prefer`: the boost in spreads (standard deviations) of the query's scores.
        places: for `own`: the least number of the first 10 answers in the query's language.
        base: for `own`: the policy of the other places, `balanced` or `adaptive`.

    Example:
        >>> str(Policy("prefer", ("de", "fr"), boost=1.5))
        'prefer=de,fr:1.5'

    """

    name: str = "any"
    langs: tuple[str, ...] = ()
    languages: int = 0
    boost: float = 1.0
    places: int = 0
    base: str = "balanced"

    def __post_init__(self) -> None:
        object.__setattr__(self, "langs", tuple(as_list(self.langs, self.name, SearchError)))

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Parse a policy as the user writes it.

        >>> Policy.parse("prefer=de:1.5")
        Policy(name='prefer', langs=('de',), languages=0, boost=1.5, places=0, base='balanced')

        Raises:
            SearchError: there is no such policy, or it is incomplete.

        """
        name, _, given = text.strip().partition("=")
        if name not in POLICIES:
            raise SearchError(
                f"the language policy {text[:60]!r} is unknown; use any, balanced, equal, adaptive, own=N, quota=N, "
                "prefer=LANG,... or only=LANG,..."
            )
        if name in ("any", "balanced", "equal", "adaptive"):
            if given:
                raise SearchError(f"the language policy {name!r} takes no {given[:60]!r}")
            return cls(name)
        if name == "quota":
            if not re.fullmatch(r"[0-9]{1,4}", given) or int(given) < 1:
                raise SearchError(f"quota={given[:60]}: write how many languages at least, as in  quota=3")
            return cls(name, languages=int(given))
        if name == "own":
            told = re.fullmatch(r"([0-9]{1,2})(?::(balanced|adaptive))?", given)
            if told is None or not 1 <= int(told[1]) <= FIRST:
                raise SearchError(
                    f"own={given[:60]}: write how many of the first {FIRST} answers are in the query's language, as in  own=5 "
                    "or  own=5:adaptive"
                )
            return cls(name, places=int(told[1]), base=told[2] or "balanced")
        langs, colon, boost = given.partition(":")
        tags = tuple(dict.fromkeys(tag.strip() for tag in langs.split(",") if tag.strip()))
        if not tags:
            raise SearchError(f"{name}: write languages after it, as in  {name}=de,fr")
        check_language_tags(tags, name, SearchError, ranges=True)
        if colon and name == "only":
            raise SearchError(f"only: takes languages alone, not {boost[:60]!r}")
        try:
            amount = float(boost) if colon else 1.0
        except ValueError:
            amount = math.nan
        if not 0 < amount <= MAX_BOOST:
            raise SearchError(f"prefer: the boost {boost[:60]!r} has to be a number above 0 and at most {MAX_BOOST:g}")
        return cls(name, langs=tags, boost=amount)

    def __str__(self) -> str:
        if self.name == "quota":
            return f"quota={self.languages}"
        if self.name == "own":
            return f"own={self.places}" + ("" if self.base == "balanced" else f":{self.base}")
        if self.name == "prefer":
            return f"prefer={','.join(self.langs)}" + ("" if self.boost == 1 else f":{self.boost:g}")
        return f"only={','.join(self.langs)}" if self.name == "only" else self.name

    @property
    def depends_on_k(self) -> bool:
        """Whether the first answers depend on how many are asked for: `quota=N` is met within k answers, whatever k is."""
        return self.name == "quota"

    def among(self, langs: Sequence[str], where: str) -> Policy:
        """The same policy, with the tags of an index in place of language ranges.

        Args:
            langs: the tags of the index.
            where: the name of the index, for the message.

        Raises:
            SearchError: a range matches no tag.

        """
        if self.name not in ("prefer", "only"):
            return self
        return replace(self, langs=tuple(match_languages(self.langs, langs, where, SearchError)))

    def narrowed(self, where: Where) -> Where:
        """The filter without the languages that the policy excludes."""
        return where.only(self.langs) if self.name == "only" else where


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
