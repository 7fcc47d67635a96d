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

A language includes its regions and scripts (RFC 4647, basic filtering): `only=en` finds en, en-US and en-GB; `*` finds all. In
`prefer` and `only`, `own` stands for the language of the query.

`reads=` names the languages that the searcher reads, after any policy: `balanced,reads=own,en`. `reads=de,en` alone is
`any,reads=de,en`. The preferred language comes first. The languages of the list that the index does not have count for nothing:
browsers name many. A reader of `de-AT` reads `de` too.

`babelmix.search.applying` carries them out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from babelmix._lists import as_list
from babelmix.corpus.languages import check_language_tags, match_languages, readable_languages
from babelmix.errors import SearchError
from babelmix.search.own_places import FIRST
from babelmix.search.rows import Where

POLICIES = ("any", "balanced", "equal", "adaptive", "own", "quota", "prefer", "only")

OWN = "own"
"""In a list of languages: that of the query."""

MAX_BOOST = 10.0
"""The largest boost of `prefer`, in spreads (standard deviations) of the query's scores."""

_READS = re.compile(r"(?:^|,)\s*reads=")


@dataclass(frozen=True)
class Policy:
    """A language policy.

    Args:
        name: one of `POLICIES`.
        langs: for `prefer` and `only`: the languages, as ranges, or `own`.
        languages: for `quota`: the least number of languages.
        boost: for `prefer`: the boost in spreads (standard deviations) of the query's scores.
        places: for `own`: the least number of the first 10 answers in the query's language.
        base: for `own`: the policy of the other places, `balanced` or `adaptive`.
        reads: the languages that the searcher reads, as ranges, or `own`, the preferred ones first; empty: all.

    Examples:
        >>> str(Policy("prefer", ("de", "fr"), boost=1.5, reads=("own", "en")))
        'prefer=de,fr:1.5,reads=own,en'

    """

    name: str = "any"
    langs: tuple[str, ...] = ()
    languages: int = 0
    boost: float = 1.0
    places: int = 0
    base: str = "balanced"
    reads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in POLICIES:
            raise SearchError(f"the language policy {self.name!r:.60} is unknown; use one of {', '.join(POLICIES)}")
        object.__setattr__(self, "langs", tuple(as_list(self.langs, self.name, SearchError)))
        object.__setattr__(self, "reads", tuple(as_list(self.reads, "reads", SearchError)))

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Parse a policy as the user writes it.

        >>> Policy.parse("prefer=de:1.5").boost
        1.5
        >>> Policy.parse("balanced,reads=own,en").reads
        ('own', 'en')

        Raises:
            SearchError: there is no such policy, or it is incomplete.

        """
        told = text.strip()
        found = _READS.search(told)
        if found is None:
            return cls._parsed(told)
        policy = cls._parsed(told[: found.start()].strip() or "any")
        return replace(policy, reads=_tags(told[found.end() :], "reads", "own,en"))

    @classmethod
    def _parsed(cls, text: str) -> Policy:
        """A policy without the languages that the searcher reads."""
        name, _, given = text.partition("=")
        if name not in POLICIES:
            raise SearchError(
                f"the language policy {text[:60]!r} is unknown; use any, balanced, equal, adaptive, own=N, quota=N, "
                "prefer=LANG,... or only=LANG,..., and after it perhaps  ,reads=LANG,..."
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
        tags = _tags(langs, name, "de,fr")
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
        if not self.reads:
            return self._base_text()
        return f"{'' if self.name == 'any' else f'{self._base_text()},'}reads={','.join(self.reads)}"

    def _base_text(self) -> str:
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

    @property
    def names_own(self) -> bool:
        """Whether `own` is among its languages, so that it is another policy for each language of a query; see `of_query`."""
        return OWN in self.langs or OWN in self.reads

    @property
    def needs_query_lang(self) -> bool:
        """Whether it needs the language of the query."""
        return self.places > 0 or self.names_own

    def of_query(self, lang: str | None, tags: Sequence[str]) -> Policy:
        """The policy of one query: with the query's language in place of `own`.

        Args:
            lang: the language of the query; None: it is unknown. Then `own` is left out. If nothing is left, the policy excludes
                or prefers no language, and the searcher reads all.
            tags: the tags of the index. `prefer=own` prefers nothing if the index does not have the query's language.

        Examples:
            >>> str(Policy.parse("balanced,reads=own,en").of_query("de", ["de", "en", "ja"]))
            'balanced,reads=de,en'
            >>> str(Policy.parse("only=own").of_query(None, ["de", "en"]))
            'any'

        """
        if not self.names_own:
            return self
        mine = [] if lang is None else readable_languages([lang], tags)
        # A language that the index does not have stays: `among` refuses it.
        stays = [lang] if lang is not None and self.name == "only" else []
        langs = [tag for one in self.langs for tag in ((mine or stays) if one == OWN else [one])]
        reads = [tag for one in self.reads for tag in ([lang] if one == OWN else [one]) if tag is not None]
        name = "any" if OWN in self.langs and not langs else self.name
        return replace(
            self, name=name, langs=tuple(dict.fromkeys(langs)), reads=tuple(dict.fromkeys(reads)),
            boost=self.boost if langs else 1.0,
        )  # fmt: skip

    def among(self, langs: Sequence[str], where: str) -> Policy:
        """The same policy, with the tags of an index in place of language ranges.

        Args:
            langs: the tags of the index.
            where: the name of the index, for the message.

        Raises:
            SearchError: a range of `prefer` or `only` matches no tag, or the index has none of the languages that the searcher
                reads.

        """
        found = self
        if self.reads:
            found = replace(found, reads=tuple(readable_languages(self.reads, langs)))
            if not found.reads:
                raise SearchError(
                    f"{where} has no text in a language that the searcher reads ({', '.join(self.reads)}); it has "
                    f"{', '.join(sorted(langs))}; name one of them in  reads="
                )
        if self.name not in ("prefer", "only"):
            return found
        return replace(found, langs=tuple(match_languages(self.langs, langs, where, SearchError)))

    def narrowed(self, where: Where) -> Where:
        """The filter without the languages that the policy excludes, and without those that the searcher does not read."""
        where = where.only(self.langs) if self.name == "only" else where
        return where.only(self.reads) if self.reads else where


def _tags(text: str, name: str, example: str) -> tuple[str, ...]:
    """Language ranges, or `own`, between commas.

    Raises:
        SearchError: there are none, or one is no tag.

    """
    tags = tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))
    if not tags:
        raise SearchError(f"{name}: write languages after it, as in  {name}={example}")
    for tag in tags:
        if tag.partition("=")[0] in POLICIES and tag != OWN:
            raise SearchError(
                f"{name}: {tag[:60]!r} is a policy; it stands before the languages, as in  own=5,reads=own,en"
            )
    check_language_tags([tag for tag in tags if tag != OWN], name, SearchError, ranges=True)
    return tags
