"""A few real queries of an audit with their first answers, so that a report can show what its numbers mean.

A hash draws the queries; see `babelmix.evaluation.drawn`. They are saved with the facts of the audit, so that a report can be
made again from the folder alone. They are the only texts in that folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from babelmix.corpus import IMAGE, Corpus
from babelmix.evaluation.drawn import hashed_order
from babelmix.evaluation.ranks import RankTable

QUERIES = 3
"""The number of queries that are drawn."""

ANSWERS = 10
"""The number of answers that are shown."""

LENGTH = 140
"""The largest number of characters of a text that are kept."""


@dataclass(frozen=True)
class SampledAnswer:
    """One of the first answers to a sampled query.

    Args:
        item: the item of the passage.
        lang: its language.
        text: the beginning of its text.
        right: whether it is relevant; None without relevance judgements.

    """

    item: str
    lang: str
    text: str
    right: bool | None = None


@dataclass(frozen=True)
class Placed:
    """The place of the best right answer in one language.

    Args:
        lang: the language of the answer.
        place: its place among all passages, from 1 on. For ranked lists None: it is not in the list.
        before: how many passages of each language are before it, without languages that have none.

    """

    lang: str
    place: int | None
    before: Mapping[str, int]


@dataclass(frozen=True)
class SampledQuery:
    """A query that was drawn, and what the system answered.

    Args:
        item: the item of the query.
        lang: its language.
        text: the beginning of its text.
        answers: the first answers, the best first.
        right: the best right answer in each language, the best first.

    """

    item: str
    lang: str
    text: str
    answers: Sequence[SampledAnswer]
    right: Sequence[Placed] = ()

    def as_json(self) -> dict[str, Any]:
        """As JSON-serialisable values."""
        return asdict(self)

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> SampledQuery:
        """Read the result of `as_json`."""
        answers = [SampledAnswer(**one) for one in found["answers"]]
        return cls(found["item"], found["lang"], found["text"], answers, [Placed(**one) for one in found["right"]])


def with_samples(table: RankTable, corpus: Corpus) -> RankTable:
    """The table, whose facts have samples.

    Args:
        table: the rank table of the corpus.
        corpus: the corpus.

    Returns:
        The table; without samples if the corpus has pictures, or if the table does not know its first answers.

    """
    found = samples_of(table, corpus)
    return table if not found else replace(table, about=replace(table.about, samples=[one.as_json() for one in found]))


def samples_of(table: RankTable, corpus: Corpus, count: int = QUERIES) -> list[SampledQuery]:
    """Draw queries, and look up their first answers.

    The queries that have a right answer are taken in the order of a hash, each of another language as long as there is one. A
    corpus without relevance judgements gives any queries.

    Args:
        table: the rank table of the corpus.
        corpus: the corpus.
        count: the number of queries.

    """
    if table.first is None or IMAGE in (*table.query_langs, *table.passage_langs):
        return []
    langs, items, texts = (corpus.passages[name] for name in ("lang", "item", "text"))
    found = []
    for row in _rows(table, count):
        pairs = slice(*np.searchsorted(table.pair_query, [row, row + 1]))
        relevant = set(table.pair_passage[pairs].tolist())
        answers = [
            SampledAnswer(
                items[passage].as_py(), langs[passage].as_py(), shortened(texts[passage].as_py()),
                passage in relevant if relevant else None,
            )
            for passage in table.first[row, :ANSWERS].tolist()
            if passage >= 0
        ]  # fmt: skip
        text = shortened(corpus.queries["text"][int(row)].as_py())
        lang = table.query_langs[table.query_lang[row]]
        found.append(SampledQuery(str(table.query_item[row]), lang, text, answers, _places(table, pairs)))
    return found


def shortened(text: str | None) -> str:
    """The beginning of a text, on one line.

    Examples:
        >>> shortened("one  two") + shortened(None)
        'one two'

    """
    line = " ".join((text or "").split())
    return line if len(line) <= LENGTH else line[: LENGTH - 1].rstrip() + "…"


def _rows(table: RankTable, count: int) -> list[int]:
    rows = np.unique(table.pair_query)
    rows = rows if len(rows) else np.arange(len(table.query_lang))
    order = hashed_order(table, rows)
    # The first row of each language in the order of the hash, then the second rows.
    seen: dict[int, int] = {}
    turns = []
    for lang in table.query_lang[order].tolist():
        turns.append(seen.get(lang, 0))
        seen[lang] = turns[-1] + 1
    return order[np.argsort(turns, kind="stable")][:count].tolist()


def _places(table: RankTable, pairs: slice) -> list[Placed]:
    counts, langs = table.outranking_counts[pairs], table.pair_lang[pairs]
    found: dict[int, Placed] = {}
    for number in np.argsort(counts.sum(axis=1), kind="stable").tolist():
        lang = int(langs[number])
        if lang not in found:
            before = {name: int(n) for name, n in zip(table.passage_langs, counts[number], strict=True) if n}
            found[lang] = Placed(table.passage_langs[lang], int(counts[number].sum()) + 1, before)
    return list(found.values())


__all__ = [
    "ANSWERS",
    "LENGTH",
    "QUERIES",
    "Placed",
    "SampledAnswer",
    "SampledQuery",
    "samples_of",
    "shortened",
    "with_samples",
]
