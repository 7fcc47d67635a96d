"""From aligned query-passage pairs to a Corpus: what is untranslated or already said is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._left_out import LeftOut


@dataclass(frozen=True)
class ParallelPair:
    """One query and its passage in several languages; an empty or missing text is not translated."""

    item: str
    group: str
    query: Mapping[str, str]
    passage: Mapping[str, str]


def corpus_from_pairs(
    pairs: Iterable[ParallelPair], *, name: str, source_lang: str, meta: Mapping[str, Any]
) -> Corpus:
    """Build a corpus in which every text of a side occurs once per language.

    Dropped are: renderings identical to the source language's; pairs whose source query or passage occurred before
    (in the order given); and single renderings whose text occurred before in their language, since two items with one
    text would be each other's false negatives and, over two groups, a leak between the parts of a split.

    Args:
        pairs: in reading order.
        name: the corpus's name.
        source_lang: the language the others were translated from.
        meta: facts about the source; what is dropped is counted in `left_out`.

    """
    queries: list[dict[str, str]] = []
    passages: list[dict[str, str]] = []
    qrels: list[tuple[str, str]] = []
    seen: dict[str, set[tuple[str, str]]] = {"query": set(), "passage": set()}
    left_out = LeftOut()
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
