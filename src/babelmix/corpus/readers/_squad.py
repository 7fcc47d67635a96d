"""SQuAD's JSON, version 1: articles of paragraphs of questions, as one row a question."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from babelmix.corpus.readers._records import get_field


def squad_rows(document: Any, file: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The questions of a document with their numbers, each with `id`, `question`, `context`, `title` and `answer`.

    `answer` is the text of the first answer and absent where there is none. What is in `id` and `question` is not
    looked at.

    Raises:
        ReaderError: a list or a context is missing; the message names the paragraph.

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
