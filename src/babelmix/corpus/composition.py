"""Composed text (NFC): the form of most text, in which an accented letter is one character and not a letter and a mark.

File names of macOS and text out of PDFs are often decomposed (NFD). It looks the same, and is other text to most encoders.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc


def composed(texts: Iterable[str]) -> list[str]:
    """Texts in NFC; what is composed already is the same object."""
    return [text if text.isascii() else unicodedata.normalize("NFC", text) for text in texts]


def is_composed(text: str) -> bool:
    """Whether composing (NFC) leaves a text as it is."""
    return unicodedata.is_normalized("NFC", text)


def count_decomposed(texts: pa.ChunkedArray) -> int:
    """How many texts of a column composing (NFC) would change; rows without a text are none."""
    return sum(
        int(pc.sum(pc.not_equal(chunk, pc.utf8_normalize(chunk, form="NFC"))).as_py() or 0) for chunk in texts.chunks
    )


__all__ = ["composed", "count_decomposed", "is_composed"]
