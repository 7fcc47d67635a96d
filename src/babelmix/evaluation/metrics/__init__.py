"""Ranking metrics by name: `mAP`, `mAP@20`, `MRR@10`, `nDCG@10`, `R@1`, `hit@1`. A new one is a module and a line here."""

from __future__ import annotations

import re
from collections.abc import Callable

from babelmix.errors import ConfigError
from babelmix.evaluation.metrics.average_precision import average_precision
from babelmix.evaluation.metrics.base import Floats, RankedLists
from babelmix.evaluation.metrics.hit import hit
from babelmix.evaluation.metrics.ndcg import ndcg
from babelmix.evaluation.metrics.recall import recall
from babelmix.evaluation.metrics.reciprocal_rank import reciprocal_rank

METRICS: dict[str, Callable[[RankedLists, int | None], Floats]] = {
    "mAP": average_precision,
    "MRR": reciprocal_rank,
    "nDCG": ndcg,
    "R": recall,
    "hit": hit,
}

DEFAULT = ("mAP", "mAP@20", "MRR@10", "nDCG@10", "R@1", "R@10", "R@100")

PICTURES = ("hit@1", "hit@5", "hit@10", "mAP", "MRR@10")
"""What is measured on pictures and captions, unless others are named."""

_NEED_CUTOFF = ("R", "hit")
_NAME = re.compile(r"^([A-Za-z]+)(?:@([1-9]\d*))?$")


def metric(name: str) -> Callable[[RankedLists], Floats]:
    """The metric of a name such as `nDCG@10`.

    Raises:
        ConfigError: there is no such metric, or recall or hit was named without a cut-off.

    """
    match = _NAME.match(name)
    if not match or match.group(1) not in METRICS or (match.group(1) in _NEED_CUTOFF and not match.group(2)):
        raise ConfigError(f"there is no metric {name!r}; name one of {', '.join(DEFAULT)} or another cut-off")
    function, cutoff = METRICS[match.group(1)], int(match.group(2)) if match.group(2) else None
    return lambda lists: function(lists, cutoff)


__all__ = [
    "DEFAULT",
    "METRICS",
    "PICTURES",
    "RankedLists",
    "average_precision",
    "hit",
    "metric",
    "ndcg",
    "recall",
    "reciprocal_rank",
]
