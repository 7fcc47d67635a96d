"""Languages that a system hardly knows: those far below the best one. This is the one place that defines it.

mAP of a language is looked at within the language, and across languages as the mean over all pairs with the language on either
side. Both have 95 % intervals. That of a mean over pairs is the mean of the pairs' intervals, and so a little too wide.

A language is *weak* in a setting if all of its interval is below half of the interval of the best language: its upper end is less
than half of the largest lower end. So a small language with a wide interval is not called weak, and neither is anything in a
system that is equally bad in every language.

Removal of language and policies do not help a weak language: the system does not understand it. Only another encoder, or training
with texts in that language, does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from babelmix.corpus import IMAGE
from babelmix.evaluation.measure_info import CROSS_MAP, MONO_MAP, measure_info
from babelmix.evaluation.significance import Estimate

WEAK = 0.5
"""A language below this part of the best one is weak."""

_WORDS = {MONO_MAP: "mAP within the language", CROSS_MAP: "mAP from and to other languages"}

Estimates = Mapping[str, tuple[Estimate, Mapping[str, Estimate]]]


@dataclass(frozen=True)
class WeakLanguages:
    """The weak languages of a system; see the module for the rule.

    Args:
        langs: the languages that are weak in any setting, the weakest first.
        values: for each setting by `setting/mAP` with a weak language: the mAP of every language, with its interval.

    """

    langs: tuple[str, ...]
    values: Mapping[str, Mapping[str, Estimate]]

    def line(self, system: str) -> str:
        """Which languages are weak, by which numbers.

        Args:
            system: the name of the system.

        """
        parts = []
        for name, cells in self.values.items():
            info = measure_info(name)
            weak = [f"{info.with_interval(cells[lang])} for {lang}" for lang in self.langs if lang in _weak_of(cells)]
            others = float(np.mean([cell.value for lang, cell in cells.items() if lang not in self.langs]))
            parts.append(f"{_WORDS[name]} is {', '.join(weak)}, but {info.shown(others)} for the others")
        *first, last = self.langs
        named = f"{', '.join(first)} and {last}" if first else last
        return f"{system} hardly knows {named}: {'; '.join(parts)}."

    def as_json(self) -> dict[str, Any]:
        """The languages and their values as JSON-serialisable values."""
        values = {name: {lang: asdict(one) for lang, one in cells.items()} for name, cells in self.values.items()}
        return {"langs": list(self.langs), "values": values}


def weak_languages(estimates: Estimates) -> WeakLanguages | None:
    """The languages that a system hardly knows.

    Args:
        estimates: for each measure by `setting/metric` the macro-average and the cells, with intervals. The measures `mono/mAP`
            and `cross/mAP` are used, if they are there.

    Returns:
        The weak languages; None if there are none, and for pictures.

    Examples:
        >>> cells = {"de": Estimate(0.8, 0.7, 0.9), "en": Estimate(0.9, 0.8, 0.95), "hi": Estimate(0.2, 0.1, 0.3)}
        >>> weak_languages({"mono/mAP": (Estimate(0.63, 0.6, 0.7), cells)}).langs
        ('hi',)

    """
    found: dict[str, Mapping[str, Estimate]] = {}
    weak: dict[str, float] = {}
    for name in (MONO_MAP, CROSS_MAP):
        cells = by_language(estimates[name][1]) if name in estimates else {}
        if len(cells) < 2 or IMAGE in cells:
            continue
        for lang, share in _weak_of(cells).items():
            found[name] = cells
            weak[lang] = min(weak.get(lang, 1.0), share)
    if not weak:
        return None
    langs = tuple(sorted(weak, key=lambda lang: (weak[lang], lang)))
    return WeakLanguages(langs, found)


def _weak_of(cells: Mapping[str, Estimate]) -> dict[str, float]:
    """The weak languages of a setting, and what each has of the best lower end."""
    best = max(cell.low for cell in cells.values())
    return {lang: cell.value / best for lang, cell in cells.items() if cell.high < WEAK * best}


def by_language(cells: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """The cells of each language, averaged: the language itself, or all pairs with it on either side.

    Args:
        cells: estimates by language, or by pair of languages as in `de > en`.

    """
    of: dict[str, list[Estimate]] = {}
    for name, cell in cells.items():
        for lang in name.split(" > "):
            of.setdefault(lang, []).append(cell)
    return {
        lang: Estimate(*(float(np.mean([getattr(one, end) for one in some])) for end in ("value", "low", "high")))
        for lang, some in of.items()
    }


__all__ = ["WEAK", "WeakLanguages", "by_language", "weak_languages"]
