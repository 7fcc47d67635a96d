"""Whether translations are joined: how many right answers exist in several languages.

Rank distance, same-language preference and every other comparison of translations need a query whose right answers exist in at
least two languages. Translations are joined by `item`. If that column is missing or has another name, every translation is an
item of its own, and nothing else looks wrong. A note says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from babelmix.corpus.languages import IMAGE

FEW = 0.1
"""Below this share of queries with right answers in several languages, a note says so."""

_HOW = (
    "If the texts are translations of each other, the column that joins them is missing or has another name, and right "
    "translations count as wrong: give all translations of a text the same value in the column  item  (see docs/own-data.md)"
)


@dataclass(frozen=True)
class Joins:
    """How many right answers exist in several languages.

    Args:
        langs: the number of languages of the passages.
        queries: the number of queries that have a right answer in some language.
        several: the number of these queries whose right answers exist in two or more languages.
        own: the number of these queries whose right answers are all in the query's own language.
        items: the number of items of the passages; None if it is not known.
        joined: the number of these items that exist in two or more languages; None if it is not known.

    """

    langs: int
    queries: int
    several: int
    own: int
    items: int | None = None
    joined: int | None = None

    def note(self) -> str | None:
        """A sentence about translations that are not joined, or seldom; None if there is nothing to say.

        Examples:
            >>> Joins(langs=2, queries=50, several=40, own=0).note() is None
            True
            >>> Joins(langs=2, queries=50, several=2, own=48).note()[:75]
            'only 2 of 50 queries have right answers in two or more languages: distances'

        """
        if self.langs < 2 or not self.queries or self.several >= FEW * self.queries:
            return None
        if self.several:
            return (
                f"only {self.several:,} of {self.queries:,} queries have right answers in two or more languages: distances "
                f"between translations and the preference for the own language are measured with these alone. {_HOW}"
            )
        if self.joined == 0:
            what = f"none of the {self.items:,} items of the passages exists in two languages"
        elif self.own == self.queries:
            what = "every query has right answers in its own language only"
        else:
            what = "no query has right answers in two languages"
        return f"{what}: distances between translations and the preference for the own language cannot be measured. {_HOW}"


def joins_of(queries: pa.Table, passages: pa.Table, qrels: pa.Table) -> Joins:
    """Count the right answers of a corpus that exist in several languages. Pictures have no language.

    Args:
        queries: the queries of a corpus, with `item` and `lang`.
        passages: its passages.
        qrels: its pairs of items.

    """
    asked, found = (pl.DataFrame(pl.from_arrow(side.select(["item", "lang"]))) for side in (queries, passages))
    langs = found.filter(pl.col("lang") != IMAGE).unique()
    items = langs.group_by("item").len("langs")
    pairs = pl.DataFrame(pl.from_arrow(qrels.select(["query_item", "passage_item"])))
    right = pairs.join(langs, left_on="passage_item", right_on="item").select("query_item", "lang").unique()
    answers = right.group_by("query_item").agg(pl.len().alias("langs"), pl.col("lang").first().alias("answer"))
    rows = asked.join(answers, left_on="item", right_on="query_item")
    return Joins(
        langs["lang"].n_unique(),
        rows.height,
        rows.filter(pl.col("langs") > 1).height,
        rows.filter((pl.col("langs") == 1) & (pl.col("answer") == pl.col("lang"))).height,
        items.height,
        items.filter(pl.col("langs") > 1).height,
    )


def joins_of_ranks(
    query_lang: npt.NDArray[np.int64],
    pair_query: npt.NDArray[np.int64],
    pair_lang: npt.NDArray[np.int64],
    *,
    query_langs: tuple[str, ...],
    passage_langs: tuple[str, ...],
) -> Joins:
    """The same counts from the pairs of a rank table. The items are not known."""
    texts = [i for i, lang in enumerate(passage_langs) if lang != IMAGE]
    pairs = np.unique(np.column_stack([pair_query, pair_lang])[np.isin(pair_lang, texts)], axis=0)
    rows, first, count = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    names = np.array(query_langs, dtype=object)[query_lang[rows]]
    right = np.array(passage_langs, dtype=object)[pairs[first, 1]]
    own = (count == 1) & (names == right)
    return Joins(len(texts), len(rows), int((count > 1).sum()), int(own.sum()))


__all__ = ["FEW", "Joins", "joins_of", "joins_of_ranks"]
