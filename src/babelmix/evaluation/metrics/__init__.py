"""Ranking metrics by name: `mAP`, `mAP@20`, `MRR@10`, `nDCG@10`, `R@1`, `hit@1`. `babelmix.extend.metric` adds one."""

from __future__ import annotations

import re
from collections.abc import Callable

from babelmix._registry import OWN_PART, Registry
from babelmix.errors import ConfigError
from babelmix.evaluation.metrics.average_precision import average_precision
from babelmix.evaluation.metrics.base import Floats, RankedLists, RankingMetric
from babelmix.evaluation.metrics.hit import hit
from babelmix.evaluation.metrics.ndcg import ndcg
from babelmix.evaluation.metrics.recall import recall
from babelmix.evaluation.metrics.reciprocal_rank import reciprocal_rank

_BUILT_IN = {
    "mAP": RankingMetric(average_precision, source="with a cut-off: XTREME-R, LAReQA"),
    "MRR": RankingMetric(reciprocal_rank),
    "nDCG": RankingMetric(ndcg, source="Järvelin & Kekäläinen 2002, linear gains"),
    "R": RankingMetric(recall, needs_cutoff=True),
    "hit": RankingMetric(hit, needs_cutoff=True, source="R@k of image-text retrieval: CLIP_benchmark, IGLUE"),
}

METRICS: Registry[RankingMetric] = Registry("ranking metric", _BUILT_IN)
"""The ranking metrics by name, without the cut-off."""

DEFAULT = ("mAP", "mAP@20", "MRR@10", "nDCG@10", "R@1", "R@10", "R@100")
"""The default metrics of an audit of texts."""

PICTURES = ("hit@1", "hit@5", "hit@10", "mAP", "MRR@10")
"""The default metrics of an audit of pictures and captions."""

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""The name of a ranking metric, without its cut-off."""
_CUTOFF = re.compile(r"[1-9]\d*")


def parse_metric(name: str) -> tuple[RankingMetric, int | None]:
    """The metric of a name such as `nDCG@10`, and its cut-off.

    Raises:
        ConfigError: there is no such metric, or it needs a cut-off and has none.

    """
    base, at, cutoff = name.partition("@")
    found = METRICS[base] if NAME.fullmatch(base) and base in METRICS else None
    if found is None or (at and not _CUTOFF.fullmatch(cutoff)) or (found.needs_cutoff and not at):
        own = [name + "@K" * METRICS[name].needs_cutoff for name in METRICS if name not in _BUILT_IN]
        raise ConfigError(
            f"there is no metric {name!r}; name one of {', '.join([*DEFAULT, *own])} or another cut-off; {OWN_PART}"
        )
    return found, int(cutoff) if at else None


def metric(name: str) -> Callable[[RankedLists], Floats]:
    """The metric of a name such as `nDCG@10`, as a function of ranked lists.

    Raises:
        ConfigError: there is no such metric, or it needs a cut-off and has none.

    """
    found, cutoff = parse_metric(name)
    return lambda lists: found(lists, cutoff)


__all__ = [
    "DEFAULT",
    "METRICS",
    "PICTURES",
    "RankedLists",
    "RankingMetric",
    "average_precision",
    "hit",
    "metric",
    "ndcg",
    "parse_metric",
    "recall",
    "reciprocal_rank",
]
