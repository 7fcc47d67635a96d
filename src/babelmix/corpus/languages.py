"""Language tags (BCP 47): check, compare and select them. `zxx` is the language of a picture.

One language may have several tags: `iw` and `he`, `eng` and `en`, `cmn` and `zh`. `canonical_language` gives the one that CLDR
prefers (Unicode TS 35, "Canonical Unicode Locale Identifiers"). A corpus stores this form, and tags are compared in this form.

A selected language is a range (RFC 4647, basic filtering): `en` selects en, en-US and en-GB; `*` selects all.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from babelmix._lists import as_list
from babelmix.errors import CorpusError

IMAGE = "zxx"
"""The language of a picture: BCP 47's tag for "no linguistic content"."""

EVERY = "*"
"""The range of all languages (RFC 4647)."""

_ISO_639_1 = (
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en "
    "eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja "
    "jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb "
    "nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq "
    "sr ss st su sv sw ta te tg th ti tk tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu"
)
_PLAIN = frozenset({IMAGE, *_ISO_639_1.split()})
"""Registered tags that are their own canonical form. Most corpora have no others, and need not load the tables of langcodes."""

_KEPT = frozenset({"tw"})
"""Languages that CLDR replaces by a larger one (`tw` by `ak`), but babelmix keeps, because ISO 639-1 has both."""

_NEAR = 25
"""The largest CLDR distance, as `langcodes` computes it, at which an error message suggests another language."""


@lru_cache(maxsize=4096)
def is_language_tag(tag: str) -> bool:
    """Whether a text is a well-formed BCP 47 tag of registered subtags, in its usual spelling.

    Examples:
        >>> [is_language_tag(tag) for tag in ("de", "pt-BR", "pt_br", "xx")]
        [True, True, False, False]

    """
    if tag in _PLAIN:
        return True
    import langcodes  # loading its tables takes a tenth of a second

    # langcodes also accepts `en_US` and `EN`, but a corpus has one spelling of each tag.
    return langcodes.tag_is_valid(tag) and tag == langcodes.Language.get(tag, normalize=False).to_tag()


@lru_cache(maxsize=4096)
def canonical_language(tag: str) -> str:
    """The tag that CLDR prefers for a language. Scripts, regions and variants are kept.

    These are replaced: deprecated tags (`iw`), three-letter codes of languages that have a two-letter code (`eng`, `ger`),
    deprecated regions (`en-UK`), extended languages (`ar-arz`), and the main language of a macrolanguage (`cmn` becomes `zh`,
    `arb` becomes `ar`).
    Other members of a macrolanguage are kept (`yue`, `arz`), and so are `no`, `nb` and `nn`.

    Args:
        tag: a registered tag, see `is_language_tag`. Any other text is returned as it is.

    Returns:
        The preferred tag.

    Source:
        Unicode TS 35, section "Canonical Unicode Locale Identifiers".

    Examples:
        >>> [canonical_language(tag) for tag in ("iw", "eng-US", "cmn-Hant", "pt-BR")]
        ['he', 'en-US', 'zh-Hant', 'pt-BR']

    """
    if tag in _PLAIN or not is_language_tag(tag):
        return tag
    import langcodes

    found = langcodes.Language.get(tag)
    extended = found.extlangs or ()
    if found.language and len(extended) == 1:
        # RFC 5646, section 4.5: an extended language becomes the primary language with the same subtag.
        rest = {name: part for name, part in found.to_dict().items() if name not in ("language", "extlangs")}
        primary = langcodes.Language.make(**{"language": extended[0], **rest}).to_tag()
        # Keep the tag if the registry has no such primary language. `Language.get` also resolves an alias of it.
        found = langcodes.Language.get(primary) if langcodes.tag_is_valid(primary) else found
    return (found if found.language in _KEPT else found.prefer_macrolanguage()).to_tag()


@lru_cache(maxsize=4096)
def language_as_written(text: str | None) -> str | None:
    """The canonical tag of a language in any usual spelling, as tables of others have them; None if it is no language tag.

    Examples:
        >>> [language_as_written(text) for text in ("de_DE", "EN_us", "ger", "German", "", None)]
        ['de-DE', 'en-US', 'de', None, None, None]

    """
    # BCP 47: tags do not depend on case; the region is written in capitals, the script with a capital.
    first, *others = ("" if text is None else text.strip().replace("_", "-")).split("-")
    parts = [first.lower(), *({2: part.upper(), 4: part.title()}.get(len(part), part.lower()) for part in others)]
    tag = "-".join(parts)
    # A private tag (x-klingon) names no language that a searcher could ask for.
    return canonical_language(tag) if tag and is_language_tag(tag) and first.lower() != "x" else None


def respelled(text: str) -> str:
    """A tag as it is, or what another spelling means (de_DE is de-DE); a text that is no language stays as it is.

    Examples:
        >>> [respelled(text) for text in ("iw", "pl_PL", "Polish")]
        ['iw', 'pl-PL', 'Polish']

    """
    return text if is_language_tag(text) else language_as_written(text) or text


def check_language_tags(
    tags: Iterable[str], where: str, error: Callable[[str], Exception] = CorpusError, *, ranges: bool = False
) -> None:
    """Raise unless every tag is a registered BCP 47 tag.

    Args:
        tags: the tags.
        where: the beginning of the message.
        error: the class of the error.
        ranges: whether `*` is allowed.

    Raises:
        CorpusError: a tag is unknown. The message names it and may suggest another. `error` replaces the class.

    """
    for tag in tags:
        if not (is_language_tag(tag) or (ranges and tag == EVERY)):
            raise error(f"{where}: {not_a_tag(tag)}")


