"""The names of measures, `SETTING/METRIC`, and the facts about each: title, number format, which values are better."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from babelmix.errors import ConfigError
from babelmix.evaluation.bias import BIAS_METRICS, Better, parse_bias_metric
from babelmix.evaluation.list_field_measures import FIELD_MEASURES
from babelmix.evaluation.list_measures import LIST_MEASURES
from babelmix.evaluation.metrics import parse_metric

SETTINGS = ("mono", "cross", "multi")
BIAS = "bias/"
"""The prefix of bias measures."""

SHARE_AT = 10
"""The k of the language shares in reports."""

MONO_MAP, CROSS_MAP, MULTI_MAP = "mono/mAP", "cross/mAP", "multi/mAP"
CROSS_HIT_1, MULTI_HIT_1 = "cross/hit@1", "multi/hit@1"
RANK_DISTANCE = "bias/rank distance"
RANK_DISTANCE_OVER_QUERIES = "bias/rank distance over query languages"
ANSWER_OVERLAP = f"bias/answer overlap@{SHARE_AT}"
SAME_LANGUAGE_SHARE = f"bias/same-language share@{SHARE_AT}"

HEADLINE = (MONO_MAP, CROSS_MAP, MULTI_MAP, RANK_DISTANCE, SAME_LANGUAGE_SHARE)
"""The headline of an audit of texts."""
HEADLINE_TO_PICTURES = (MULTI_HIT_1, "multi/hit@5", "multi/hit@10", MULTI_MAP, RANK_DISTANCE_OVER_QUERIES)
"""The headline of an audit whose queries are captions and whose passages are pictures."""
HEADLINE_FROM_PICTURES = (CROSS_HIT_1, "cross/hit@5", "cross/hit@10", MULTI_MAP, RANK_DISTANCE)
"""The headline of an audit whose queries are pictures and whose passages are captions."""

HEADLINE_WITHOUT_LABELS = (
    SAME_LANGUAGE_SHARE,
    f"bias/same-language excess@{SHARE_AT}",
    f"bias/languages@{SHARE_AT}",
    ANSWER_OVERLAP,
)
"""The headline of an audit without labels."""

_WITH_LABELS = (*HEADLINE[:-1], *HEADLINE_TO_PICTURES, *HEADLINE_FROM_PICTURES)

PREFERENCE = "bias/same-language preference"
TLR = "bias/TLR@20"

HEADLINE_BIAS = (RANK_DISTANCE, SAME_LANGUAGE_SHARE, PREFERENCE, TLR)
"""The bias measures that tables and reports show at once; the others are folded."""
HEADLINE_BIAS_PICTURES = (
    RANK_DISTANCE_OVER_QUERIES, RANK_DISTANCE, SAME_LANGUAGE_SHARE, "bias/mean rank correlation", "bias/union MRC@10",
)  # fmt: skip
"""The same where the passages, or the queries, are pictures."""

TESTS = (MONO_MAP, CROSS_MAP, MULTI_MAP, RANK_DISTANCE)
"""The measures that comparisons test by default."""
TESTS_OF_PICTURES = (MULTI_HIT_1, CROSS_HIT_1, RANK_DISTANCE_OVER_QUERIES, RANK_DISTANCE)
"""The same where passages are pictures: from captions to pictures, and from pictures to captions."""

_WORDS = {"mono": "monolingual", "cross": "cross-lingual", "multi": "multilingual", "bias": "bias"}


class WithInterval(Protocol):
    """A value and the ends of its interval."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class MeasureInfo:
    """The facts about a measure.

    Args:
        name: `SETTING/METRIC`, such as `multi/mAP` or `bias/rank distance`.
        title: the name in reports: `multilingual mAP`.
        short: the column head on a terminal: `multi mAP`.
        format: `"rank"` for a number of places in a list, `"score"` for everything else.
        better: which values are better: `"higher"`, `"lower"` or None.
        headline: whether reports show it first.
        source: the paper or the program that defines it; may be empty.
        aggregate: how the values of a cell are combined: by their `"mean"` or by their `"median"`.
        ideal: the value of a system without language bias that finds every relevant passage; None if it depends on the corpus
            (see `babelmix.evaluation.bias.ideal_value`), or if there is no such number.
        ideal_words: the ideal value in words: `languages - 1`; empty if the number says it, or if there is none.
        group: the heading under which a bias measure stands in reports.

    """

    name: str
    title: str
    short: str
    format: Literal["score", "rank"]
    better: Better
    headline: bool
    source: str = ""
    aggregate: Literal["mean", "median"] = "mean"
    ideal: float | None = None
    ideal_words: str = ""
    group: str = ""

    @property
    def is_bias(self) -> bool:
        """Whether it is a bias metric, not a ranking metric."""
        return self.name.startswith(BIAS)

    @property
    def lower_is_better(self) -> bool | None:
        """Whether lower values are better; None if neither higher nor lower values are."""
        return None if self.better is None else self.better == "lower"

    def shown(self, value: float, *, leading_zero: bool = True) -> str:
        """A value as text, empty for NaN.

        Values from 100 have no decimals, values from 10 have one, smaller values have three. Ranks have one decimal from 1 on.

        Args:
            value: the value.
            leading_zero: write `0.798`; otherwise `.798`, as in running text.

        """
        text = shown_number(value, self.format)
        return text if leading_zero or abs(value) >= 1 else text.replace("0.", ".", 1)

    def with_interval(self, estimate: WithInterval) -> str:
        """An estimate as text: `value [low, high]`."""
        return f"{self.shown(estimate.value)} [{self.shown(estimate.low)}, {self.shown(estimate.high)}]"


