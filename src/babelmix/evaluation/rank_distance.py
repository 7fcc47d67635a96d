"""Rank distance and its relatives: how far apart the translations of an answer rank. Definitions: `babelmix.evaluation.bias`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from babelmix.corpus import IMAGE
from babelmix.evaluation.bias_metric import BiasValues, Floats
from babelmix.evaluation.chance import distance_by_chance
from babelmix.evaluation.language_shares import own_language
from babelmix.evaluation.ranks import RankTable


class _Spread(NamedTuple):
    """Queries with relevant passages in two languages or more.

    Args:
        query: query rows, int64, shape (rows,).
        ranks: rank of the best relevant passage in each language, NaN for none, float64, shape (rows, languages).
        counts: relevant passages in each language, int64, shape (rows, languages).
        best: the smallest of the ranks, float64, shape (rows,).
        worst: the largest of the ranks, float64, shape (rows,).

    """

    query: npt.NDArray[np.int64]
    ranks: Floats
    counts: npt.NDArray[np.int64]
    best: Floats
    worst: Floats


_spreads: WeakKeyDictionary[RankTable, _Spread] = WeakKeyDictionary()


def _spread(table: RankTable) -> _Spread:
    """The ranks by language, computed once per table. Eight metrics use them."""
    if table not in _spreads:
        query, best, counts = _best_rank_by_language(table)
        known = best >= 0
        several = known.sum(axis=1) >= 2
        ranks = np.where(known, best, np.nan)[several]
        low, high = (_reduced(function, ranks) for function in (np.nanmin, np.nanmax))
        _spreads[table] = _Spread(query[several], ranks, counts[several], low, high)
    return _spreads[table]


def _reduced(function: Callable[..., Floats], ranks: Floats) -> Floats:
    return function(ranks, axis=1) if len(ranks) else np.zeros(0)


def distance(table: RankTable) -> BiasValues:
    """Rank distance: the worst minus the best rank over languages."""
    found = _spread(table)
    return BiasValues(found.query, found.worst - found.best)


def log_distance(table: RankTable) -> BiasValues:
    """Log rank distance: log2 of the ratio of the worst rank to the best, both from 1."""
    found = _spread(table)
    return BiasValues(found.query, np.log2((found.worst + 1) / (found.best + 1)))


def relative_distance(table: RankTable) -> BiasValues:
    """Rank distance over the number of passages in the pool."""
    found = _spread(table)
    return BiasValues(found.query, (found.worst - found.best) / table.pools(found.query).sum(axis=1))


def distance_over_chance(table: RankTable) -> BiasValues:
    """Rank distance over its expected value in a shuffled pool."""
    found = _spread(table)
    if not len(found.query):
        return BiasValues(found.query, np.zeros(0))
    chance = distance_by_chance(found.counts, table.pools(found.query).sum(axis=1))
    return BiasValues(found.query, (found.worst - found.best) / chance)


def std(table: RankTable) -> BiasValues:
    """Population standard deviation of the best ranks over languages."""
    found = _spread(table)
    return BiasValues(found.query, _reduced(np.nanstd, found.ranks))


def variance(table: RankTable) -> BiasValues:
    """Population variance of the best ranks over languages."""
    found = _spread(table)
    return BiasValues(found.query, _reduced(np.nanvar, found.ranks))


def preference(table: RankTable) -> BiasValues:
    """The share of other languages whose best passage is outranked by the one in the query's language."""
    found = _spread(table)
    own = own_language(table)[table.query_lang[found.query]]
    has_own = np.flatnonzero(own >= 0)
    has_own = has_own[~np.isnan(found.ranks[has_own, own[has_own]])]
    ranks = found.ranks[has_own]
    rank_of_own = ranks[np.arange(len(ranks)), own[has_own]][:, None]
    others = (~np.isnan(ranks)).sum(axis=1) - 1
    return BiasValues(found.query[has_own], (rank_of_own < ranks).sum(axis=1) / others)


def _over_query_languages(table: RankTable, reduce: Callable[..., Floats]) -> BiasValues:
    nothing = BiasValues(np.zeros(0, dtype=np.int64), np.zeros(0), of_items=True)
    if table.passage_langs != (IMAGE,):
        return nothing
    passage, position = np.unique(table.pair_passage, return_inverse=True)
    ranks = np.full((len(passage), len(table.query_langs)), np.inf)
    np.minimum.at(ranks, (position, table.query_lang[table.pair_query]), table.rank_in_all())
    ranks[np.isinf(ranks)] = np.nan
    several = (~np.isnan(ranks)).sum(axis=1) >= 2
    if not several.any():
        return nothing
    first = np.full(len(passage), len(table.query_item), dtype=np.int64)
    np.minimum.at(first, position, table.pair_query)
    return BiasValues(first[several], reduce(ranks[several], axis=1), of_items=True)


def distance_over_query_languages(table: RankTable) -> BiasValues:
    """The distance between the ranks of one picture for queries in several languages."""
    return _over_query_languages(table, lambda ranks, axis: np.nanmax(ranks, axis=axis) - np.nanmin(ranks, axis=axis))


def std_over_query_languages(table: RankTable) -> BiasValues:
    """The standard deviation of the ranks of one picture over query languages."""
    return _over_query_languages(table, np.nanstd)


def variance_over_query_languages(table: RankTable) -> BiasValues:
    """The variance of the ranks of one picture over query languages."""
    return _over_query_languages(table, np.nanvar)


def _best_rank_by_language(
    table: RankTable,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For each query with a relevant passage: its row, and by language the best rank (-1: none) and the number of passages."""
    query, position = np.unique(table.pair_query, return_inverse=True)
    far = np.iinfo(np.int64).max
    best = np.full((len(query), len(table.passage_langs)), far, dtype=np.int64)
    np.minimum.at(best, (position, table.pair_lang), table.rank_in_all())
    counts = np.zeros_like(best)
    np.add.at(counts, (position, table.pair_lang), 1)
    return query, np.where(best == far, -1, best), counts


__all__ = [
    "distance", "distance_over_chance", "distance_over_query_languages", "log_distance", "preference", "relative_distance", "std",
    "std_over_query_languages", "variance", "variance_over_query_languages",
]  # fmt: skip
