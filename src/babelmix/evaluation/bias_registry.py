"""The registry of bias metrics; `babelmix.evaluation.bias` defines them in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from babelmix._registry import Registry
from babelmix.evaluation import rank_distance
from babelmix.evaluation.agreement import answer_overlap, rank_biased_overlap
from babelmix.evaluation.bias_metric import BiasMetric, BiasValues, Floats
from babelmix.evaluation.correlation import rank_correlation
from babelmix.evaluation.language_gain import GAIN, language_aware_ndcg
from babelmix.evaluation.language_shares import (
    languages_of_first,
    own_language,
    same_language_excess,
    same_language_share,
    share_of_pool,
)
from babelmix.evaluation.last_relevant import complete, max_at_r, normalised_max_at_r
from babelmix.evaluation.peer import official_peer, peer, untold_by_peer
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.recall_by_language import best_recall, cross_language_recall, same_language_recall
from babelmix.evaluation.relevant_ranks import UNKNOWN_LANGUAGES, relevant_ranks
from babelmix.evaluation.union_correlation import CUTOFFS, UNION_MRC
from babelmix.evaluation.who_wins import first_answer, own_version_wins

_SOURCE = "arXiv 2408.10536"
_MLAIRE = "ours, after arXiv 2605.07249"


def has_several_languages(table: RankTable) -> bool:
    """Whether the pool has passages in several languages."""
    return len(table.passage_langs) > 1


def _none(table: RankTable) -> Floats:
    return np.full(len(table.query_lang), np.nan)


def _of_ranks(function: Callable[..., Floats]) -> Callable[..., Floats]:
    """A metric of the relevant passages as a metric of a rank table. It has no value in a pool of one language."""

    def metric(table: RankTable, *cutoff: int, **option: float) -> Floats:
        return function(relevant_ranks(table), *cutoff, **option) if has_several_languages(table) else _none(table)

    return metric


def _pool(table: RankTable) -> npt.NDArray[np.int64]:
    return table.pools(np.arange(len(table.query_lang))).sum(axis=1)


def _normalised_max_at_r(table: RankTable) -> Floats:
    return normalised_max_at_r(relevant_ranks(table), _pool(table)) if has_several_languages(table) else _none(table)


def _complete(table: RankTable, k: int) -> Floats:
    return complete(relevant_ranks(table), k, _pool(table)) if has_several_languages(table) else _none(table)


def _official_peer(table: RankTable, k: int) -> Floats:
    found = relevant_ranks(table)
    return official_peer(found, k) if has_several_languages(table) and not untold_by_peer(found) else _none(table)


def _first_answer(table: RankTable, right: bool, language: Literal["same", "other"]) -> Floats:
    known = np.array([lang not in UNKNOWN_LANGUAGES for lang in table.query_langs])[table.query_lang]
    if not has_several_languages(table) or 1 not in table.cutoffs:
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

__all__ = ["BIAS_METRICS", "has_several_languages"]
