"""The JSON format of SQuAD 1.1, in which articles contain paragraphs and paragraphs contain questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babelmix.corpus.readers._records import get_field


def squad_rows(document: Any, file: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the questions of a document, each with its number.

    Args:
        document: the parsed JSON.
        file: the name of the source in errors.

    Yields:
        The number of the question, and a row with `id`, `question`, `context`, `title` and `answer`. `answer` is the text of the
        first answer; a question without answers has none. The values of `id` and `question` are not checked.

    Raises:
        ReaderError: a list or a context is missing. The message names the paragraph.

    """
    number = paragraph_number = 0
    for article in get_field(document, "data", list, file=file, row=None):
        for paragraph in get_field(article, "paragraphs", list, file=file, row=None):
            paragraph_number += 1
            context = get_field(paragraph, "context", str, file=file, row=paragraph_number, unit="paragraph")
            for question in get_field(paragraph, "qas", list, file=file, row=paragraph_number, unit="paragraph"):
                number += 1
                row = {key: question.get(key) for key in ("id", "question")} if isinstance(question, dict) else {}
                row |= {"context": context, "title": article.get("title")}
                answers = question.get("answers") if isinstance(question, dict) else None
                if isinstance(answers, list) and answers and isinstance(answers[0], dict):
                    row["answer"] = answers[0].get("text")
                yield number, row
