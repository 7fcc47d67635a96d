"""Whether rules can be checked on a corpus, before anything is encoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from babelmix.corpus import Corpus
from babelmix.errors import ConfigError
from babelmix.evaluation.bias import parse_bias_metric
from babelmix.evaluation.gates.rules import Rule
from babelmix.evaluation.measure_info import SETTINGS
from babelmix.evaluation.ranks import SHARE_CUTOFFS, relevant_pairs

_COUNTED = ("same-language share", "same-language excess")
"""Bias metrics whose cut-offs are those of the rank table."""


def check_possible(rules: Sequence[Rule], corpora: Iterable[Corpus], *, before: bool) -> None:
    """Raise if a rule cannot be checked in an audit by exact scores.

    Args:
        rules: the rules.
        corpora: the corpora of the audit; more than one if pictures are audited in both directions. A rule must fit one of them.
        before: whether there is a saved audit to compare with.

    Raises:
        ConfigError: the corpus does not have the setting, the language or the pair of languages of a rule; a cut-off is not
            counted; or `before` is missing.

    """
    cells = [_cells(corpus) for corpus in corpora]
    for rule in rules:
        if rule.limit.base == "before" and not before:
            raise ConfigError(f"rule {rule.text!r}: name the saved audit that `before` stands for, with --against")
        why = [_why_not(rule, one) for one in cells]
        if all(why):
            raise ConfigError(f"rule {rule.text!r}: {why[0]}")


def check_no_before(rules: Sequence[Rule], what: str) -> None:
    """Raise if a rule needs a saved audit, where there is none.

    Args:
        rules: the rules.
        what: what is audited, for the message.

    Raises:
        ConfigError: a rule has `before`.

    """
    for rule in rules:
        if rule.limit.base == "before":
            raise ConfigError(f"rule {rule.text!r}: {what} has no saved audit to compare with; write a number or fair")


def check_names(rules: Sequence[Rule], names: Sequence[str]) -> None:
    """Raise if the measure of a rule is not among these names.

    Raises:
        ConfigError: it is not.

    """
    for rule in rules:
        if rule.measure not in names:
            raise ConfigError(f"rule {rule.text!r}: this audit has no {rule.measure}; there are {', '.join(names)}")


def _cells(corpus: Corpus) -> Mapping[str, set[str]]:
    """The cells of each setting, as `babelmix.evaluation.measures` makes them."""
    query, passage, _ = relevant_pairs(corpus)
    query_lang, passage_lang = (np.array(table["lang"].to_pylist()) for table in (corpus.queries, corpus.passages))
    pairs = set(zip(query_lang[query].tolist(), passage_lang[passage].tolist(), strict=True))
    langs = set(query_lang.tolist())
    return {
        "mono": {asked for asked, answered in pairs if asked == answered},
        "cross": {f"{asked} > {answered}" for asked, answered in pairs if asked != answered},
        "multi": {asked for asked, _ in pairs},
        "bias": langs,
        # A measure of the own language has a value where the pool has this language.
        "own": langs & set(passage_lang.tolist()),
    }


def _why_not(rule: Rule, cells: Mapping[str, set[str]]) -> str:
    """Why a rule cannot be checked; empty if it can."""
    setting, _, metric = rule.measure.partition("/")
    base, _, k = metric.partition("@")
    if setting == "bias":
        try:
            parse_bias_metric(metric)
        except ConfigError:
            return f"{rule.measure} is a measure of ranked lists, which this audit does not have"
        if base in _COUNTED and int(k) not in SHARE_CUTOFFS:
            return f"languages are counted at {', '.join(map(str, SHARE_CUTOFFS))}; write one of these in place of {k}"
    there = cells["own" if base.startswith("same-language") else setting]
    if not there:
        having = ", ".join(name for name in SETTINGS if cells[name])
        return f"{rule.measure} does not exist on this corpus, which has the settings {having}"
    if rule.where in ("", "any") or rule.where.casefold() in {cell.casefold() for cell in there}:
        return ""
    # Pictures have one cell for all languages in the measures over query languages.
    return f"{rule.measure} has no [{rule.where}] on this corpus; there are {', '.join(sorted(there))}"


__all__ = ["check_names", "check_no_before", "check_possible"]
