"""Clusters of items that must not be in one batch together, and the integer form of a corpus.

A cluster joins the query and the passages of its qrels, and all items that share a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from babelmix._components import components
from babelmix.batches.pool import Ints

if TYPE_CHECKING:
    import pyarrow as pa

    from babelmix.corpus import Corpus


_IMAGE = "zxx"
"""The value of `corpus.IMAGE`, which is not imported: a plan over a `RegularIndex` needs none of the libraries of a corpus."""


def clusters_of(corpus: Corpus) -> tuple[Ints, Ints]:
    """The cluster of each query item and of each passage item.

    Items of one cluster are never in one batch together: they are joined by a qrel or by a common text.

    Args:
        corpus: the corpus, of texts or of pictures with captions.

    Returns:
        The clusters of the query items, int64, shape (query items,), and of the passage items, int64, shape (passage items,).
        Items are in the order of their first row. Both sides share one numbering.

    Examples:
        >>> from babelmix.corpus import Corpus
        >>> rows = [{"item": str(i), "lang": "en", "text": text} for i, text in enumerate(["save", "open", "save"])]
        >>> answers = [row | {"text": f"answer {row['item']}"} for row in rows]
        >>> queries, passages = clusters_of(Corpus.from_rows(rows, answers, [(str(i), str(i)) for i in range(3)]))
        >>> bool(queries[0] == queries[2] == passages[0]), bool(queries[0] == queries[1])
        (True, False)

    """
    return NumberedCorpus.of(corpus).clusters()


@dataclass(frozen=True)
class NumberedSide:
    """One side of a corpus, with items and languages as integers.

    Args:
        item: the item of each row, int64, shape (rows,).
        lang: the language of each row, int64, shape (rows,).
        items: the names of the items.
        frame: the rows, with the columns `item`, `lang` and `text`.

    """

    item: Ints
    lang: Ints
    items: pl.Series
    frame: pl.DataFrame


@dataclass(frozen=True)
class NumberedCorpus:
    """A corpus, with items and languages as integers.

    Args:
        queries: the side of the queries.
        passages: the side of the passages.
        pair_query: the query item of each qrel, int64, shape (qrels,).
        pair_passage: the passage item of each qrel, int64, shape (qrels,).

    """

    queries: NumberedSide
    passages: NumberedSide
    pair_query: Ints
    pair_passage: Ints

    @classmethod
    def of(cls, corpus: Corpus) -> Self:
        """Number the items and languages of a corpus."""
        # A picture has no language; its number is never used.
        lang_code = {lang: i for i, lang in enumerate(languages_of(corpus))}
        lang_code |= {_IMAGE: 0} if corpus.has_images else {}
        sides = []
        for table in (corpus.queries, corpus.passages):
            frame = pl.DataFrame(pl.from_arrow(table.select(["item", "lang", "text"])))
            if "digest" in table.column_names:
                # The digest stands for the content of a picture; only a malicious text could equal it.
                frame = frame.with_columns(text=pl.coalesce(pl.Series(pl.from_arrow(table["digest"])), "text"))
            items = frame["item"].unique(maintain_order=True)
            lang = frame["lang"].replace_strict(lang_code, return_dtype=pl.Int64).to_numpy()
            sides.append(NumberedSide(_numbers_of(table["item"], items), lang.astype(np.int64), items, frame))
        return cls(sides[0], sides[1], *_ends(corpus.qrels, sides[0], sides[1]))

    def pairs_in(self, table: pa.Table) -> tuple[Ints, Ints]:
        """The query item and the passage item of each row of a table of pairs, both int64, shape (rows,)."""
        return _ends(table, self.queries, self.passages)

    def clusters(self) -> tuple[Ints, Ints]:
        """The cluster of each query item and of each passage item, see `clusters_of`."""
        offset = len(self.queries.items)
        left, right = [self.pair_query], [self.pair_passage + offset]
        # Items of one side that share a text are joined, even if the languages differ: names are often left untranslated.
        for side, start in ((self.queries, 0), (self.passages, offset)):
            nodes, firsts = links(side.frame["text"].str.strip_chars(), side.item + start)
            left.append(nodes)
            right.append(firsts)
        found = components(np.concatenate(left), np.concatenate(right), offset + len(self.passages.items))
        return found[:offset], found[offset:]


def languages_of(corpus: Corpus) -> tuple[str, ...]:
    """The languages of a corpus's texts."""
    return tuple(lang for lang in corpus.langs if lang != _IMAGE)


def _ends(table: pa.Table, queries: NumberedSide, passages: NumberedSide) -> tuple[Ints, Ints]:
    return _numbers_of(table["query_item"], queries.items), _numbers_of(table["passage_item"], passages.items)


def _numbers_of(names: pa.ChunkedArray, items: pl.Series) -> Ints:
    """The position in `items` of each name, int64, the same length."""
    numbers = pl.DataFrame({"item": items, "code": np.arange(len(items))})
    named = pl.DataFrame({"item": pl.from_arrow(names)})
    return named.join(numbers, on="item", how="left", maintain_order="left")["code"].to_numpy().astype(np.int64)


def links(key: pl.Series, node: Ints) -> tuple[Ints, Ints]:
    """Edges that join all nodes of one key: each node, and the first node of its key."""
    frame = pl.DataFrame({"key": key, "node": node})
    linked = frame.with_columns(first=pl.col("node").min().over("key"))
    return linked["node"].to_numpy().astype(np.int64), linked["first"].to_numpy().astype(np.int64)


def clusters_by_language(clusters: Ints, has: npt.NDArray[np.bool_]) -> Ints:
    """Count the clusters that have a pair in each language.

    Args:
        clusters: the cluster of each pair, int64, shape (pairs,).
        has: whether each pair exists in each language, bool, shape (pairs, languages).

    Returns:
        int64, shape (languages,).

    """
    return np.array([len(np.unique(clusters[column])) for column in has.T], dtype=np.int64)


__all__ = ["NumberedCorpus", "NumberedSide", "clusters_by_language", "clusters_of", "languages_of", "links"]
