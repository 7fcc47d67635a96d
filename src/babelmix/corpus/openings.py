"""The opening of a text: its first heading, or its first sentence, and the rest of the text; and all sentences of a text.

Sentences end where Unicode says: at a character with the property Sentence_Terminal (UAX 29), which covers the marks of Chinese,
Japanese, Hindi, Arabic, Amharic, Burmese and other languages. A full stop, which is also part of abbreviations and numbers, ends
a sentence only before a space, and not after an initial, a short number or a common abbreviation. A blank line ends a sentence.
Thai and Lao have no such mark: there a space ends the opening, if at least 20 characters stand before it.
"""

from __future__ import annotations

from typing import NamedTuple

import regex

TITLES = ("title", "heading")
"""The columns that may have the title of a text; the first that is there has it."""

MAX_HEADING = 120
"""The most characters of a heading that is only a line of its own, without a mark of Markdown or HTML."""

MIN_PHRASE = 20
"""The least characters before a space that ends the opening of a text in Thai or Lao."""

_ABBREVIATIONS = regex.compile(
    "abb|al|approx|art|bzw|ca|cf|dr|ed|etc|evtl|fig|fr|ggf|gen|hr|hrsg|inc|jr|ltd|mr|mrs|ms|no|nr|op|prof|resp|rev|sr|sra|st|str"
    "|tab|tel|usw|vgl|vol|vs|др|им|см|стр|гл|рис|табл|тыс|млн|млрд",
    regex.IGNORECASE,
)
"""Words that a full stop follows inside of a sentence."""

_END = regex.compile(
    r"(?P<mark>\p{Sentence_Terminal}+|(?<=\p{Greek})[;\u037e])[\p{Pe}\p{Pf}\"'”’»]*(?P<space>\s*)|\n[^\S\n]*\n|(?<=[\p{Thai}\p{Lao}])(?P<gap>[^\S\n]+)"
)
_NEAR = 20
"""The most characters before a full stop that are looked at. No abbreviation is longer."""

