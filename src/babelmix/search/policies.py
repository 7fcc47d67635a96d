"""Language policies: they decide in which languages the first answers are.

| policy | the first k answers |
|---|---|
| `any` | the best by score |
| `balanced` | the best by scores calibrated per language, so that no language is favoured (`Calibration`) |
| `equal` | equally many of each language: first the best of each, then the second of each; by score where ranks are equal |
| `adaptive` | the best by how far a score is above the query's first scores in the same language |
| `own=N` or `own=N:adaptive` | as `balanced` or `adaptive`, but at least N of the first 10 in the query's language, if known |
| `quota=N` | the best by score, in at least N languages |
| `prefer=de,fr` or `prefer=de:1.5` | the best, scores of these languages raised by 1 (or 1.5) spreads of the query's scores |
| `only=de,fr` | the best in these languages |

A language includes its regions and scripts (RFC 4647, basic filtering): `only=en` finds en, en-US and en-GB; `*` finds all.

`babelmix.search.applying` carries them out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from babelmix._lists import as_list
from babelmix.corpus.languages import check_language_tags, match_languages
from babelmix.errors import SearchError
from babelmix.search.own_places import FIRST
from babelmix.search.rows import Where

POLICIES = ("any", "balanced", "equal", "adaptive", "own", "quota", "prefer", "only")

MAX_BOOST = 10.0
"""The largest boost of `prefer`, in spreads (standard deviations) of the query's scores."""


@dataclass(frozen=True)
class Policy:
    """A language policy.

    Args:
        name: one of `POLICIES`.
        langs: for `prefer` and `only`: the languages, as ranges.
        languages: for `quota`: the least number of languages.
        boost: for `prefer`: the boost in spreads (standard deviations) of the query's scores.
        places: for `own`: the least number of the first 10 answers in the query's language.
        base: for `own`: the policy of the other places, `balanced` or `adaptive`.

    Example:
        >>> str(Policy("prefer", ("de", "fr"), boost=1.5))
        'prefer=de,fr:1.5'

    """

    name: str = "any"
    langs: tuple[str, ...] = ()
    languages: int = 0
    boost: float = 1.0
    places: int = 0
    base: str = "balanced"

    def __post_init__(self) -> None:
        object.__setattr__(self, "langs", tuple(as_list(self.langs, self.name, SearchError)))

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Parse a policy as the user writes it.

        >>> Policy.parse("prefer=de:1.5")
        Policy(name='prefer', langs=('de',), languages=0, boost=1.5, places=0, base='balanced')

        Raises:
            SearchError: there is no such policy, or it is incomplete.

        """
        name, _, given = text.strip().partition("=")
        if name not in POLICIES:
            raise SearchError(
                f"the language policy {text[:60]!r} is unknown; use any, balanced, equal, adaptive, own=N, quota=N, "
                "prefer=LANG,... or only=LANG,..."
            )
        if name in ("any", "balanced", "equal", "adaptive"):
            if given:
                raise SearchError(f"the language policy {name!r} takes no {given[:60]!r}")
            return cls(name)
        if name == "quota":
            if not re.fullmatch(r"[0-9]{1,4}", given) or int(given) < 1:
                raise SearchError(f"quota={given[:60]}: write how many languages at least, as in  quota=3")
            return cls(name, languages=int(given))
        if name == "own":
            told = re.fullmatch(r"([0-9]{1,2})(?::(balanced|adaptive))?", given)
            if told is None or not 1 <= int(told[1]) <= FIRST:
                raise SearchError(
                    f"own={given[:60]}: write how many of the first {FIRST} answers are in the query's language, as in  own=5 "
                    "or  own=5:adaptive"
                )
            return cls(name, places=int(told[1]), base=told[2] or "balanced")
        langs, colon, boost = given.partition(":")
        tags = tuple(dict.fromkeys(tag.strip() for tag in langs.split(",") if tag.strip()))
        if not tags:
            raise SearchError(f"{name}: write languages after it, as in  {name}=de,fr")
        check_language_tags(tags, name, SearchError, ranges=True)
        if colon and name == "only":
            raise SearchError(f"only: takes languages alone, not {boost[:60]!r}")
        try:
            amount = float(boost) if colon else 1.0
        except ValueError:
            amount = math.nan
        if not 0 < amount <= MAX_BOOST:
            raise SearchError(f"prefer: the boost {boost[:60]!r} has to be a number above 0 and at most {MAX_BOOST:g}")
        return cls(name, langs=tags, boost=amount)

    def __str__(self) -> str:
        if self.name == "quota":
            return f"quota={self.languages}"
        if self.name == "own":
            return f"own={self.places}" + ("" if self.base == "balanced" else f":{self.base}")
        if self.name == "prefer":
            return f"prefer={','.join(self.langs)}" + ("" if self.boost == 1 else f":{self.boost:g}")
        return f"only={','.join(self.langs)}" if self.name == "only" else self.name

    @property
    def depends_on_k(self) -> bool:
        """Whether the first answers depend on how many are asked for: `quota=N` is met within k answers, whatever k is."""
        return self.name == "quota"

    def among(self, langs: Sequence[str], where: str) -> Policy:
        """The same policy, with the tags of an index in place of language ranges.

        Args:
            langs: the tags of the index.
            where: the name of the index, for the message.

        Raises:
            SearchError: a range matches no tag.

        """
        if self.name not in ("prefer", "only"):
            return self
        return replace(self, langs=tuple(match_languages(self.langs, langs, where, SearchError)))

    def narrowed(self, where: Where) -> Where:
        """The filter without the languages that the policy excludes."""
        return where.only(self.langs) if self.name == "only" else where
