"""Language tags: BCP 47, compared in their canonical form, asked for by range; `zxx` stands for an image.

One language has many tags: `iw` and `he`, `eng` and `en`, `cmn` and `zh`. `canonical_language` gives the one that CLDR prefers
(Unicode TS 35, "Canonical Unicode Locale Identifiers"). Data are read under it, and tags are compared by it.

A language that someone asks for is a range (RFC 4647, basic filtering): `en` means en, en-US and en-GB; `*` means all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from babelmix._lists import as_list
from babelmix.errors import CorpusError

IMAGE = "zxx"
"""BCP 47's tag for "no linguistic content": the language of an image."""

EVERY = "*"
"""RFC 4647's range of all languages."""

_KEPT = frozenset({"tw"})
"""What CLDR calls a part of a larger language (`tw` of `ak`), though ISO 639-1 has both: data with both keep both."""

_NEAR = 25
"""The largest distance (CLDR's, as `langcodes` computes it) of a language that is proposed in place of a missing one."""


@lru_cache(maxsize=4096)
def is_language_tag(tag: str) -> bool:
    """Whether `tag` is a well-formed BCP 47 tag made of registered subtags."""
    import langcodes  # its tables take a tenth of a second

    # langcodes also accepts `en_US` and `EN`; the data model wants one spelling of a language.
    return langcodes.tag_is_valid(tag) and tag == langcodes.Language.get(tag, normalize=False).to_tag()


@lru_cache(maxsize=4096)
def canonical_language(tag: str) -> str:
    """The tag that CLDR prefers for a language; scripts, regions and variants are kept.

    What is replaced: deprecated tags (`iw`), three letters where there are two (`eng`, `ger`), deprecated regions (`en-UK`),
    extended languages (`ar-arz`), and the one language that a macrolanguage usually means (`cmn` is `zh`, `arb` is `ar`).
    Other members stay themselves (`yue`, `arz`), as do `no`, `nb` and `nn`.

    >>> [canonical_language(tag) for tag in ("iw", "eng-US", "cmn-Hant", "pt-BR")]
    ['he', 'en-US', 'zh-Hant', 'pt-BR']

    Args:
        tag: a registered tag, see `is_language_tag`; anything else comes back as it is.

    """
    import langcodes

    if not is_language_tag(tag):
        return tag
    found = langcodes.Language.get(tag)
    extended = found.extlangs or ()
    if found.language and len(extended) == 1:
        # RFC 5646, section 4.5: an extended language is the primary language of the same name.
        rest = {name: part for name, part in found.to_dict().items() if name not in ("language", "extlangs")}
        primary = langcodes.Language.make(**{"language": extended[0], **rest}).to_tag()
        # Where the registry has no such language the tag stays; where it has, that may have an alias itself.
        found = langcodes.Language.get(primary) if langcodes.tag_is_valid(primary) else found
    return (found if found.language in _KEPT else found.prefer_macrolanguage()).to_tag()


def check_language_tags(
    tags: Iterable[str], where: str, error: Callable[[str], Exception] = CorpusError, *, ranges: bool = False
) -> None:
    """Raise unless every tag is a registered BCP 47 tag.

    Args:
        tags: the tags.
        where: the beginning of the message.
        error: what is raised.
        ranges: whether `*` is good too.

    Raises:
        CorpusError: a tag is unknown (or `error`); the message names it and, where there is one, the likely intention.

    """
    for tag in tags:
        if not (is_language_tag(tag) or (ranges and tag == EVERY)):
            raise error(f"{where}: {not_a_tag(tag)}")


def not_a_tag(tag: str) -> str:
    """The sentence about a text that is no registered tag, with the likely intention.

    >>> not_a_tag("jp")
    "'jp' is not a BCP 47 language tag such as 'de' or 'pt-BR'; did you mean 'ja'?"
    """
    return f"{tag[:60]!r} is not a BCP 47 language tag such as 'de' or 'pt-BR'{_did_you_mean(tag)}"


