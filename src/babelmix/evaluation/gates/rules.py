"""The rules of a gate: `[de] multi/mAP < before - 0.02` says when a gate fails.

| part | what it can be |
|---|---|
| where | nothing: the macro-average. `[de]`: a query language. `[de > en]`: a pair, query > passage. `any language`, `any pair` |
| measure | see `babelmix.evaluation.gates.names` |
| comparison | `<`, `<=`, `>`, `>=` |
| limit | a number (`0.4`, `40 %`), `before` or `fair`; these two also as `2 * fair` or `before - 0.02` |
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from babelmix._lists import as_list
from babelmix.errors import ConfigError
from babelmix.evaluation.gates.names import measure_of
from babelmix.evaluation.measure_info import measure_info

Base = Literal["", "before", "fair"]

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt,
}  # fmt: skip

_WHERE = re.compile(r"\[(?P<cell>[^]]*)\]|any (?P<any>language|pair)\b", re.IGNORECASE)
_COMPARISON = re.compile("|".join(COMPARISONS))
_NUMBER = r"(?:\d+(?:\.\d+)?|\.\d+)(?: ?%)?"
_LIMIT = re.compile(
    rf"(?:(?P<factor>{_NUMBER}) ?\* ?)?(?P<base>before|fair)(?: ?\* ?(?P<after>{_NUMBER}))?"
    rf"(?: ?(?P<sign>[+-]) ?(?P<shift>{_NUMBER}))?"
)
_HOW = "a rule is MEASURE < LIMIT or MEASURE > LIMIT, such as  own-language share@10 > 0.4"
_SHARES = {
    "mAP", "MRR", "nDCG", "R", "hit", "same-language share", "same-language preference", "PEER", "PEER by group",
}  # fmt: skip
"""Metrics with values from 0 to 1."""
_FAIR = {"same-language share", "same-language excess", "same-language preference"}
"""Bias metrics with a value that means no preference."""


@dataclass(frozen=True)
class Limit:
    """A limit: `factor * base + shift`.

    Args:
        base: `before`: the value of the saved audit. `fair`: the value of no preference. Empty: the limit is `shift` alone.
        factor: the factor.
        shift: the number that is added.

    """

    base: Base
    factor: float
    shift: float

    def value(self, reference: float) -> float:
        """The limit as a number.

        Args:
            reference: the value of the base; it has no effect on a limit that is a number.

        """
        return self.factor * reference + self.shift if self.base else self.shift


@dataclass(frozen=True)
class Rule:
    """A rule. The gate fails if the rule is met.

    Args:
        text: the rule as it was written, with single blanks.
        measure: the measure, `SETTING/METRIC`.
        comparison: `<`, `<=`, `>` or `>=`.
        limit: the limit.
        where: empty: the macro-average. `any`: every cell. Otherwise the name of a cell, such as `de` or `de > en`.

    """

    text: str
    measure: str
    comparison: str
    limit: Limit
    where: str = ""

    @classmethod
    def parse(cls, text: str) -> Rule:
        """Read a rule.

        Raises:
            ConfigError: it is not a rule, its measure or its limit does not exist, or it could never be met.

        Examples:
            >>> rule = Rule.parse("[de] own-language share@10 > 2 * fair")
            >>> rule.measure, rule.comparison, rule.limit.value(0.25), rule.where
            ('bias/same-language share@10', '>', 0.5, 'de')

        """
        text = " ".join(text.split())
        try:
            return cls._parsed(text)
        except ConfigError as error:
            raise ConfigError(f"rule {text!r}: {error}") from None

    @classmethod
    def _parsed(cls, text: str) -> Rule:
        start = _WHERE.match(text)
        rest = text[start.end() if start else 0 :].strip()
        if text.startswith("[") and start is None:
            raise ConfigError("the [ has no ]; write the language as in  [de] multi/mAP < 0.5")
        signs = _COMPARISON.search(rest)
        if signs is None or not rest[: signs.start()].strip():
            raise ConfigError(_HOW)
        measure = measure_of(rest[: signs.start()].strip())
        rule = cls(text, measure, signs[0], _limit(rest[signs.end() :].strip()), _where(start, measure))
        _check_limit(rule)
        return rule

    def holds(self, value: float, limit: float) -> bool:
        """Whether a value meets the rule; False for NaN."""
        return COMPARISONS[self.comparison](value, limit)

    @property
    def upward(self) -> bool:
        """Whether large values meet the rule."""
        return self.comparison.startswith(">")


def parse_rules(rules: str | Rule | Sequence[str | Rule]) -> list[Rule]:
    """Read rules; each is kept once.

    Raises:
        ConfigError: see `Rule.parse`; or there is no rule.

    """
    given = [rules] if isinstance(rules, (str, Rule)) else list(rules)
    texts = as_list([one for one in given if not isinstance(one, Rule)], "rules")
    parsed = {text: Rule.parse(text) for text in texts}
    found = [one if isinstance(one, Rule) else parsed[one] for one in given]
    if not found:
        raise ConfigError("rules: the list is empty; name one, such as  own-language share@10 > 0.4")
    return list(dict.fromkeys(found))


def _where(start: re.Match[str] | None, measure: str) -> str:
    pairs = measure.startswith("cross/")
    example = "[de > en]" if pairs else "[de]"
    if start is None:
        return ""
    if start["any"]:
        kind = "pair" if pairs else "language"
        if start["any"].lower() != kind:
            raise ConfigError(f"{measure} has a value for each {kind}; write  any {kind}")
        return "any"
    langs = [lang.strip() for lang in start["cell"].split(">")]
    if not all(langs) or len(langs) != 1 + pairs:
        what = "pairs of languages, query > passage" if pairs else "languages"
        raise ConfigError(f"[{start['cell']}] is no cell of {measure}, which has a value for {what}; write  {example}")
    return " > ".join(langs)


def _limit(text: str) -> Limit:
    if re.fullmatch(rf"-?{_NUMBER}", text):
        return Limit("", 1.0, _number(text))
    found = _LIMIT.fullmatch(text)
    if found is None or (found["factor"] and found["after"]):
        comma = "write decimals with a point and thousands without a comma; " if re.search(r"\d,\d", text) else ""
        raise ConfigError(
            f"{text!r} is no limit; {comma}a limit is a number, such as 0.4 or 40 %, or  before - 0.02  or  2 * fair"
        )
    base: Base = "before" if found["base"] == "before" else "fair"
    shift = _number(found["shift"]) * (-1 if found["sign"] == "-" else 1) if found["shift"] else 0.0
    return Limit(base, _number(found["factor"] or found["after"] or "1"), shift)


def _number(text: str) -> float:
    percent = text.endswith("%")
    return float(text.rstrip("% ")) / (100 if percent else 1)


def _check_limit(rule: Rule) -> None:
    metric = rule.measure.partition("/")[2].partition("@")[0]
    info = measure_info(rule.measure)
    if rule.limit.base == "fair" and not (info.is_bias and metric in _FAIR):
        raise ConfigError(f"{rule.measure} has no fair value; only the same-language measures have one")
    if rule.limit.base or metric not in _SHARES:
        return
    limit = rule.limit.shift
    # A rule that no value meets would pass for ever.
    if not 0 <= limit <= 1 or not (rule.holds(0.0, limit) or rule.holds(1.0, limit)):
        raise ConfigError(
            f"{rule.measure} is from 0 to 1, so the limit {limit:g} says nothing; write 0.4 or 40 % for 40 per cent"
        )


__all__ = ["COMPARISONS", "Limit", "Rule", "parse_rules"]
