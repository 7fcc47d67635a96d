"""Copies of right answers: passages that are equal to a relevant passage, but are not judged relevant.

A pool often contains a text twice: a sentence of two articles, a name that was not translated, a picture under two names. The
qrels usually name only one of them. A ranking that finds the other one first then counts as wrong, although the two cannot be
told apart.
"""

from __future__ import annotations

from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import polars as pl
import pyarrow as pa

from babelmix.corpus.model import COPIES_KEY, Corpus
from babelmix.corpus.schema import GRADE, ROWS_AT_ONCE
from babelmix.errors import ConfigError

Copies = Literal["wrong", "relevant", "excluded"]
COPIES: tuple[Copies, ...] = ("wrong", "relevant", "excluded")
"""How to count a copy of a right answer: as wrong (the usual way), as relevant with the grade of the answer, or not at all."""


def check_copies(copies: str) -> Copies:
    """Check a setting of how to count copies.

    Raises:
        ConfigError: the setting is not one of `COPIES`.

    """
    for known in COPIES:
        if copies == known:
            return known
    raise ConfigError(f"copies of right answers count as {', '.join(COPIES[:-1])} or {COPIES[-1]}, not {copies!r}")


_counted: WeakKeyDictionary[Corpus, dict[str, int]] = WeakKeyDictionary()
"""A cache of the counts of each corpus: they are used when the corpus is opened and in each audit."""


def rows_of_pairs(corpus: Corpus, name: str) -> pl.DataFrame:
    """Expand a table of item pairs to pairs of rows.

    Args:
        corpus: the corpus.
        name: `qrels`, `negatives` or `excluded`.

    Returns:
        The row numbers `query` and `passage`, and for qrels the `grade`, int64, sorted by query and then by passage.

    """
    return _joined(corpus, name, _numbered(corpus.passages, "passage"))


def copies_of_answers(corpus: Corpus) -> pl.DataFrame:
    """The copies of right answers: pairs of a query row and a passage row.

    The passage has the same content as a relevant passage of the query, and is itself neither relevant nor excluded. Content is
    the text in composed Unicode (NFC), or the digest of the picture. The language does not matter.

    Returns:
        The row numbers `query` and `passage`, and the highest `grade` of the relevant passages with this content, int64, sorted
        by query and then by passage.

    """
    repeated = _repeated(corpus.passages)
    right = _right_contents(corpus, repeated)
    pairs = right.join(repeated.select("passage", "content"), on="content").select("query", "passage", GRADE)
    for name in ("qrels", "excluded"):
        pairs = pairs.join(_joined(corpus, name, repeated), on=["query", "passage"], how="anti")
    return pairs.sort("query", "passage")


def count_copies(corpus: Corpus) -> dict[str, int]:
    """Count the copies of right answers without listing them. The counts of a corpus are computed once.

    Returns:
        `pairs`: the number of pairs that `copies_of_answers` lists. `queries` and `passages`: the number of query rows and of
        passage rows in these pairs.

    """
    if corpus not in _counted:
        _counted[corpus] = _count(corpus)
    return dict(_counted[corpus])


def _count(corpus: Corpus) -> dict[str, int]:
    repeated = _repeated(corpus.passages)
    right = _right_contents(corpus, repeated)
    known = [
        _joined(corpus, name, repeated).select("query", "passage").join(repeated, on="passage")
        for name in ("qrels", "excluded")
    ]
    # The passages that qrels or `excluded` list, by query and content. The join drops excluded passages with other contents.
    named = pl.concat(frame.select("query", "passage", "content") for frame in known)
    named = named.join(right, on=["query", "content"], how="semi")
    size = repeated.group_by("content").agg(pl.len().cast(pl.Int64).alias("size"))
    there = named.group_by("query", "content").agg(pl.len().cast(pl.Int64).alias("named"))
    copied = (
        right.join(size, on="content")
        .join(there, on=["query", "content"], how="left")
        .with_columns((pl.col("size") - pl.col("named").fill_null(0)).alias("copies"))
        .filter(pl.col("copies") > 0)
    )
    # A passage is a copy for at least one query, unless qrels or `excluded` list it for every query with this right content.
    asked = right.group_by("content").agg(pl.len().cast(pl.Int64).alias("asked"))
    names = named.group_by("passage").agg(pl.len().cast(pl.Int64).alias("named"))
    passages = (
        repeated.join(asked, on="content")
        .join(names, on="passage", how="left")
        .filter(pl.col("named").fill_null(0) < pl.col("asked"))
    )
    return {
        "queries": copied["query"].n_unique(),
        "passages": passages.height,
        "pairs": int(copied["copies"].sum()),
    }


