"""Build a bitext: a corpus of texts and their translations, each of which is query and passage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from babelmix.corpus.labels import LABELS, NEXT, TRANSLATIONS
from babelmix.corpus.model import Corpus
from babelmix.corpus.openings import size
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.readers._parallel import ParallelPair, corpus_from_pairs

ASKS = SENTENCE, FOLLOWING = ("sentence", "next")
"""What a query is: the sentence that it must find in other languages, or the sentence before the passage."""

MIN_LETTERS = 20
"""The least letters and digits of a text that is an item; a Chinese, Japanese or Korean character counts as two."""

_SHORT = "texts that are too short"


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


__all__ = ["ASKS", "FOLLOWING", "MIN_LETTERS", "SENTENCE", "ParallelText", "corpus_from_texts"]