def measure_info(name: str) -> MeasureInfo:
    """The facts about a measure, by its name.

    Args:
        name: `SETTING/METRIC`.

    Raises:
        ConfigError: there is no such setting or metric.

    Examples:
        >>> found = measure_info("bias/rank distance")
        >>> found.title, found.better, found.shown(1234.5)
        ('rank distance', 'lower', '1,234')
        >>> measure_info("multi/nDCG@10").title
        'multilingual nDCG@10'

    """
    setting, _, what = name.partition("/")
    at = what[what.rindex("@") :] if "@" in what else ""
    headline = name in HEADLINE or name in HEADLINE_TO_PICTURES or name in HEADLINE_FROM_PICTURES
    if setting == "bias" and is_of_lists(what):
        found = LIST_MEASURES[what.partition("@")[0]]
        return MeasureInfo(name, what, what, found.format, found.better, headline, found.source)
    if setting == "bias":
        bias, k = parse_bias_metric(what)
        at = "" if k is None else f"@{k}"
        title = (bias.title or what.removesuffix(at)) + at
        short = bias.short + at if bias.short else title
        ideal = None if callable(bias.ideal) else bias.ideal
        return MeasureInfo(
            name, title, short, bias.format, bias.better, headline, bias.source, bias.aggregate, ideal, bias.ideal_words,
            bias.group,
        )  # fmt: skip
    if setting not in SETTINGS:
        raise ConfigError(f"{name!r} is not SETTING/METRIC, such as {MULTI_MAP} or {RANK_DISTANCE}")
    metric, _ = parse_metric(what)
    called = (metric.title or what.removesuffix(at)) + at
    short = f"{setting} {called}"
    if called.startswith("hit@") and setting != "mono":
        # hit@k is the headline of pictures. Captions and pictures share no language, so only cross and multi exist.
        short = called if setting == "multi" else f"{called}, one lang."
    return MeasureInfo(name, f"{_WORDS[setting]} {called}", short, "score", "higher", headline, metric.source)


def shown_number(value: float, format: Literal["score", "rank"] = "score") -> str:
    """A number as text; see `MeasureInfo.shown`."""
    if np.isnan(value):
        return ""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10 or (format == "rank" and abs(value) >= 1):
        return f"{value:.1f}"
    # `z` leaves out the sign of a value that is rounded to zero.
    return f"{value:z.3f}"


def titles(names: Iterable[str]) -> list[str]:
    """The titles of measures, as the heads of columns."""
    return [measure_info(name).title for name in names]


def setting_title(setting: str) -> str:
    """A setting in words: `monolingual` for `mono`."""
    return _WORDS[setting]


def check_name(name: str) -> None:
    """Raise unless an audit by exact scores can have a measure of this name.

    Raises:
        ConfigError: the name is not `SETTING/METRIC`, or there is no such metric.

    """
    if measure_info(name).is_bias:
        # `measure_info` also knows the bias metrics of ranked lists, which an audit by exact scores does not have.
        parse_bias_metric(name.removeprefix("bias/"))


def check_metrics(names: Iterable[str]) -> None:
    """Raise unless each name is a ranking metric, or `bias/` and a bias metric.

    Raises:
        ConfigError: there is no such metric.

    """
    for name in names:
        if name.startswith(BIAS):
            parse_bias_metric(name.removeprefix(BIAS))
        else:
            parse_metric(name)


