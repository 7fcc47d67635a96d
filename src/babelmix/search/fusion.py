"""Fusion of ranked lists: the list by vectors and the list by words become one.

| name | what a list adds to the score of a row | a row that the list lacks |
|---|---|---|
| `rrf` or `rrf:k=60` | weight / (k + rank), ranks from 1 | 0 |
| `convex` or `convex:norm=minmax` | weight * (score - lowest) / (highest - lowest) | 0, as the last row |
| `convex:norm=spread` | weight * (score - lowest) / standard deviation | 0, as the last row |
| `dbsf` | weight * (score - mean + 3 deviations) / (6 deviations) | 0 |

Highest, lowest, mean and deviation are those of the list's own scores for this query. With `by=lang`, as in
`convex:by=lang`, they are those of the list's rows in one language, so that the best row of each language counts alike. A list
whose scores are all equal adds half its weight. Ties are broken by the rows' ids.

The policy comes first: under `balanced` the scores by vectors are calibrated per language before they are fused, and the fused
list then has this order too if the weight of words is 0.

A weight may depend on the language of a row: `0.2,de=0.6` means that a German row gets 0.6 of what the list of words says about
it, and all other rows 0.2. The language of the query is not needed: BM25 finds nearly only rows of the query's language.

Sources: `rrf`: Cormack, Clarke and Büttcher, SIGIR 2009, with weights as in mteb's `fuse_rrf`. `convex`: Bruch, Gai and Ingber,
"An analysis of fusion functions for hybrid retrieval", TOIS 2023 (min-max; mteb calls it relative score fusion). `dbsf`:
distribution-based score fusion as Qdrant computes it: sample deviation, nothing is cut off; its weights are ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from babelmix.corpus import canonical_language
from babelmix.corpus.languages import EVERY, in_range, is_language_tag, not_a_tag
from babelmix.errors import SearchError
from babelmix.search.rows import Hit

Method = Literal["rrf", "convex", "dbsf"]
METHODS: tuple[Method, ...] = ("rrf", "convex", "dbsf")

Norm = Literal["minmax", "spread"]
NORMS: tuple[Norm, ...] = ("minmax", "spread")

RRF_K = 60
"""The constant of `rrf` if none is given, as in the paper."""

MOST_K = 10_000
MOST_WEIGHT = 10.0
"""The largest weight of the list of words; that of the list of vectors is 1."""

_FLAT = 1e-9
"""A list whose scores differ by less has no order."""

_EXAMPLES = "rrf, rrf:k=20, convex, convex:norm=spread, convex:by=lang or dbsf"


@dataclass(frozen=True)
class WordsWeight:
    """The weight of a list, which may depend on the language of a row.

    Args:
        weight: for rows in all languages that are not named, 0 to 10.
        by_lang: language ranges with their weights; the longest range that includes a row's language decides.

    Raises:
        SearchError: a weight is not a number from 0 to 10, or a language is no tag.

    Examples:
        >>> weight = WordsWeight.parse("0.2,de=0.6")
        >>> weight.of("de-AT"), weight.of("en"), str(weight)
        (0.6, 0.2, '0.2,de=0.6')

    """

    weight: float
    by_lang: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        langs = tuple((_checked_lang(lang), _checked_weight(weight)) for lang, weight in self.by_lang)
        if len(dict(langs)) < len(langs):
            raise SearchError(f"the weight of words names a language twice: {', '.join(lang for lang, _ in langs)}")
        object.__setattr__(self, "weight", _checked_weight(self.weight))
        object.__setattr__(self, "by_lang", langs)

    @classmethod
    def parse(cls, given: WeightLike) -> WordsWeight:
        """Read a weight: a number, `0.2,de=0.6`, a mapping of languages to weights (`*` is all others), or a weight.

        Args:
            given: the weight. Where it names languages only, the others have the default weight.

        Raises:
            SearchError: it is no weight.

        """
        found = cls.parse_list(given)
        if len(found) != 1:
            raise SearchError(
                f"the weight of words is {str(given)[:60]!r}; give one number, as in  0.2  or  0.2,de=0.6"
            )
        return found[0]

    @classmethod
    def parse_list(cls, given: WeightLike) -> list[WordsWeight]:
        """Read several weights: in `0,0.2,de=0.6,1` each bare number begins a weight, so that it has three.

        Raises:
            SearchError: one is no weight.

        """
        if isinstance(given, WordsWeight):
            return [given]
        if isinstance(given, Mapping):
            rest = {str(lang): weight for lang, weight in given.items()}
            return [cls(rest.pop(EVERY, DEFAULT_WEIGHT), tuple(rest.items()))]
        if not isinstance(given, str):
            return [cls(given)]
        made: list[tuple[float, list[tuple[str, float]]]] = []
        for part in given.split(","):
            lang, equals, number = part.rpartition("=")
            try:
                weight = float(number)
            except ValueError:
                raise SearchError(
                    f"the weight of words is {given[:60]!r}; give a number, or languages too, as in  0.2,de=0.6"
                ) from None
            if not equals:
                made.append((weight, []))
            else:
                if not made:
                    made.append((DEFAULT_WEIGHT, []))
                made[-1][1].append((lang.strip(), weight))
        return [cls(weight, tuple(langs)) for weight, langs in made]

    @property
    def is_zero(self) -> bool:
        """Whether the list does not count, whatever the language."""
        return self.weight == 0 and not any(weight for _, weight in self.by_lang)

    @property
    def value(self) -> float | str:
        """The weight as JSON: a number, or the text if it depends on the language."""
        return str(self) if self.by_lang else self.weight

    def of(self, lang: str) -> float:
        """The weight for rows in a language."""
        fitting = [(len(range_), weight) for range_, weight in self.by_lang if in_range(lang, range_)]
        return max(fitting)[1] if fitting else self.weight

    def __str__(self) -> str:
        return ",".join([f"{self.weight:g}", *(f"{lang}={weight:g}" for lang, weight in self.by_lang)])


WeightLike = float | str | Mapping[str, float] | WordsWeight
"""A weight as a caller may write it; see `WordsWeight.parse`."""


@dataclass(frozen=True)
class Fusion:
    """A way to fuse ranked lists; see the table of the module.

    Args:
        method: `rrf`, `convex` or `dbsf`.
        k: the constant of `rrf`: the larger it is, the less the first ranks stand out.
        norm: how `convex` makes scores comparable.
        by_lang: whether `convex` and `dbsf` normalise the rows of each language of a list apart.

    Raises:
        SearchError: there is no such method, or k is out of range.

    Examples:
        >>> Fusion.parse("rrf:k=20")
        Fusion(method='rrf', k=20, norm='minmax', by_lang=False)
        >>> hits = [Hit(name, 0.0, name, "de", name, name) for name in "abc"]
        >>> [hit.id for hit in Fusion("rrf").fuse([hits, hits[2:]], weights=[1, 0.2])]
        ['c', 'a', 'b']

    """

    method: Method = "rrf"
    k: int = RRF_K
    norm: Norm = "minmax"
    by_lang: bool = False

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise SearchError(f"the fusion {str(self.method)[:60]!r} is unknown; use {_EXAMPLES}")
        if not 0 <= self.k <= MOST_K:
            raise SearchError(f"the fusion's k is {self.k}; give a whole number from 0 to {MOST_K:,}")
        if self.norm not in NORMS:
            raise SearchError(f"the fusion's norm {str(self.norm)[:60]!r} is unknown; use {' or '.join(NORMS)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a fusion as the user writes it.

        Raises:
            SearchError: there is no such fusion.

        """
        method, _, rest = text.strip().partition(":")
        if method not in METHODS:
            raise SearchError(f"the fusion {text[:60]!r} is unknown; use {_EXAMPLES}")
        found: dict[str, str] = {}
        for part in rest.split(",") if rest else []:
            name, _, value = part.strip().partition("=")
            if name not in _OPTIONS[method] or name in found or not re.fullmatch(_OPTIONS[method][name], value):
                raise SearchError(f"the fusion {text[:60]!r} has the wrong option {part[:60]!r}; use {_EXAMPLES}")
            found[name] = value
        norm: Norm = "spread" if found.get("norm") == "spread" else "minmax"
        return cls(method, int(found.get("k", RRF_K)), norm, "by" in found)

    def __str__(self) -> str:
        options = [
            *([f"k={self.k}"] if self.method == "rrf" and self.k != RRF_K else []),
            *([f"norm={self.norm}"] if self.method == "convex" and self.norm != "minmax" else []),
            *(["by=lang"] if self.by_lang and self.method != "rrf" else []),
        ]
        return self.method + (f":{','.join(options)}" if options else "")

    def fuse(
        self,
        lists: Sequence[Sequence[Hit]],
        top_k: int | None = None,
        weights: Sequence[WeightLike] | None = None,
    ) -> list[Hit]:
        """Fuse ranked lists of one query.

        Args:
            lists: lists of rows, each best first.
            top_k: the most rows to return; None: all.
            weights: the weight of each list; None: each has the weight 1. A row that only lists of weight 0 have is left out.

        Returns:
            The rows with their fused scores, best first.

        Raises:
            SearchError: a weight is wrong, or there are not as many as lists.

        """
        parsed = [WordsWeight.parse(one) for one in ([1.0] * len(lists) if weights is None else weights)]
        if len(parsed) != len(lists):
            raise SearchError(f"there are {len(lists)} lists and {len(parsed)} weights; give one for each list")
        scores: dict[str, float] = {}
        hits: dict[str, Hit] = {}
        for found, weight in zip(lists, parsed, strict=True):
            of_lang = {lang: weight.of(lang) for lang in {hit.lang for hit in found}}
            for hit, value in zip(found, self._values(found), strict=True):
                if own := of_lang[hit.lang]:
                    scores[hit.id] = scores.get(hit.id, 0.0) + own * value
                    hits.setdefault(hit.id, hit)
        ordered = sorted((-score, name) for name, score in scores.items())[:top_k]
        return [hits[name].scored(-score) for score, name in ordered]

    def _values(self, hits: Sequence[Hit]) -> list[float]:
        """What a list of weight 1 adds to the score of each of its rows."""
        if self.method == "rrf":
            return [1 / (self.k + rank) for rank in range(1, len(hits) + 1)]
        scores = np.array([hit.score for hit in hits], dtype=np.float64)
        if not self.by_lang:
            return self._normalised(scores).tolist()
        values, langs = np.zeros_like(scores), np.array([hit.lang for hit in hits])
        for lang in dict.fromkeys(langs.tolist()):
            values[langs == lang] = self._normalised(scores[langs == lang])
        return values.tolist()

    def _normalised(self, scores: np.ndarray) -> np.ndarray:
        if not len(scores) or float(np.ptp(scores)) < _FLAT:
            return np.full(len(scores), 0.5)
        if self.method == "dbsf":
            spread = float(np.std(scores, ddof=1))
            return (scores - scores.mean() + 3 * spread) / (6 * spread)
        width = float(np.ptp(scores)) if self.norm == "minmax" else float(np.std(scores))
        return (scores - scores.min()) / width