def not_a_tag(tag: str) -> str:
    """The message for a text that is not a registered tag. It may suggest a tag.

    Examples:
        >>> not_a_tag("jp")
        "'jp' is not a BCP 47 language tag such as 'de' or 'pt-BR'; did you mean 'ja'?"

    """
    return f"{tag[:60]!r} is not a BCP 47 language tag such as 'de' or 'pt-BR'{_did_you_mean(tag)}"


def check_distinct(tags: Iterable[str], where: str, error: Callable[[str], Exception] = CorpusError) -> None:
    """Raise if two tags mean the same language, for example two columns of a table.

    Raises:
        CorpusError: two tags mean the same language. `error` replaces the class.

    """
    seen: dict[str, str] = {}
    for tag in tags:
        first = seen.setdefault(canonical_language(tag), tag)
        if first != tag:
            raise error(f"{where}: {first!r} and {tag!r} are the same language; put both into one")


def match_languages(
    wanted: str | Iterable[str], langs: Iterable[str], where: str, error: Callable[[str], Exception] = CorpusError
) -> list[str]:
    """Select languages by ranges: each range selects every language that it matches.

    Tags are compared in their canonical form, so `eng` matches `en-US`.

    Args:
        wanted: one range or several: language tags, or `*`.
        langs: the languages to select from.
        where: the name of the corpus or file that has these languages, for messages.
        error: the class of the error.

    Returns:
        Tags of `langs`, without repeats: in the order of the ranges, and for each range in the order of `langs`.

    Raises:
        CorpusError: a range matches no language, or the list of ranges is empty. The message lists the languages and may suggest
            one. `error` replaces the class.

    Source:
        RFC 4647, section 3.3.1, basic filtering.

    Examples:
        >>> match_languages(["en", "he"], ["de", "en-GB", "en-US", "iw"], "my corpus")
        ['en-GB', 'en-US', 'iw']

    """
    wanted, langs = (
        as_list(wanted, f"{where}: languages", error, empty=False),
        as_list(langs, f"{where}: languages", error),
    )
    found = {one: [tag for tag in langs if in_range(tag, one)] for one in wanted}
    if missing := [one for one, tags in found.items() if not tags]:
        raise error(
            f"{where} has no {', '.join(one[:60] or repr(one) for one in missing)}; it has "
            f"{', '.join(sorted(langs)) or 'no language'}"
            f"{_did_you_mean(missing[0], langs)}"
        )
    return list(dict.fromkeys(tag for tags in found.values() for tag in tags))


def in_range(tag: str, wanted: str) -> bool:
    """Whether a range matches a language: `en` matches en and en-US; `*` matches all (RFC 4647, basic filtering)."""
    tag, wanted = canonical_language(tag), canonical_language(wanted)
    return wanted in (EVERY, tag) or tag.startswith(wanted + "-")


def readable_languages(reads: str | Iterable[str], langs: Iterable[str]) -> list[str]:
    """Select the languages that somebody can read who reads some languages.

    A range selects what it matches (`en` reads en-US), and a longer tag also selects what it is a part of (`de-AT` reads de).
    Unlike `match_languages`, a range may select nothing: a browser names languages that a collection does not have.

    Args:
        reads: language tags or `*`, the preferred ones first.
        langs: the languages to select from.

    Returns:
        Tags of `langs`, without repeats, the preferred ones first.

    Source:
        RFC 4647: section 3.3.1, basic filtering, and section 3.4, lookup.

    Examples:
        >>> readable_languages(["de-AT", "sv", "en"], ["en-GB", "fr", "de", "de-AT"])
        ['de-AT', 'de', 'en-GB']

    """
    langs, found = as_list(langs, "langs"), []
    for one in as_list(reads, "reads"):
        found += [tag for tag in langs if in_range(tag, one)]
        parts = canonical_language(one).split("-")
        shorter = ["-".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
        found += [tag for part in shorter for tag in langs if canonical_language(tag) == part]
    return list(dict.fromkeys(found))


def find_language(wanted: str, langs: Sequence[str]) -> str | None:
    """Find the one language that a tag means.

    Args:
        wanted: a language tag.
        langs: the languages to search.

    Returns:
        The tag of `langs` that means the same language. If there is none, the only tag in the range of `wanted`. None if no tag
        or several tags fit.

    Examples:
        >>> find_language("en", ["de", "en-US"])
        'en-US'
        >>> find_language("en", ["en-GB", "en-US"]) is None
        True

    """
    langs = as_list(langs, "langs")
    same = [lang for lang in langs if canonical_language(lang) == canonical_language(wanted)]
    found = same or [lang for lang in langs if in_range(lang, wanted)]
    return found[0] if len(found) == 1 else None


def _did_you_mean(tag: str, langs: Sequence[str] | None = None) -> str:
    """The end of a message about a missing or unknown tag: a suggestion, from `langs` if they are given, or nothing."""
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
    """A list with the registered tag that a text such as `en_US`, `EN` or `jp` probably means, or an empty list."""
    import langcodes
    from langcodes.data_dicts import LIKELY_SUBTAGS

    spelled = tag
    with contextlib.suppress(ValueError):
        spelled = langcodes.Language.get(tag, normalize=False).to_tag()
    if spelled != tag and is_language_tag(spelled):
        return [spelled]
    if len(tag) == 2 and tag.isascii() and tag.isalpha():
        # The text may be a country, which has a likely language.
        likely = LIKELY_SUBTAGS.get(f"und-{tag.upper()}", "").split("-")[0]
        return [likely] if likely else []
    return []


def renamed_languages(read_as: Mapping[str, Any]) -> list[str]:
    """A sentence for each language tag that was replaced by another tag, from `languages_read_as` in a corpus's `meta`."""
    return [f"{tag} is read as {of['as']}, the same language ({of['rows']:,} rows)" for tag, of in read_as.items()]
