"""Build a bitext: a corpus of texts and their translations, each of which is query and passage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from babelmix.corpus.labels import LABELS, NEXT, TRANSLATIONS
from babelmix.corpus.model import Corpus
from babelmix.corpus.openings import one_line, sentences, size
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._parallel import ParallelPair, corpus_from_pairs

ASKS = SENTENCE, FOLLOWING = ("sentence", "next")
"""What a query is: the sentence that it must find in other languages, or the sentence before the passage."""

MIN_LETTERS = 20
"""The least letters and digits of a text that is an item; a Chinese, Japanese or Korean character counts as two."""

MAX_RATIO = 3.0
"""Parts of a text are no translations of each other if one is so many times longer than the whole texts suggest."""

_SHORT = "texts that are too short"
_UNLIKE = "translations with other parts"


@dataclass(frozen=True)
class ParallelText:
    """A text in several languages. A language that is missing is not translated."""

    item: str
    group: str
    texts: Mapping[str, str]


def corpus_from_texts(
    texts: Iterable[ParallelText],
    *,
    ask: str = SENTENCE,
    name: str,
    source_lang: str,
    meta: Mapping[str, Any],
    min_letters: int = 0,
    left_out: LeftOut | None = None,
) -> Corpus:
    """Build a corpus of texts that find their translations, or of texts that find what follows them.

    Args:
        texts: the texts. The texts of a group are in reading order and follow each other.
        ask: `sentence`: each text is query and passage, in every language. `next`: every second text of a group is a query, and
            the text after it is its passage. So no text is both.
        name: the name of the corpus.
        source_lang: the language from which the others were translated.
        meta: facts about the source. `labels` and `left_out` are added.
        min_letters: shorter texts are left out.
        left_out: earlier counts.

    """
    left_out = LeftOut() if left_out is None else left_out
    pairs = _following(texts) if ask == FOLLOWING else (ParallelPair(t.item, t.group, t.texts, t.texts) for t in texts)
    kept = _long_enough(pairs, min_letters, left_out) if min_letters else pairs
    facts = (
        {**meta, LABELS: NEXT} if ask == FOLLOWING else {**meta, "one_text_per_language": True, LABELS: TRANSLATIONS}
    )
    return corpus_from_pairs(kept, name=name, source_lang=source_lang, meta=facts, left_out=left_out)


def _following(texts: Iterable[ParallelText]) -> Iterator[ParallelPair]:
    for group, members in groupby(texts, key=lambda text: text.group):
        some = list(members)
        for one, after in zip(some[::2], some[1::2], strict=False):
            yield ParallelPair(one.item, group, one.texts, after.texts)


def _long_enough(pairs: Iterable[ParallelPair], least: int, left_out: LeftOut) -> Iterator[ParallelPair]:
    for pair in pairs:
        sides = []
        for texts in (pair.query, pair.passage):
            sides.append({lang: text for lang, text in texts.items() if size(text) >= least})
            for lang in texts.keys() - sides[-1].keys():
                left_out.add(_SHORT, f"{lang}: {pair.item}")
        if all(sides):
            yield ParallelPair(pair.item, pair.group, *sides)


def aligned_parts(
    parts: Mapping[str, list[str]], source_lang: str, left_out: LeftOut, item: str
) -> list[dict[str, str]]:
    """Align the parts of a text with those of its translations by their number.

    A translation with another number of parts is left out and counted. So is one of which a part is three times longer or shorter
    than the whole texts suggest, because its parts are then other parts.

    Args:
        parts: for each language the parts of its text, in order.
        source_lang: the language whose number of parts counts.
        left_out: counts what is left out.
        item: the name of the text, for examples of what was left out.

    Returns:
        For each part its texts by language.

    Example:
        >>> aligned_parts({"en": ["One.", "Two."], "de": ["Eins.", "Zwei."], "fr": ["Un et deux."]}, "en", LeftOut(), "1")
        [{'en': 'One.', 'de': 'Eins.'}, {'en': 'Two.', 'de': 'Zwei.'}]

    """
    source = parts.get(source_lang, [])
    lengths = [size(part) for part in source]
    found: list[dict[str, str]] = [{} for _ in source]
    for lang, of in parts.items():
        if lang != source_lang and not _alike(lengths, [size(part) for part in of]):
            left_out.add(_UNLIKE, f"{lang}: {item}")
            continue
        for texts, part in zip(found, of, strict=True):
            texts[lang] = part
    return found


def aligned_sentences(
    texts: Mapping[str, str], source_lang: str, left_out: LeftOut, item: str
) -> list[dict[str, str]]:
    """Cut a text and its translations into sentences, and align them by their number.

    Where the source text is one sentence, all translations are kept whole: a translation may be two sentences, and Thai has no
    mark at the end of a sentence.

    Args:
        texts: the text of each language.
        source_lang: the language whose number of sentences counts.
        left_out: counts what is left out, see `aligned_parts`.
        item: the name of the text.

    Example:
        >>> aligned_sentences({"en": "Press it, then wait.", "de": "Drücken. Dann warten."}, "en", LeftOut(), "1")
        [{'en': 'Press it, then wait.', 'de': 'Drücken. Dann warten.'}]

    """
    source = sentences(texts[source_lang])
    if len(source) < 2:
        return [dict(texts)] if source else []
    return aligned_parts({lang: sentences(text) for lang, text in texts.items()}, source_lang, left_out, item)


def lines_of(text: str) -> list[str]:
    r"""Cut a text into its lines. An item of a list is a line, also where the line breaks were lost.

    Example:
        >>> lines_of("You need:\n- a kettle - a cup - water")
        ['You need:', 'a kettle', 'a cup', 'water']

    """
    parts = (part for line in text.splitlines() for part in _BULLET.split(line))
    return [one for one in map(one_line, parts) if size(one)]


_BULLET = re.compile(r"(?:^|\s)[-*•]\s+(?=\S)")


def _alike(source: list[int], other: list[int]) -> bool:
    if len(source) != len(other) or not all(other):
        return False
    ratio = sum(other) / sum(source) if sum(source) else 1.0
    # The length of a short part says little: some letters more are allowed.
    return all(
        mine * ratio <= MAX_RATIO * theirs + MIN_LETTERS and theirs <= MAX_RATIO * mine * ratio + MIN_LETTERS
        for mine, theirs in zip(source, other, strict=True)
    )


__all__ = [
    "ASKS", "FOLLOWING", "MIN_LETTERS", "SENTENCE", "ParallelText", "aligned_parts",
    "aligned_sentences", "corpus_from_texts", "lines_of",
]  # fmt: skip
