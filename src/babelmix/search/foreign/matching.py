"""Which rows of someone else's collection are the passages of a corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import polars as pl

from babelmix.corpus import Corpus
from babelmix.corpus.languages import canonical_language
from babelmix.corpus.row_ids import row_ids, rows_of_ids
from babelmix.errors import SearchError
from babelmix.evaluation.systems.base import Answer
from babelmix.search.foreign.engine import ForeignEngine
from babelmix.search.rows import Hit

FEWEST = 0.5
"""A collection with a smaller share of the passages is another collection: an audit would measure what it lacks."""


@dataclass(frozen=True)
class Matching:
    """How the rows of a collection are matched with the passages of a corpus.

    Args:
        by_id: whether the id of a row is that of a passage, as `page-7/de`. Otherwise its item and its language say which
            passage it is.
        rows: the number of rows of the collection.
        matched: how many of them are passages.
        passages: the number of passages of the corpus.
        held: how many of them the collection holds.
        several: the number of passages by item and language, where there are several: so often they may be an answer.

    """

    by_id: bool
    rows: int
    matched: int
    passages: int
    held: int
    several: dict[tuple[str, str], int] = field(default_factory=dict)

    @classmethod
    def of(cls, engine: ForeignEngine, corpus: Corpus) -> Matching:
        """Match all rows of a collection. One pass reads ids and languages.

        Raises:
            SearchError: the collection holds fewer than half of the passages, or none is recognised.

        """
        rows = list(engine.rows())
        if not rows:
            raise SearchError(f"{engine.address}: has no row with a vector")
        passages = corpus.passages
        langs = [engine.tag(row.id, row.lang) for row in rows]
        ids = rows_of_ids(pl.Series([row.id for row in rows], dtype=pl.String), passages).drop_nulls()
        pairs = list(
            zip(passages["item"].to_pylist(), map(canonical_language, passages["lang"].to_pylist()), strict=True)
        )
        counts, there = Counter(pairs), Counter(zip((row.item for row in rows), langs, strict=True))
        found = [
            cls(True, len(rows), len(ids), len(pairs), ids.n_unique()),
            cls(
                False, len(rows), sum(count for pair, count in there.items() if pair in counts), len(pairs),
                sum(min(count, there[pair]) for pair, count in counts.items() if pair in there),
                {pair: count for pair, count in counts.items() if count > 1},
            ),
        ]  # fmt: skip
        best = max(found, key=lambda one: (one.held, one.by_id))
        if best.held < FEWEST * best.passages:
            raise SearchError(_few(engine, best, rows[0].id, rows[0].item, langs[0], row_ids(passages.slice(0, 1))[0]))
        for note in best.notes(corpus.name):
            engine.say(note)
        return best

    def notes(self, corpus: str) -> Iterable[str]:
        """Sentences about what the collection lacks, and what more it holds."""
        if self.held < self.passages:
            missing = self.passages - self.held
            yield f"Of {self.passages:,} passages of {corpus}, the collection lacks {missing:,}; they count as not found."
        if self.matched < self.rows:
            others = self.rows - self.matched
            yield f"Of {self.rows:,} rows, {others:,} are no passages of {corpus}; as answers they count as wrong."
        if self.matched > self.held:
            yield f"{self.matched:,} rows are of {self.held:,} passages; each passage counts once, at its best row."

    def answers(self, hits: Sequence[Hit]) -> list[Answer]:
        """Hits as answers. A passage that several rows are from is an answer once, where the first of them is."""
        found, seen = [], Counter[tuple[str, str]]()
        for hit in hits:
            name = (hit.id, "") if self.by_id else (hit.item, hit.lang)
            seen[name] += 1
            if seen[name] <= self.several.get(name, 1):
                found.append(Answer(*name, hit.score))
        return found


def _few(engine: ForeignEngine, found: Matching, row_id: str, item: str, lang: str, passage: str) -> str:
    """The message of a collection that holds other things than the corpus."""
    named = f"{row_id!r}" if item == row_id else f"{row_id!r}, of the item {item!r}"
    lead = (
        f"{engine.address}: its ids are not those of the corpus: none of {found.rows:,} rows is a passage"
        if not found.held
        else f"{engine.address}: holds {found.held:,} of {found.passages:,} passages of the corpus, which is too few to judge it"
    )
    return (
        f"{lead}. A row has the id {named}, and the language {lang}; a passage has the id {passage!r}. Name the column that "
        "holds ids of passages with  ?id=COLUMN,  or the one that holds items, beside a language, with  ?item=COLUMN"
    )


__all__ = ["FEWEST", "Matching"]