def check_own_name(name: str) -> None:
    """Raise unless a bias metric may have this name.

    Raises:
        ConfigError: the name is empty, has a `/`, `@` or comma, or belongs to a measure of ranked lists.

    """
    if not name.strip() or set(name) & set("/@,") or name in LIST_MEASURES:
        raise ConfigError(f"a bias metric cannot be named {name!r}; choose another name, without /, @ and commas")


def is_of_lists(metric: str) -> bool:
    """Whether only audits of ranked lists have a bias metric of this name, without `bias/`."""
    base, _, k = metric.partition("@")
    # Some measures are those of exact scores too, with the same k.
    own = BIAS_METRICS.get(base)
    return base in LIST_MEASURES and k.isdecimal() and not (own is not None and own.per_cutoff)


def headline(present: Container[str]) -> list[str]:
    """The measures that reports show first.

    Args:
        present: the names of the measures that an audit has, or that several audits have.

    Returns:
        The headline measures that are present. The headline depends on the corpus: texts, captions to pictures, pictures to
        captions, or no labels.

    """
    names: tuple[str, ...] = HEADLINE
    # Captions and pictures have no language in common, so nothing is monolingual.
    if MULTI_HIT_1 in present and "mono/hit@1" not in present:
        names = HEADLINE_TO_PICTURES if RANK_DISTANCE_OVER_QUERIES in present else HEADLINE_FROM_PICTURES
    if not any(name in present for name in _WITH_LABELS):
        names = HEADLINE_WITHOUT_LABELS
    return [name for name in names if name in present]


def headline_bias(present: Iterable[str]) -> list[str]:
    """The bias measures that tables and reports show at once, four at most; the others are folded.

    Args:
        present: the names of the measures that an audit has.

    Examples:
        >>> headline_bias(["multi/mAP", "bias/TLR@20", "bias/rank variance", "bias/rank distance"])
        ['bias/rank distance', 'bias/TLR@20']

    """
    there = set(present)
    names = HEADLINE_BIAS if {PREFERENCE, TLR} & there else (*HEADLINE_BIAS_PICTURES, *HEADLINE_BIAS)
    if there.isdisjoint(_WITH_LABELS):
        names = (*HEADLINE_WITHOUT_LABELS, *names)
    return [name for name in dict.fromkeys(names) if name in there][:4]


def unfolded(present: Iterable[str]) -> list[str]:
    """The measures of ranked lists that tables show at once: without most of those of other publications.

    Args:
        present: the names of the measures of an audit of ranked lists.

    Examples:
        >>> unfolded(["multi/mAP@10", "bias/languages@10", "bias/TLR@10", "bias/TLR@20", "bias/Comp@10"])
        ['multi/mAP@10', 'bias/languages@10', 'bias/TLR@10']

    """
    kept = f"{TLR.partition('@')[0]}@{SHARE_AT}"
    field = {f"{BIAS}{base}" for base in FIELD_MEASURES}
    return [name for name in present if name == kept or name.partition("@")[0] not in field]


def ranking_metrics(names: Iterable[str]) -> list[str]:
    """The ranking metrics in the names of measures: `mAP` for `multi/mAP`. Bias metrics are left out.

    Examples:
        >>> ranking_metrics(["mono/mAP", "multi/mAP", "bias/rank distance"])
        ['mAP']

    """
    return list(dict.fromkeys(name.partition("/")[2] for name in names if not name.startswith(BIAS)))


__all__ = [
    "ANSWER_OVERLAP", "BIAS", "CROSS_HIT_1", "CROSS_MAP", "HEADLINE", "HEADLINE_BIAS", "HEADLINE_BIAS_PICTURES",
    "HEADLINE_FROM_PICTURES", "HEADLINE_TO_PICTURES", "HEADLINE_WITHOUT_LABELS", "MONO_MAP", "MULTI_HIT_1", "MULTI_MAP",
    "RANK_DISTANCE", "RANK_DISTANCE_OVER_QUERIES", "SAME_LANGUAGE_SHARE", "SETTINGS", "SHARE_AT", "TESTS",
    "TESTS_OF_PICTURES", "MeasureInfo", "check_metrics", "check_name", "check_own_name", "headline", "headline_bias",
    "is_of_lists", "measure_info", "ranking_metrics", "setting_title", "shown_number", "titles", "unfolded",
]  # fmt: skip
