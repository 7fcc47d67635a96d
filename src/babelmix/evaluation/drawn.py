"""Queries that a hash draws: the same for every system and every machine, and nobody chooses them."""

from __future__ import annotations

import hashlib

import numpy as np

from babelmix.evaluation.ranks import IntArray, RankTable


def hashed_order(table: RankTable, rows: IntArray) -> IntArray:
    """Query rows in the order of a hash of their language and item.

    The hash is BLAKE2b, 8 bytes, of `LANG ITEM`, so the order depends on the corpus alone. Of an item with several queries in one
    language, the first row comes first.

    Args:
        table: the rank table.
        rows: query rows, int64, shape (rows,).

    Returns:
        The same rows, int64, shape (rows,).

    """
    langs = [f"{lang} " for lang in table.query_langs]
    keys = [
        hashlib.blake2b((langs[lang] + str(item)).encode(), digest_size=8).digest()
        for lang, item in zip(table.query_lang[rows].tolist(), table.query_item[rows].tolist(), strict=True)
    ]
    return rows[np.array(sorted(range(len(rows)), key=keys.__getitem__), dtype=np.int64)]


def drawn_queries(table: RankTable, limit: int) -> IntArray:
    """At most `limit` query rows, as many in each language as there is room for, drawn by the hash.

    Args:
        table: the rank table.
        limit: the largest number of rows; each language has at least one.

    Returns:
        Query rows, ascending, int64, shape (rows,).

    """
    share = max(1, limit // len(table.query_langs))
    found = []
    for lang in range(len(table.query_langs)):
        rows = np.flatnonzero(table.query_lang == lang)
        found.append(rows if len(rows) <= share else hashed_order(table, rows)[:share])
    return np.sort(np.concatenate(found))


__all__ = ["drawn_queries", "hashed_order"]