def with_copies(corpus: Corpus) -> Corpus:
    """The corpus with the counts of `count_copies` in `meta["copies"]`. Without copies there is no such key."""
    found = count_copies(corpus)
    if found["pairs"]:
        named = corpus.named(corpus.name, **{COPIES_KEY: found})
        _counted[named] = found
        return named
    return corpus.without_facts(COPIES_KEY) if COPIES_KEY in corpus.meta else corpus


def _right_contents(corpus: Corpus, repeated: pl.DataFrame) -> pl.DataFrame:
    """The repeated contents that are right for each query row: columns `query`, `content`, `grade`."""
    relevant = _joined(corpus, "qrels", repeated).join(repeated.select("passage", "content"), on="passage")
    return relevant.group_by("query", "content").agg(pl.col(GRADE).max())


def _joined(corpus: Corpus, name: str, passages: pl.DataFrame) -> pl.DataFrame:
    joined = (
        pl.DataFrame(pl.from_arrow(getattr(corpus, name)))
        .join(_numbered(corpus.queries, "query"), left_on="query_item", right_on="item")
        .join(passages, left_on="passage_item", right_on="item")
    )
    columns = ["query", "passage", *((GRADE,) if name == "qrels" else ())]
    return joined.select(pl.col(column).cast(pl.Int64) for column in columns).sort("query", "passage")


def _composed(text: pl.Series) -> pl.Series:
    """Texts in composed Unicode (NFC), as encoders get them."""
    return text.str.normalize("NFC")


def _numbered(table: pa.Table, row: str) -> pl.DataFrame:
    return pl.DataFrame({"item": pl.from_arrow(table["item"]), row: np.arange(table.num_rows, dtype=np.int64)})


def _repeated(passages: pa.Table) -> pl.DataFrame:
    """The passage rows whose content occurs more than once: columns `item`, `passage` and `content`, a number."""
    frame = _numbered(passages, "passage")
    kinds = [name for name in ("text", "digest") if name in passages.column_names]
    parts = []
    for kind in kinds:
        content = pl.Series(kind, pl.from_arrow(passages[kind]))
        # Hashes take less memory than texts. The texts with equal hashes are then compared.
        digests = [
            _composed(content.slice(start, ROWS_AT_ONCE)).hash() for start in range(0, len(content), ROWS_AT_ONCE)
        ]
        digest = pl.concat(digests) if digests else pl.Series(dtype=pl.UInt64)
        rows = frame.filter(content.is_not_null() & digest.is_duplicated())
        text = _composed(content.gather(rows["passage"]))
        rows = rows.with_columns(text.rank("dense").cast(pl.Int64).alias("content"))
        parts.append(rows.filter(rows["content"].is_duplicated()).with_columns(pl.lit(kind).alias("kind")))
    together = pl.concat(parts)
    number = pl.struct("kind", "content").rank("dense").cast(pl.Int64)
    return together.with_columns(number.alias("content")).select("item", "passage", "content")


__all__ = ["COPIES", "Copies", "check_copies", "copies_of_answers", "count_copies", "rows_of_pairs", "with_copies"]
