"""Pools of paragraphs in many languages, as in SHIFT (arXiv 2606.18801): every language version of an answer is relevant.

The readers `xquad-r`, `belebele`, `mlqa` and `multieup` have the option `pool`. By default each reads its data as they are. With
`pool=shift` it reads the pool of SHIFT's published code, with the peculiarities of that code. Each peculiarity is also an option
of its own. docs/data.md lists them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from babelmix._components import components
from babelmix.corpus.model import Corpus
from babelmix.corpus.readers._building import SideBuilder, corpus_from_tables
from babelmix.corpus.readers._sources import pick_langs
from babelmix.errors import ReaderError

SHIFT = "shift"
"""The value of the option `pool` for the pool of SHIFT's code."""


def is_shift(pool: str, file: str | Path) -> bool:
    """Whether the option `pool` asks for the pool of SHIFT's code.

    Raises:
        ReaderError: the option has another value.

    """
    if pool not in ("", SHIFT):
        raise ReaderError(f"the option pool is {SHIFT} or left out, not {pool!r}", file=file)
    return pool == SHIFT


def pick_queries(queries: str | Sequence[str] | None, langs: Sequence[str], file: str | Path) -> list[str]:
    """The languages whose queries are read: all languages for None or `all`.

    Raises:
        ReaderError: there is no such language, or the list is empty.

    """
    everything = queries in (None, "all") or (not isinstance(queries, str) and list(queries or []) == ["all"])
    return pick_langs(None if everything else queries, langs, file)


class ParagraphPool:
    """Collects paragraphs, and the questions that each one answers.

    Args:
        first_language: a text that occurs in several languages is one passage, in the language that comes first.
        prefix: the first part of the items of passages.

    """

    def __init__(self, *, first_language: bool = False, prefix: str = "passage") -> None:
        self._first_language, self._prefix = first_language, prefix
        self._number: dict[Any, int] = {}
        self._passages: list[tuple[str, str, str]] = []
        self._questions: list[dict[str, None]] = []
        self._queries: dict[tuple[str, str], tuple[str, str]] = {}

    def add(self, question: str | None, lang: str, text: str, article: str, place: str = "") -> None:
        """Add a paragraph, or one more question that it answers.

        Args:
            question: the item of the question; None adds none.
            lang: the language of the paragraph.
            text: the paragraph.
            article: the article of the paragraph, in this language.
            place: what identifies the paragraph within its language; by default its text.

        """
        key = (text if self._first_language else (lang, text)) if not place else (lang, "", place)
        if key not in self._number:
            self._number[key] = len(self._passages)
            self._passages.append((lang, text, article))
            self._questions.append({})
        if question is not None:
            self._questions[self._number[key]][question] = None

    def ask(self, item: str, lang: str, text: str, article: str) -> None:
        """Add a query. A repeated item of one language is ignored."""
        self._queries.setdefault((item, lang), (text, article))

    def corpus(self, *, joined: bool, name: str, meta: Mapping[str, Any], file: str | Path) -> Corpus:
        """The corpus.

        Groups are the articles, over all languages: articles that share a question are one group.

        Args:
            joined: paragraphs that answer the same questions are one item, because they are translations of each other.
                Otherwise every paragraph is an item.
            name: the name of the corpus.
            meta: facts about the source.
            file: the name of the source in errors.

        Raises:
            ReaderError: no query has a relevant passage.

        """
        items = self._items(joined)
        group_of = self._groups()
        queries, passages = SideBuilder(), SideBuilder()
        for (item, lang), (text, article) in self._queries.items():
            queries.add(item, lang, text.strip(), group_of[article])
        for item, (lang, text, article) in zip(items, self._passages, strict=True):
            passages.add(item, lang, text.strip(), group_of[article])
        asked = {item for item, _ in self._queries}
        qrels = {
            (question, item): 1
            for item, questions in zip(items, self._questions, strict=True)
            for question in questions
            if question in asked
        }
        return corpus_from_tables(queries.table(), passages.table(), qrels, [], name=name, meta=meta, file=file)

    def _items(self, joined: bool) -> list[str]:
        numbers: dict[Any, int] = {}
        keys: Iterable[Any] = (
            frozenset(questions) if joined and questions else place for place, questions in enumerate(self._questions)
        )
        return [f"{self._prefix}-{numbers.setdefault(key, len(numbers) + 1):05d}" for key in keys]

    def _groups(self) -> dict[str, str]:
        """The group of each article: articles that share a question are one group."""
        articles = dict.fromkeys(article for _, _, article in self._passages)
        articles |= dict.fromkeys(article for _, article in self._queries.values())
        number = {article: i for i, article in enumerate(articles)}
        first: dict[str, str] = {}
        edges: list[tuple[int, int]] = []
        for (_, _, article), questions in zip(self._passages, self._questions, strict=True):
            edges += [(number[article], number[first.setdefault(question, article)]) for question in questions]
        for (item, _), (_, article) in self._queries.items():
            edges.append((number[article], number[first.setdefault(item, article)]))
        labels = components([a for a, _ in edges], [b for _, b in edges], len(number))
        return {article: f"article-{label + 1:04d}" for article, label in zip(articles, labels.tolist(), strict=True)}


__all__ = ["SHIFT", "ParagraphPool", "is_shift", "pick_queries"]
