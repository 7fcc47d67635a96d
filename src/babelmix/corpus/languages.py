"""Language tags: BCP 47, with `zxx` for an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import langcodes

from babelmix.errors import CorpusError

IMAGE = "zxx"
"""BCP 47's tag for "no linguistic content": the language of an image."""


def is_language_tag(tag: str) -> bool:
    """Whether `tag` is a well-formed BCP 47 tag made of registered subtags."""
    # langcodes also accepts `en_US` and `EN`; the data model wants one spelling of a language.
    return langcodes.tag_is_valid(tag) and tag == langcodes.Language.get(tag, normalize=False).to_tag()


def check_language_tags(tags: Iterable[str], where: str) -> None:
    """Raise unless every tag is a registered BCP 47 tag.

    Raises:
        CorpusError: a tag is unknown; the message names it and, where there is one, the likely intention.

    """
    for tag in tags:
        if is_language_tag(tag):
            continue
        try:
            hint = langcodes.Language.get(tag, normalize=False).to_tag()
        except ValueError:
            hint = tag
        suggestion = f"; did you mean {hint!r}?" if hint != tag and is_language_tag(hint) else ""
        raise CorpusError(f"{where}: {tag!r} is not a BCP 47 language tag such as 'de' or 'pt-BR'{suggestion}")


def find_language(wanted: str, langs: Sequence[str]) -> str | None:
    """The tag in `langs` that means `wanted`: itself, or the only one with the same primary subtag.

    >>> find_language("en", ["de", "en-US"])
    'en-US'
    """
    if wanted in langs:
        return wanted
    related = [lang for lang in langs if lang.split("-")[0] == wanted.split("-")[0]]
    return related[0] if len(related) == 1 else None
