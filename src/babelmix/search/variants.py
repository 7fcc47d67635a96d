"""What one audit compares: each mode, weight of words and fusion, under each language policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from babelmix._lists import as_list
from babelmix.errors import SearchError
from babelmix.evaluation import Measure
from babelmix.search.fusion import WeightLike, WordsWeight
from babelmix.search.options import SearchOptions
from babelmix.search.policies import Policy

Weights = WeightLike | Sequence[WeightLike]
"""One weight of words or several. A text may hold several too: `0,0.2,1`."""


@dataclass(frozen=True)
class Variant:
    """A way to search, which is a column of an audit.

    Args:
        name: the name of the column.
        policy: the language policy.
        options: mode, weight of words, fusion, and the rest.

    """

    name: str
    policy: Policy
    options: SearchOptions

    def facts(self) -> dict[str, Any]:
        """The policy, the options that are not the default, and with `hybrid` fusion and weight, whose defaults may change."""
        fused: dict[str, Any] = {}
        if self.options.mode == "hybrid":
            fused = {"fusion": str(self.options.fused_by), "words_weight": self.options.weight.value}
        return {"policy": str(self.policy), **self.options.facts(), **fused}


def several_options(
    options: SearchOptions,
    modes: str | Sequence[str] | None = None,
    weights: Weights | None = None,
    fusions: str | Sequence[str] | None = None,
) -> list[SearchOptions]:
    """The options of each mode, weight and fusion.

    Args:
        options: all other options.
        modes: modes; a text may hold several: `dense,hybrid`. None: `dense`.
        weights: weights of words, for `hybrid`; None: 0.2.
        fusions: fusions, for `hybrid`; None: the default.

    Raises:
        SearchError: an option is wrong, a list is empty, or there is a weight or a fusion, but no mode `hybrid`.

    Examples:
        >>> [one.facts() for one in several_options(SearchOptions(), "dense,hybrid", "0.1,1")]
        [{}, {'mode': 'hybrid', 'words_weight': 0.1}, {'mode': 'hybrid', 'words_weight': 1.0}]

    """
    named = ["dense"] if modes is None else as_list(modes, "mode", SearchError, empty=False)
    named = list(dict.fromkeys(word.strip() for name in named for word in str(name).split(",")))
    parsed = [None] if weights is None else [one.value for one in _weights(weights)]
    merged = [None] if fusions is None else as_list(fusions, "fusion", SearchError, empty=False)
    if "hybrid" not in named:
        # The first mode says what is wrong.
        return [replace(options, mode=name, words_weight=parsed[0], fusion=merged[0]) for name in named]  # type: ignore[arg-type]
    found = []
    for name in named:
        if name != "hybrid":
            found.append(replace(options, mode=name))  # type: ignore[arg-type]
            continue
        found += [replace(options, mode="hybrid", words_weight=w, fusion=how) for how in merged for w in parsed]
    return list(dict.fromkeys(found))


def _weights(weights: Weights) -> list[WordsWeight]:
    if isinstance(weights, (str, int, float, Mapping, WordsWeight)):
        return WordsWeight.parse_list(weights)
    if not weights:
        raise SearchError("words_weight: the list is empty; give a weight, or leave it out")
    return [one for some in weights for one in WordsWeight.parse_list(some)]


def with_and_without_reranker(options: SearchOptions | Sequence[SearchOptions]) -> list[SearchOptions]:
    """All options without the reranker, then with it, unless they say whether there is one."""
    several = [options] if isinstance(options, SearchOptions) else list(options)
    both = [replace(one, rerank=rerank) for rerank in (False, True) for one in several if one.rerank is None]
    return [one for one in several if one.rerank is not None] + both


def variants(policies: str | Sequence[str], options: SearchOptions | Sequence[SearchOptions]) -> dict[str, Variant]:
    """Each option under each policy, by name; each once.

    A name has only what differs: the policy if there are several, or nothing else differs; the mode if there are several; the
    weight of words and the fusion if there are several. `reranked` is last, where there are others that are not.

    Args:
        policies: language policies as the user writes them.
        options: options, such as those of `several_options`.

    Raises:
        SearchError: a policy is wrong, or a list is empty.

    Examples:
        >>> options = several_options(SearchOptions(), ["dense", "hybrid"], [0.1, 1])
        >>> list(variants("any", options)), list(variants(["any", "balanced"], options[:2]))
        (['dense', 'hybrid 0.1', 'hybrid 1'], ['dense, any', 'dense, balanced', 'hybrid, any', 'hybrid, balanced'])

    """
    parsed = {
        str(policy): policy for policy in map(Policy.parse, as_list(policies, "policies", SearchError, empty=False))
    }
    several = [options] if isinstance(options, SearchOptions) else list(options)
    hybrids = [one for one in several if one.mode == "hybrid"]
    weighted, fused = len({one.words_weight for one in hybrids}) > 1, len({one.fusion for one in hybrids}) > 1
    modes = len({(one.mode, one.words_weight, one.fusion) for one in several}) > 1
    reranked = len({bool(one.rerank) for one in several}) > 1
    found: dict[str, Variant] = {}
    for one in several:
        how: list[str] = [one.mode] if modes else []
        if one.mode == "hybrid":
            how += [str(one.fused_by)] if fused else []
            how += [str(one.weight)] if weighted else []
        for policy in parsed.values():
            parts = [" ".join(how)] if how else []
            parts += [str(policy)] if len(parsed) > 1 or not how else []
            parts += ["reranked"] if reranked and one.rerank else []
            name = ", ".join(parts)
            found[name] = Variant(name, policy, one)
    return found


def shared_facts(found: Mapping[str, Variant]) -> dict[str, Any]:
    """The options that all variants have, without the policy."""
    first, *others = (one.facts() for one in found.values())
    first.pop("policy")
    return {name: value for name, value in first.items() if all(one.get(name) == value for one in others)}


@dataclass(frozen=True)
class Validated:
    """The best variant, chosen on one half of the groups and measured on the other, in turn.

    Args:
        names: the variant that was chosen on each half.
        value: the mean of the metric of the chosen ones on the halves on which they were not chosen.
        first: the same of the first variant.

    """

    names: tuple[str, str]
    value: float
    first: float

    @classmethod
    def of(cls, measured: Mapping[str, Measure]) -> Validated | None:
        """Choose among variants by one metric; None: there are fewer than two groups.

        Args:
            measured: the metric of each variant, of the same queries in the same order.

        """
        base = next(iter(measured.values()))
        groups = np.random.default_rng(0).permutation(np.unique(base.group))
        if len(groups) < 2 or len(measured) < 2:
            return None
        half = np.isin(base.group, groups[: len(groups) // 2])
        if not half.any() or half.all():
            return None
        chosen, values, firsts = [], [], []
        for choose in (half, ~half):
            macros = {name: _macro(one, choose) for name, one in measured.items()}
            chosen.append(max(macros, key=lambda name: macros[name]))
            values.append(_macro(measured[chosen[-1]], ~choose))
            firsts.append(_macro(base, ~choose))
        return cls((chosen[0], chosen[1]), float(np.mean(values)), float(np.mean(firsts)))

    def line(self, metric: str, first: str) -> str:
        """The finding in a sentence."""
        names = " and ".join(dict.fromkeys(self.names))
        return (
            f"Best by validation: {names}. Chosen by {metric} on half of the groups, it has {self.value:.3f} on the other half; "
            f"{first} has {self.first:.3f}."
        )


def _macro(one: Measure, rows: np.ndarray) -> float:
    """The mean over query languages of some queries."""
    cells = [float(np.mean(one.values[rows & (one.cell == cell)])) for cell in np.unique(one.cell[rows])]
    return float(np.mean(cells))


__all__ = [
    "Validated",
    "Variant",
    "Weights",
    "several_options",
    "shared_facts",
    "variants",
    "with_and_without_reranker",
]
