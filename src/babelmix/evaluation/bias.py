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
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from babelmix._registry import Registry
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation import rank_distance
from babelmix.evaluation.agreement import answer_overlap, rank_biased_overlap
from babelmix.evaluation.bias_metric import Better, BiasMetric, BiasValues, Floats
from babelmix.evaluation.correlation import rank_correlation
from babelmix.evaluation.language_gain import GAIN, language_aware_ndcg
from babelmix.evaluation.language_shares import (
    crowding,
    language_shares,
    languages_of_first,
    own_language,
    same_language_excess,
    same_language_share,
    share_of_pool,
)
from babelmix.evaluation.last_relevant import complete, max_at_r, normalised_max_at_r
from babelmix.evaluation.peer import UNTOLD, official_peer, peer, untold_by_peer
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.recall_by_language import best_recall, cross_language_recall, same_language_recall
from babelmix.evaluation.relevant_ranks import UNKNOWN_LANGUAGES, relevant_ranks
from babelmix.evaluation.union_correlation import CUTOFFS, UNION_MRC
from babelmix.evaluation.who_wins import first_answer, own_version_wins

_SOURCE = "arXiv 2408.10536"
_MLAIRE = "ours, after arXiv 2605.07249"
_OPTION = re.compile(r"(?P<base>.+)\((?P<number>[0-9.]+)\)")


