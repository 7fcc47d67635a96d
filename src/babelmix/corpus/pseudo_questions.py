"""Pseudo-questions: questions for texts that have none, made without a model.

- `headings`: the heading of a text is its question.
- `templates`: the heading is turned into a question, in every language by the same form: "What is a kettle?".
- `cloze`: a sentence of the text is the question, without its key phrase. The phrase stands at the front ("kettle: fill the with
  water"), or a question word stands in its place ("Fill the what with water?"). In half of the items the sentence is taken out of
  the text; in the others the question shares its words with the text.
- `mixed`: a third of the items each.

Everything is drawn by a hash of the item's name. So an item has the same kind, the same form and the same sentence in all
languages, and in every run.

Source:
    The cloze without its phrase is the Inverse Cloze Task: Lee, Chang and Toutanova, ACL 2019 (arXiv 1906.00300), who keep the
    sentence in its text in a tenth of the examples. Questions from a cloze: Lewis, Denoyer and Riedel, ACL 2019 (arXiv
    1906.04980).

"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import regex

from babelmix.corpus.aligning import Part, align_lines, align_sentences
from babelmix.corpus.key_phrases import KeyPhrases
from babelmix.corpus.openings import one_line, size
from babelmix.corpus.question_words import FORMS, question_words

KINDS = HEADINGS, TEMPLATES, CLOZE, MIXED = ("headings", "templates", "cloze", "mixed")
"""How questions are made."""

MIN_SENTENCE = 30
"""The least letters and digits of a sentence that becomes a cloze; a Chinese, Japanese or Korean character counts as two."""

MAX_SENTENCE = 300
"""The most of them."""

MIN_LETTERS = 0.65
"""The least share of letters and digits in a sentence that becomes a cloze."""

MIN_LEFT = 40
"""The least letters and digits that must be left of a text without the sentence."""

_QUESTION = regex.compile(r"[?？؟]|[;\u037e]\s*(?:$|:)")
"""The mark of a question, also inside of a heading with the title of its page before it."""

_NUMBER = regex.compile(r"^\d+(?:\.\d+)*[.):]?\s+(?=\S)")
_END = regex.compile(r"[\p{Sentence_Terminal}\s:;,،、，；：–—-]+$")
_START = regex.compile(r"^[\s,;:،、，；：.–—-]+")
_EMPTY = regex.compile(r"\(\s*\)|\[\s*\]|\"\s*\"|“\s*”|«\s*»|「\s*」|『\s*』|（\s*）")
_BEFORE_MARK = regex.compile(r"\s+(?=[,.;:،、，。；：!?)])")


@dataclass(frozen=True)
class Asked:
    """An item with its question.

    Args:
        kind: how the question was made: `headings`, `templates` or `cloze`; empty if there is none.
        query: the question of each language.
        passage: the text of each language, which a cloze may have made shorter.
        lost: the languages that have a text, but other sentences than the source text, so that they have no cloze.

    """

    kind: str
    query: Mapping[str, str]
    passage: Mapping[str, str]
    lost: tuple[str, ...] = ()


class PseudoQuestions:
    """Makes the questions of a corpus.

    Args:
        kind: one of `KINDS`.
        texts: the texts of all items, each by language. They tell rare words from frequent ones.
        source_lang: the language whose sentences decide; empty: for each item English, or else its first language by name.

    Attributes:
        made: the number of items by the kind of their question.

    Examples:
        >>> texts = {"en": "You can boil water in a kettle. It whistles.", "de": "Im Kessel kocht man Wasser. Er pfeift."}
        >>> heading = {"en": "The kettle", "de": "Der Kessel"}
        >>> dict(PseudoQuestions("templates", [texts]).ask("1", heading, texts).query)
        {'en': 'The kettle: what should I know?', 'de': 'Der Kessel: Was muss ich wissen?'}

    """

    def __init__(self, kind: str, texts: Iterable[Mapping[str, str]] = (), *, source_lang: str = "") -> None:
        if kind not in KINDS:
            raise ValueError(f"questions are {', '.join(KINDS)}, not {kind!r}")
        self.kind = kind
        self.source_lang = source_lang
        self.made: Counter[str] = Counter()
        by_lang: dict[str, list[str]] = {}
        if kind in (CLOZE, MIXED):
            for one in texts:
                for lang, text in one.items():
                    by_lang.setdefault(lang, []).append(text)
        self._phrases = {lang: KeyPhrases(of) for lang, of in by_lang.items()}

    def ask(self, item: str, heading: Mapping[str, str], text: Mapping[str, str]) -> Asked:
        """Make the question of an item.

        Args:
            item: the name of the item.
            heading: its heading by language; empty if it has none.
            text: its text by language.

        Returns:
            The question. Where no sentence fits, or there is no heading, it is of another kind.

        """
        kind = self.kind if self.kind != MIXED else (HEADINGS, TEMPLATES, CLOZE)[_drawn(item, "kind", 3)]
        found = self._cloze(item, text) if kind == CLOZE or (self.kind == MIXED and not heading) else None
        if found is None and heading:
            query = _templated(item, heading) if kind == TEMPLATES else heading
            found = Asked(TEMPLATES if kind == TEMPLATES else HEADINGS, query, text)
        found = found or Asked("", {}, text)
        self.made[found.kind] += 1
        return found

    def facts(self) -> dict[str, Any]:
        """What was made, for `meta`."""
        made = {kind: self.made[kind] for kind in KINDS if self.made[kind]}
        return {"pseudo_questions": {"kind": self.kind, **made}}

    def _source(self, langs: Iterable[str]) -> str:
        there = sorted(langs)
        wanted = self.source_lang or "en"
        return wanted if wanted in there or self.source_lang else next(iter(there), "")

    def _cloze(self, item: str, text: Mapping[str, str]) -> Asked | None:
        source_lang = self._source(text)
        if source_lang not in text or not self._phrases:
            return None
        fitting = [
            parts
            for line in align_lines(text, source_lang).parts
            for parts in align_sentences(line, text, source_lang).parts
            if _is_prose(parts[source_lang].text)
        ]
        # As many languages as possible should ask.
        most = max(map(len, fitting), default=0)
        fitting = [parts for parts in fitting if len(parts) == most]
        if not fitting:
            return None
        chosen = fitting[_drawn(item, "sentence", len(fitting))]
        query = {}
        for lang, part in chosen.items():
            cloze = self._cloze_of(part.text, text[lang], lang, replace=_drawn(item, "form", 2) == 0)
            if cloze is not None:
                query[lang] = cloze
        if source_lang not in query:
            return None
        lost = tuple(sorted(text.keys() - query.keys()))
        return Asked(CLOZE, query, _without(item, chosen, text), lost)

    def _cloze_of(self, sentence: str, text: str, lang: str, *, replace: bool) -> str | None:
        phrase = self._phrases[lang].of(sentence, text) if lang in self._phrases else None
        if phrase is None:
            return None
        before, key, after = sentence[: phrase.begin], sentence[phrase.begin : phrase.end], sentence[phrase.end :]
        words = question_words(lang) if replace else None
        if words is None:
            return f"{key}: {_cleaned(f'{before}{after}')}"
        what = words.what if _START.sub("", before) else words.what[:1].upper() + words.what[1:]
        opening, closing = words.marks
        return f"{opening}{_END.sub('', one_line(f'{before}{what}{after}'))}{closing}"


def _is_prose(sentence: str) -> bool:
    """Whether a sentence has a fitting length, and is no address, code or formula."""
    letters = size(sentence)
    return MIN_SENTENCE <= letters <= MAX_SENTENCE and letters >= MIN_LETTERS * len(sentence) and "://" not in sentence


def _without(item: str, chosen: Mapping[str, Part], text: Mapping[str, str]) -> Mapping[str, str]:
    """The texts without the sentence, in half of the items, if enough is left in every language."""
    if _drawn(item, "take out", 2):
        return text
    rest = {lang: _joined(text[lang][: part.begin], text[lang][part.end :]) for lang, part in chosen.items()}
    return {**text, **rest} if all(size(one) >= MIN_LEFT for one in rest.values()) else text


def _joined(before: str, after: str) -> str:
    return f"{before.rstrip()} {after.lstrip()}".strip() if before[-1:].isspace() else f"{before}{after}".strip()


def _templated(item: str, heading: Mapping[str, str]) -> dict[str, str]:
    """The headings as questions. A heading that is a question already stays, and so does one of a language without forms."""
    form = _drawn(item, "form", FORMS)
    found = {}
    for lang, one in heading.items():
        words = question_words(lang)
        plain = _END.sub("", _NUMBER.sub("", one)) or one
        found[lang] = one if words is None or _QUESTION.search(one) else words.forms[form].replace("{}", plain)
    return found


def _cleaned(text: str) -> str:
    """A sentence out of which a phrase was taken."""
    text = _BEFORE_MARK.sub("", one_line(_EMPTY.sub(" ", text)))
    return str(_END.sub("", _START.sub("", text)))


def _drawn(item: str, what: str, count: int) -> int:
    """A number below `count`, by a hash of the item and of what is drawn."""
    digest = hashlib.sha256(f"{what}\0{item}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") % count


__all__ = [
    "CLOZE", "HEADINGS", "KINDS", "MIN_LEFT", "MIN_SENTENCE", "MIXED", "TEMPLATES", "Asked", "PseudoQuestions",
]  # fmt: skip
