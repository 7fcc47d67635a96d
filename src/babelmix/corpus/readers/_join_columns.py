"""Find the column that probably joins translations, in a table whose items exist in one language each."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from babelmix.corpus.readers._tables import Table

_RENDERED = 0.5
"""At least this share of the values of a joining column occurs in two or more languages."""
_ALONE = 0.9
"""At least this share of its values occurs in one row per language: a category has many rows."""


def join_note(table: Table, item: str, candidates: Iterable[str]) -> str | None:
    """A sentence about a column whose values occur once in each of several languages; None if there is none, or none is needed.

    Args:
        table: a table with a row for each text, and the column `lang`.
        item: the column that is read as the item.
        candidates: the columns that may be meant.

    """
    lang = table.frame["lang"]
    if lang.n_unique() < 2 or _joins(table.frame[item], lang, rendered=0.0):
        return None
    for name in candidates:
        if name in table.frame.columns and name not in table.mixed and name not in ("lang", item):
            column = table.frame[name]
            if (column.dtype == pl.String or column.dtype.is_integer()) and _joins(column, lang, rendered=_RENDERED):
                return (
                    f"{table.file}: each value of {item!r} occurs in one language, but the values of {name!r} occur in several: "
                    f"if {name!r} joins translations, give it the name  item"
                )
    return None


def _joins(column: pl.Series, lang: pl.Series, *, rendered: float) -> bool:
    """Whether the values of a column occur in several languages, and once in each."""
    rows = pl.DataFrame({"value": column, "lang": lang}).drop_nulls()
    values = rows.group_by("value").agg(pl.col("lang").n_unique().alias("langs"), pl.len().alias("rows"))
    several = values.filter(pl.col("langs") > 1)
    if several.is_empty() or several.height < rendered * values.height:
        return False
    return not rendered or several.filter(pl.col("langs") == pl.col("rows")).height >= _ALONE * several.height


__all__ = ["join_note"]
