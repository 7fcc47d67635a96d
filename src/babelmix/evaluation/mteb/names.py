"""Names in mteb: of languages, tasks, subsets and models."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import langcodes

from babelmix._files import slug
from babelmix.corpus import IMAGE
from babelmix.errors import AuditError

SPLIT = "test"
"""The only split of the tasks and results of babelmix."""

CUTOFF = 1000
"""How many answers mteb keeps per query by default."""

K_VALUES = (1, 3, 5, 10, 20, 100, 1000)
"""mteb's cut-offs (`AbsTaskRetrieval.k_values`)."""

SHARE_AT = 10
"""The k of the same-language share."""


def language_code(tag: str) -> str:
    """The code of a language in mteb: ISO 639-3 and a script; if the tag has no script, the usual one.

    >>> language_code("zh"), language_code("pt-BR"), language_code("sr-Latn")
    ('zho-Hans', 'por-Latn', 'srp-Latn')

    Raises:
        AuditError: the tag is that of images, or the language has no such code.

    """
    if tag == IMAGE:
        raise AuditError("the corpus has images; its settings are mteb tasks and results for texts only")
    try:
        language = langcodes.Language.get(tag).maximize()
        code = language.to_alpha3()
    except LookupError:
        raise AuditError(f"the language {tag!r} has no ISO 639-3 code, which mteb needs") from None
    if language.script is None:
        raise AuditError(f"the usual script of {tag!r} is not known, and mteb needs one: write it as  {tag}-Latn")
    return f"{code}-{language.script}"


def task_name(corpus: str, setting: str) -> str:
    """The name of the mteb task for a setting of a corpus; file names and mteb's style allow few characters.

    >>> task_name("xquad-r", "multi")
    'XquadR-multi'
    """
    words = re.split(r"[\W_]+", corpus)
    return f"{''.join(word[:1].upper() + word[1:] for word in words) or 'Corpus'}-{setting}"


def model_name(encoder: str) -> str:
    """The name of an encoder in mteb, `organisation/model`; folders and names of babelmix get the organisation `babelmix`.

    >>> model_name("intfloat/multilingual-e5-small"), model_name("./my encoder")
    ('intfloat/multilingual-e5-small', 'babelmix/my-encoder')
    """
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", encoder) and not Path(encoder).exists():
        return encoder
    return f"babelmix/{slug(encoder).strip('-._') or 'encoder'}"


def subset_name(query_lang: str, passage_lang: str | None) -> str:
    """The name of a subset: the query language, in the cross-lingual setting `QUERY-PASSAGE` (mteb's MLQA has the reverse)."""
    return query_lang if passage_lang is None else f"{query_lang}-{passage_lang}"


def subset_codes(query_lang: str, passage_langs: Sequence[str]) -> list[str]:
    """The language codes of a subset: first of the queries, then of the passages, each once."""
    return list(dict.fromkeys(map(language_code, (query_lang, *passage_langs))))
