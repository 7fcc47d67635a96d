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
- `languages@k`: the number of languages among the first k answers.
- `answer overlap@k` and `rank-biased overlap`: whether a question in another language finds the same items, see
  `babelmix.evaluation.agreement`; 1 if the language of the question does not matter.

The last five need no labels, and `union MRC@k` needs none.

Measures of other publications, to compare with their tables. docs/measures.md says where the published programs differ:

- `TLR@k`, `same-language recall@k`, `cross-language recall@k`: see `babelmix.evaluation.recall_by_language`.
- `Max@R`, `normalised Max@R`, `Comp@k`: see `babelmix.evaluation.last_relevant`.
- `union MRC@k`: see `babelmix.evaluation.union_correlation`.
- `official PEER@k`: see `babelmix.evaluation.peer`.
- `own version wins`, `own version wins at rank 1`, the four cells of `first answer`: see `babelmix.evaluation.who_wins`.
- `language-aware nDCG@k`: see `babelmix.evaluation.language_gain`.

If the passages are pictures, each picture has queries in languages l = 1..L, and r_l is its rank for the best query in
language l. `rank distance over query languages`, `rank std over query languages` and `rank variance over query languages`
are defined as above, with one value per picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from babelmix._registry import OWN_PART
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation.bias_metric import Better, BiasMetric, BiasValues, Floats
from babelmix.evaluation.bias_registry import BIAS_METRICS, has_several_languages
from babelmix.evaluation.language_shares import crowding, language_shares, own_language
from babelmix.evaluation.peer import UNTOLD, untold_by_peer
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.relevant_ranks import relevant_ranks

_OPTION = re.compile(r"(?P<base>.+)\((?P<number>[0-9.]+)\)")


def parse_bias_metric(name: str) -> tuple[BiasMetric, int | None]:
    """The bias metric of a name such as `same-language share@10`, and its cut-off.

    A metric with an option takes it in parentheses: `language-aware nDCG(0.3)@10`.

    Raises:
        ConfigError: there is no such metric, or its option has no such value.

    Examples:
        >>> parse_bias_metric("TLR@20")[1]
        20

    """
    found = BIAS_METRICS.get(name)
    if found is not None and not found.per_cutoff:
        return found, None
    base, at, k = name.rpartition("@") if "@" in name else (name, "", "")
    found = BIAS_METRICS.get(base)
    if found is None and (option := _OPTION.fullmatch(base)) is not None:
        found = _with_option(BIAS_METRICS.get(option["base"]), base, option["number"])
    if found is None or found.per_cutoff != bool(at) or (at and (not k.isdecimal() or int(k) < 1)):
        there = ", ".join(f"{some}@K" if one.per_cutoff else some for some, one in BIAS_METRICS.items())
        raise ConfigError(f"there is no bias metric {name!r}; there are {there}; {OWN_PART}")
    return found, int(k) if at else None


def _with_option(metric: BiasMetric | None, name: str, number: str) -> BiasMetric | None:
    if metric is None or not metric.option:
        return None
    try:
        value = float(number)
    except ValueError:
        return None
    return replace(metric, title=name, function=partial(metric.function, **{metric.option: value}))


def default_names(table: RankTable) -> list[str]:
    """The names of the bias metrics that every audit computes, those with a cut-off last."""
    names = [name for name, metric in BIAS_METRICS.items() if not metric.per_cutoff]
    per_cutoff = [(name, metric) for name, metric in BIAS_METRICS.items() if metric.per_cutoff]
    for k in sorted({k for _, metric in per_cutoff for k in metric.cutoffs or table.cutoffs}):
        names += [f"{name}@{k}" for name, metric in per_cutoff if k in (metric.cutoffs or table.cutoffs)]
    return names


def per_query(table: RankTable, more: Sequence[str] = ()) -> dict[str, BiasValues]:
    """The values of every bias metric by name; a metric without any value is left out.

    Args:
        table: the rank table.
        more: further names, such as `TLR@50` or `language-aware nDCG(0.3)@10`.

    Raises:
        AuditError: the function of a metric returns another shape than it should, or the table does not know the first k.
        ConfigError: there is no such metric.

    """
    return values_of(table, [*default_names(table), *more])


def values_of(table: RankTable, names: Sequence[str]) -> dict[str, BiasValues]:
    """The values of some bias metrics, as `per_query` has those of all."""
    result: dict[str, BiasValues] = {}
    for name in dict.fromkeys(names):
        metric, k = parse_bias_metric(name)
        arguments = () if k is None else (k,)
        result[name] = _as_values(name, metric.function(table, *arguments), table)
    return {name: found for name, found in result.items() if len(found.query)}


def left_out(table: RankTable) -> dict[str, str]:
    """The bias metrics that do not suit the corpus, by name, each with the reason in one sentence."""
    judged = len(table.pair_query) > 0 and has_several_languages(table)
    return {"PEER": UNTOLD} if judged and untold_by_peer(relevant_ranks(table)) else {}


def ideal_value(table: RankTable, name: str) -> float | None:
    """The value that a bias metric has on this corpus for a system without language bias that finds every relevant passage.

    Args:
        table: the rank table of any system on the corpus.
        name: the name of the metric, without `bias/`.

    Returns:
        The macro-average of the ideal values; None if there is no such number.

    Raises:
        ConfigError: there is no such metric.

    """
    metric, k = parse_bias_metric(name)
    if not callable(metric.ideal):
        return metric.ideal
    values = metric.ideal(table) if k is None else metric.ideal(table, k)
    average = np.median if metric.aggregate == "median" else np.mean
    known = ~np.isnan(values)
    cells = [average(values[known & (table.query_lang == lang)]) for lang in np.unique(table.query_lang[known])]
    return float(np.mean(cells)) if cells else None


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


__all__ = [
    "BIAS_METRICS", "Better", "BiasMetric", "BiasValues", "crowding", "default_names", "ideal_value", "language_shares",
    "left_out", "own_language", "parse_bias_metric", "per_query", "values_of",
]  # fmt: skip
