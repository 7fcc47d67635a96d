"""Known items: the title, the heading or the first sentence of a text asks for the rest of it, in every language.

A collection whose translations are joined has all that an audit of language bias needs, without any judgement: the title of an
item in one language must find the rest of its text, in all languages. What asks is removed from the text that is to be found.

The queries are easier than those of users, because they share words with their answer. Compare languages and systems by them.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import regex

from babelmix.corpus.labels import LABELS, known_item_labels
from babelmix.corpus.languages import IMAGE, canonical_language, match_languages
from babelmix.corpus.model import Corpus
from babelmix.corpus.openings import Opening, first_heading, first_sentence, one_line, size
from babelmix.corpus.pseudo_questions import CLOZE, MIXED, TEMPLATES, PseudoQuestions
from babelmix.corpus.readers._building import SideBuilder
from babelmix.corpus.readers._documents import Document
from babelmix.corpus.readers._left_out import LeftOut
from babelmix.corpus.schema import GRADE, QREL_SCHEMA
from babelmix.errors import CorpusError

ASKS = ("auto", "titles", "headings", "sentences", TEMPLATES, CLOZE, MIXED)
"""What can ask. `auto` takes the first of the next three that all languages of an item have."""

MIN_LEFT = 40
"""The least letters and digits that must be left of a text; a Chinese, Japanese or Korean character counts as two."""

MIN_ASKED = 3
"""The least letters and digits of a query, counted likewise."""

ITEMS = 2000
"""The most items that are asked for, drawn by a hash of their names."""

_TOO_LITTLE = "texts with too little left when what asks is removed"
_AMBIGUOUS = "queries that are the text of several items"
_SAME = "queries that are the same in several languages of an item"
_NAMES = {TEMPLATES: "heading", CLOZE: "sentence that fits", MIXED: "question"}
_SHORT = "queries that are too short"
_TWICE = "queries that another text of the item asks in the same words"


@dataclass(frozen=True)
class _Known:
    document: Document
    asked: str
    rest: str
    kind: str


def known_items(
    documents: Iterable[Document],
    *,
    ask: str = "auto",
    items: int | None = None,
    langs: str | Sequence[str] | None = None,
    name: str = "known items",
    meta: Mapping[str, Any] | None = None,
    left_out: LeftOut | None = None,
    keep: bool = False,
) -> Corpus:
    """Make a corpus in which parts of texts ask for the rest of them.

    Args:
        documents: the texts of a collection. All texts of an item are translations of each other.
        ask: what asks: `titles` (the column `title`), `headings` (the first heading of the text), `sentences` (its first
            sentence), or `auto`: for each item, the first of these that all its languages have. Or `templates`, `cloze` or
            `mixed`: questions that are made of titles, headings and sentences, see `babelmix.corpus.pseudo_questions`.
        items: the most items to ask for, drawn by a hash of their names. All others stay in the pool. 0: all;
            None: 2,000.
        langs: only queries in these languages ask. The pool has all languages. None: all.
        name: the name of the corpus.
        meta: further facts about the source.
        left_out: counts from reading the documents, to which those of this function are added.
        keep: leave the passages as they are, with what asks for them, as an index has stored them. The regime says so.

    Returns:
        The corpus. `meta["labels"]` names the regime, `meta["known_items"]` counts the items by what asks, and `meta["left_out"]`
        the texts and queries that are left out: texts with fewer than 40 letters left; queries that are the same text for several
        items, or for one item in several languages, or twice.

    Raises:
        CorpusError: `ask` or a language is unknown, no text has what asks, or no query is left.

    Examples:
        >>> text = "Hold the button for ten seconds, until the light goes out."
        >>> found = known_items([Document("1", "en", text, "Reset it", "1", "", 1)])
        >>> found.queries["text"].to_pylist(), found.meta["labels"]
        (['Reset it'], 'known items: titles ask for the rest of their text')

    """
    if ask not in ASKS:
        raise CorpusError(f"what asks is {', '.join(ASKS[:-1])} or {ASKS[-1]}, not {ask!r}")
    counted = LeftOut() if left_out is None else left_out
    by_item: dict[str, list[Document]] = {}
    for document in documents:
        if document.lang != IMAGE:
            by_item.setdefault(document.item, []).append(document)
    known: list[_Known] = []
    pool = SideBuilder()
    maker = _Maker(ask, by_item) if ask in (TEMPLATES, CLOZE, MIXED) else None
    for texts in by_item.values():
        kind, cut = _cut(texts, ask) if maker is None else maker.cut(texts)
        for document, opening in zip(texts, cut, strict=True):
            where, rest = f"{document.item} in {document.lang}", document.text
            if opening is None:
                # It stays in the pool: it cannot be asked for, but it can be found in place of others.
                counted.add(
                    f"texts without a {_NAMES.get(kind, kind.removesuffix('s'))}, which nothing asks for", where
                )
            elif size(opening.rest) < MIN_LEFT:
                counted.add(_TOO_LITTLE, where)
                if not keep:
                    continue
            else:
                rest = document.text if keep else opening.rest
                known.append(_Known(document, opening.asked, rest, kind))
            pool.add(document.item, document.lang, rest, document.group, document.id or None)
    can_ask = _answerable(known, counted)
    if langs is not None:
        there = match_languages(
            langs, dict.fromkeys(document.lang for texts in by_item.values() for document in texts), name
        )
        can_ask = [one for one in can_ask if one.document.lang in there]
    asked = _drawn(can_ask, ITEMS if items is None else items)
    if not asked:
        raise CorpusError(_why_none(name, known, counted, ask))
    queries = SideBuilder()
    for one in asked:
        queries.add(one.document.item, one.document.lang, one.asked, one.document.group)
    names = list(dict.fromkeys(one.document.item for one in asked))
    qrels = pa.table({"query_item": names, "passage_item": names, GRADE: [1] * len(names)}, schema=QREL_SCHEMA)
    used = _kinds_of(asked)
    repeated = sum(_key(one.asked) in _key(one.rest) for one in asked)
    contained = keep and repeated > 0
    facts = {
        **(meta or {}),
        LABELS: known_item_labels(used, contained),
        "known_items": {kind: number for kind, number in used.items() if number},
        **({"queries_repeated_in_their_text": repeated} if repeated else {}),
        **counted.facts(),
    }
    return Corpus(queries.table(), pool.table(), qrels, name, facts)


def _cut(texts: Sequence[Document], ask: str) -> tuple[str, list[Opening | None]]:
    """What asks for an item, and each of its texts in two parts; None where a text does not have what asks."""
    ways: dict[str, Callable[[Document], Opening | None]] = {
        "titles": _titled,
        "headings": lambda one: first_heading(one.text),
        "sentences": lambda one: first_sentence(one.text),
    }
    if ask != "auto":
        return ask, [ways[ask](one) for one in texts]
    for kind, way in ways.items():
        cut = [way(one) for one in texts]
        # One kind for all languages of an item: a title is not compared with a sentence.
        if all(one is not None for one in cut):
            return kind, cut
    raise AssertionError("every text has a first sentence")


def _titled(document: Document) -> Opening | None:
    title = one_line(document.title)
    if not title:
        return None
    text = document.text.strip()
    heading = first_heading(text)
    if heading is not None and _key(heading.asked) == _key(title):
        text = heading.rest
    elif text.startswith(title) and not regex.match(r"[\p{L}\p{M}\p{N}]", text[len(title) :]):
        text = text[len(title) :].lstrip(" \t\r\n.:-–—")
    return Opening(title, text)


class _Maker:
    """Makes pseudo-questions of the titles or headings and of the texts of all items."""

    def __init__(self, ask: str, by_item: Mapping[str, Sequence[Document]]) -> None:
        bodies = ({lang: body for lang, (_, body) in self._parts(texts).items()} for texts in by_item.values())
        self._ask = ask
        self._questions = PseudoQuestions(ask, bodies)

    def cut(self, texts: Sequence[Document]) -> tuple[str, list[Opening | None]]:
        """What asks for an item, and each of its texts in two parts; None where nothing asks."""
        parts = self._parts(texts)
        heading = {lang: one for lang, (one, _) in parts.items() if one}
        asked = self._questions.ask(texts[0].item, heading, {lang: body for lang, (_, body) in parts.items()})
        cut: list[Opening | None] = []
        for one in texts:
            # Of two texts in a language, the first asks.
            question = asked.query.get(one.lang) if parts.pop(one.lang, None) else None
            if question is None:
                cut.append(None)
                continue
            text, body = one.text.strip(), _body(one)
            rest = asked.passage[one.lang]
            keeps = asked.kind == CLOZE and text.endswith(body)
            cut.append(Opening(question, f"{text[: len(text) - len(body)]}{rest}" if keeps else rest))
        return asked.kind or self._ask, cut

    @staticmethod
    def _parts(texts: Sequence[Document]) -> dict[str, tuple[str, str]]:
        """The heading and the rest of the first text of each language."""
        found: dict[str, tuple[str, str]] = {}
        for one in texts:
            opening = _headed(one)
            found.setdefault(one.lang, ("" if opening is None else opening.asked, _body(one)))
        return found


def _headed(document: Document) -> Opening | None:
    return _titled(document) or first_heading(document.text)


def _body(document: Document) -> str:
    opening = _headed(document)
    return document.text.strip() if opening is None else opening.rest


def _answerable(known: Sequence[_Known], left_out: LeftOut) -> list[_Known]:
    """The queries that one item can answer, in a language that their text shows."""
    items: dict[str, set[str]] = {}
    langs: dict[tuple[str, str], set[str]] = {}
    for one in known:
        key = _key(one.asked)
        items.setdefault(key, set()).add(one.document.item)
        langs.setdefault((key, one.document.item), set()).add(canonical_language(one.document.lang))
    kept = []
    seen: set[tuple[str, str, str]] = set()
    for one in known:
        key, document = _key(one.asked), one.document
        where = f"{document.item} in {document.lang}: {one.asked[:60]}"
        if size(one.asked) < MIN_ASKED:
            left_out.add(_SHORT, where)
        elif len(items[key]) > 1:
            left_out.add(_AMBIGUOUS, where)
        elif len(langs[key, document.item]) > 1:
            left_out.add(_SAME, where)
        elif (document.item, document.lang, key) in seen:
            left_out.add(_TWICE, where)
        else:
            seen.add((document.item, document.lang, key))
            kept.append(one)
    return kept


def _drawn(known: Sequence[_Known], items: int) -> list[_Known]:
    names = list(dict.fromkeys(one.document.item for one in known))
    if not 0 < items < len(names):
        return list(known)
    chosen = set(
        sorted(names, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())[:items]
    )
    return [one for one in known if one.document.item in chosen]


def _kinds_of(asked: Sequence[_Known]) -> dict[str, int]:
    """The number of items by what asks for them, in the order of `ASKS`."""
    found = Counter({one.document.item: one.kind for one in asked}.values())
    return {kind: found[kind] for kind in ASKS[1:]}


def _key(text: str) -> str:
    """A text as it is compared: in one Unicode form, in small letters, on one line."""
    return one_line(unicodedata.normalize("NFKC", text)).casefold().strip(" .:!?")


def _why_none(name: str, known: Sequence[_Known], left_out: LeftOut, ask: str) -> str:
    counts = ", ".join(f"{what}: {number:,}" for what, number in left_out.facts().get("left_out", {}).items())
    advice = "" if ask == "auto" else "; ask with something else, or with  auto"
    what = "no query that one item answers" if known else "no text of which enough is left"
    return f"{name}: there is {what} ({counts or 'there are no texts'}){advice}"


__all__ = ["ASKS", "ITEMS", "MIN_ASKED", "MIN_LEFT", "known_items"]
