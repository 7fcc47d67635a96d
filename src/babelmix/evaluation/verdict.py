"""The verdict of an audit: biased, slightly biased, even, or that the data cannot tell. This is the one place that defines it.

The verdict looks at three signs, with their 95 % intervals. The worst sign is the verdict: biased, then slightly biased, then
cannot tell, then even.

1. The *own share*: the share of the first answers that are in the query's own language, averaged over query languages. Fair is
   the share of the pool in that language. The *lean* is 0 if the two are equal, 1 if all answers are in the own language, -1 if
   none is.

   - biased: all of the interval of the lean is 0.25 or further from 0, on one side;
   - even: all of the interval is within 0.1 of 0;
   - slightly biased: otherwise, if the interval excludes 0;
   - cannot tell: otherwise.

2. The own share of each query language, by the same rule: biased if half of the languages or more are biased, slightly biased if
   any is. So a system that answers everything in English is biased, although its mean own share is fair.
3. The *rank distance over chance*: the places between the translations of one answer, divided by those in a shuffled pool.

   - biased: all of the interval is 0.5 or more;
   - slightly biased: all of the interval is 0.1 or more;
   - even: otherwise;
   - cannot tell: if the own shares are even, but the interval reaches 1. Such a system finds answers as by chance.

If the input is probably wrong, such as vectors in another order than the corpus, the verdict is that the audit cannot tell.

Where each item is shown in the searcher's language, whatever language it was found in (`show="mine"`), the languages of the
answers are those of the searchers, and the audit cannot tell.

An audit without relevance judgements has no rank distance: its own share decides alone, and there is no claim about quality. A
pool of one language has no verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from babelmix.corpus import IMAGE
from babelmix.evaluation.bias import own_language
from babelmix.evaluation.measure_info import SAME_LANGUAGE_SHARE
from babelmix.evaluation.ranks import RankTable
from babelmix.evaluation.significance import Estimate

Level = Literal["biased", "slightly biased", "cannot tell", "even"]

LEVELS: tuple[Level, ...] = ("biased", "slightly biased", "cannot tell", "even")
"""The verdicts, the worst first."""

BIASED_LEAN = 0.25
"""A lean this far from 0 or further is a bias."""
EVEN_LEAN = 0.1
"""A lean within this of 0 is even."""
BIASED_DISTANCE = 0.5
"""A rank distance of this part of chance or more is a bias."""
EVEN_DISTANCE = 0.1
"""A rank distance of less than this part of chance is even."""

OVER_CHANCE = "bias/rank distance over chance"
OF_SHOWN_AS_READ = "bias/found through other languages@"
"""The measure that only audits have whose items are shown in the searcher's language."""

Estimates = Mapping[str, tuple[Estimate, Mapping[str, Estimate]]]


@dataclass(frozen=True)
class Verdict:
    """The verdict of an audit; see the module for its thresholds.

    Args:
        level: `biased`, `slightly biased`, `even` or `cannot tell`.
        reasons: why, in parts of a sentence.
        k: the number of first answers that the own share counts; None if there is no own share.
        share: the own share, averaged over query languages; None if there is none.
        fair: the fair share, averaged over the same languages; None if there is none.
        distance: the rank distance over chance; None if there is none.
        langs: the verdict for the own share of each query language.
        judged: whether there are relevance judgements; without them there is no claim about quality.

    """

    level: Level
    reasons: tuple[str, ...]
    k: int | None = None
    share: Estimate | None = None
    fair: float | None = None
    distance: Estimate | None = None
    langs: Mapping[str, Level] = field(default_factory=dict)
    judged: bool = True

    @property
    def word(self) -> str:
        """The verdict as the beginning of a sentence: `Biased`."""
        return self.level.capitalize()

    def line(self) -> str:
        """The verdict in one sentence, with its reasons."""
        text = f"{self.word}: {'; '.join(self.reasons)}."
        return text if self.judged else f"{text} No claim about quality: there are no relevance judgements."


_ONE = "the pool has one language"
_UNKNOWN = "the languages of the pool are not known"


def lean(share: float, fair: float) -> float:
    """How far a share is from the fair one: 0 if it is fair, 1 if the share is 1, -1 if it is 0.

    Examples:
        >>> lean(0.6, 0.2), lean(0.1, 0.2)
        (0.5, -0.5)

    """
    room = 1 - fair if share >= fair else fair
    return round((share - fair) / room, 12) if room > 0 else 0.0


