"""Scores of a query that are changed language by language before passages of all languages are compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix.search.calibration import Moments

Floats = npt.NDArray[np.float32]

Adjust = Callable[[Floats, Floats], Callable[[Floats, Floats], tuple[Floats, Floats]]]
"""From the passages of one language, to a function of queries and their scores with these passages, shape (queries, passages): it
returns what is subtracted and what is divided by, each of the shape (queries,)."""

BLOCK = 256
"""Queries whose scores are computed at once."""


def balanced(passages: Floats) -> Callable[[Floats, Floats], tuple[Floats, Floats]]:
    """The policy `balanced`: mean and standard deviation of a query's scores, from the moments of the passages."""
    moments = Moments.of(passages)

    def of(queries: Floats, scores: Floats) -> tuple[Floats, Floats]:
        del scores
        mean, variance = moments.score_moments(queries)
        return mean, np.sqrt(np.maximum(variance, 1e-12))

    return of


def adaptive(passages: Floats, top: int = 10) -> Callable[[Floats, Floats], tuple[Floats, Floats]]:
    """Mean of the query's largest scores in the language, which a search of the language returns anyway.

    Source: adaptive T-norm, Sturim and Reynolds, ICASSP 2005.
    """
    del passages

    def of(queries: Floats, scores: Floats) -> tuple[Floats, Floats]:
        del queries
        some = min(top, scores.shape[1])
        best = np.partition(scores, scores.shape[1] - some, axis=1)[:, -some:]
        return best.mean(axis=1), np.ones(len(scores), dtype=np.float32)

    return of


def adjusted(base: Any, queries: Floats, passages: Floats, langs: list[str], adjust: Any, own: float = 0.0) -> Any:
    """A rank table whose ranks are those of adjusted scores.

    Args:
        base: the rank table of the same corpus; what does not depend on scores is taken from it.
        queries: float32, shape (queries, dimension).
        passages: float32, shape (passages, dimension).
        langs: the language of each passage.
        adjust: see `Adjust`.
        own: what is added to the scores of passages in the query's language.

    Returns:
        The rank table. The languages of its first answers are those of `base`, so language shares cannot be read from it.

    """
    names = np.array(langs)
    rows = [np.flatnonzero(names == lang) for lang in base.passage_langs]
    parts = [np.ascontiguousarray(passages[mine]) for mine in rows]
    change = [adjust(part) for part in parts]
    place = np.zeros(len(names), dtype=np.int64)
    for mine in rows:
        place[mine] = np.arange(len(mine))
    counts = np.zeros_like(base.outranking_counts)
    numbers = {lang: n for n, lang in enumerate(base.passage_langs)}
    asked = np.array([numbers.get(lang, -1) for lang in base.query_langs])[base.query_lang]
    for start in range(0, len(queries), BLOCK):
        some = queries[start : start + BLOCK]
        scores = []
        for part, of in zip(parts, change, strict=True):
            plain = some @ part.T
            offset, scale = of(some, plain)
            scores.append((plain - offset[:, None]) / scale[:, None])
            if own:
                scores[-1] += own * (asked[start : start + BLOCK] == len(scores) - 1)[:, None]
        low, high = np.searchsorted(base.pair_query, [start, start + len(some)])
        for pair in range(low, high):
            query = base.pair_query[pair] - start
            right = scores[base.pair_lang[pair]][query, place[base.pair_passage[pair]]]
            counts[pair] = [np.count_nonzero(score[query] > right) for score in scores]
    return replace(base, outranking_counts=counts)


__all__ = ["Adjust", "adaptive", "adjusted", "balanced"]
