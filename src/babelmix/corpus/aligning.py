"""Align the lines and sentences of a text with those of its translations, by their number and their length."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from babelmix.corpus.openings import one_line, sentence_spans, size, trimmed

MAX_RATIO = 3.0
"""Parts of a text are no translations of each other if one is so many times longer than the whole texts suggest."""

_SLACK = 20
"""The letters by which parts may differ besides: the length of a short part says little."""

_LETTER = re.compile(r"[^\W_]")
_LINE = re.compile(r"[^\n\r]+")
_BULLET = re.compile(r"(?:^|\s)[-*•]\s+(?=\S)")


class Part(NamedTuple):
    """A part of a text.

    Args:
        text: the part on one line.
        begin: where it begins in the whole text.
        end: where it ends.

    """

    text: str
    begin: int
    end: int


def lines_of(text: str) -> list[Part]:
    r"""Cut a text into its lines. An item of a list is a line, also where the line breaks were lost.

    Examples:
        >>> [line.text for line in lines_of("You need:\n- a kettle - a cup - water")]
        ['You need:', 'a kettle', 'a cup', 'water']

    """
    found: list[Part] = []
    for line in _LINE.finditer(text):
        marks = [(line.start() + a, line.start() + b) for a, b in map(re.Match.span, _BULLET.finditer(line[0]))]
        begins = [line.start(), *(end for _, end in marks)]
        ends = [*(begin for begin, _ in marks), line.end()]
        for span in zip(begins, ends, strict=True):
            begin, end = trimmed(text, *span)
            if _LETTER.search(text[begin:end]):
                found.append(Part(one_line(text[begin:end]), begin, end))
    return found


def sentences_of(line: Part, text: str) -> list[Part]:
    """Cut a line into its sentences.

    Args:
        line: a line of `text`.
        text: the whole text.

    """
    spans = ((line.begin + a, line.begin + b) for a, b in sentence_spans(text[line.begin : line.end]))
    return [Part(one_line(text[begin:end]), begin, end) for begin, end in spans]


class Aligned(NamedTuple):
    """Aligned parts of a text and its translations.

    Args:
        parts: for each part of the source text, the part of each language.
        unlike: the languages that have other parts.

    """

    parts: list[dict[str, Part]]
    unlike: list[str]


def align(parts: Mapping[str, Sequence[Part]], source_lang: str) -> Aligned:
    """Align the parts of a text with those of its translations by their number.

    A translation with another number of parts is left out. So is one of which a part is three times longer or shorter than the
    whole texts suggest, because its parts are then other parts.

    Args:
        parts: for each language the parts of its text, in order.
        source_lang: the language whose parts count.

    Examples:
        >>> found = align({"en": lines_of("- a cup - tea"), "de": lines_of("- eine Tasse - Tee"), "fr": lines_of("- thé")}, "en")
        >>> [{lang: part.text for lang, part in one.items()} for one in found.parts], found.unlike
        ([{'en': 'a cup', 'de': 'eine Tasse'}, {'en': 'tea', 'de': 'Tee'}], ['fr'])

    """
    source = parts.get(source_lang, [])
    found: list[dict[str, Part]] = [{} for _ in source]
    unlike: list[str] = []
    for lang, of in parts.items():
        if lang != source_lang and not _alike(source, of):
            unlike.append(lang)
            continue
        for texts, part in zip(found, of, strict=True):
            texts[lang] = part
    return Aligned(found, unlike)


def align_lines(texts: Mapping[str, str], source_lang: str) -> Aligned:
    """Align the lines of a text with those of its translations, see `align`."""
    return align({lang: lines_of(text) for lang, text in texts.items()}, source_lang)


def align_sentences(line: Mapping[str, Part], texts: Mapping[str, str], source_lang: str) -> Aligned:
    """Align the sentences of a line with those of its translations.

    Where the source line is one sentence, all translations are kept whole: a translation may be two sentences, and Thai has no
    mark at the end of a sentence.

    Args:
        line: the line in each language, of `align_lines`.
        texts: the whole texts.
        source_lang: the language whose sentences count.

    Examples:
        >>> texts = {"en": "Press it, then wait.", "de": "Drücken. Dann warten."}
        >>> lines = align_lines(texts, "en").parts
        >>> [part["de"].text for part in align_sentences(lines[0], texts, "en").parts]
        ['Drücken. Dann warten.']

    """
    source = sentences_of(line[source_lang], texts[source_lang])
    if len(source) < 2:
        return Aligned([dict(line)], [])
    return align({lang: sentences_of(part, texts[lang]) for lang, part in line.items()}, source_lang)


def _alike(source: Sequence[Part], other: Sequence[Part]) -> bool:
    if len(source) != len(other):
        return False
    if len(source) < 2:
        return True
    mine, theirs = ([size(part.text) for part in parts] for parts in (source, other))
    ratio = sum(theirs) / sum(mine)
    return all(
        one * ratio <= MAX_RATIO * of + _SLACK and of <= MAX_RATIO * one * ratio + _SLACK
        for one, of in zip(mine, theirs, strict=True)
    )


__all__ = [
    "MAX_RATIO", "Aligned", "Part", "align", "align_lines", "align_sentences", "lines_of", "sentences_of",
]  # fmt: skip