def verdict(estimates: Estimates, fair: Mapping[str, float]) -> Verdict:
    """The verdict on measured values.

    Args:
        estimates: for each measure by `setting/metric` the macro-average and the query languages, with intervals. The measures
            `bias/same-language share@k` and `bias/rank distance over chance` are used, if they are there.
        fair: the share of the pool that is in each query language; see `fair_shares`.

    Returns:
        The verdict.

    Examples:
        >>> own = Estimate(0.77, 0.75, 0.79)
        >>> verdict({"bias/same-language share@10": (own, {"de": own})}, {"de": 0.2}).level
        'biased'

    """
    name = _share_name(estimates)
    judged = any(not one.startswith("bias/") for one in estimates) or OVER_CHANCE in estimates
    levels: list[Level] = []
    reasons: list[str] = []
    found = Verdict("cannot tell", (_ONE if fair else _UNKNOWN,), judged=judged)
    if any(one.startswith(OF_SHOWN_AS_READ) for one in estimates):
        return replace(
            found, reasons=("items are shown in the searcher's language; leave out show=mine to judge what is found",)
        )
    share = mean_fair = k = None
    langs: dict[str, Level] = {}
    if name is not None:
        k = int(name.rpartition("@")[2])
        share, cells = estimates[name]
        cells = {lang: cell for lang, cell in cells.items() if 0 < fair.get(lang, 0) < 1}
        if not cells:
            name = share = k = None
        else:
            mean_fair = float(np.mean([fair[lang] for lang in cells]))
            langs = {lang: _of_share(cell, fair[lang]) for lang, cell in cells.items()}
            levels.append(_of_share(share, mean_fair))
            reasons.append(
                f"{percent(share.value)} of the first {k} answers are in the query's own language "
                f"[{percent(share.low)}, {percent(share.high)}], fair would be {percent(mean_fair)}"
            )
            biased = [lang for lang, level in langs.items() if level == "biased"]
            if biased and levels[0] != "biased":
                levels.append("biased" if 2 * len(biased) >= len(langs) else "slightly biased")
                most = max(biased, key=lambda lang: abs(lean(cells[lang].value, fair[lang])))
                reasons.append(
                    f"{len(biased)} of {len(langs)} query languages are biased, most of all {most} "
                    f"({percent(cells[most].value)}, fair {percent(fair[most])})"
                )
    distance = estimates[OVER_CHANCE][0] if OVER_CHANCE in estimates else None
    if distance is not None:
        by_chance = distance.high >= 1 and all(level == "even" for level in levels)
        levels.append("cannot tell" if by_chance else _of_distance(distance))
        reasons.append(
            f"translations of one answer lie {distance.value:.2f} times as far apart as in a shuffled pool "
            f"[{distance.low:.2f}, {distance.high:.2f}]"
        )
    if not levels:
        return found
    worst = min(levels, key=LEVELS.index)
    return Verdict(worst, tuple(reasons), k, share, mean_fair, distance, langs, judged)


def fair_shares(table: RankTable) -> dict[str, float]:
    """The share of the pool that is in the query's language, by query language, averaged over its queries.

    Args:
        table: the rank table.

    Returns:
        A share for each query language; 0 for a language without passages.

    """
    own = own_language(table)
    shares: dict[str, float] = {}
    for number, lang in enumerate(table.query_langs):
        rows = np.flatnonzero(table.query_lang == number)
        pools = table.pools(rows)
        all_of = pools.sum(axis=1)
        there = (all_of > 0) & (own[number] >= 0)
        shares[lang] = float((pools[there, own[number]] / all_of[there]).mean()) if there.any() else 0.0
    return shares


def verdict_of(table: RankTable, estimates: Estimates) -> Verdict | None:
    """The verdict of an audit; None for pictures, which have no language of their own."""
    if IMAGE in (*table.query_langs, *table.passage_langs):
        return None
    found = verdict(estimates, fair_shares(table))
    # A bias that comes from a mistake in the input is none of the system.
    return found if table.about.doubt is None else replace(found, level="cannot tell", reasons=(table.about.doubt,))


def _share_name(estimates: Estimates) -> str | None:
    """The own share that is judged: that of the first 10 answers, else that of the largest number below, else of the smallest."""
    start = SAME_LANGUAGE_SHARE.rpartition("@")[0] + "@"
    wanted = int(SAME_LANGUAGE_SHARE.rpartition("@")[2])
    there = sorted(int(name.removeprefix(start)) for name in estimates if name.startswith(start))
    below = [k for k in there if k <= wanted]
    return f"{start}{below[-1] if below else there[0]}" if there else None


def _of_share(share: Estimate, fair: float) -> Level:
    low, high = lean(share.low, fair), lean(share.high, fair)
    if min(abs(low), abs(high)) >= BIASED_LEAN and low * high > 0:
        return "biased"
    if low >= -EVEN_LEAN and high <= EVEN_LEAN:
        return "even"
    return "slightly biased" if low > 0 or high < 0 else "cannot tell"


def _of_distance(distance: Estimate) -> Level:
    if distance.low >= BIASED_DISTANCE:
        return "biased"
    return "slightly biased" if distance.low >= EVEN_DISTANCE else "even"


def percent(share: float) -> str:
    """A share as text: `77%`; close to 0 and 1 with a decimal, as in `99.3%`."""
    return f"{share:.0%}" if 0.01 <= share <= 0.99 or share in (0, 1) else f"{share:.1%}"


__all__ = [
    "BIASED_DISTANCE", "BIASED_LEAN", "EVEN_DISTANCE", "EVEN_LEAN", "LEVELS", "Level", "Verdict", "fair_shares", "lean",
    "percent", "verdict", "verdict_of",
]  # fmt: skip
