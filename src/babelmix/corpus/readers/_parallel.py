"""Build a corpus from translated query-passage pairs. Untranslated and repeated texts are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from babelmix.corpus.labels import LABELS, known_item_labels
from babelmix.corpus.model import Corpus
from babelmix.corpus.pseudo_questions import HEADINGS, PseudoQuestions
from babelmix.corpus.readers._left_out import LeftOut


@dataclass(frozen=True)
class ParallelPair:
    """A query and its passage in several languages. A text that is empty or missing is not translated."""

    item: str
    group: str
    query: Mapping[str, str]
    passage: Mapping[str, str]


def corpus_from_pairs(
    pairs: Iterable[ParallelPair],
    *,
    name: str,
    source_lang: str,
    meta: Mapping[str, Any],
    left_out: LeftOut | None = None,
    questions: str = HEADINGS,
) -> Corpus:
    """Build a corpus in which each text occurs once per side and language.

    These are left out: translations that are identical to the source text, pairs whose source query or passage is missing or
    occurred in an earlier pair, and texts that occurred earlier in the same language. Two items with the same text would be false
    negatives of each other, and a leak between the parts of a split if they are in two groups.

    Args:
        pairs: the pairs. If several pairs have the same text, the first pair keeps it.
        name: the name of the corpus.
        source_lang: the language from which the others were translated.
        meta: facts about the source. `left_out` is added: the counts of what was left out.
        left_out: earlier counts, to which those of this function are added.
        questions: `headings`: the queries as they are. Else they are the headings of which questions are made, see
            `babelmix.corpus.pseudo_questions`; `meta` says how many of each kind.

    """
    queries: list[dict[str, str]] = []
    passages: list[dict[str, str]] = []
    qrels: list[tuple[str, str]] = []
    seen: dict[str, set[tuple[str, str]]] = {"query": set(), "passage": set()}
    left_out = LeftOut() if left_out is None else left_out
    if questions != HEADINGS:
        pairs, made = _questioned(pairs, questions, source_lang, left_out)
        meta = {**meta, **made}
    for pair in pairs:
        sides = {"query": pair.query, "passage": pair.passage}
        source = {side: texts.get(source_lang, "").strip() for side, texts in sides.items()}
        if not all(source.values()) or any((source_lang, source[side]) in seen[side] for side in sides):
            left_out.add("repeated pairs", pair.item)
            continue
        for side, rows in (("query", queries), ("passage", passages)):
            for lang, raw in sides[side].items():
                text = raw.strip()
                if not text:
                    continue
                if lang != source_lang and text == source[side]:
                    left_out.add("texts identical to the source", f"{lang}: {pair.item}")
                elif (lang, text) in seen[side]:
                    left_out.add("repeated texts", f"{lang}: {pair.item}")
                else:
                    seen[side].add((lang, text))
                    rows.append({"item": pair.item, "lang": lang, "text": text, "group": pair.group})
        qrels.append((pair.item, pair.item))
    return Corpus.from_rows(queries, passages, qrels, name=name, meta={**meta, **left_out.facts()})


def _questioned(
    pairs: Iterable[ParallelPair], questions: str, source_lang: str, left_out: LeftOut
) -> tuple[list[ParallelPair], dict[str, Any]]:
    """The pairs with questions in place of their headings, and the facts about the questions."""
    pairs = list(pairs)
    texts = [_translated(pair.passage, source_lang) for pair in pairs]
    maker = PseudoQuestions(questions, texts, source_lang=source_lang)
    found: list[ParallelPair] = []
    for pair, text in zip(pairs, texts, strict=True):
        asked = maker.ask(pair.item, _translated(pair.query, source_lang), text)
        for lang in asked.lost:
            left_out.add("queries of translations with other sentences", f"{lang}: {pair.item}")
        found.append(ParallelPair(pair.item, pair.group, asked.query, {**pair.passage, **asked.passage}))
    return found, {LABELS: known_item_labels(maker.made), **maker.facts()}


def _translated(texts: Mapping[str, str], source_lang: str) -> dict[str, str]:
    """The texts without those that are not translated."""
    source = texts.get(source_lang, "").strip()
    return {
        lang: text for lang, text in texts.items() if text.strip() and (lang == source_lang or text.strip() != source)
    }
