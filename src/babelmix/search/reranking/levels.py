"""The level of a reranker's scores in each language, so that no language is favoured.

A reranker may score all texts in the query's language higher, relevant or not, as encoders do. Its scores of pairs that do not
belong together tell by how much. Two estimates of their mean and spread are made:

- The language of the query is known: from pairs of texts of the index, the beginnings of some as queries. They are scored once
  for each query language, and kept.
- It is unknown: from the query itself with some texts of each language, scored for each query. Speaker verification calls this
  T-norm (Auckenthaler, Carey and Lloyd-Thomas, 2000). `babelmix.search.calibration` has a closed form of it for vectors.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

import numpy as np

from babelmix.corpus.languages import in_range
from babelmix.errors import SearchError
from babelmix.search.engines import Engine
from babelmix.search.reranking.base import Floats, Reranker, checked_scores

PAIRS = 40
"""The pairs of a query language and a text language from which a level is computed."""

COHORT = 8
"""The texts of each language that a query of an unknown language is compared with."""

LEAST = 3
"""A language with fewer candidates of a query has no level of its own under `adaptive`."""

QUERY = 60
"""The characters of a text that stand for a query."""

_READ = 400
"""The most rows of a language that are read to draw texts."""

Levels = Mapping[str, tuple[float, float]]
"""Mean and spread of the scores of unrelated texts, by language."""

Texts = Callable[[str], Sequence[tuple[str, str]]]
"""A function from a language to some of its texts, each with its item."""


def texts_of(engine: Engine) -> Texts:
    """A function that draws texts of an index: of each language the same ones each time."""

    def drawn(lang: str) -> list[tuple[str, str]]:
        tags = [tag for tag in engine.langs() if in_range(tag, lang) or in_range(lang, tag)]
        points = islice(engine.points(tags), _READ) if tags else ()
        found = [(point.row.item, point.row.text) for point in points if point.row.text]
        order = np.random.default_rng(0).permutation(len(found))[:PAIRS]
        return [found[i] for i in order]

    return drawn


class LevelStore:
    """The levels of a reranker on one index, kept for its languages. Several threads may use one instance.

    Args:
        reranker: the reranker.
        texts: draws texts of a language; see `texts_of`.

    """

    def __init__(self, reranker: Reranker, texts: Texts) -> None:
        self._reranker, self._draw = reranker, texts
        self._drawn: dict[str, Sequence[tuple[str, str]]] = {}
        self._pairs: dict[tuple[str, str], tuple[float, float] | None] = {}
        self._lock = threading.Lock()

    def of(
        self, queries: Sequence[str], langs: Sequence[str | None], wanted: Sequence[Collection[str]]
    ) -> list[Levels]:
        """The levels of each query in some languages.

        Args:
            queries: the texts of the queries.
            langs: the language of each query, None where it is unknown.
            wanted: the languages of the texts, for each query.

        Returns:
            For each query, mean and spread by language. A language of which the index has too few texts is left out.

        Raises:
            SearchError: the engine does not give its rows back.
            EngineError: the reranker fails.

        """
        with self._lock:
            found = [
                self._of_pairs(lang, some) if lang is not None and self._texts(lang) else None
                for lang, some in zip(langs, wanted, strict=True)
            ]
        missing = [number for number, levels in enumerate(found) if levels is None]
        fresh = self._of_queries([queries[i] for i in missing], [wanted[i] for i in missing])
        by_number = dict(zip(missing, fresh, strict=True))
        return [by_number[number] if levels is None else levels for number, levels in enumerate(found)]

    def _texts(self, lang: str) -> Sequence[tuple[str, str]]:
        if lang not in self._drawn:
            try:
                self._drawn[lang] = self._draw(lang)
            except SearchError as error:
                raise SearchError(
                    f"{error}; rerank under the policy any, equal or adaptive, which need no texts"
                ) from error
        return self._drawn[lang]

    def _of_pairs(self, lang: str, wanted: Collection[str]) -> Levels:
        """Levels from pairs of texts; the lock is held."""
        new = sorted(other for other in wanted if (lang, other) not in self._pairs)
        given = [_unrelated(self._texts(lang), self._texts(other)) for other in new]
        queries = [query for pairs in given for query, _ in pairs]
        lists = [[text] for pairs in given for _, text in pairs]
        scores = np.concatenate([np.zeros(0, np.float32), *_scored(self._reranker, queries, lists)])
        start = 0
        for other, pairs in zip(new, given, strict=True):
            self._pairs[lang, other] = _moments(scores[start : start + len(pairs)])
            start += len(pairs)
        return {other: level for other in wanted if (level := self._pairs[lang, other]) is not None}

    def _of_queries(self, queries: Sequence[str], wanted: Sequence[Collection[str]]) -> list[Levels]:
        with self._lock:
            texts = [{lang: [text for _, text in self._texts(lang)[:COHORT]] for lang in some} for some in wanted]
        lists = [[text for some in by_lang.values() for text in some] for by_lang in texts]
        found: list[Levels] = []
        for by_lang, scores in zip(texts, _scored(self._reranker, queries, lists), strict=True):
            levels, start = {}, 0
            for lang, some in by_lang.items():
                part = scores[start : start + len(some)]
                start += len(some)
                if (level := _moments(part)) is not None:
                    levels[lang] = level
            # The spread of so few scores is chance: all languages of a query have one.
            spread = float(np.mean([spread for _, spread in levels.values()])) if levels else 1.0
            found.append({lang: (mean, spread) for lang, (mean, _) in levels.items()})
        return found


def levels_of_candidates(scores: Sequence[float], langs: Sequence[str]) -> dict[str, float]:
    """The level of each language among the candidates of a query: the median of their scores.

    A language with fewer than `LEAST` candidates has the mean level of the others: the level of one row would be its own score.

    Args:
        scores: the scores of the candidates.
        langs: their languages.

    """
    by_lang: dict[str, list[float]] = {}
    for score, lang in zip(scores, langs, strict=True):
        by_lang.setdefault(lang, []).append(score)
    levels = {lang: float(np.median(some)) for lang, some in by_lang.items() if len(some) >= LEAST}
    usual = float(np.mean(list(levels.values()))) if levels else 0.0
    return {lang: levels.get(lang, usual) for lang in by_lang}


def _scored(reranker: Reranker, queries: Sequence[str], lists: Sequence[Sequence[str]]) -> list[Floats]:
    if not any(map(len, lists)):
        return [np.zeros(0, dtype=np.float32) for _ in lists]
    given = reranker.scores_of_lists(queries, lists)
    return [checked_scores(one, len(texts), reranker.name) for one, texts in zip(given, lists, strict=True)]


def _unrelated(queries: Sequence[tuple[str, str]], texts: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of the beginning of one text and another text, of different items."""
    pairs = []
    for number, (item, text) in enumerate(queries):
        for step in range(1, len(texts)):
            other, answer = texts[(number + step) % len(texts)]
            if other != item:
                pairs.append((_beginning(text), answer))
                break
    return pairs


def _beginning(text: str) -> str:
    words = " ".join(text.split())
    cut = words[:QUERY]
    # Some languages have no blanks between words.
    return cut if len(words) <= QUERY or " " not in cut else cut.rpartition(" ")[0]


def _moments(scores: Floats) -> tuple[float, float] | None:
    """Mean and spread of scores, None if they are too few. The spread is above 0."""
    if len(scores) < LEAST:
        return None
    return float(scores.mean()), max(float(scores.std()), 1e-6)


__all__ = ["COHORT", "LevelStore", "Levels", "levels_of_candidates", "texts_of"]
