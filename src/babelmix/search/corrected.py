"""Corrected vectors put the rows of all languages on one scale, so that one search finds the best rows under `balanced`.

The policy `balanced` compares (q . p - q . m) / spread, with the mean m of the language and a spread that depends on the query q.
The corrected vector of a row is (p - m) / s. Here s is one number for each language, in proportion to its spread for a usual
query. The score q . (p - m) / s differs from the policy's score only by spread / s, which is nearly the same for all languages.
So the nearest corrected vectors are candidates, and the policy's exact formula orders them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.errors import SearchError
from babelmix.search.calibration import Calibration, packed, unpacked
from babelmix.search.rows import Vectors

SHIFTED = 0.25
"""A language is corrected anew if its scores, corrected as now, are off by so many spreads: see `benchmarks/balanced.py`."""

STRETCHED = 0.15
"""A language is corrected anew if its spread has changed by this share, compared with the other languages."""

_ROUNDED = 0.003
"""The largest error of a score of corrected vectors, for a query of length one: they are kept as codes of eight bits."""

_LEAST = 1e-3
"""The least scale: all rows of a language may be equal."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Correction:
    """What is subtracted from the vectors of a language, and what they are divided by.

    Args:
        mean: float32, shape (dimension,).
        scale: above 0.

    """

    mean: Vectors
    scale: float

    def as_json(self) -> dict[str, Any]:
        """As JSON-serialisable values."""
        return {"mean": packed(self.mean), "scale": self.scale}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Correction:
        """Read the result of `as_json`."""
        return cls(unpacked(kept["mean"]), float(kept["scale"]))


