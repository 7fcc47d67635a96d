"""Language policies: which languages the first answers are in.

| policy | the first k answers |
|---|---|
| `any` | the best by score |
| `balanced` | the best by scores calibrated per language, so that no language is favoured (`Calibration`) |
| `quota=N` | the best by score, in at least N languages |
| `prefer=de,fr` or `prefer=de:1.5` | the best, scores of these languages raised by 1 (or 1.5) spreads of the query's scores |
| `only=de,fr` | the best in these languages |

A language means its regions and scripts too (RFC 4647, basic filtering): `only=en` finds en, en-US and en-GB; `*` finds all.

Each is exact about what it says: it looks for the best rows of every language it treats apart, and merges them.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from babelmix._lists import as_list
from babelmix.corpus import canonical_language
from babelmix.corpus.languages import check_language_tags, match_languages
from babelmix.errors import SearchError
from babelmix.search.calibration import Calibration
from babelmix.search.rows import Hit, Vectors, Where

Retriever = Callable[[Sequence[int], Sequence[Where], int], list[list[Hit]]]
"""Given numbers of queries, what each may find, and how many rows: the rows found, best first."""

POLICIES = ("any", "balanced", "quota", "prefer", "only")
MAX_BOOST = 10.0
SPREAD_OF = 50
"""Rows found by words that the spread of their scores is taken from."""


@dataclass(frozen=True)
class Policy:
    """A language policy.

    Args:
        name: one of `POLICIES`.
        langs: of `prefer` and `only`; each is a range.
        languages: of `quota`: how many at least.
        boost: of `prefer`, in spreads (standard deviations) of the query's scores.

    """

    name: str = "any"
    langs: tuple[str, ...] = ()
    languages: int = 0
    boost: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "langs", tuple(as_list(self.langs, self.name, SearchError)))

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Read a policy as a person writes it.

        >>> Policy.parse("prefer=de:1.5")
        Policy(name='prefer', langs=('de',), languages=0, boost=1.5)

        Raises:
            SearchError: there is no such policy, or it is incomplete.

        """
        name, _, given = text.strip().partition("=")
        if name not in POLICIES:
            raise SearchError(
                f"the language policy {text[:60]!r} is unknown; use any, balanced, quota=N, prefer=LANG,... or only=LANG,..."
            )
        if name in ("any", "balanced"):
            if given:
                raise SearchError(f"the language policy {name!r} takes no {given[:60]!r}")
            return cls(name)
        if name == "quota":
            if not re.fullmatch(r"[0-9]{1,4}", given) or int(given) < 1:
                raise SearchError(f"quota={given[:60]}: write how many languages at least, as in  quota=3")
            return cls(name, languages=int(given))
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
            raise SearchError(f"prefer: the boost {boost[:60]!r} is to be a number above 0 and at most {MAX_BOOST:g}")
        return cls(name, langs=tags, boost=amount)

    def __str__(self) -> str:
        if self.name == "quota":
            return f"quota={self.languages}"
        if self.name == "prefer":
            return f"prefer={','.join(self.langs)}" + ("" if self.boost == 1 else f":{self.boost:g}")
        return f"only={','.join(self.langs)}" if self.name == "only" else self.name

    def among(self, langs: Sequence[str], where: str) -> Policy:
        """The same policy with the tags that its languages match among those there are.

        Args:
            langs: the tags of the index.
            where: its name, for the message.

        Raises:
            SearchError: a language matches nothing.

        """
        if self.name not in ("prefer", "only"):
            return self
        return replace(self, langs=tuple(match_languages(self.langs, langs, where, SearchError)))

    def narrowed(self, where: Where) -> Where:
        """The filter with what the policy forbids."""
        return where.only(self.langs) if self.name == "only" else where


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
        retrieve: finds rows.
        queries: how many there are.
        where: what may be found.
        k: how many rows at most.
        langs: the languages of the index.
        scale: offsets and spreads of the scores, by language.

    Returns:
        For each query its rows, best first; `balanced` and `prefer` give the scores that they compare.

    """
    where = policy.narrowed(where)
    allowed = [lang for lang in langs if where.langs is None or lang in where.langs]
    everyone = list(range(queries))
    # BM25 has nothing to balance, see `WordScale`.
    if policy.name == "balanced" and isinstance(scale, Scale):
        apart = _apart(retrieve, everyone, where, k, allowed)
        found = []
        for query, by_lang in enumerate(apart):
            adjusted = []
            for lang in allowed:
                offset, spread = scale.of(query, lang)
                adjusted += [((hit.score - offset) / spread, hit) for hit in by_lang[lang]]
            found.append(_best(adjusted, k))
        return found
    if policy.name == "prefer":
        # BM25's spread is that of rows found: of so many, however many are asked for.
        plain = retrieve(everyone, [where] * queries, max(k, SPREAD_OF) if isinstance(scale, WordScale) else k)
        wanted = [lang for lang in policy.langs if lang in allowed]
        apart = _apart(retrieve, everyone, where, k, wanted)
        found = []
        for query, (hits, by_lang) in enumerate(zip(plain, apart, strict=True)):
            together = {hit.id: hit for hit in [*hits, *(hit for some in by_lang.values() for hit in some)]}
            boost = policy.boost * scale.spread(query, hits[:SPREAD_OF]) if together else 0.0
            raised = [(h.score + boost if h.lang in wanted else h.score, h) for h in together.values()]
            found.append(_best(raised, k))
        return found
    plain = retrieve(everyone, [where] * queries, k)
    if policy.name == "quota":
        several = min(policy.languages, len({canonical_language(lang) for lang in allowed}), k)
        few = [q for q in everyone if len({canonical_language(hit.lang) for hit in plain[q]}) < several]
        for query, by_lang in zip(few, _apart(retrieve, few, where, 1, allowed), strict=True):
            firsts = [(hit.score, hit) for some in by_lang.values() for hit in some]
            plain[query] = with_quota(plain[query], _best(firsts, len(firsts)), policy.languages)
    return plain


class Scale:
    """How the scores of some queries are spread.

    Args:
        calibration: gives the calibration; asked only if a policy needs it.
        vectors: float32, shape (queries, dimension), as the index compares them.

    """

    def __init__(self, calibration: Callable[[], Calibration], vectors: Vectors) -> None:
        self._get, self._vectors = calibration, vectors
        self._scales: dict[str, tuple[Vectors, Vectors]] = {}

    @cached_property
    def _calibration(self) -> Calibration:
        return self._get()

    @cached_property
    def _spreads(self) -> Vectors:
        return self._calibration.spreads(self._vectors)

    def of(self, query: int, lang: str) -> tuple[float, float]:
        """Offset and spread of a language's scores: less the one, by the other, they can be compared with those of others."""
        if lang not in self._scales:
            self._scales[lang] = self._calibration.scale(lang, self._vectors)
        offset, spread = self._scales[lang]
        return float(offset[query]), float(spread[query])

    def spread(self, query: int, hits: Sequence[Hit]) -> float:
        """Standard deviation of the query's scores over the index."""
        del hits
        return float(self._spreads[query])


