"""Searches of an index in PostgreSQL: by vectors and by words."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from babelmix.search.engines.postgres_rows import (
    FACTS,
    LARGEST_GRAPH,
    LARGEST_HALF_GRAPH,
    TERMS,
    Condition,
    Tables,
    condition_of,
    hit_of,
    query_terms,
)
from babelmix.search.engines.postgres_server import Server
from babelmix.search.rows import Hit, Vectors, Where

Kept = TypeVar("Kept")

LOOK, _STEP, _MOST = 100, 40, 1000
"""Candidates of a search of the graph; of one in rare languages, which takes many such steps; the most that pgvector allows."""

_COMPARED = 8 << 20
"""Up to this many bytes of vectors, a search with a filter compares all matching rows: it is faster, and misses none."""

_SCANNED = 40_000
"""Rows of the graph that a search under a filter looks at before all matching rows are compared instead."""

_MEMORY = 16
"""Rows that were looked at are held in this many times `work_mem`."""

_FIRST = 20
"""For k rows, 2 k + 20 candidates of a graph of 16-bit numbers are compared by their vectors."""

_COUNTS = 100_000
"""Words whose rows have been counted that are remembered."""

_SECONDS = 60.0
"""Counts are taken again after this time, because other processes may write too."""


class PostgresSearch:
    """The searches of `PostgresEngine`; see `Engine`."""

    address: str
    _server: Server
    _tables: Tables
    _dimension: int

    def __init__(self) -> None:
        self._writes = 0
        self._counts: dict[Any, tuple[float, int, Any]] = {}
        self._lock = threading.Lock()

    def langs(self) -> dict[str, int]:  # noqa: D102
        return dict(self._recent("langs", self._count_langs))

    def _count_langs(self) -> dict[str, int]:
        statement = self._tables.statement("SELECT lang, count(*) FROM {rows} GROUP BY lang")
        return dict(sorted(self._ask([(statement, ())])[0]))

    def _recent(self, what: Any, count: Callable[[], Kept]) -> Kept:
        """A count, at most a minute old, and never from before a write of this process."""
        now, writes = time.monotonic(), self._writes
        kept = self._counts.get(what)
        if kept is None or kept[1] != writes or now - kept[0] > _SECONDS:
            kept = now, writes, count()
            with self._lock:
                self._counts[what] = kept
        found: Kept = kept[2]
        return found

    def nearest(  # noqa: D102
        self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False
    ) -> list[list[Hit]]:
        result: list[list[Hit]] = [[] for _ in wheres]
        conditions = {n: made for n, where in enumerate(wheres) if (made := condition_of(where)) is not None}
        counts = {} if exact else self._matching(conditions, wheres, k)
        graph = [n for n in conditions if not exact and (wheres[n] == Where() or counts[n] > self._few)]
        # The step hardly changes what a search of many steps finds, and a small one passes the end by less.
        all_ = sum(self.langs().values()) if graph else 0
        rare = [n for n in graph if conditions[n].langs and counts[n] * 2 * LOOK < k * all_]
        first = self._nearest(vectors, conditions, rare, k, look=_STEP)
        first |= self._nearest(vectors, conditions, [n for n in graph if n not in rare], k, look=LOOK)
        # The graph search may stop before it has found all rows.
        found = {n: hits for n, hits in first.items() if len(hits) >= min(k, counts[n])}
        found |= self._nearest(vectors, conditions, [n for n in conditions if n not in found], k)
        for n, hits in found.items():
            result[n] = sorted(hits, key=lambda hit: (-hit.score, hit.id))[:k]
        return result

    @property
    def _few(self) -> int:
        """Up to so many matching rows, all are compared."""
        return _COMPARED // (4 * self._dimension)

    def _matching(self, conditions: dict[int, Condition], wheres: Sequence[Where], k: int) -> dict[int, int]:
        """The number of rows that pass each filter; of one with metadata, no more than matter."""
        langs = self.langs()
        found = {
            n: sum(langs.values()) if (some := wheres[n].langs) is None else sum(langs.get(lang, 0) for lang in some)
            for n in conditions
        }
        asked: dict[str, list[int]] = {}
        for n, condition in conditions.items():
            if not condition.langs:
                asked.setdefault(repr(condition), []).append(n)
        statement = "SELECT count(*) FROM (SELECT 1 FROM {rows} r WHERE " + "{}" + " LIMIT {most}) AS found"
        most = max(self._few, k) + 1
        numbers = list(asked.values())
        answers = self._ask(
            [
                (
                    self._tables.statement(statement.replace("{}", conditions[some[0]].text), most=most),
                    conditions[some[0]].values,
                )
                for some in numbers
            ]
        )
        for same, rows in zip(numbers, answers, strict=True):
            found |= dict.fromkeys(same, rows[0][0])
        return found

    def _nearest(
        self, vectors: Vectors, conditions: dict[int, Condition], numbers: Sequence[int], k: int, *, look: int = 0
    ) -> dict[int, list[Hit]]:
        """Search the graph for so many candidates; 0: compare with every row."""
        asked, exact = [], not look
        for n in numbers:
            condition, vector = conditions[n], vectors[n]
            half = not exact and LARGEST_GRAPH < self._dimension <= LARGEST_HALF_GRAPH
            # Only an expression of exactly this form uses the graph.
            order = (
                "score DESC, r.id" if exact
                else f"r.vector::halfvec({self._dimension}) <#> %(query)b::halfvec({self._dimension})" if half
                else "r.vector <#> %(query)b"
            )  # fmt: skip
            score, rows = "-(r.vector <#> %(query)b) AS score", "FROM {rows} r WHERE " + condition.text
            ordered = f"{rows} ORDER BY {order} LIMIT {{k}}"
            # A search that compares many rows reads only of those found what is shown.
            statement = self._tables.statement(
                f"SELECT {FACTS}, f.score FROM (SELECT r.id, {score} {ordered}) f JOIN {{rows}} r USING (id)"
                if exact
                else f"SELECT {FACTS}, {score} {ordered}",
                k=2 * k + _FIRST if half else k,
            )
            asked.append((statement, {"query": vector, **condition.values}))
        settings = self._graph_settings(k, look) if look else {}
        return {n: [hit_of(row) for row in rows] for n, rows in zip(numbers, self._ask(asked, settings), strict=True)}

    def _graph_settings(self, k: int, look: int) -> dict[str, str]:
        return {
            "hnsw.ef_search": str(min(_MOST, max(look, 2 * k))),
            # Without it, a search under a filter finds only those of the first candidates that pass.
            "hnsw.iterative_scan": "relaxed_order",
            "hnsw.max_scan_tuples": str(_SCANNED),
            "hnsw.scan_mem_multiplier": str(_MEMORY),
            # No other plan than the graph, if there is one: the planner knows little about the cost of a graph.
            "enable_sort": "off",
        }

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:  # noqa: D102
        result: list[list[Hit]] = [[] for _ in texts]
        asked = {}
        for n, (text, where) in enumerate(zip(texts, wheres, strict=True)):
            terms, condition = query_terms(text), condition_of(where)
            if terms and condition is not None:
                asked[n] = terms, condition
        rarity = self._rarity(sorted({term for terms, _ in asked.values() for term in terms}))
        statements = []
        for n, (terms, condition) in list(asked.items()):
            query = {term: rarity[term] for term in terms if term in rarity}
            if not query:
                del asked[n]
                continue
            # Metadata stands with the rows. The languages stand with the words too.
            table = "{words} r" if condition.langs else "{words} w JOIN {rows} r USING (id)"
            words = "r" if condition.langs else "w"
            statement = (
                f"SELECT {FACTS}, f.score FROM (SELECT r.id, -({words}.weights <#> %(query)b) AS score FROM {table} "
                f"WHERE {words}.terms && %(terms)s::int[] AND {condition.text} ORDER BY score DESC, r.id LIMIT {{k}}) f "
                "JOIN {rows} r USING (id)"
            )
            vector = self._server.pgvector.SparseVector(query, TERMS)
            statements.append(
                (self._tables.statement(statement, k=k), {"query": vector, "terms": list(query), **condition.values})
            )
        for n, rows in zip(asked, self._ask(statements), strict=True):
            result[n] = sorted(map(hit_of, rows), key=lambda hit: (-hit.score, hit.id))
        return result

    def _rarity(self, terms: Sequence[int]) -> dict[int, float]:
        """The inverse document frequency of words, by the number of the word; words of no row are left out."""
        if not terms:
            return {}
        rows = self._recent("words", self._count_words)
        now, writes = time.monotonic(), self._writes
        kept = {
            term: one
            for term in terms
            if (one := self._counts.get(term)) is not None and one[1] == writes and now - one[0] <= _SECONDS
        }
        if new := [term for term in terms if term not in kept]:
            statement = self._tables.statement(
                "SELECT t, (SELECT count(*) FROM {words} WHERE terms @> ARRAY[t]) FROM unnest(%s::int[]) AS t"
            )
            counted = {term: (now, writes, count) for term, count in self._ask([(statement, (new,))])[0]}
            kept |= counted
            with self._lock:
                if len(self._counts) > _COUNTS:
                    self._counts = {}
                self._counts |= counted
        # Rows and words may be counted at different times.
        return {term: math.log(1 + (max(rows - n, 0) + 0.5) / (n + 0.5)) for term, (_, _, n) in kept.items() if n}

    def _count_words(self) -> int:
        return int(self._ask([(self._tables.statement("SELECT count(*) FROM {words}"), ())])[0][0][0])

    def _ask(
        self, asked: Sequence[tuple[Any, Sequence[Any] | Mapping[str, Any]]], settings: dict[str, str] | None = None
    ) -> list[list[tuple[Any, ...]]]:
        """The rows of several statements, which are sent at once. Each sees a state of the database between two writes.

        Args:
            asked: the statements with their values.
            settings: settings for the time of these statements.

        """
        if not asked:
            return []
        # Compiling a plan takes longer than most searches.
        settings = {"jit": "off", **(settings or {})}
        # No placeholders: each would be sent by itself.
        given = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())

        def work(connection: Any) -> list[list[tuple[Any, ...]]]:
            # All go in one message and are one transaction, without BEGIN, so the settings end with them.
            with connection.pipeline():
                connection.execute(f"SELECT {given}")
                cursors = [connection.execute(statement, values, binary=True) for statement, values in asked]
            return [cursor.fetchall() for cursor in cursors]

        return self._server.run(work)


def as_vectors(rows: Sequence[tuple[Any, ...]], dimension: int) -> Vectors:
    """The vectors of rows of one column, float32, shape (rows, dimension)."""
    if not rows:
        return np.zeros((0, dimension), dtype=np.float32)
    return np.stack([row[0].to_numpy() for row in rows]).astype(np.float32)
