"""Composed Unicode (NFC), in which an accented letter is one character.

Most text is composed. File names of macOS and text from PDFs are often decomposed (NFD): a letter and a mark. Both look the same,
but most encoders read them as different texts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def composed(texts: Iterable[str]) -> list[str]:
    """The texts in NFC. A text that is already composed stays the same object."""
    return [text if text.isascii() else unicodedata.normalize("NFC", text) for text in texts]


def is_composed(text: str) -> bool:
    """Whether a text is already in NFC."""
    return unicodedata.is_normalized("NFC", text)


def count_decomposed(texts: pa.ChunkedArray) -> int:
    """Count the texts of a column that are not in NFC. Nulls do not count."""
    # Before its release 26, pyarrow's own `utf8_normalize` gives NFD for NFC; this is faster, too.
    return sum(not is_composed(text) for chunk in texts.chunks for text in chunk.to_pylist() if text is not None)


__all__ = ["composed", "count_decomposed", "is_composed"]
