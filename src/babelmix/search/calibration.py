"""Calibrate scores per language, so that no language is favoured.

Encoders place texts of one language close together, so a query has higher scores with all passages in its own language, relevant
or not. The scores of a query q with the passages of a language have the mean q . m and the variance q . C q, where m and C are
the mean and the covariance of the passages' vectors. Both are computed from the index; the language of the query is not needed.
Scores are compared as (score - mean) / standard deviation. Speaker verification calls this normalisation T-norm (Auckenthaler,
Carey and Lloyd-Thomas, 2000); here the moments have a closed form instead of being estimated from a cohort.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.errors import SearchError
from babelmix.search.rows import Vectors

SAMPLE = 1000
"""The most rows from which the moments of a language are computed."""

RANK = 16
"""Rank of the stored covariance. The variance in all other directions is stored as one number."""

MIN_ROWS = 20
"""A language with fewer rows gets the moments of all languages together."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and covariance of the vectors of a language.

    Args:
        mean: float32, shape (dimension,).
        directions: orthonormal, float32, shape (rank, dimension).
        variances: along the directions, float32, shape (rank,).
        rest: the mean variance along all other directions.

    """

    mean: Vectors
    directions: Vectors
    variances: Vectors
    rest: float

    @classmethod
    def of(cls, vectors: Vectors) -> Moments:
        """Compute the moments of vectors, float32, shape (rows, dimension)."""
        mean = vectors.mean(axis=0)
        centred = vectors - mean
        covariance = (centred.T @ centred).astype(np.float64) / len(vectors)
        dimension, rank = len(covariance), min(RANK, *vectors.shape)
        # `eigh` sorts in ascending order. Rounding may make a zero variance negative.
        found, directions = np.linalg.eigh(covariance)
        variances = np.maximum(found[::-1], 0)
        rest = float(variances[rank:].mean()) if rank < dimension else 0.0
        return cls(mean, directions.T[::-1][:rank].astype(np.float32), variances[:rank].astype(np.float32), rest)

    @property
    def total_variance(self) -> float:
        """The sum of the variances along all directions."""
        return float(self.variances.sum()) + self.rest * (len(self.mean) - len(self.variances))

    def score_moments(self, queries: Vectors) -> tuple[Vectors, Vectors]:
        """Mean and variance of the scores of queries, each float32, shape (queries,)."""
        along = (queries @ self.directions.T) ** 2
        beside = np.maximum((queries**2).sum(axis=1) - along.sum(axis=1), 0)
        return queries @ self.mean, along @ self.variances + self.rest * beside

    def as_json(self) -> dict[str, Any]:
        """As JSON-serialisable values."""
        return {
            "mean": packed(self.mean),
            "directions": packed(self.directions),
            "variances": packed(self.variances),
            "rest": self.rest,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Moments:
        """Read the result of `as_json`."""
        mean, variances = unpacked(kept["mean"]), unpacked(kept["variances"])
        directions = unpacked(kept["directions"]).reshape(len(variances), len(mean))
        return cls(mean, directions, variances, float(kept["rest"]))


@dataclass(frozen=True, eq=False)
class Calibration:
    """The moments of every language of an index.

    Args:
        counts: rows of each language when the calibration was fitted.
        moments: the moments by language. A language with fewer than `MIN_ROWS` rows has none.
        together: the moments of all languages together.

    """

    counts: Mapping[str, int]
    moments: Mapping[str, Moments]
    together: Moments

    @classmethod
    def fit(cls, sample: Callable[[str, int], Vectors], counts: Mapping[str, int]) -> Calibration:
        """Fit a calibration to an index.

        Args:
            sample: a function of a language and a number: it returns at most this number of vectors of the language.
            counts: rows of each language.

        Raises:
            SearchError: there are no rows.

        """
        drawn = {lang: vectors for lang in counts if len(vectors := sample(lang, SAMPLE))}
        if not drawn:
            raise SearchError("the index is empty; there is nothing to calibrate scores on")
        shares = [counts[lang] / len(vectors) for lang, vectors in drawn.items()]
        # Thin the samples, which have at most `SAMPLE` rows each, so that each language has its share of the index in `together`.
        rng = np.random.default_rng(0)
        largest = max(shares)
        thinned = [
            vectors[rng.random(len(vectors)) < share / largest] if share < largest else vectors
            for vectors, share in zip(drawn.values(), shares, strict=True)
        ]
        moments = {lang: Moments.of(vectors) for lang, vectors in drawn.items() if len(vectors) >= MIN_ROWS}
        return cls(dict(counts), moments, Moments.of(np.concatenate(thinned)))

    def is_stale(self, counts: Mapping[str, int], share: float) -> bool:
        """Whether the rows of a language, or of all together, have changed by more than a share since the fit."""

        def changed(now: int, before: int) -> bool:
            return abs(now - before) > share * before

        pairs = [(counts.get(lang, 0), self.counts.get(lang, 0)) for lang in {*counts, *self.counts}]
        return changed(sum(counts.values()), sum(self.counts.values())) or any(
            changed(*pair) for pair in pairs if max(pair) >= MIN_ROWS
        )

    def scale(self, lang: str, queries: Vectors) -> tuple[Vectors, Vectors]:
        """Mean and standard deviation (above 0) of the scores of queries in a language, each float32, shape (queries,)."""
        mean, variance = self.moments.get(lang, self.together).score_moments(queries)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    def spreads(self, queries: Vectors) -> Vectors:
        """Standard deviation of the scores of queries over the index, float32, shape (queries,)."""
        return np.sqrt(self.together.score_moments(queries)[1])

    def as_json(self) -> dict[str, Any]:
        """As JSON-serialisable values."""
        return {
            "counts": dict(self.counts),
            "moments": {lang: moments.as_json() for lang, moments in self.moments.items()},
            "together": self.together.as_json(),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Calibration:
        """Read the result of `as_json`.

        Raises:
            SearchError: the stored calibration is damaged.

        """
        try:
            moments = {lang: Moments.from_json(value) for lang, value in kept["moments"].items()}
            return cls(dict(kept["counts"]), moments, Moments.from_json(kept["together"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SearchError(f"the index's calibration cannot be read ({error!r})") from error


def packed(values: Vectors) -> str:
    """Float32 values in base64."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def unpacked(text: str) -> npt.NDArray[np.float32]:
    """Read the result of `packed`; float32, shape (values,)."""
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float32)
