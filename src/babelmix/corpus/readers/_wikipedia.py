"""Passages of Wikipedia as `miracl` and `mr-tydi` have them: records with `docid`, `title` and `text`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babelmix.corpus.readers._records import get_field


def passage_text(record: Any, *, file: str | Path, row: int) -> str:
    """The article's title, a space and the passage: a passage alone often does not say what it is about; empty if both are.

    Raises:
        ReaderError: a field is missing or not a text.

    """
    parts = [get_field(record, key, str, file=file, row=row).strip() for key in ("title", "text")]
    return " ".join(part for part in parts if part)


def article_of(lang: str, docid: str) -> str:
    """The group of a passage: its article, the part of `docid` before the `#`."""
    return f"{lang}/article/{docid.partition('#')[0]}"