@dataclass(frozen=True, eq=False)
class Corrections:
    """The corrections with which the corrected vectors of an index were made.

    Args:
        langs: the corrections by language.
        others: the correction of all other languages.
        pending: languages whose corrected vectors are about to be removed, because their correction is out of date.

    """

    langs: Mapping[str, Correction]
    others: Correction
    pending: tuple[str, ...] = ()

    @classmethod
    def fit(cls, calibration: Calibration, queries: Vectors, like: Corrections | None = None) -> Corrections:
        """Fit the corrections of an index.

        Args:
            calibration: the moments of the rows.
            queries: vectors that stand for queries, float32, shape (queries, dimension).
            like: the corrections of other rows, to whose scales the new ones are to compare. None: corrected vectors get a length
                of about one.

        """
        usual = {lang: _usual_spread(calibration, lang, queries) for lang in [*calibration.moments, ""]}
        factor = np.sqrt(calibration.together.total_variance) / usual[""]
        if like is not None and like.langs:
            ratios = [
                one.scale / usual.get(lang, usual[""]) for lang, one in like.langs.items() if lang not in like.pending
            ]
            factor = np.median(ratios or [like.others.scale / usual[""]])
        scales = {lang: max(float(factor) * spread, _LEAST) for lang, spread in usual.items()}
        langs = {lang: Correction(moments.mean, scales[lang]) for lang, moments in calibration.moments.items()}
        return cls(langs, Correction(calibration.together.mean, scales[""]))

    def of(self, lang: str) -> Correction:
        """The correction of a language."""
        return self.langs.get(lang, self.others)

    def apply(self, vectors: Vectors, langs: Sequence[str]) -> Vectors:
        """Correct vectors of known languages, float32, shape (rows, dimension)."""
        corrected = np.empty_like(vectors, dtype=np.float32)
        tags = np.array(langs)
        for lang in dict.fromkeys(langs):
            some = tags == lang
            correction = self.of(lang)
            corrected[some] = (vectors[some] - correction.mean) / np.float32(correction.scale)
        return corrected

    def stale(self, calibration: Calibration, langs: Sequence[str], queries: Vectors) -> list[str]:
        """The languages whose correction no longer fits.

        Args:
            calibration: the moments of the rows as they are now.
            langs: the languages of the index.
            queries: vectors that stand for queries, float32, shape (queries, dimension).

        """
        ratios, shifts = {}, {}
        for lang in langs:
            mean, spread = calibration.scale(lang, queries)
            now = self.of(lang)
            shifts[lang] = float(np.sqrt(np.mean(((queries @ now.mean - mean) / spread) ** 2)))
            ratios[lang] = now.scale / _usual_spread(calibration, lang, queries)
        usual = float(np.median(list(ratios.values())))
        return [
            lang for lang in langs if shifts[lang] > SHIFTED or abs(np.log(ratios[lang] / usual)) > np.log1p(STRETCHED)
        ]

    def as_json(self) -> dict[str, Any]:
        """As JSON-serialisable values."""
        return {
            "langs": {lang: correction.as_json() for lang, correction in self.langs.items()},
            "others": self.others.as_json(),
            "pending": list(self.pending),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Corrections:
        """Read the result of `as_json`.

        Raises:
            SearchError: the stored corrections are damaged.

        """
        try:
            langs = {lang: Correction.from_json(value) for lang, value in kept["langs"].items()}
            return cls(langs, Correction.from_json(kept["others"]), tuple(map(str, kept["pending"])))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SearchError(f"the index's corrections cannot be read ({error!r})") from error


class Scores:
    """Scores under `balanced` from scores by dot product, for all languages of an index at once.

    Args:
        calibration: the moments of the rows.
        corrections: the corrections of the corrected vectors.
        langs: the languages of the index.

    """

    def __init__(self, calibration: Calibration, corrections: Corrections, langs: Sequence[str]) -> None:
        # The last column is for languages that come while the search runs.
        names = [*langs, ""]
        moments = [calibration.moments.get(lang, calibration.together) for lang in names]
        used = [corrections.of(lang) for lang in names]
        rank = max(len(one.variances) for one in moments)
        self.columns = {lang: column for column, lang in enumerate(langs)}
        self._means = np.stack([*(one.mean for one in moments), *(one.mean for one in used)])
        self._scales = np.array([one.scale for one in used], dtype=np.float64)
        self._directions = np.concatenate([_padded(one.directions, rank) for one in moments])
        self._variances = np.stack([_padded(one.variances, rank) for one in moments])
        self._rest = np.array([one.rest for one in moments], dtype=np.float32)

    def of(self, query: Vectors) -> QueryScores:
        """The scores of a query, float32, shape (dimension,)."""
        means = (self._means @ query).astype(np.float64)
        now, corrected = means[: len(self._rest)], means[len(self._rest) :]
        along = (self._directions @ query).reshape(self._variances.shape) ** 2
        beside = np.maximum(query @ query - along.sum(axis=1), 0)
        variances = (along * self._variances).sum(axis=1) + self._rest * beside
        spreads = np.sqrt(np.maximum(variances, 1e-12)).astype(np.float64)
        error = _ROUNDED * float(np.sqrt(query @ query))
        return QueryScores(self.columns, now, spreads, corrected, self._scales, error)


@dataclass(frozen=True, eq=False)
class QueryScores:
    """Scores of one query.

    Args:
        columns: the place of each language in the arrays.
        means: mean scores by language, float64, shape (languages + 1,).
        spreads: standard deviations of scores, the same shape.
        corrected_means: the scores of what the corrected vectors were made by subtracting, the same shape.
        scales: what the corrected vectors were made by dividing by, the same shape.
        error: the largest error of a score of corrected vectors.

    """

    columns: Mapping[str, int]
    means: Floats
    spreads: Floats
    corrected_means: Floats
    scales: Floats
    error: float

    def __call__(self, scores: Sequence[float], langs: Sequence[str]) -> tuple[Floats, Floats]:
        """Scores under `balanced`, and scores of the corrected vectors.

        Args:
            scores: dot products of the query with rows.
            langs: the languages of the rows.

        """
        at = np.fromiter((self.columns.get(lang, -1) for lang in langs), dtype=np.intp, count=len(langs))
        plain = np.asarray(scores, dtype=np.float64)
        return (plain - self.means[at]) / self.spreads[at], (plain - self.corrected_means[at]) / self.scales[at]

    def bound(self, corrected: float, langs: Sequence[str]) -> float:
        """The highest score under `balanced` of a row in some languages that is not found by its corrected vector.

        Args:
            corrected: the score of the last corrected vector that was found.
            langs: the languages.

        """
        at = [self.columns.get(lang, -1) for lang in langs]
        scores = (corrected + self.error) * self.scales[at] + self.corrected_means[at]
        return float(np.max((scores - self.means[at]) / self.spreads[at], initial=-np.inf))


def _usual_spread(calibration: Calibration, lang: str, queries: Vectors) -> float:
    """The geometric mean of the queries' spreads in a language. A language without moments of its own has those of all."""
    return float(np.exp(np.mean(np.log(calibration.scale(lang, queries)[1]))))


def _padded(values: Vectors, rank: int) -> Vectors:
    return np.concatenate([values, np.zeros((rank - len(values), *values.shape[1:]), dtype=np.float32)])