class WordScale:
    """How BM25 scores are spread: a text in another language has other words, so there is nothing to balance."""

    def spread(self, query: int, hits: Sequence[Hit]) -> float:
        """Standard deviation of the scores of the first `SPREAD_OF` rows found."""
        del query
        return float(np.std([hit.score for hit in hits])) if hits else 0.0


def _apart(
    retrieve: Retriever, queries: Sequence[int], where: Where, k: int, langs: Sequence[str]
) -> list[dict[str, list[Hit]]]:
    """The first k rows of each query in each language."""
    found = retrieve([q for q in queries for _ in langs], [where.only([lang]) for _ in queries for lang in langs], k)
    width = len(langs)
    return [dict(zip(langs, found[i * width : (i + 1) * width], strict=True)) for i in range(len(queries))]


def _best(scored: Sequence[tuple[float, Hit]], k: int) -> list[Hit]:
    """The first k of rows with their new scores."""
    best = heapq.nsmallest(k, ((-score, hit.id, i) for i, (score, hit) in enumerate(scored)))
    return [scored[i][1].scored(-score) for score, _, i in best]


def with_quota(hits: Sequence[Hit], others: Sequence[Hit], languages: int) -> list[Hit]:
    """Rows in at least so many languages, where there are so many.

    Args:
        hits: rows, best first.
        others: rows that may take the place of some, best first.
        languages: how many languages at least; 0 leaves `hits` as they are.

    Returns:
        As many rows as `hits`, best first: the last ones of languages that have several are replaced by the best of
        languages that have none.

    """
    kept = list(hits)
    for other in others:
        # An index of before tags were unified may have two tags of one language.
        counts = Counter(canonical_language(hit.lang) for hit in kept)
        if len(counts) >= min(languages, len(kept)):
            break
        if canonical_language(other.lang) not in counts:
            last = max(i for i, hit in enumerate(kept) if counts[canonical_language(hit.lang)] > 1)
            kept[last] = other
            kept.sort(key=lambda hit: (-hit.score, hit.id))
    return kept