def check_distinct(tags: Iterable[str], where: str, error: Callable[[str], Exception] = CorpusError) -> None:
    """Raise if two of some columns, files or parts are of one language.

    Raises:
        CorpusError: they are (or `error`).

    """
    seen: dict[str, str] = {}
    for tag in tags:
        first = seen.setdefault(canonical_language(tag), tag)
        if first != tag:
            raise error(f"{where}: {first!r} and {tag!r} are the same language; put both into one")


def match_languages(
    wanted: str | Iterable[str], langs: Iterable[str], where: str, error: Callable[[str], Exception] = CorpusError
) -> list[str]:
    """The languages that someone asks for: each wanted range with every tag it matches (RFC 4647, basic filtering).

    Tags are compared in their canonical form, so that `eng` matches `en-US`.

    >>> match_languages(["en", "he"], ["de", "en-GB", "en-US", "iw"], "my corpus")
    ['en-GB', 'en-US', 'iw']

    Args:
        wanted: a range or several: language tags, or `*`.
        langs: the tags there are.
        where: what has these languages, for the message.
        error: what is raised.

    Returns:
        Tags of `langs`, each once: by the range that matches first, then as in `langs`.

    Raises:
        CorpusError: a range matches nothing, or none is given (or `error`). The message says what languages there are, and what
            was probably meant.

    """
    wanted, langs = as_list(wanted, f"{where}: languages", error, empty=False), list(langs)
    found = {one: [tag for tag in langs if in_range(tag, one)] for one in wanted}
    if missing := [one for one, tags in found.items() if not tags]:
        raise error(
            f"{where} has no {', '.join(one[:60] or repr(one) for one in missing)}; it has "
            f"{', '.join(sorted(langs)) or 'no language'}"
            f"{_did_you_mean(missing[0], langs)}"
        )
    return list(dict.fromkeys(tag for tags in found.values() for tag in tags))


def in_range(tag: str, wanted: str) -> bool:
    """Whether a language is in a range: it is the range, or begins with it (RFC 4647, basic filtering)."""
    tag, wanted = canonical_language(tag), canonical_language(wanted)
    return wanted in (EVERY, tag) or tag.startswith(wanted + "-")


def find_language(wanted: str, langs: Sequence[str]) -> str | None:
    """The one tag in `langs` that means `wanted`: the language itself, or the only one in its range.

    >>> find_language("en", ["de", "en-US"])
    'en-US'
    """
    same = [lang for lang in langs if canonical_language(lang) == canonical_language(wanted)]
    found = same or [lang for lang in langs if in_range(lang, wanted)]
    return found[0] if len(found) == 1 else None


def _did_you_mean(tag: str, langs: Sequence[str] | None = None) -> str:
    """The end of a message about a tag that is not there: the likely intention, of `langs` if there are any."""
    import langcodes

    meant = _intentions(tag)
    if langs is not None:
        likely = meant or [tag]
        near = [lang for one in likely for lang in langs if in_range(lang, one)]
        near += [lang for one in likely for lang in langs if _primary(lang) == _primary(one)]
        if not near and langs and is_language_tag(likely[0]):
            closest, _ = langcodes.closest_match(likely[0], list(langs), max_distance=_NEAR)
            near = [lang for lang in langs if lang == closest]
        meant = list(dict.fromkeys(near))[:3]
    return f"; did you mean {' or '.join(map(repr, meant))}?" if meant else ""


def _primary(tag: str) -> str:
    return canonical_language(tag).split("-")[0]


def _intentions(tag: str) -> list[str]:
    """Registered tags that someone may have meant who wrote `en_US`, `EN` or `jp`."""
    import langcodes
    from langcodes.data_dicts import LIKELY_SUBTAGS

    spelled = tag
    with contextlib.suppress(ValueError):
        spelled = langcodes.Language.get(tag, normalize=False).to_tag()
    if spelled != tag and is_language_tag(spelled):
        return [spelled]
    if len(tag) == 2 and tag.isascii() and tag.isalpha():
        # A country in place of its language.
        likely = LIKELY_SUBTAGS.get(f"und-{tag.upper()}", "").split("-")[0]
        return [likely] if likely else []
    return []