def parse_bias_metric(name: str) -> tuple[BiasMetric, int | None]:
    """The bias metric of a name such as `same-language share@10`, and its cut-off.

    A metric with an option takes it in parentheses: `language-aware nDCG(0.3)@10`.

    Raises:
        ConfigError: there is no such metric, or its option has no such value.

    Example:
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
        raise ConfigError(f"there is no bias metric {name!r}; there are {there}")
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
    result: dict[str, BiasValues] = {}
    for name in dict.fromkeys([*default_names(table), *more]):
        metric, k = parse_bias_metric(name)
        arguments = () if k is None else (k,)
        result[name] = _as_values(name, metric.function(table, *arguments), table)
    return {name: found for name, found in result.items() if len(found.query)}


def left_out(table: RankTable) -> dict[str, str]:
    """The bias metrics that do not suit the corpus, by name, each with the reason in one sentence."""
    judged = len(table.pair_query) > 0 and _several_languages(table)
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


def _several_languages(table: RankTable) -> bool:
    return len(table.passage_langs) > 1


def _none(table: RankTable) -> Floats:
    return np.full(len(table.query_lang), np.nan)


def _of_ranks(function: Callable[..., Floats]) -> Callable[..., Floats]:
    """A metric of the relevant passages as a metric of a rank table. It has no value in a pool of one language."""

    def metric(table: RankTable, *cutoff: int, **option: float) -> Floats:
        return function(relevant_ranks(table), *cutoff, **option) if _several_languages(table) else _none(table)

    return metric


def _pool(table: RankTable) -> npt.NDArray[np.int64]:
    return table.pools(np.arange(len(table.query_lang))).sum(axis=1)


def _normalised_max_at_r(table: RankTable) -> Floats:
    return normalised_max_at_r(relevant_ranks(table), _pool(table)) if _several_languages(table) else _none(table)


def _complete(table: RankTable, k: int) -> Floats:
    return complete(relevant_ranks(table), k, _pool(table)) if _several_languages(table) else _none(table)


def _official_peer(table: RankTable, k: int) -> Floats:
    found = relevant_ranks(table)
    return official_peer(found, k) if _several_languages(table) and not untold_by_peer(found) else _none(table)


def _first_answer(table: RankTable, right: bool, language: Literal["same", "other"]) -> Floats:
    known = np.array([lang not in UNKNOWN_LANGUAGES for lang in table.query_langs])[table.query_lang]
    if not _several_languages(table) or 1 not in table.cutoffs:
        return _none(table)
    first = table.top[:, table.cutoffs.index(1)]
    own = own_language(table)[table.query_lang]
    is_own = (own >= 0) & (first[np.arange(len(own)), own] > 0)
    return first_answer(relevant_ranks(table), is_own, known & (first.sum(axis=1) > 0), right, language)


def _saved(name: str) -> Callable[[RankTable, int], Floats]:
    """A metric whose values were computed from scores, and are kept in the table."""
    return lambda table, k: table.values.get(f"{name}@{k}", _none(table))


def _languages(table: RankTable) -> Floats:
    """The number of languages with a relevant passage, NaN below two, shape (queries,)."""
    found = relevant_ranks(table).languages().astype(np.float64)
    return np.where(found > 1, found, np.nan)


def _relevant_passages(table: RankTable) -> Floats:
    """The number of relevant passages, NaN for none, shape (queries,)."""
    found = np.bincount(table.pair_query, minlength=len(table.query_lang)).astype(np.float64)
    return np.where(found > 0, found, np.nan)


_DISTANCE, _FIRST = "Ranks of the translations of an answer", "Languages of the first answers"
_RECALL, _WINS, _TEST = "Recall by language", "Which version wins", "Tests of equal ranks"
_AGREEMENT = "Answers to the same question in other languages"
_L1 = "languages - 1"
_OF_L = "1 / languages"
_SHARE = "share of the pool"


BIAS_METRICS: Registry[BiasMetric] = Registry(
    "bias metric",
    {
        "rank distance": BiasMetric(
            rank_distance.distance,
            "lower",
            short="rank dist.",
            format="rank",
            source=_SOURCE,
            group=_DISTANCE,
            ideal=lambda table: _languages(table) - 1,
            ideal_words=_L1,
        ),
        "median rank distance": BiasMetric(
            rank_distance.distance,
            "lower",
            aggregate="median",
            source=_SOURCE,
            group=_DISTANCE,
            ideal=lambda table: _languages(table) - 1,
            ideal_words=_L1,
        ),
        "log rank distance": BiasMetric(
            rank_distance.log_distance,
            "lower",
            group=_DISTANCE,
            ideal=lambda table: np.log2(_languages(table)),
            ideal_words="log2 of languages",
        ),
        "relative rank distance": BiasMetric(
            rank_distance.relative_distance, "lower", group=_DISTANCE, ideal=0.0, ideal_words="near 0"
        ),
        "rank distance over chance": BiasMetric(
            rank_distance.distance_over_chance,
            "lower",
            format="rank",
            group=_DISTANCE,
            ideal=0.0,
            ideal_words="near 0; 1 is chance",
        ),
        "rank std": BiasMetric(
            rank_distance.std,
            "lower",
            format="rank",
            source="arXiv 2406.18254, as its code prints MRV",
            group=_DISTANCE,
            ideal_words="small",
        ),
        "rank variance": BiasMetric(
            rank_distance.variance,
            "lower",
            format="rank",
            source="arXiv 2406.18254, MRV",
            group=_DISTANCE,
            ideal_words="small",
        ),
        "Max@R": BiasMetric(
            _of_ranks(max_at_r),
            "lower",
            format="rank",
            source="arXiv 2604.05684",
            group=_DISTANCE,
            ideal=lambda table: _relevant_passages(table),
            ideal_words="relevant passages",
        ),
        "normalised Max@R": BiasMetric(
            _normalised_max_at_r, "higher", source="arXiv 2604.05684, over 100", group=_DISTANCE, ideal=1.0
        ),
        "same-language preference": BiasMetric(rank_distance.preference, None, group=_WINS, ideal=0.5),
        "own version wins": BiasMetric(
            _of_ranks(own_version_wins),
            None,
            source=_MLAIRE,
            group=_WINS,
            ideal=lambda table: 1 / _languages(table),
            ideal_words=_OF_L,
        ),
        "own version wins at rank 1": BiasMetric(
            _of_ranks(partial(own_version_wins, only_at_rank_1=True)),
            None,
            source=_MLAIRE,
            group=_WINS,
            ideal=lambda table: 1 / _languages(table),
            ideal_words=_OF_L,
        ),
        "first answer right same-language": BiasMetric(
            partial(_first_answer, right=True, language="same"),
            None,
            title="first answer: right, same language",
            source=_MLAIRE,
            group=_WINS,
            ideal=lambda table: 1 / _languages(table),
            ideal_words=_OF_L,
        ),
        "first answer right other-language": BiasMetric(
            partial(_first_answer, right=True, language="other"),
            None,
            title="first answer: right, other language",
            source=_MLAIRE,
            group=_WINS,
            ideal=lambda table: 1 - 1 / _languages(table),
            ideal_words="1 - 1 / languages",
        ),
        "first answer wrong same-language": BiasMetric(
            partial(_first_answer, right=False, language="same"),
            "lower",
            title="first answer: wrong, same language",
            source=_MLAIRE,
            group=_WINS,
            ideal=0.0,
        ),
        "first answer wrong other-language": BiasMetric(
            partial(_first_answer, right=False, language="other"),
            "lower",
            title="first answer: wrong, other language",
            source=_MLAIRE,
            group=_WINS,
            ideal=0.0,
        ),
        "mean rank correlation": BiasMetric(
            lambda table: BiasValues(*rank_correlation(table)),
            "higher",
            source="after arXiv 2509.06195",
            group=_DISTANCE,
            ideal=1.0,
        ),
        "PEER": BiasMetric(
            lambda table: BiasValues(*peer(table)),
            "higher",
            source="arXiv 2405.00978",
            group=_TEST,
            ideal_words="0.5 by chance",
        ),
        "PEER by group": BiasMetric(
            lambda table: BiasValues(*peer(table, by_group=True)),
            "higher",
            source="after arXiv 2405.00978",
            group=_TEST,
            ideal_words="0.5 by chance",
        ),
        "rank distance over query languages": BiasMetric(
            rank_distance.distance_over_query_languages,
            "lower",
            short="rank dist.",
            format="rank",
            group=_DISTANCE,
            ideal=0.0,
        ),
        "rank std over query languages": BiasMetric(
            rank_distance.std_over_query_languages,
            "lower",
            format="rank",
            source="arXiv 2406.18254, as its code prints MRV",
            group=_DISTANCE,
            ideal=0.0,
        ),
        "rank variance over query languages": BiasMetric(
            rank_distance.variance_over_query_languages,
            "lower",
            format="rank",
            source="arXiv 2406.18254, MRV",
            group=_DISTANCE,
            ideal=0.0,
        ),
        "same-language share": BiasMetric(
            same_language_share,
            None,
            short="own lang.",
            per_cutoff=True,
            group=_FIRST,
            ideal=share_of_pool,
            ideal_words=_SHARE,
        ),
        "same-language excess": BiasMetric(same_language_excess, None, per_cutoff=True, group=_FIRST, ideal=1.0),
        "languages": BiasMetric(languages_of_first, "higher", per_cutoff=True, group=_FIRST, ideal_words="many"),
        "answer overlap": BiasMetric(
            lambda table, k: BiasValues(*answer_overlap(table, k)),
            "higher",
            short="overlap",
            per_cutoff=True,
            cutoffs=(1, 10),
            group=_AGREEMENT,
            ideal=1.0,
        ),
        "rank-biased overlap": BiasMetric(
            lambda table: BiasValues(*rank_biased_overlap(table)),
            "higher",
            source="Webber, Moffat and Zobel 2010",
            group=_AGREEMENT,
            ideal=1.0,
        ),
        "TLR": BiasMetric(
            _of_ranks(cross_language_recall),
            "higher",
            per_cutoff=True,
            source="SHIFT, arXiv 2606.18801",
            group=_RECALL,
            ideal=_of_ranks(partial(best_recall, same=False)),
            ideal_words="1",
        ),
        "same-language recall": BiasMetric(
            _of_ranks(same_language_recall),
            "higher",
            per_cutoff=True,
            cutoffs=(10,),
            source="Qdrant on SHIFT",
            group=_RECALL,
            ideal=_of_ranks(partial(best_recall, same=True)),
            ideal_words="1",
        ),
        "cross-language recall": BiasMetric(
            _of_ranks(cross_language_recall),
            "higher",
            per_cutoff=True,
            cutoffs=(10,),
            source="Qdrant on SHIFT",
            group=_RECALL,
            ideal=_of_ranks(partial(best_recall, same=False)),
            ideal_words="1",
        ),
        "Comp": BiasMetric(
            _complete, "higher", per_cutoff=True, cutoffs=(10, 20), source="arXiv 2604.05684", group=_RECALL, ideal=1.0
        ),
        "language-aware nDCG": BiasMetric(
            _of_ranks(language_aware_ndcg),
            "higher",
            title=f"language-aware nDCG({GAIN:g})",
            per_cutoff=True,
            cutoffs=(10,),
            source=_MLAIRE,
            group=_WINS,
            ideal=1.0,
            option="gain",
        ),
        "official PEER": BiasMetric(
            _official_peer,
            "higher",
            per_cutoff=True,
            cutoffs=(20, 100),
            source="peer_measure, arXiv 2405.00978",
            group=_TEST,
            ideal_words="1 if ranks are equal",
        ),
        UNION_MRC: BiasMetric(
            _saved(UNION_MRC),
            "higher",
            per_cutoff=True,
            cutoffs=CUTOFFS,
            source="MIMO, after arXiv 2509.06195",
            group=_DISTANCE,
            ideal=1.0,
        ),
    },
)
"""The bias metrics of a rank table by name, without the cut-off."""

__all__ = [
    "BIAS_METRICS", "Better", "BiasMetric", "BiasValues", "crowding", "default_names", "ideal_value", "language_shares",
    "left_out", "own_language", "parse_bias_metric", "per_query",
]  # fmt: skip
