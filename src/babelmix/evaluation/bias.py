"""Language bias: how far apart a model ranks the same answer in different languages, and which languages crowd in."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from babelmix.corpus import IMAGE
from babelmix.errors import ConfigError
from babelmix.evaluation.chance import distance_by_chance
from babelmix.evaluation.correlation import rank_correlation
from babelmix.evaluation.peer import peer
from babelmix.evaluation.ranks import RankTable

_LOWER_IS_BETTER: dict[str, bool | None] = {
    "rank distance": True, "median rank distance": True, "log rank distance": True, "relative rank distance": True,
    "rank distance over chance": True, "rank std": True, "rank variance": True, "mean rank correlation": False,
    "PEER": False, "PEER by group": False, "same-language preference": None, "rank distance over query languages": True,
    "rank std over query languages": True, "rank variance over query languages": True,
}  # fmt: skip
_OF_FIRST = ("same-language share", "same-language excess")


def lower_is_better(name: str) -> bool | None:
    """Whether less of a bias metric is better; None where neither is.

    Raises:
        ConfigError: there is no such metric.

    """
    of_first, _, k = name.rpartition("@")
    if of_first in _OF_FIRST and k.isdecimal():
        return None
    if name not in _LOWER_IS_BETTER:
        there = ", ".join([*_LOWER_IS_BETTER, *(f"{some}@K" for some in _OF_FIRST)])
        raise ConfigError(f"there is no bias metric {name!r}; there are {there}")
    return _LOWER_IS_BETTER[name]


class BiasValues(NamedTuple):
    """A bias metric with one value a query.

    Args:
        query: query rows, int64, shape (values,).
        values: float64, shape (values,).
        aggregate: how the values of a language are put together, `mean` or `median`.
        of_items: whether a value is of an item looked for in several languages, and so of no query language; `query` is
            then any of its queries.

    """

    query: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    aggregate: Literal["mean", "median"] = "mean"
    of_items: bool = False


def per_query(table: RankTable) -> dict[str, BiasValues]:
    """Bias metrics with one value a query, by name.

    The metrics, for a query with relevant passages in languages l = 1..L, L >= 2, and r_l the rank in the pool of all
    languages of the best relevant passage in language l:

    - `rank distance`: max_l r_l - min_l r_l (arXiv 2408.10536, footnotes 5 and 6, after Huang et al. 2023). Best is
      L - 1. Unbounded by any top-k; a model that ranks everything equally low scores well, so read it beside mAP.
    - `median rank distance`: the same, with the median over the queries of a language in place of the mean: a few
      queries that find nothing decide the mean.
    - `log rank distance`: log2 of (max_l r_l + 1) / (min_l r_l + 1), ranks from 0: how often the list must be doubled to get
      from the best to the worst. Best is log2 L.
    - `relative rank distance`: rank distance over the number of passages in the pool, so that pools of different sizes
      can be compared.
    - `rank distance over chance`: rank distance over the distance that the same relevant passages have on average in a
      shuffled pool (`babelmix.evaluation.chance`): 1 for a ranking by chance, whatever the languages and the pool.
    - `rank std`: population standard deviation of r_l. The CCRK code prints it under the name Mean Rank Variance.
    - `rank variance`: population variance of r_l (arXiv 2406.18254's MRV as named).
    - `mean rank correlation`: see `babelmix.evaluation.correlation`; 1 if the language of the question does not matter.
    - `PEER`, and `PEER by group` for parallel corpora: see `babelmix.evaluation.peer`; near 0 where languages lie apart.
    - `same-language preference`: the share of other languages whose best relevant passage is outranked by the one in
      the query's own language; 0.5 is no preference. Queries without a relevant passage in their own language have none.
    - `same-language share@k`: the share of the first k answers that are in the query's language.
    - `same-language excess@k`: that share over the share of that language in the pool; 1 is no preference.

    Where passages are pictures, a picture has queries in languages l = 1..L instead, and r_l is its rank for the best of
    those in language l: `rank distance over query languages`, `rank std ...` and `rank variance ...` are as above, one value
    a picture (Mean Rank Variance of arXiv 2406.18254 as its code prints it, and as it is named).

    """
    result: dict[str, BiasValues] = {}
    query, ranks, counts = _best_rank_by_language(table)
    known = ranks >= 0
    several = known.sum(axis=1) >= 2
    spread, rows = np.where(known, ranks, np.nan)[several], query[several]
    if len(rows):
        worst, best = np.nanmax(spread, axis=1), np.nanmin(spread, axis=1)
        result["rank distance"] = BiasValues(rows, worst - best)
        result["median rank distance"] = BiasValues(rows, worst - best, "median")
        result["log rank distance"] = BiasValues(rows, np.log2((worst + 1) / (best + 1)))
        pool = table.pools(rows).sum(axis=1)
        result["relative rank distance"] = BiasValues(rows, (worst - best) / pool)
        chance = distance_by_chance(counts[several], pool)
        result["rank distance over chance"] = BiasValues(rows, (worst - best) / chance)
        result["rank std"] = BiasValues(rows, np.nanstd(spread, axis=1))
        result["rank variance"] = BiasValues(rows, np.nanvar(spread, axis=1))
        own = own_language(table)[table.query_lang[rows]]
        has_own = (own >= 0) & known[several][np.arange(len(rows)), own]
        if has_own.any():
            mine = spread[has_own]
            rank_of_own = mine[np.arange(len(mine)), own[has_own]][:, None]
            others = (~np.isnan(mine)).sum(axis=1) - 1
            preference = (rank_of_own < mine).sum(axis=1) / others
            result["same-language preference"] = BiasValues(rows[has_own], preference)
    for name, (found, values) in {
        "mean rank correlation": rank_correlation(table),
        "PEER": peer(table),
        "PEER by group": peer(table, by_group=True),
    }.items():
        if len(found):
            result[name] = BiasValues(found, values)
    if table.passage_langs == (IMAGE,):
        result |= _over_query_languages(table)
    own = own_language(table)[table.query_lang]
    # A query whose whole pool is excluded has no first answers.
    present = np.flatnonzero((own >= 0) & (table.top[:, 0].sum(axis=1) > 0))
    pools = table.pools(present)
    pool_share = pools[np.arange(len(present)), own[present]] / pools.sum(axis=1)
    for c, k in enumerate(table.cutoffs):
        counted = table.top[present, c]
        if len(present):
            share = counted[np.arange(len(present)), own[present]] / counted.sum(axis=1)
            result[f"same-language share@{k}"] = BiasValues(present, share)
            in_pool = pool_share > 0
            result[f"same-language excess@{k}"] = BiasValues(present[in_pool], share[in_pool] / pool_share[in_pool])
    return result


def _over_query_languages(table: RankTable) -> dict[str, BiasValues]:
    passage, position = np.unique(table.pair_passage, return_inverse=True)
    ranks = np.full((len(passage), len(table.query_langs)), np.inf)
    np.minimum.at(ranks, (position, table.query_lang[table.pair_query]), table.rank_in_all())
    ranks[np.isinf(ranks)] = np.nan
    several = (~np.isnan(ranks)).sum(axis=1) >= 2
    if not several.any():
        return {}
    first = np.full(len(passage), len(table.query_item), dtype=np.int64)
    np.minimum.at(first, position, table.pair_query)
    spread, query = ranks[several], first[several]
    values = {
        "rank distance": np.nanmax(spread, axis=1) - np.nanmin(spread, axis=1),
        "rank std": np.nanstd(spread, axis=1),
        "rank variance": np.nanvar(spread, axis=1),
    }
    return {f"{name} over query languages": BiasValues(query, v, of_items=True) for name, v in values.items()}


def own_language(table: RankTable) -> npt.NDArray[np.int64]:
    """For each query language its index among the passage languages, -1 if it is not there: shape (query languages,)."""
    index = {lang: i for i, lang in enumerate(table.passage_langs)}
    return np.array([index.get(lang, -1) for lang in table.query_langs], dtype=np.int64)


def _best_rank_by_language(
    table: RankTable,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Queries with a relevant passage, per language its best rank in the whole pool, -1 if none, and how many there are."""
    query, position = np.unique(table.pair_query, return_inverse=True)
    far = np.iinfo(np.int64).max
    best = np.full((len(query), len(table.passage_langs)), far, dtype=np.int64)
    np.minimum.at(best, (position, table.pair_lang), table.rank_in_all())
    counts = np.zeros_like(best)
    np.add.at(counts, (position, table.pair_lang), 1)
    return query, np.where(best == far, -1, best), counts


def language_shares(table: RankTable, k: int) -> npt.NDArray[np.float64]:
    """Share of each passage language among the first k answers, by query language.

    Returns:
        float64, shape (query languages, passage languages); rows sum to 1, or to 0 where no query has an answer.

    """
    counts = np.zeros((len(table.query_langs), len(table.passage_langs)))
    np.add.at(counts, table.query_lang, table.top[:, table.cutoffs.index(k)])
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def crowding(table: RankTable) -> npt.NDArray[np.float64]:
    """The crowding matrix: how many passages of a language stand above a relevant passage, on average.

    Returns:
        float64, shape (query languages, relevant languages, crowding languages); NaN where a query language has no
        relevant passage in a language. `[a, b, c]` is read: "queries in a, looking for their answer in b, find this many
        passages in c before it".

    """
    shape = (len(table.query_langs), len(table.passage_langs), len(table.passage_langs))
    sums, counts = np.zeros(shape), np.zeros(shape[:2])
    at = (table.query_lang[table.pair_query], table.pair_lang)
    np.add.at(sums, at, table.above)
    np.add.at(counts, at, 1)
    with np.errstate(invalid="ignore"):
        return sums / counts[:, :, None]
