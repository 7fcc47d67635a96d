"""The languages that a client reads, by the header `Accept-Language`, as a language policy."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from babelmix.corpus.languages import is_language_tag, readable_languages

Use = Literal["prefer", "reads"]
USES: tuple[Use, ...] = ("prefer", "reads")
"""What the languages of the header may become: a policy that raises them, or one that gives no others."""

MOST = 10
"""Languages of a header that are used: the most wanted. Browsers send two to six."""

_LONGEST = 1000
"""Characters of a header that are read."""

_QUALITY = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def accepted_languages(header: str) -> list[str]:
    """The languages of a header, the most wanted first.

    What is malformed is left out, as are `*`, which wants no language more than others, and languages with the quality 0.

    Args:
        header: the value of `Accept-Language`.

    Returns:
        Language ranges, at most `MOST`, each once. Of equal qualities, the first in the header comes first.

    Source:
        RFC 9110, sections 12.4.2 and 12.5.4.

    Examples:
        >>> accepted_languages("fr;q=0.5, de-CH, de;q=0.9, *;q=0.1, it;q=0")
        ['de-CH', 'de', 'fr']

    """
    wanted: dict[str, float] = {}
    for part in header[:_LONGEST].split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        tag = _spelled(name)
        qualities = [_QUALITY.fullmatch(one) for one in parameters]
        if not is_language_tag(tag) or len(qualities) > 1 or None in qualities:
            continue
        wanted.setdefault(tag, float(qualities[0][1]) if qualities and qualities[0] else 1.0)
    some = sorted((tag for tag, quality in wanted.items() if quality > 0), key=lambda tag: -wanted[tag])
    return some[:MOST]


def _spelled(tag: str) -> str:
    """A tag in its usual spelling: headers may have `EN-us`."""
    first, *others = tag.split("-")
    spellings = {2: str.upper, 4: str.title}
    return "-".join([first.lower(), *(spellings.get(len(part), str.lower)(part) for part in others)])


def languages_among(ranges: Iterable[str], langs: Sequence[str]) -> list[str]:
    """The languages of an index that a client reads.

    Args:
        ranges: language ranges, the most wanted first.
        langs: the languages of the index.

    Returns:
        Tags of `langs`, each once. `de-AT` finds `de-AT` and `de`. A range that finds none is shortened until it does: then
        `de-AT` finds `de-CH` (RFC 4647, lookup).

    Examples:
        >>> languages_among(["de-AT", "en", "sw"], ["de", "en-GB", "en-US", "fr"])
        ['de', 'en-GB', 'en-US']

    """
    found: dict[str, None] = {}
    for wanted in ranges:
        parts = wanted.split("-")
        while parts and not (tags := readable_languages("-".join(parts), langs)):
            parts.pop()
        found.update(dict.fromkeys(tags if parts else ()))
    return list(found)


def policy_for(header: str, langs: Sequence[str], use: Use, *, own: bool = False) -> str | None:
    """The policy for a client that names none.

    Args:
        header: the value of `Accept-Language`.
        langs: the languages of the index.
        use: `prefer`: answers in these languages are raised; `reads`: there are no others.
        own: with `reads`: whether there are answers in the query's own language too, because the request states it.

    Returns:
        A policy, as `Policy.parse` reads it; None if the index has none of these languages.

    Examples:
        >>> policy_for("de-CH,de;q=0.9,en;q=0.5", ["de", "en", "fr"], "prefer")
        'prefer=de,en'

    """
    found = languages_among(accepted_languages(header), langs)[:MOST]
    if not found:
        return None
    return f"prefer={','.join(found)}" if use == "prefer" else f"any,reads={'own,' if own else ''}{','.join(found)}"


__all__ = ["MOST", "USES", "Use", "accepted_languages", "languages_among", "policy_for"]
