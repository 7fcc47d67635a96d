"""Corrected vectors of an index in PostgreSQL, in a table of their own, and the writing of tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from babelmix.search.engines.base import Candidates, Correct
from babelmix.search.engines.postgres_rows import COLUMNS, FACTS, Condition, condition_of, hit_of, raw
from babelmix.search.engines.postgres_search import LOOK, PostgresSearch
from babelmix.search.rows import Hit, Point, Vectors, Where

_AT_ONCE = 1024


class PostgresCorrected(PostgresSearch):
    """The corrected vectors of `PostgresEngine`; see `Engine`.

    A row is either in the table of corrected vectors or in that of rows without one. So rows are never written again for their
    corrected vectors, and whether one is missing is known at once. Several processes may have other corrections in memory: what
    they write is then left to the one that has made the corrections of the index.
    """

    _corrections: str
    """The digest of the corrections that were read or written last."""

    def nearest_corrected(  # noqa: D102
        self, vectors: Vectors, wheres: Sequence[Where], k: int
    ) -> list[Candidates]:
        conditions = {n: made for n, where in enumerate(wheres) if (made := condition_of(where)) is not None}
        counts = self._matching(conditions, wheres, k)
        graph = [n for n in conditions if wheres[n] == Where() or counts[n] > self._few]
        first = self._corrected(vectors, conditions, graph, k, exact=False)
        found = {n: hits for n, hits in first.items() if len(hits) >= min(k, counts[n])}
        found |= self._corrected(vectors, conditions, [n for n in conditions if n not in found], k, exact=True)
        return [_candidates(found.get(n, [])) for n in range(len(wheres))]

    def _corrected(
        self, vectors: Vectors, conditions: dict[int, Condition], numbers: Sequence[int], k: int, *, exact: bool
    ) -> dict[int, list[Hit]]:
        asked = []
        for n in numbers:
            condition, vector = conditions[n], vectors[n]
            order = "-(c.vector <#> %(query)b::halfvec) DESC, c.id" if exact else "c.vector <#> %(query)b::halfvec"
            # Metadata stands with the rows. The languages stand with the corrected vectors too.
            table = "{corrected} c" if condition.langs else "{corrected} c JOIN {rows} r USING (id)"
            passes = condition.text.replace("r.lang", "c.lang")
            statement = self._tables.statement(
                f"SELECT {FACTS}, -(r.vector <#> %(query)b) AS score FROM (SELECT c.id FROM {table} WHERE {passes} "
                f"ORDER BY {order} LIMIT {{k}}) f JOIN {{rows}} r USING (id)",
                k=k,
            )
            asked.append((statement, {"query": vector, **condition.values}))
        settings = {} if exact else self._graph_settings(k, LOOK)
        return {n: [hit_of(row) for row in rows] for n, rows in zip(numbers, self._ask(asked, settings), strict=True)}

    def uncorrected_count(self) -> int:  # noqa: D102
        asked = self._tables.statement("SELECT corrections, EXISTS (SELECT 1 FROM {uncorrected}) FROM {facts}")
        corrections, some = self._ask([(asked, ())])[0][0]
        # All are counted only if there are some, which no search waits for.
        missing = self._recent("uncorrected", self._count_uncorrected) if some else 0
        # Corrected vectors by corrections that this process does not know are none to it.
        return missing if corrections == self._corrections else max(missing, 1)

    def _count_uncorrected(self) -> int:
        return int(self._ask([(self._tables.statement("SELECT count(*) FROM {uncorrected}"), ())])[0][0][0])

    def _is_current(self, cursor: Any) -> bool:
        """Whether the corrections are those that this process knows. They stay so until the end of the transaction."""
        found = cursor.execute(self._tables.statement("SELECT corrections FROM {facts} FOR SHARE")).fetchone()
        return found is not None and found[0] == self._corrections

    def correct(self, make: Correct) -> Iterator[int]:  # noqa: D102
        while done := self._write(partial(self._correct_some, make)):
            yield done

    def _correct_some(self, make: Correct, connection: Any) -> int:
        # A row that another process writes or corrects at this time is left to it.
        asked = self._tables.statement(
            "SELECT u.id::text, r.lang, r.vector FROM {uncorrected} u JOIN {rows} r USING (id) ORDER BY u.id LIMIT {most} "
            "FOR UPDATE OF u SKIP LOCKED",
            most=_AT_ONCE,
        )
        with connection.transaction(), connection.cursor() as cursor:
            if not self._is_current(cursor):
                return 0
            rows = cursor.execute(asked, (), binary=True).fetchall()
            if rows:
                names, langs, vectors = zip(*rows, strict=True)
                made = make(np.stack([vector.to_numpy() for vector in vectors]).astype(np.float32), langs)
                cursor.execute(
                    self._tables.statement("DELETE FROM {uncorrected} WHERE id = ANY(%s::uuid[])"), [list(names)]
                )
                self._copy(
                    cursor,
                    "corrected",
                    [
                        (raw(name), lang, self._half(vector))
                        for name, lang, vector in zip(names, langs, made, strict=True)
                    ],
                )
        return len(rows)

    def forget_corrected(self, lang: str) -> None:  # noqa: D102
        statement = self._tables.statement(
            "WITH gone AS (DELETE FROM {corrected} WHERE lang = %s RETURNING id) "
            "INSERT INTO {uncorrected} SELECT id FROM gone ORDER BY id ON CONFLICT DO NOTHING"
        )
        self._write(lambda connection: connection.execute(statement, [lang]))

    def _corrected_of(
        self, points: Sequence[Point], *, current: bool
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Rows of the tables of corrected vectors and of rows without one.

        Args:
            points: the rows.
            current: whether their corrected vectors are by the corrections of the index.

        """
        some = [(p, p.corrected if current else None) for p in points]
        corrected = [(raw(p.id), p.row.lang, self._half(vector)) for p, vector in some if vector is not None]
        return corrected, [(raw(p.id),) for p, vector in some if vector is None]

    def _half(self, vector: Any) -> bytes:
        made: bytes = self._server.pgvector.HalfVector(np.asarray(vector, dtype=np.float16)).to_binary()
        return made

    def _write(self, write: Any) -> Any:
        try:
            return self._server.run(write, writing=True)
        finally:
            with self._lock:
                self._writes += 1

    def _delete(self, cursor: Any, ids: Sequence[str]) -> None:
        # First where a correction holds a row: what it wrote is then seen and removed too.
        for table in ("uncorrected", "corrected", "words", "rows"):
            cursor.execute(self._tables.statement(f"DELETE FROM {{{table}}} WHERE id = ANY(%s::uuid[])"), [ids])

    def _copy(self, cursor: Any, table: str, rows: Sequence[Sequence[Any]]) -> None:
        names = ", ".join(f'"{column}"' for column in COLUMNS[table])
        if not rows:
            return
        with cursor.copy(self._tables.statement(f"COPY {{{table}}} ({names}) FROM STDIN (FORMAT BINARY)")) as copy:
            copy.set_types(list(COLUMNS[table].values()))
            for row in rows:
                copy.write_row(row)


def _candidates(hits: Sequence[Hit]) -> Candidates:
    return Candidates([hit.score for hit in hits], [hit.lang for hit in hits], lambda place: hits[place])
