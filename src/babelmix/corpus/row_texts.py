"""The content of a corpus's tables: a digest of all rows, and the first text of each item."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pyarrow as pa

from babelmix.corpus.languages import canonical_language, in_range
from babelmix.corpus.schema import GRADE, OWN_ID, parts_of


def digest_of_tables(tables: Iterable[pa.Table], *, graded: bool, excluded: bool) -> str:
    """SHA-256 over all rows of the tables, as hexadecimal digits.

    Args:
        tables: the queries, the passages, the qrels, and the optional tables that have rows. Empty ones are left out, so that
            fingerprints of older versions stay valid.
        graded: whether grades are hashed.
        excluded: whether there are excluded pairs.

    """
    digest = hashlib.sha256()
    if excluded:
        digest.update(b"\x1dexcluded\x1d")  # distinguishes excluded pairs from negatives
    for table in tables:
        for column in table.column_names:
            # The column `digest` is hashed instead of the picture. Other ids of the rows are not data.
            if (column == GRADE and not graded) or column in ("image", OWN_ID):
                continue
            digest.update(f"\x1e{column}\x1e".encode())
            for start, part in parts_of(table[column]):
                digest.update(("\x1f" if start else "").encode())
                digest.update("\x1f".join(map(str, part.to_pylist())).encode())
    return digest.hexdigest()


def first_texts(table: pa.Table, lang: str | None) -> dict[str, str]:
    """The first text of each item in one language; see `Corpus.first_texts`."""
    own: dict[str, str] = {}
    regional: dict[str, str] = {}
    for row in table.select(["item", "lang", "text"]).to_pylist():
        if lang is not None and row["text"] is not None and in_range(row["lang"], lang):
            (own if row["lang"] == canonical_language(lang) else regional).setdefault(row["item"], row["text"])
    return {**regional, **own}


__all__ = ["digest_of_tables", "first_texts"]