DEFAULT_FUSION = Fusion("rrf", k=2)
"""How a hybrid search fuses, if nothing is said."""

DEFAULT_WEIGHT = 0.2
"""The weight of the list of words, if nothing is said: chosen with the method by `benchmarks/fusion.py`."""

_OPTIONS: Mapping[str, Mapping[str, str]] = {
    "rrf": {"k": "[0-9]{1,5}"},
    "convex": {"norm": "minmax|spread", "by": "lang"},
    "dbsf": {"by": "lang"},
}
"""The options of each method, with what may stand after the sign of equality."""


def _checked_weight(weight: float) -> float:
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not (number and math.isfinite(weight) and 0 <= weight <= MOST_WEIGHT):
        said = f"{weight:g}" if number else repr(weight)[:60]
        raise SearchError(
            f"the weight of words is {said}; give a number from 0 (meaning alone) to {MOST_WEIGHT:g}; the list of vectors has 1"
        )
    return float(weight)


def _checked_lang(lang: str) -> str:
    if lang != EVERY and not is_language_tag(lang):
        raise SearchError(f"the weight of words: {not_a_tag(lang)}; write  0.2,de=0.6")
    return canonical_language(lang)


__all__ = ["DEFAULT_FUSION", "DEFAULT_WEIGHT", "Fusion", "WeightLike", "WordsWeight"]
