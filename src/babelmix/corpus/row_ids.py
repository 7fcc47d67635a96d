"""Ids of the rows of a corpus, by which vectors and ranked lists from elsewhere are matched with it.

The id of a row is its item and its language, as in `page-7/de`. An item may have several rows in one language: the second of
them is `page-7/de/2`, the third `page-7/de/3`, in the order of the corpus. Language tags hold no `/` and are no numbers, so an
id means one row, whatever characters the item has.
"""

from __future__ import annotations

from typing import cast

import polars as pl
import pyarrow as pa

from babelmix.corpus.languages import canonical_language, is_language_tag


def spelled_ids(item: pl.Series, lang: pl.Series) -> pl.Series:
    """The ids of rows.

    Args:
        item: the items, strings, shape (rows,).
        lang: the languages, canonical tags, shape (rows,).

    Returns:
        The ids, strings, shape (rows,).

    Examples:
        >>> spelled_ids(pl.Series(["a", "a", "a"]), pl.Series(["de", "de", "en"])).to_list()
        ['a/de', 'a/de/2', 'a/en']

    """
    frame = pl.DataFrame({"item": item.cast(pl.String), "lang": lang.cast(pl.String)})
    number = pl.int_range(1, pl.len() + 1).over("item", "lang")
    end = pl.when(number > 1).then(pl.concat_str(pl.lit("/"), number.cast(pl.String))).otherwise(pl.lit(""))
    return frame.select(pl.concat_str("item", pl.lit("/"), "lang", end).alias("id"))["id"]


def row_ids(rows: pa.Table) -> pl.Series:
    """The ids of a side of a corpus, in row order.

    Args:
        rows: the queries or the passages of a corpus.

    Returns:
        Strings, shape (rows,).

    """
    return spelled_ids(*(cast(pl.Series, pl.from_arrow(rows[name])) for name in ("item", "lang")))


def rows_of_ids(ids: pl.Series, rows: pa.Table) -> pl.Series:
    """The rows that ids mean.

    Four spellings mean a row: what its column `id` has, if there is one; its id; its id with another tag of the same language
    (`page-7/deu`); and its item alone, if the item has one row on this side.

    Args:
        ids: strings, shape (ids,).
        rows: the queries or the passages of a corpus.

    Returns:
        Row numbers from 0 on, null for an id that means no row, int64, shape (ids,).

    """
    own = pl.DataFrame({"id": row_ids(rows)}).with_row_index("row").select("id", pl.col("row").cast(pl.Int64))
    if "id" in rows.column_names:
        given = own.with_columns(cast(pl.Series, pl.from_arrow(rows["id"])).cast(pl.String).alias("id")).drop_nulls()
        own = pl.concat([given, own]).unique("id", keep="first", maintain_order=True)
    found = pl.DataFrame({"id": ids.cast(pl.String)}).join(own, on="id", how="left", maintain_order="left")["row"]
    if not found.has_nulls():
        return found
    unknown = pl.DataFrame({"id": ids.cast(pl.String).filter(found.is_null())}).unique()
    parts = unknown["id"].str.extract_groups(r"^(?<start>.*)/(?<lang>[A-Za-z][^/]*)(?<end>(?:/\d+)?)$").struct.unnest()
    tags = {tag: canonical_language(tag) for tag in parts["lang"].drop_nulls().unique() if is_language_tag(tag)}
    lang = parts["lang"].replace_strict(tags, default=None, return_dtype=pl.String)
    other = parts.select(pl.concat_str("start", pl.lit("/"), lang, "end").alias("other"))["other"]
    items = cast(pl.Series, pl.from_arrow(rows["item"])).cast(pl.String)
    item = pl.DataFrame({"id": items}).with_row_index("row").select("id", pl.col("row").cast(pl.Int64))
    alone = item.filter(pl.col("id").is_unique())
    by_tag = unknown.with_columns(other).join(own, left_on="other", right_on="id").select("id", "row")
    more = pl.concat([by_tag, unknown.join(alone, on="id").select("id", "row")]).unique("id", keep="first")
    second = pl.DataFrame({"id": ids.cast(pl.String)}).join(more, on="id", how="left", maintain_order="left")["row"]
    return found.fill_null(second)


__all__ = ["row_ids", "rows_of_ids", "spelled_ids"]
