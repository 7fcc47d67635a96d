"""The words of a text, for BM25. Queries and texts are cut in the same way, and no language is guessed.

A text is folded, then cut by the script of its letters:

| script | words |
|---|---|
| Han, kana, Bopomofo, Yi, Hangul, Javanese, Balinese, Thai, Lao, Khmer, Myanmar and their relatives | pairs of neighbours |
| all others: with spaces, or with other marks between words, as Ethiopic and Tibetan | runs of letters, marks and digits |

Hangul has spaces, but particles follow a word without a space: 서울 should find 서울에서. A character is a grapheme cluster: a
letter with its marks. Digits between characters are a word of their own; digits between letters are part of the word: B2B.

Folding is Unicode's NFKC_Casefold: it unifies compatible forms and case, and drops invisible characters such as zero-width
joiners and soft hyphens. In addition it drops what writers may leave out: the points of Arabic, Hebrew and Syriac, the tatweel,
Greek accents, the dot that case folding leaves above the i of a Turkish İ, and the Arabic article with the letters before it,
which is written together with its noun (the prefixes of light10: Larkey, Ballesteros and Connell, SIGIR 2002). Other accents
stay, because they make other words.
"""

from __future__ import annotations

import itertools
import unicodedata
from dataclasses import dataclass

import regex

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Yi}\p{Hangul}\p{Javanese}\p{Balinese}\p{lb=SA}ー"
"""Scripts without spaces between words. `lb=SA` is Unicode's class of scripts that need a dictionary (UAX 14)."""

_POINTS = (
    r"\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew
    r"\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"  # Arabic
    r"\u08d3-\u08ff"
    r"\u0730-\u074a"  # Syriac
)
_LEFT_OUT = regex.compile(rf"[{_POINTS}\p{{Default_Ignorable_Code_Point}}]+|(?<=i)\u0307")
_GREEK_ACCENTS = regex.compile(r"(?<=\p{Greek}\p{M}*)\p{M}")
_SPACE = regex.compile(rf"(?<![{_UNSPACED}])\u200b|\u200b(?![{_UNSPACED}])")
"""A zero-width space separates words; between characters of scripts without spaces it is dropped."""

_RUN = regex.compile(
    rf"(?P<unspaced>[[{_UNSPACED}]--\p{{Nd}}]+)|[[\p{{L}}\p{{M}}\p{{N}}]--[[{_UNSPACED}]--\p{{Nd}}]]+", regex.V1
)
_LETTER = regex.compile(r"[\p{L}\p{N}]")
_CHARACTER = regex.compile(r"\X")
_ARTICLE = regex.compile(r"^(?:[وفبك]?ال|لل)(?=\w{2})")


@dataclass(frozen=True)
class Words:
    """The words of a text.

    Args:
        words: the words in order, with repeats.
        characters: all characters of scripts without spaces. A query of one character is compared with these.
        alone: the characters of scripts without spaces that have no neighbour.

    """

    words: list[str]
    characters: list[str]
    alone: list[str]

    @classmethod
    def of(cls, text: str) -> Words:
        """Cut a text.

        >>> Words.of("Straße 東京に").words
        ['strasse', '東京', '京に']

        """
        found = cls([], [], [])
        for run in _RUN.finditer(folded(text)):
            if not _LETTER.search(run[0]):
                continue
            if run["unspaced"] is None:
                found.words.append(_ARTICLE.sub("", run[0]))
                continue
            characters = _CHARACTER.findall(run[0])
            found.characters.extend(characters)
            found.words.extend(one + other for one, other in itertools.pairwise(characters))
            if len(characters) == 1:
                found.alone.extend(characters)
        return found


def folded(text: str) -> str:
    """Fold a text; see the module.

    >>> folded("ＡＢＣ Straße")
    'abc strasse'

    """
    text = _SPACE.sub(" ", text)
    # A text that was folded and composed may need folding again.
    for _ in range(2):
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKD", text).casefold())
    text = _GREEK_ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", _LEFT_OUT.sub("", text))
