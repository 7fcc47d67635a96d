"""Copies of right answers: passages with the content of a relevant one that no judgement names.

A pool often holds one text twice: a sentence that two articles share, a translation that was left as it is, a picture under
two names. Judgements mostly name one of them. A ranking that finds the other first is then marked as wrong, although nobody
could tell the two apart.
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
"""What a copy of a right answer counts as: wrong, as in the field's own code; relevant, with the answer's grade; or neither."""


def check_copies(copies: str) -> Copies:
    """What copies are to count as, as a person writes it.

    Raises:
        ConfigError: it is none of `COPIES`.

    """
    for known in COPIES:
        if copies == known:
            return known
    raise ConfigError(f"copies of right answers count as {', '.join(COPIES[:-1])} or {COPIES[-1]}, not {copies!r}")


_counted: WeakKeyDictionary[Corpus, dict[str, int]] = WeakKeyDictionary()
"""What was counted: opening a corpus and each of its audits ask for it."""


def rows_of_pairs(corpus: Corpus, name: str) -> pl.DataFrame:
    """All pairs of a query row and a passage row that a table of item pairs stands for.

    Args:
        corpus: the corpus.
        name: `qrels`, `negatives` or `excluded`.

    Returns:
        Int64 columns `query`, `passage` and, of qrels, `grade`, sorted by query row, then passage row.

    """
    return _joined(corpus, name, _numbered(corpus.passages, "passage"))


def copies_of_answers(corpus: Corpus) -> pl.DataFrame:
    """The pairs of a query row and a passage row that has the content of a relevant one and is neither relevant nor excluded.

    Content is the text, letter by letter in composed Unicode (NFC), or a picture's digest; the language does not matter.

    Returns:
        Int64 columns `query`, `passage` and `grade`, the highest of the relevant passages that are copied; sorted by query row,
        then passage row.

    """
    repeated = _repeated(corpus.passages)
    right = _right_contents(corpus, repeated)
    pairs = right.join(repeated.select("passage", "content"), on="content").select("query", "passage", GRADE)
    for name in ("qrels", "excluded"):
        pairs = pairs.join(_joined(corpus, name, repeated), on=["query", "passage"], how="anti")
    return pairs.sort("query", "passage")


def count_copies(corpus: Corpus) -> dict[str, int]:
    """How many copies of right answers a pool holds, without listing them; counted once a corpus.

    Returns:
        `queries`: query rows that have a copy of a right answer in the pool; `passages`: passage rows that are such a copy for
        some query; `pairs`: of both.

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
    # Of a relevant content, what is neither relevant nor excluded; what is excluded may have another content.
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
    # A passage is a copy for some query unless every query with its content names it.
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
    """The corpus whose `meta["copies"]` says what `count_copies` finds; without it where there is no copy."""
    found = count_copies(corpus)
    if found["pairs"]:
        named = corpus.named(corpus.name, **{COPIES_KEY: found})
        _counted[named] = found
        return named
    return corpus.without_facts(COPIES_KEY) if COPIES_KEY in corpus.meta else corpus


def _right_contents(corpus: Corpus, repeated: pl.DataFrame) -> pl.DataFrame:
    """Which repeated contents are right for which query rows: columns `query`, `content`, `grade`."""
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
    """Texts in composed Unicode (NFC), as every encoder reads them."""
    return text.str.normalize("NFC")


def _numbered(table: pa.Table, row: str) -> pl.DataFrame:
    return pl.DataFrame({"item": pl.from_arrow(table["item"]), row: np.arange(table.num_rows, dtype=np.int64)})


def _repeated(passages: pa.Table) -> pl.DataFrame:
    """The passage rows whose content occurs more than once: columns `item`, `passage`, `content` (a number for each content)."""
    frame = _numbered(passages, "passage")
    kinds = [name for name in ("text", "digest") if name in passages.column_names]
    parts = []
    for kind in kinds:
        content = pl.Series(kind, pl.from_arrow(passages[kind]))
        # Digests of texts take a fraction of their memory, and what they find is compared.
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
