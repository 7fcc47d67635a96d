"""Keep the corrected vectors of an index up to date, and search by them: the policy `balanced` in one search.

A row is written with its corrected vector, once the index has corrections. `settle` makes the corrections of a new index,
replaces those that no longer fit, and fills in corrected vectors that are missing. Until every row has one, each language is
searched alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from babelmix._progress import progress_bar
from babelmix.errors import SearchError
from babelmix.search.applying import best_scored
from babelmix.search.calibration import MIN_ROWS, Calibration
from babelmix.search.corrected import Corrections, QueryScores, Scores
from babelmix.search.rows import Hit, Vectors, Where

if TYPE_CHECKING:
    from babelmix.search.engines import Engine
    from babelmix.search.engines.base import Candidates
    from babelmix.search.facts import IndexFacts

_FIRST, _MORE = 30, 1.5
"""For k rows, 30 + 1.5 k candidates are found by their corrected vectors: see `benchmarks/balanced.py`."""

_DEEPER = 4
"""If rows that were not found might be among the first k, four times as many candidates are found."""

_DEEPEST = 8192
"""With so many candidates, each language is searched alone instead."""

_ASKING = 500
"""The number of rows that stand for queries, to tell whether corrections still fit."""


class Indexed(Protocol):
    """What this needs of an index; see `babelmix.search.index.Index`."""

    engine: Engine

    @property
    def about(self) -> IndexFacts: ...  # noqa: D102
    @property
    def calibration(self) -> Calibration: ...  # noqa: D102
    def langs(self) -> dict[str, int]: ...  # noqa: D102
    def remember_corrections(self, corrections: Any) -> None: ...  # noqa: D102


class CorrectedRows:
    """The corrected vectors of an index.

    Args:
        index: the index.

    """

    def __init__(self, index: Indexed) -> None:
        self._index = index
        # Rows must not be written by corrections that are being replaced.
        self._writing = threading.RLock()
        self._read: tuple[Any, Corrections | None] = (None, None)
        self._scores: tuple[Calibration, Corrections, list[str], Scores] | None = None

    @property
    def engine(self) -> Engine:
        """The engine of the index."""
        return self._index.engine

    @property
    def corrections(self) -> Corrections | None:
        """The corrections; None: there are none yet, or they cannot be read."""
        kept = self._index.about.corrections
        if self._read[0] is not kept:
            read = None
            # Corrections that cannot be read are made anew.
            with suppress(SearchError):
                read = Corrections.from_json(kept) if kept else None
            self._read = (kept, read)
        return self._read[1]

    @contextmanager
    def of(self, vectors: Vectors, langs: Sequence[str]) -> Iterator[Sequence[Vectors | None]]:
        """The corrected vectors of rows. They have to be written within this context.

        Args:
            vectors: the vectors of the rows, float32, shape (rows, dimension).
            langs: their languages.

        """
        with self._writing:
            corrections = self.corrections if self.engine.has_corrected else None
            if corrections is None or not langs:
                yield [None] * len(langs)
            else:
                corrected = corrections.apply(vectors, langs)
                # What is about to be removed is filled in later.
                yield [None if lang in corrections.pending else corrected[i] for i, lang in enumerate(langs)]

    def settle(self) -> None:
        """Make or renew corrections, and fill in the corrected vectors that are missing.

        After a kill, the next call goes on where this one was.
        """
        engine, counts = self.engine, self._index.langs()
        if not engine.has_corrected:
            return
        if self.corrections is None:
            if sum(count >= MIN_ROWS for count in counts.values()) < 2:
                return
            for lang in counts:
                # An earlier index may have some of corrections that cannot be read.
                engine.forget_corrected(lang)
            self._keep(Corrections.fit(self._index.calibration, self._like_queries(counts)))
        elif counts:
            self._renew(counts)
        self._fill()

    def _renew(self, counts: Mapping[str, int]) -> None:
        corrections, engine = self.corrections, self.engine
        assert corrections is not None
        calibration = self._index.calibration
        queries = self._like_queries(counts)
        stale = corrections.stale(calibration, list(counts), queries)
        pending = tuple(dict.fromkeys([*corrections.pending, *stale]))
        if not pending:
            return
        corrections = replace(corrections, pending=pending)
        self._keep(corrections)
        for lang in pending:
            engine.forget_corrected(lang)
        new = Corrections.fit(calibration, queries, corrections)
        self._keep(
            replace(corrections, langs={**corrections.langs, **{lang: new.of(lang) for lang in pending}}, pending=())
        )

    def _like_queries(self, langs: Iterable[str]) -> Vectors:
        """Rows of all languages, which stand for queries, float32, shape (about `_ASKING`, dimension)."""
        some = list(langs)
        return np.concatenate([self.engine.sample(lang, -(-_ASKING // len(some))) for lang in some])

    def _keep(self, corrections: Corrections) -> None:
        with self._writing:
            self._index.remember_corrections(corrections.as_json())

    def _fill(self) -> None:
        corrections, engine = self.corrections, self.engine
        assert corrections is not None
        missing = engine.uncorrected_count()
        if not missing:
            return
        with progress_bar("correcting vectors by language", missing, "rows") as bar:
            for done in engine.correct(corrections.apply):
                bar.advance(done)

    @property
    def is_complete(self) -> bool:
        """Whether every row has a corrected vector."""
        engine, corrections = self.engine, self.corrections
        if not engine.has_corrected or corrections is None or corrections.pending:
            return False
        return engine.uncorrected_count() == 0

    def scores(self) -> Scores:
        """Scores under `balanced`, by the calibration and the corrections as they are now."""
        calibration, corrections, langs = self._index.calibration, self.corrections, list(self._index.langs())
        assert corrections is not None
        kept = self._scores
        if kept is None or kept[0] is not calibration or kept[1] is not corrections or kept[2] != langs:
            self._scores = kept = (calibration, corrections, langs, Scores(calibration, corrections, langs))
        return kept[3]


class OneSearch:
    """The best rows under `balanced`, by one search for each query.

    Args:
        rows: the corrected vectors of the index.
        vectors: the vectors of the queries as the index compares them, float32, shape (queries, dimension).

    """

    def __init__(self, rows: CorrectedRows, vectors: Vectors) -> None:
        self._rows, self._vectors = rows, vectors
        self._queries: dict[int, QueryScores] = {}
        self._found: dict[Any, tuple[int, Candidates]] = {}

    def __call__(self, where: Where, k: int, langs: Sequence[str]) -> list[list[Hit] | None]:
        """The best rows of each query.

        Args:
            where: the filter.
            k: the most rows per query.
            langs: the languages of the index that the filter allows.

        Returns:
            The rows of each query with their scores under `balanced`, best first. None: a row that is not among the candidates
            may be better, or not every row has a corrected vector, so that each language has to be searched alone.

        """
        best: list[list[Hit] | None] = [None] * len(self._vectors)
        if not self._rows.is_complete:
            return best
        scores = self._rows.scores()
        todo, depth = list(range(len(best))), int(_FIRST + _MORE * k)
        while todo and depth <= max(_DEEPEST, _FIRST + _MORE * k):
            left = []
            for query, (deep, found) in zip(todo, self._candidates(todo, where, depth), strict=True):
                if query not in self._queries:
                    self._queries[query] = scores.of(self._vectors[query])
                best[query] = _best(self._queries[query], found, k, langs, is_all=len(found) < deep)
                if best[query] is None:
                    left.append(query)
            todo, depth = left, depth * _DEEPER
        return best

    def _candidates(self, queries: Sequence[int], where: Where, depth: int) -> list[tuple[int, Candidates]]:
        """For each query, how many candidates were asked for, and those found. Candidates found before are used again."""
        keys = [(query, where.langs, tuple(where.fields.items())) for query in queries]
        new = [
            i
            for i, key in enumerate(keys)
            if key not in self._found or len(self._found[key][1]) == self._found[key][0] < depth
        ]
        if new:
            asked = self._vectors[[queries[i] for i in new]]
            lists = self._rows.engine.nearest_corrected(asked, [where] * len(new), depth)
            self._found.update((keys[i], (depth, found)) for i, found in zip(new, lists, strict=True))
        return [self._found[key] for key in keys]


def _best(scores: QueryScores, found: Candidates, k: int, langs: Sequence[str], *, is_all: bool) -> list[Hit] | None:
    """The best k candidates; None if a row that is no candidate may be better than the last of them.

    Args:
        scores: the scores of the query.
        found: the candidates, scored by dot product.
        k: the most rows.
        langs: the languages of rows that are no candidates.
        is_all: whether all rows are candidates.

    """
    balanced, corrected = scores(found.scores, found.langs)
    last = float(np.partition(balanced, -k)[-k]) if len(balanced) >= k else -np.inf
    if not is_all and last < scores.bound(float(corrected.min()), langs):
        return None
    # Rows with equal scores are in the order of their ids.
    return best_scored([(float(balanced[i]), found.hit(i)) for i in np.flatnonzero(balanced >= last).tolist()], k)
