"""Passages of Wikipedia in MIRACL and Mr. TyDi: records with `docid`, `title` and `text`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from babelmix.corpus.readers._records import get_field


def passage_text(record: Any, *, file: str | Path, row: int) -> str:
    """The title of the article, a space and the passage. A passage alone often does not name its subject.

    Raises:
        ReaderError: a field is missing or not a text.

    """
    parts = [get_field(record, key, str, file=file, row=row).strip() for key in ("title", "text")]
    return " ".join(part for part in parts if part)


def article_of(lang: str, docid: str) -> str:
    """The group of a passage, which is its article: the part of `docid` before the `#`."""
    return f"{lang}/article/{docid.partition('#')[0]}"
