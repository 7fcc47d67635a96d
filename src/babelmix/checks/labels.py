"""Checks of qrels, items and groups: what makes figures wrong or intervals too narrow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from babelmix.checks.base import EXAMPLES, Problem, Subject, examples_of
from babelmix.corpus.copies import count_copies, rows_of_pairs
from babelmix.corpus.query_groups import groups_of_corpus

_MANY = 0.01
"""The share of queries from which on something about queries is a problem."""
_FEW = 30
"""Groups below which intervals are wide."""


def copies(subject: Subject) -> Iterator[Problem]:
    """Passages that are equal to a right answer, but are not judged."""
    found = count_copies(subject.data)
    if found["passages"]:
        yield Problem(
            f"passages equal a right answer of one of {found['queries']:,} queries, but are not judged: they count as wrong",
            found["passages"],
            subject.data.passages.num_rows,
            "Audit with  --copies relevant  or  --copies excluded, or judge them.",
            serious=found["queries"] >= _MANY * subject.data.queries.num_rows,
        )


def left_out(subject: Subject) -> Iterator[Problem]:
    """What the reader could not use: judgements to nothing, empty documents, repeated rows."""
    counts = subject.data.meta.get("left_out") or {}
    examples = subject.data.meta.get("left_out_examples") or {}
    if not isinstance(counts, Mapping):  # an earlier version wrote this corpus
        return
    for serious, remedy in (
        (True, "Look at the source: a query whose judgements are lost is easier, or is gone."),
        (False, "Look at the source, if there are more than you expect."),
    ):
        some = {what: number for what, number in counts.items() if ("judg" in what) is serious}
        if some:
            named = ", ".join(f"{what} {number:,}" for what, number in some.items())
            first = next((list(examples[what])[:EXAMPLES] for what in some if examples.get(what)), [])
            yield Problem(
                f"rows or pairs of the whole source were left out by the reader: {named}",
                sum(some.values()),
                None,
                remedy,
                serious=serious,
                examples=tuple(map(str, first)),
            )


def unjoined(subject: Subject) -> Iterator[Problem]:
    """Translations that are not joined by their item."""
    joins = subject.data.joins
    note = joins.note()
    if note is not None:
        what, _, how = note.partition(". If")
        yield Problem(what, None, None, f"If{how}.")


def groups(subject: Subject) -> Iterator[Problem]:
    """Groups that intervals and tests cannot rest on."""
    found = groups_of_corpus(subject.data)
    number = len(set(found.number.tolist()))
    note = found.note()
    if note is not None:
        yield Problem(
            note.partition(": ")[0].partition(". ")[0],
            None,
            None,
            "Give all queries and passages of a page or an article one  group  (see docs/data.md).",
            serious=found.joined is None or found.fell_back,
        )
    elif number < _FEW:
        yield Problem(
            f"queries are in {number} groups: with fewer than {_FEW}, intervals are wide",
            None,
            None,
            "Add queries of other pages or articles.",
            serious=False,
        )


def twins(subject: Subject) -> Iterator[Problem]:
    """Passages of one text in several groups: a split can put one into training and one into the test."""
    rows = subject.texts.filter(pl.col("side") == "passages")
    bad = rows.filter(pl.col("group").n_unique().over("lang", "text") > 1)
    if bad.height:
        yield Problem(
            "passages have the text of a passage of another group: a split can put one on each side",
            bad.height,
            rows.height,
            "Give them one group before you train on a part of this corpus, or leave the repeated ones out.",
            serious=False,
            examples=examples_of(bad.sort("lang", "text")),
        )


def ambiguous(subject: Subject) -> Iterator[Problem]:
    """Queries of one text and language that have no right answer in common."""
    rows = subject.texts.filter(pl.col("side") == "queries")
    twice = rows.filter(pl.col("item").n_unique().over("lang", "text") > 1)
    pairs = pl.DataFrame(pl.from_arrow(subject.data.qrels.select(["query_item", "passage_item"])))
    asked = twice.select("lang", "text", "item").unique().join(pairs, left_on="item", right_on="query_item")
    # A passage that is right for all items that ask with a text answers all of them.
    items = asked.group_by("lang", "text").agg(pl.col("item").n_unique().alias("items"))
    common = asked.unique().group_by("lang", "text", "passage_item").agg(pl.len().alias("right"))
    common = common.group_by("lang", "text").agg(pl.col("right").max())
    apart = items.join(common, on=["lang", "text"]).filter((pl.col("items") > 1) & (pl.col("right") < pl.col("items")))
    bad = twice.join(apart.select("lang", "text"), on=["lang", "text"], how="semi").sort(
        "lang", "text", maintain_order=True
    )
    if bad.height:
        yield Problem(
            "queries are asked again by another item, with other right answers: not all of them can be answered",
            bad.height,
            rows.height,
            "Join their judgements, or leave such queries out.",
            serious=bad.height >= _MANY * rows.height,
            examples=examples_of(bad),
        )


def own_text(subject: Subject) -> Iterator[Problem]:
    """Queries that are equal to a right answer in their own language."""
    corpus = subject.data
    if subject.is_bitext:
        yield Problem(
            "the corpus is a bitext: each text is query and passage",
            None,
            None,
            "Do not read the monolingual figures: there a text finds itself.",
            serious=False,
        )
        return
    pairs = rows_of_pairs(corpus, "qrels").select("query", "passage")
    for side, row in (("queries", "query"), ("passages", "passage")):
        table = pl.DataFrame(pl.from_arrow(getattr(corpus, side).select(["lang", "text"]))).with_row_index(row)
        table = table.select(pl.col(row).cast(pl.Int64), pl.col("lang", "text").name.suffix(f"_{row}"))
        pairs = pairs.join(table, on=row)
    same = (pl.col("text_query") == pl.col("text_passage")) & (pl.col("lang_query") == pl.col("lang_passage"))
    number = pairs.filter(same)["query"].n_unique()
    if number:
        yield Problem(
            "queries are equal to their own right answer: within a language they find themselves",
            number,
            corpus.queries.num_rows,
            "They raise monolingual figures: leave them out.",
            serious=number >= _MANY * corpus.queries.num_rows,
        )


__all__ = ["ambiguous", "copies", "groups", "left_out", "own_text", "twins", "unjoined"]
