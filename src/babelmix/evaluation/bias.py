"""Language bias: how differently a model ranks the same answer in different languages, and which languages it prefers.

`BIAS_METRICS` holds the bias metrics of a rank table; `babelmix.extend.bias_metric` adds one. The definitions, for a query
with relevant passages in languages l = 1..L, L >= 2, and r_l the rank in the pool of all languages of the best relevant
passage in language l:

- `rank distance`: max_l r_l - min_l r_l (arXiv 2408.10536, footnotes 5 and 6, after Huang et al. 2023). The best value is
  L - 1. No top-k bounds it. A model that ranks everything equally low scores well, so read it beside mAP.
- `median rank distance`: the same values, aggregated by the median over the queries of a language. The mean can depend
  mostly on a few queries with very large distances; the median does not.
- `log rank distance`: log2 of (max_l r_l + 1) / (min_l r_l + 1), with ranks from 0. It is the number of times that a list
  which ends at the best rank must be doubled to reach the worst rank. The best value is log2 L.
- `relative rank distance`: rank distance over the number of passages in the pool, to compare pools of different sizes.
- `rank distance over chance`: rank distance over the distance that the same relevant passages have on average in a
  shuffled pool (`babelmix.evaluation.chance`): 1 for a ranking by chance, whatever the languages and the pool.
- `rank std`: population standard deviation of r_l. The code of CCRK (arXiv 2406.18254) prints it as Mean Rank Variance (MRV).
- `rank variance`: population variance of r_l, which is what the name Mean Rank Variance says.
- `mean rank correlation`: see `babelmix.evaluation.correlation`; 1 if the language of the question does not matter.
- `PEER`, and `PEER by group` for parallel corpora: see `babelmix.evaluation.peer`; near 0 if passages in some languages
  rank before those in others.
- `same-language preference`: the share of other languages whose best relevant passage is outranked by the one in the
  query's own language; 0.5 is no preference. Queries without a relevant passage in their own language have no value.
- `same-language share@k`: the share of the first k answers that are in the query's language.
- `same-language excess@k`: the same-language share@k divided by the share of the language in the pool; 1 is no preference.

If the passages are pictures, each picture has queries in languages l = 1..L, and r_l is its rank for the best query in
language l. `rank distance over query languages`, `rank std over query languages` and `rank variance over query languages`
are defined as above, with one value per picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from babelmix._registry import Registry
from babelmix.corpus import IMAGE
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation.chance import distance_by_chance
from babelmix.evaluation.correlation import rank_correlation
from babelmix.evaluation.peer import peer
from babelmix.evaluation.ranks import RankTable

Floats = npt.NDArray[np.float64]
Better = Literal["higher", "lower"] | None
"""Which values of a measure are better; None: neither."""

_SOURCE = "arXiv 2408.10536"


class BiasValues(NamedTuple):
    """The values of a bias metric.

    Args:
        query: query rows, int64, shape (values,).
        values: float64, shape (values,).
        of_items: whether each value belongs to an item, not to a query: queries in several languages look for the item. `query`
            is then one of these queries.

    """

    query: npt.NDArray[np.int64]
    values: Floats
    of_items: bool = False


@dataclass(frozen=True)
class BiasMetric:
    """A bias metric of a rank table.

    Args:
        function: takes the rank table, and the cut-off if `per_cutoff`. Returns a value per query row, float64, shape
            (queries,), NaN where a query has none; or `BiasValues`.
        better: which values are better: `"higher"`, `"lower"` or None.
        title: the name in reports, before `@k`; empty: the name it is registered under.
        short: the column head on a terminal; empty: the title.
        aggregate: how the values of a language are combined: by their `"mean"` or by their `"median"`.
        per_cutoff: whether there is one measure `NAME@k` for each cut-off k of the rank table.
        format: `"rank"` for a number of places in a list, `"score"` for everything else.
        source: the paper or the program that defines it.

    """

    function: Callable[..., BiasValues | Floats]
    better: Better
    title: str = ""
    short: str = ""
    aggregate: Literal["mean", "median"] = "mean"
    per_cutoff: bool = False
    format: Literal["score", "rank"] = "score"
    source: str = ""


def parse_bias_metric(name: str) -> tuple[BiasMetric, int | None]:
    """The bias metric of a name such as `same-language share@10`, and its cut-off.

    Raises:
        ConfigError: there is no such metric.

    """
    base, at, k = name.rpartition("@") if "@" in name else (name, "", "")
    found = BIAS_METRICS.get(base)
    if found is None or found.per_cutoff != bool(at) or (at and not k.isdecimal()):
        there = ", ".join(f"{some}@K" if one.per_cutoff else some for some, one in BIAS_METRICS.items())
        raise ConfigError(f"there is no bias metric {name!r}; there are {there}")
    return found, int(k) if at else None


def per_query(table: RankTable) -> dict[str, BiasValues]:
    """The values of every bias metric by name; a metric without any value is left out.

    Raises:
        AuditError: the function of a metric returns another shape than it should.

    """
    result: dict[str, BiasValues] = {}
    once = {name: metric for name, metric in BIAS_METRICS.items() if not metric.per_cutoff}
    for name, metric in once.items():
        result[name] = _as_values(name, metric.function(table), table)
    for k in table.cutoffs:
        for name, metric in BIAS_METRICS.items():
            if metric.per_cutoff:
                result[f"{name}@{k}"] = _as_values(name, metric.function(table, k), table)
    return {name: found for name, found in result.items() if len(found.query)}


def _as_values(name: str, found: BiasValues | Floats, table: RankTable) -> BiasValues:
    if isinstance(found, BiasValues):
        return found
    values = np.asarray(found, dtype=np.float64)
    queries = len(table.query_lang)
    if values.shape != (queries,):
        raise AuditError(
            f"the bias metric {name!r} returned values of shape {values.shape} for {queries} queries; return one value per "
            "query, NaN for a query that has none"
        )
    known = np.flatnonzero(~np.isnan(values))
    return BiasValues(known, values[known])


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


def _distance(table: RankTable) -> BiasValues:
    found = _spread(table)
    return BiasValues(found.query, found.worst - found.best)


def _log_distance(table: RankTable) -> BiasValues:
    found = _spread(table)
    return BiasValues(found.query, np.log2((found.worst + 1) / (found.best + 1)))


def _relative_distance(table: RankTable) -> BiasValues:
    found = _spread(table)
    return BiasValues(found.query, (found.worst - found.best) / table.pools(found.query).sum(axis=1))


def _distance_over_chance(table: RankTable) -> BiasValues:
    found = _spread(table)
    if not len(found.query):
        return BiasValues(found.query, np.zeros(0))
    chance = distance_by_chance(found.counts, table.pools(found.query).sum(axis=1))
    return BiasValues(found.query, (found.worst - found.best) / chance)


def _std(table: RankTable) -> BiasValues:
    found = _spread(table)
    return BiasValues(found.query, _reduced(np.nanstd, found.ranks))


def _variance(table: RankTable) -> BiasValues:
    found = _spread(table)
    return BiasValues(found.query, _reduced(np.nanvar, found.ranks))


def _preference(table: RankTable) -> BiasValues:
    found = _spread(table)
    own = own_language(table)[table.query_lang[found.query]]
    has_own = np.flatnonzero(own >= 0)
    has_own = has_own[~np.isnan(found.ranks[has_own, own[has_own]])]
    ranks = found.ranks[has_own]
    rank_of_own = ranks[np.arange(len(ranks)), own[has_own]][:, None]
    others = (~np.isnan(ranks)).sum(axis=1) - 1
    return BiasValues(found.query[has_own], (rank_of_own < ranks).sum(axis=1) / others)


def _same_language_share(table: RankTable, k: int) -> BiasValues:
    own = own_language(table)[table.query_lang]
    # A query whose whole pool is excluded has no first answers.
    present = np.flatnonzero((own >= 0) & (table.top[:, 0].sum(axis=1) > 0))
    counted = table.top[present, table.cutoffs.index(k)]
    return BiasValues(present, counted[np.arange(len(present)), own[present]] / counted.sum(axis=1))


def _same_language_excess(table: RankTable, k: int) -> BiasValues:
    query, share, _ = _same_language_share(table, k)
    pools = table.pools(query)
    own = own_language(table)[table.query_lang[query]]
    in_pool_share = pools[np.arange(len(query)), own] / pools.sum(axis=1)
    known = in_pool_share > 0
    return BiasValues(query[known], share[known] / in_pool_share[known])


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


def _distance_over_query_languages(table: RankTable) -> BiasValues:
    return _over_query_languages(table, lambda ranks, axis: np.nanmax(ranks, axis=axis) - np.nanmin(ranks, axis=axis))


def _std_over_query_languages(table: RankTable) -> BiasValues:
    return _over_query_languages(table, np.nanstd)


def _variance_over_query_languages(table: RankTable) -> BiasValues:
    return _over_query_languages(table, np.nanvar)


BIAS_METRICS: Registry[BiasMetric] = Registry(
    "bias metric",
    {
        "rank distance": BiasMetric(_distance, "lower", short="rank dist.", format="rank", source=_SOURCE),
        "median rank distance": BiasMetric(_distance, "lower", aggregate="median", source=_SOURCE),
        "log rank distance": BiasMetric(_log_distance, "lower"),
        "relative rank distance": BiasMetric(_relative_distance, "lower"),
        "rank distance over chance": BiasMetric(_distance_over_chance, "lower", format="rank"),
        "rank std": BiasMetric(_std, "lower", format="rank", source="arXiv 2406.18254, as its code prints MRV"),
        "rank variance": BiasMetric(_variance, "lower", format="rank", source="arXiv 2406.18254, MRV"),
        "same-language preference": BiasMetric(_preference, None),
        "mean rank correlation": BiasMetric(
            lambda table: BiasValues(*rank_correlation(table)), "higher", source="after arXiv 2509.06195"
        ),
        "PEER": BiasMetric(lambda table: BiasValues(*peer(table)), "higher", source="arXiv 2405.00978"),
        "PEER by group": BiasMetric(
            lambda table: BiasValues(*peer(table, by_group=True)), "higher", source="after arXiv 2405.00978"
        ),
        "rank distance over query languages": BiasMetric(
            _distance_over_query_languages, "lower", short="rank dist.", format="rank"
        ),
        "rank std over query languages": BiasMetric(
            _std_over_query_languages, "lower", format="rank", source="arXiv 2406.18254, as its code prints MRV"
        ),
        "rank variance over query languages": BiasMetric(
            _variance_over_query_languages, "lower", format="rank", source="arXiv 2406.18254, MRV"
        ),
        "same-language share": BiasMetric(_same_language_share, None, short="own lang.", per_cutoff=True),
        "same-language excess": BiasMetric(_same_language_excess, None, per_cutoff=True),
    },
)
"""The bias metrics of a rank table by name, without the cut-off."""


def own_language(table: RankTable) -> npt.NDArray[np.int64]:
    """The index of each query language among the passage languages, -1 if it is none; shape (query languages,)."""
    index = {lang: i for i, lang in enumerate(table.passage_langs)}
    return np.array([index.get(lang, -1) for lang in table.query_langs], dtype=np.int64)


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


def language_shares(table: RankTable, k: int) -> npt.NDArray[np.float64]:
    """The share of each passage language in the first k answers, by query language.

    Args:
        table: the rank table.
        k: one of the table's `cutoffs`.

    Returns:
        float64, shape (query languages, passage languages); rows sum to 1, or to 0 if no query has an answer.

    """
    counts = np.zeros((len(table.query_langs), len(table.passage_langs)))
    np.add.at(counts, table.query_lang, table.top[:, table.cutoffs.index(k)])
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def crowding(table: RankTable) -> npt.NDArray[np.float64]:
    """The crowding matrix: the mean number of passages of a language that outrank a relevant passage.

    Args:
        table: the rank table.

    Returns:
        float64, shape (query languages, relevant languages, crowding languages). Entry `[a, b, c]` is for queries in a and
        relevant passages in b: the mean number of passages in c that rank before the relevant passage. NaN if no query in a
        has a relevant passage in b.

    """
    shape = (len(table.query_langs), len(table.passage_langs), len(table.passage_langs))
    sums, counts = np.zeros(shape), np.zeros(shape[:2])
    at = (table.query_lang[table.pair_query], table.pair_lang)
    np.add.at(sums, at, table.outranking_counts)
    np.add.at(counts, at, 1)
    with np.errstate(invalid="ignore"):
        return sums / counts[:, :, None]
