"""The key phrase of a sentence: a word, or a short run of words, that is frequent in its text and rare in other texts.

Words are runs of letters. Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces between words. There, a run of Katakana
is a word, and runs of other characters are cut into words where neighbours stand together by chance: where their pointwise mutual
information is a local minimum. Hiragana is no part of a phrase.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

import regex

MAX_WORDS = 3
"""The most words of a phrase."""

MIN_LETTERS = 3
"""The least letters of a word that is a phrase."""

RARE = 0.85
"""A neighbour joins the key word if it is at least so rare, as a share of the key word's rarity."""

MAX_SHARE = 1 / 3
"""A phrase gets no neighbour that makes it longer than this share of the sentence."""

SMOOTH = 3
"""Added to the number of texts that have a word: a word of one text is often a misspelt or inflected one."""

_LONGEST = {"han": 4, "south": 7}
"""The most characters of a word, by script."""

_RUN = regex.compile(
    r"(?P<han>\p{Han}+)|(?P<kana>[\p{Katakana}ー]+)|(?P<hira>\p{Hiragana}+)|(?P<south>[\p{lb=SA}]+)"
    r"|(?P<word>[[\p{L}\p{M}\p{N}]--[\p{Han}\p{Katakana}\p{Hiragana}\p{lb=SA}ー]]+)",
    regex.V1,
)
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")
"""The same for a text in which all scripts have spaces."""

_UNSPACED = regex.compile(r"[\p{Han}\p{Katakana}\p{Hiragana}\p{lb=SA}]")
_CHARACTER = regex.compile(r"[\u0e40-\u0e44\u0ec0-\u0ec4]?\X[\u0e30\u0e32\u0e33\u0e45\u0eb0\u0eb2\u0eb3]?")
"""A character with its marks. A vowel of Thai or Lao that stands before or after its consonant belongs to it."""


class Phrase(NamedTuple):
    """A phrase of a sentence.

    Args:
        begin: where it begins in the sentence.
        end: where it ends.

    """

    begin: int
    end: int


class KeyPhrases:
    """Finds key phrases in the texts of a language.

    Args:
        texts: all texts of the language. The more of them have a word, the less it says.

    Examples:
        >>> texts = ["The kettle is hot.", "The cup is clean.", "The tea is in the pot."]
        >>> found = KeyPhrases(texts).of("The kettle is hot.", texts[0])
        >>> "The kettle is hot."[found.begin : found.end]
        'kettle'

    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = 0
        self._with: Counter[str] = Counter()
        self._characters: Counter[str] = Counter()
        self._pairs: Counter[str] = Counter()
        for text in texts:
            self._texts += 1
            words: set[str] = set()
            text = _folded(text)
            if not _UNSPACED.search(text):
                self._with.update(set(_WORD.findall(text)))
                continue
            for run in _RUN.finditer(text):
                if run["word"] is not None or run["kana"] is not None:
                    words.add(run[0])
                elif run["hira"] is None:
                    characters = _CHARACTER.findall(run[0])
                    pairs = list(map("".join, pairwise(characters)))
                    self._characters.update(characters)
                    self._pairs.update(pairs)
                    words.update(pairs)
            self._with.update(words)
        self._all = sum(self._characters.values())

    def of(self, sentence: str, text: str) -> Phrase | None:
        """The key phrase of a sentence.

        Args:
            sentence: the sentence.
            text: the text that it is from.

        Returns:
            Where the phrase is; None if the sentence has no word of three letters, or of two characters without spaces.

        """
        within = _folded(text)
        best: tuple[float, Phrase] | None = None
        words: list[tuple[Phrase, float]] = []
        for run in _RUN.finditer(sentence):
            for phrase, rarity, is_word in self._candidates(run):
                words.append((phrase, rarity))
                score = max(1, within.count(_folded(sentence[phrase.begin : phrase.end]))) * rarity
                if is_word and (best is None or score > best[0]):
                    best = score, phrase
        return None if best is None else _extended(best[1], words, sentence)

    def _candidates(self, run: regex.Match[str]) -> Iterator[tuple[Phrase, float, bool]]:
        """The words of a run, how rare they are, and whether they may be a phrase."""
        if run["word"] is not None or run["kana"] is not None:
            term = _folded(run[0])
            yield Phrase(*run.span()), self._rarity(term), len(term) >= MIN_LETTERS and not term.isdigit()
        elif run["hira"] is None:
            bounds = [run.start() + found.start() for found in _CHARACTER.finditer(run[0])] + [run.end()]
            characters = [_folded(run.string[a:b]) for a, b in pairwise(bounds)]
            for first, last in self._words(characters, _LONGEST[str(run.lastgroup)]):
                pairs = list(map("".join, pairwise(characters[first:last])))
                rarity = sum(map(self._rarity, pairs)) / max(1, len(pairs))
                yield Phrase(bounds[first], bounds[last]), rarity, bool(pairs)

    def _words(self, characters: list[str], longest: int) -> Iterator[tuple[int, int]]:
        """Cut characters without spaces into words: the first and the last character of each."""
        ties = [self._tie(one, other) for one, other in pairwise(characters)]
        begin = 0
        for place in range(1, len(characters)):
            tie = ties[place - 1]
            before = ties[place - 2] if place > 1 else math.inf
            after = ties[place] if place < len(ties) else math.inf
            if (tie <= before and tie < after) or tie < 0 or place - begin >= longest:
                yield begin, place
                begin = place
        yield begin, len(characters)

    def _tie(self, one: str, other: str) -> float:
        """Pointwise mutual information: how much more often two characters are neighbours than by chance."""
        expected = (self._characters[one] + 1) * (self._characters[other] + 1) / (self._all + 1)
        return math.log((self._pairs[one + other] + 0.1) / expected)

    def _rarity(self, term: str) -> float:
        return math.log((self._texts + SMOOTH + 1) / (self._with[term] + SMOOTH))


def _extended(phrase: Phrase, words: list[tuple[Phrase, float]], sentence: str) -> Phrase:
    """Add neighbours that are as rare, or that have a capital letter as the phrase has, up to `MAX_WORDS` words."""
    place = next(place for place, (one, _) in enumerate(words) if one == phrase)
    first = last = place
    rarity = words[place][1]
    capital = sentence[phrase.begin].isupper()

    def joins(this: int, outer: int) -> bool:
        (one, _), (other, its) = words[this], words[outer]
        between = sentence[min(one.end, other.end) : max(one.begin, other.begin)]
        # A word at the beginning of a sentence has a capital letter anyway.
        named = capital and sentence[other.begin].isupper() and other.begin > 0
        begin, end = min(words[first][0].begin, other.begin), max(words[last][0].end, other.end)
        short = end - begin <= MAX_SHARE * len(sentence)
        return short and between in (" ", "-") and (named or its >= RARE * rarity)

    while last - first + 1 < MAX_WORDS:
        if last + 1 < len(words) and joins(last, last + 1):
            last += 1
        elif first and joins(first, first - 1):
            first -= 1
        else:
            break
    return Phrase(words[first][0].begin, words[last][0].end)


def _folded(text: str) -> str:
    return text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


__all__ = ["KeyPhrases", "Phrase"]
