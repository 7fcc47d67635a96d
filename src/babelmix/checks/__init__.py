"""Checks of a corpus, an encoder and an index: what of them will hurt retrieval or its figures. `babelmix doctor` runs them.

To add a check, write a function of a `Subject` that yields `Problem`s, and add one line to `CHECKS`.
"""

from __future__ import annotations

from babelmix._registry import Registry
from babelmix.checks import encoders, indexes, labels, languages, texts
from babelmix.checks.base import NEEDS, Check, Need, NotCheckedError, Problem, Subject

CHECKS: Registry[Check] = Registry(
    "check",
    {
        "decomposed": Check(texts.decomposed, ("texts",), "texts in NFC"),
        "invisible": Check(texts.invisible, ("texts",), "no invisible characters"),
        "scripts": Check(texts.scripts, ("texts",), "scripts fit the languages"),
        "broken": Check(texts.broken, ("texts",), "no broken characters"),
        "untranslated": Check(texts.untranslated, ("texts",), "no text in two languages"),
        "zawgyi": Check(texts.zawgyi, ("texts",), "no Zawgyi"),
        "wordless": Check(texts.wordless, ("texts",), "every text has words"),
        "quoted": Check(texts.quoted, ("texts",), "no quoted cells"),
        "repeated": Check(texts.repeated, ("texts",), "no text a hundred times"),
        "unspaced": Check(texts.unspaced, ("texts",), "spaces between words"),
        "unknown language": Check(languages.unknown, ("texts",), "every text has a language"),
        "aliases": Check(languages.aliases, ("texts",), "usual language tags"),
        "sizes": Check(languages.sizes, ("texts",), "languages of similar size"),
        "topics": Check(languages.topics, ("texts",), "languages share their texts"),
        "machine-made": Check(languages.machine_made, ("texts",), "no machine translation known"),
        "twins": Check(labels.twins, ("texts",), "no text in two groups"),
        "left out": Check(labels.left_out, ("texts",), "nothing left out"),
        "copies": Check(labels.copies, ("labels",), "no unjudged copies of answers"),
        "unjoined": Check(labels.unjoined, ("labels",), "translations are joined"),
        "groups": Check(labels.groups, ("labels",), "enough groups"),
        "ambiguous": Check(labels.ambiguous, ("labels",), "no query asked twice"),
        "own text": Check(labels.own_text, ("labels",), "no query is its own answer"),
        "prompts": Check(encoders.prompts, ("encoder",), "prompts are there"),
        "normaliser": Check(encoders.normaliser, ("encoder",), "tokenizer as it was saved"),
        "limit": Check(encoders.limit, ("encoder",), "the length limit fits"),
        "int8": Check(encoders.int8, ("encoder",), "int8 products do not saturate"),
        "cut": Check(encoders.cut, ("encoder", "texts"), "texts are read whole"),
        "unknown": Check(encoders.unknown, ("encoder", "texts"), "all characters are known"),
        "token cost": Check(encoders.token_cost, ("encoder", "texts"), "no language needs many tokens"),
        "vectors": Check(encoders.vectors, ("encoder", "texts"), "vectors are sound"),
        "collection": Check(indexes.notes, ("index",), "the collection has its indexes"),
        "empty": Check(indexes.empty, ("index",), "the index has rows"),
        "no language": Check(indexes.without_language, ("index",), "every row has a language"),
        "small languages": Check(indexes.small_languages, ("index",), "no rare language"),
        "removal": Check(indexes.removal, ("index",), "the removal opens"),
        "encoder": Check(indexes.encoder, ("index", "encoder"), "the encoder of the index"),
    },
)
"""The checks by name, in the order in which they run."""


def found_by(name: str, subject: Subject) -> list[Problem]:
    """What a check finds.

    Args:
        name: the name of a check of `CHECKS`.
        subject: what is examined.

    Raises:
        NotCheckedError: the subject lacks what the check needs.

    Examples:
        >>> from babelmix import Corpus
        >>> rows = [{"item": "1", "lang": "ru", "text": "not translated yet"}]
        >>> (problem,) = found_by("scripts", Subject(Corpus.from_rows(rows, rows, [("1", "1")])))
        >>> problem.number
        2

    """
    check = CHECKS[name]
    missing = [NEEDS[need] for need in check.needs if not subject.has(need)]
    if missing:
        raise NotCheckedError(*missing)
    return list(check.run(subject))


__all__ = ["CHECKS", "NEEDS", "Check", "Need", "NotCheckedError", "Problem", "Subject", "found_by"]