_LINE_OF = regex.compile(r"[^\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_BEFORE = regex.compile(r"[\p{L}\p{M}\p{N}.]*$")
_CASED = regex.compile(r"[\p{Lu}\p{Ll}]")
_SPACED = ".!?;\u037e"
"""Marks that need a space after them: they also occur inside of words, numbers and addresses."""

_MARKDOWN = regex.compile(r"#{1,6}[ \t]+(?P<head>[^\n]+?)[ \t]*#*[ \t]*(?:\n|$)")
_UNDERLINED = regex.compile(r"(?P<head>[^\n]+)\n[ \t]*(?:={3,}|-{3,})[ \t]*(?:\n|$)")
_HTML = regex.compile(r"<(?P<tag>h[1-6])\b[^>]*>(?P<head>.*?)</(?P=tag)\s*>", regex.DOTALL | regex.IGNORECASE)
_LINE = regex.compile(rf"(?P<head>[^\n]{{1,{MAX_HEADING}}})\n[^\S\n]*\n")
_TAG = regex.compile(r"<[^>]+>")
_SPACE = regex.compile(r"\s+")


class Opening(NamedTuple):
    """A text in two parts.

    Args:
        asked: the heading or the sentence, on one line.
        rest: the text without it.

    """

    asked: str
    rest: str


def first_heading(text: str) -> Opening | None:
    r"""Cut the heading off a text that begins with one.

    A heading is a line with `#` (Markdown), a line that is underlined with `===` or `---`, an HTML element `h1` to `h6`, or a
    line of at most 120 characters that does not end like a sentence and has a blank line after it.

    Args:
        text: the text.

    Returns:
        The heading and the rest; None if the text does not begin with a heading.

    Examples:
        >>> first_heading("# Reset\nHold the button for ten seconds.")
        Opening(asked='Reset', rest='Hold the button for ten seconds.')
        >>> first_heading("Hold the button for ten seconds.") is None
        True

    """
    text = text.strip()
    for form in (_MARKDOWN, _HTML, _UNDERLINED, _LINE):
        found = form.match(text)
        if found is None:
            continue
        heading = one_line(_TAG.sub(" ", found["head"]))
        if form is _LINE and regex.search(r"\p{Sentence_Terminal}[\p{Pe}\p{Pf}\"'”’»]*$", heading):
            return None
        return Opening(heading, text[found.end() :].strip())
    return None


def first_sentence(text: str) -> Opening:
    """Cut the first sentence off a text.

    Args:
        text: the text.

    Returns:
        The sentence, with its mark, and the rest. The rest is empty if the text is one sentence.

    Examples:
        >>> first_sentence("On 3. May Dr. Wu fills it. Then she leaves.")
        Opening(asked='On 3. May Dr. Wu fills it.', rest='Then she leaves.')
        >>> first_sentence("按住按钮十秒钟。然后松开。").asked
        '按住按钮十秒钟。'

    """
    text = text.strip()
    for found in _END.finditer(text):
        if _ends(text, found):
            return Opening(one_line(text[: found.end()]), text[found.end() :].strip())
    return Opening(one_line(text), "")


def sentences(text: str) -> list[str]:
    """Cut a text into its sentences.

    Args:
        text: the text.

    Returns:
        The sentences, each on one line with its marks. A line break ends a sentence too.

    Examples:
        >>> sentences("On 3. May Dr. Wu fills it. Then she leaves.")
        ['On 3. May Dr. Wu fills it.', 'Then she leaves.']
        >>> sentences("बटन दबाएँ। फिर छोड़ दें।")
        ['बटन दबाएँ।', 'फिर छोड़ दें।']

    """
    return [one_line(text[begin:end]) for begin, end in sentence_spans(text)]


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text begin and end; see `sentences`.

    Examples:
        >>> sentence_spans("Press it. Then wait.")
        [(0, 9), (10, 20)]

    """
    found: list[tuple[int, int]] = []
    for line in _LINE_OF.finditer(text):
        begin = line.start()
        for mark in _END.finditer(text, line.start(), line.end()):
            if _ends(text, mark, begin):
                found.append((begin, mark.end()))
                begin = mark.end()
        found.append((begin, line.end()))
    return [span for span in (trimmed(text, *span) for span in found) if _LETTERS.search(text, *span)]


def trimmed(text: str, begin: int, end: int) -> tuple[int, int]:
    """Where a part of a text begins and ends without white space."""
    part = text[begin:end]
    begin += len(part) - len(part.lstrip())
    return begin, begin + len(part.strip())


def _ends(text: str, found: regex.Match[str], begin: int = 0) -> bool:
    """Whether a possible end is the end of the sentence that begins at `begin`."""
    if found["gap"] is not None:
        return len(text[begin : found.start()].strip()) >= MIN_PHRASE
    if found["mark"] is None or found["mark"][-1] not in _SPACED or found.end() == len(text):
        return True
    if not found["space"]:
        return False
    if found["mark"] != ".":
        return True
    last = _BEFORE.search(text[max(begin, found.start() - _NEAR) : found.start()])[0].rpartition(".")[2]
    is_initial = len(last) == 1 and _CASED.match(last) is not None
    is_ordinal = last.isdigit() and len(last) < 3
    is_short = _ABBREVIATIONS.fullmatch(last) is not None
    # A sentence does not begin with a small letter.
    return not (is_initial or is_ordinal or is_short or text[found.end()].islower())


def one_line(text: str) -> str:
    """A text with every run of white space replaced by one space."""
    return str(_SPACE.sub(" ", text).strip())


def size(text: str) -> int:
    """How much a text says: its letters, marks and digits, where a Chinese, Japanese or Korean character counts as two.

    Examples:
        >>> size("ten seconds"), size("十秒钟")
        (10, 6)

    """
    return sum(map(len, _LETTERS.findall(text))) + sum(map(len, _WIDE.findall(text)))


_LETTERS = regex.compile(r"[\p{L}\p{M}\p{N}]+")
_WIDE = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]+")

__all__ = [
    "MAX_HEADING", "MIN_PHRASE", "TITLES", "Opening", "first_heading", "first_sentence", "one_line", "sentence_spans",
    "sentences", "size", "trimmed",
]  # fmt: skip
