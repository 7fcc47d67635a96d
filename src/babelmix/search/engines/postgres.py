"""PostgreSQL with pgvector: tables in a database, by URL.

The table NAME holds the rows with their vectors, NAME_words the words of texts, NAME_corrected the corrected vectors,
NAME_uncorrected the ids of rows without one, and NAME_facts the facts. Every write is one transaction, so a kill of this process
or of the server leaves each batch whole or absent.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, Self

from babelmix.errors import SearchError
from babelmix.search.engines.base import Engine
from babelmix.search.engines.postgres_corrected import PostgresCorrected
from babelmix.search.engines.postgres_rows import (
    LARGEST_GRAPH,
    LARGEST_HALF_GRAPH,
    Tables,
    check_dimension,
    corrections_of,
    held,
    layout_of,
    row_of,
    with_nul,
    words_of,
)
from babelmix.search.engines.postgres_search import as_vectors
from babelmix.search.engines.postgres_server import Place, Server
from babelmix.search.rows import Point, Vectors, Where, stored_point

_PAGE = 2048
_ROOM = 2 << 30
"""The most memory of the server that building a graph is given, in bytes. The server's own setting counts if it is larger."""

_LINKS = 16
_WIDTH = 128
"""The graph: links of a row, and rows compared for each row while the graph is built."""


class PostgresEngine(PostgresCorrected, Engine):
    """See `Engine`; made by `create` and `open`."""

    has_words = True
    has_corrected = True
    shared = True
    max_text: int | None = None

    def __init__(self, server: Server) -> None:
        super().__init__()
        place = server.place
        self.address = place.address
        self._server = server
        self._tables = Tables(server.sql, place.schema, place.name)
        self._dimension = 0
        self._settled = 0
        self._corrections = ""

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> Self:
        """Make an empty index, and the extension pgvector if the database has none.

        Raises:
            SearchError: there is an index already, another table has the name, or the database cannot hold one.

        """
        check_dimension(dimension, address)
        with cls._connected(address) as engine:
            engine._server.run(
                lambda connection: engine._make(connection, dimension, about), vectors=False, fresh=True
            )
            engine._dimension, engine._corrections = dimension, corrections_of(about)
            return engine

    @classmethod
    def open(cls, address: str) -> Self:
        """Open an index that `create` made; several processes may have it open.

        Raises:
            SearchError: there is no index, or the server does not answer.

        """
        with cls._connected(address) as engine:
            if not engine._server.run(engine._is_there, vectors=False, fresh=True):
                # Someone else's table may be meant.
                from babelmix.search.foreign.postgres import tables_there

                there = engine._server.run(tables_there, vectors=False, fresh=True)
                raise SearchError(
                    f"{address}: is not an index, and there is no table of this name ({there}); make an index with  "
                    "babelmix index"
                )
            engine._dimension = engine._server.run(engine._read_dimension)
            engine.about()
            return engine

    @classmethod
    @contextmanager
    def _connected(cls, address: str) -> Iterator[Self]:
        """An engine; its connections are closed if the block fails."""
        engine = cls(Server(Place.parse(address)))
        try:
            yield engine
        except BaseException:
            engine.close()
            raise

    @classmethod
    def exists(cls, address: str) -> bool:
        """Whether there is an index.

        Raises:
            SearchError: the server does not answer, or babelmix did not make the table of this name.

        """
        with closing(cls(Server(Place.parse(address)))) as engine:
            return engine._server.run(engine._is_there, vectors=False, fresh=True)

    def _is_there(self, connection: Any) -> bool:
        oid, comment = connection.execute(
            "SELECT oid, obj_description(oid, 'pg_class') FROM to_regclass(%s) AS oid", [self._tables.name("rows")]
        ).fetchone()
        if oid is None:
            return False
        if layout_of(comment, self.address) is None:
            raise SearchError(
                f"{self.address}: the database has a table {self._server.place.name!r} that babelmix did not make; choose "
                "another name"
            )
        return True

    def _make(self, connection: Any, dimension: int, about: dict[str, Any]) -> None:
        errors = self._server.psycopg.errors
        with connection.transaction():
            # Of several processes that make it, one does, and the others find it.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(b"babelmix: create")])
            if self._is_there(connection):
                raise SearchError(f"{self.address}: there is an index already")
            self._server.check(connection)
            try:
                for statement in self._tables.created(dimension):
                    connection.execute(statement)
            except (errors.DuplicateTable, errors.InvalidSchemaName, errors.InsufficientPrivilege) as error:
                said = str(error).strip().splitlines()[0]
                raise SearchError(f"{self.address}: the index cannot be made ({said}); choose another name") from error
            connection.execute(
                self._tables.statement("INSERT INTO {facts} (about, corrections) VALUES (%s, %s)"),
                [json.dumps(about), corrections_of(about)],
            )

    def _read_dimension(self, connection: Any) -> int:
        return int(
            connection.execute(
                "SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attname = 'vector'",
                [self._tables.name("rows")],
            ).fetchone()[0]
        )

    def about(self) -> dict[str, Any]:  # noqa: D102
        found: dict[str, Any] = self._ask([(self._tables.statement("SELECT about FROM {facts}"), ())])[0][0][0]
        self._corrections = corrections_of(found)
        return found

    def remember(self, about: dict[str, Any]) -> None:  # noqa: D102
        statement, digest = (
            self._tables.statement("UPDATE {facts} SET about = %s, corrections = %s"),
            corrections_of(about),
        )
        self._server.run(lambda connection: connection.execute(statement, [json.dumps(about), digest]), writing=True)
        self._corrections = digest

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:  # noqa: D102
        if not (wanted := held(items)):
            return {}
        statement = self._tables.statement("SELECT id::text, item, digest FROM {rows} WHERE item = ANY(%s)")
        return {name: (item, digest) for name, item, digest in self._ask([(statement, (wanted,))])[0]}

    def put(self, points: Sequence[Point]) -> None:  # noqa: D102
        # Two writers that take the same rows in the same order cannot wait for each other.
        unique = sorted({point.id: point for point in points}.values(), key=lambda point: point.id)
        if not unique:
            return
        vector, sparse = self._server.pgvector.Vector, self._server.pgvector.SparseVector
        rows = [row_of(point, vector) for point in unique]
        words = [found for point in unique if (found := words_of(point, sparse)) is not None]
        ids = [point.id for point in unique]

        def write(connection: Any) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                corrected, uncorrected = self._corrected_of(unique, current=self._is_current(cursor))
                self._delete(cursor, ids)
                self._copy(cursor, "rows", rows)
                self._copy(cursor, "words", words)
                self._copy(cursor, "corrected", corrected)
                self._copy(cursor, "uncorrected", uncorrected)

        self._write(write)

    def remove(self, ids: Sequence[str]) -> None:  # noqa: D102
        if not ids:
            return

        def write(connection: Any) -> None:
            with connection.transaction(), connection.cursor() as cursor:
                self._delete(cursor, sorted(ids))

        self._write(write)

    def sample(self, lang: str, count: int) -> Vectors:  # noqa: D102
        # Ids are digests, so the first rows are a random sample, and the same each time.
        statement = self._tables.statement(
            "SELECT vector FROM {rows} WHERE lang = %s ORDER BY id LIMIT {count}", count=count
        )
        return as_vectors(self._ask([(statement, (lang,))])[0], self._dimension)

    def points(self, langs: Sequence[str] | None = None) -> Iterator[Point]:  # noqa: D102
        wanted = Where(None if langs is None else tuple(langs)).langs
        statement = self._tables.statement(
            'SELECT id::text, digest, lang, item, "group", text, nuls, thumbnail, fields, vector FROM {rows}'
            + ("" if wanted is None else " WHERE lang = ANY(%s)")
        )
        names = ("lang", "item", "group", "text", "nuls", "thumbnail", "fields")
        for name, digest, *facts, vector in self._pages(statement, () if wanted is None else (held(wanted),)):
            named = dict(zip(names, facts, strict=True))
            named["text"] = with_nul(named["text"], named["nuls"])
            yield stored_point(name, digest, named, vector.to_numpy())

    def items(self) -> Iterator[str]:  # noqa: D102
        yield from (row[0] for row in self._pages(self._tables.statement("SELECT DISTINCT item FROM {rows}"), ()))

    def _pages(self, statement: Any, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement. They are not in memory all at once."""
        with (
            self._server.holding() as connection,
            connection.transaction(),
            connection.cursor(name="babelmix") as cursor,
        ):
            cursor.itersize = _PAGE
            cursor.execute(statement, values, binary=True)
            yield from cursor

    def settle(self) -> None:  # noqa: D102
        self._server.run(self._settle)

    def _settle(self, connection: Any) -> None:
        # A limit that the database sets for searches.
        connection.execute("SET statement_timeout = 0")
        built = [self._build_missing(connection, table) for table in ("rows", "corrected")]
        if any(built) or self._writes > self._settled:
            # The counts of the planner, and the words that the index of words has only listed.
            for table in ("rows", "words", "corrected", "uncorrected"):
                connection.execute(self._tables.statement(f"VACUUM (ANALYZE) {{{table}}}"))
        connection.execute("RESET statement_timeout")
        self._settled = self._writes

    def _build_missing(self, connection: Any, table: str) -> bool:
        """Build the graph of a table that has rows and no graph."""
        name = "graph" if table == "rows" else "corrected_graph"
        if self._dimension > LARGEST_HALF_GRAPH or connection.execute(
            "SELECT to_regclass(%s)", [self._tables.name(name)]
        ).fetchone() != (None,):
            return False
        if connection.execute(self._tables.statement(f"SELECT 1 FROM {{{table}}} LIMIT 1")).fetchone() is None:
            return False
        if table == "corrected":
            column, size = "vector halfvec_ip_ops", 2
        elif self._dimension <= LARGEST_GRAPH:
            column, size = "vector vector_ip_ops", 4
        else:
            column, size = f"(vector::halfvec({self._dimension})) halfvec_ip_ops", 2
        self._build(connection, table, name, column, size)
        return True

    def _build(self, connection: Any, table: str, name: str, column: str, size: int) -> None:
        """Build a graph. Writers wait until it is there; of several processes that build it, one does."""
        errors = self._server.psycopg.errors
        statement = self._tables.statement(
            f"CREATE INDEX IF NOT EXISTS {{new_{name}}} ON {{{table}}} USING hnsw ({column}) "
            f"WITH (m = {_LINKS}, ef_construction = {_WIDTH})"
        )
        for workers in (None, "0"):
            try:
                with connection.transaction():
                    connection.execute(
                        "SELECT pg_advisory_xact_lock(%s)", [zlib.crc32(self._tables.name(name).encode())]
                    )
                    self._give_room(connection, table, size)
                    if workers is not None:
                        connection.execute(
                            "SELECT set_config('max_parallel_maintenance_workers', %s, true)", [workers]
                        )
                    connection.execute(statement)
                return
            except errors.DiskFull:
                # Workers share memory in /dev/shm, which is small in many containers.
                if workers is not None:
                    raise

    def _give_room(self, connection: Any, table: str, size: int) -> None:
        """Let the server hold the whole graph in memory while it builds it, which is many times as fast."""
        rows = connection.execute(self._tables.statement(f"SELECT count(*) FROM {{{table}}}")).fetchone()[0]
        wanted = min(_ROOM, rows * (size * self._dimension + 600)) >> 10
        connection.execute(
            "SELECT set_config('maintenance_work_mem', greatest(setting::bigint, %s)::text, true) FROM pg_settings "
            "WHERE name = 'maintenance_work_mem'",
            [wanted],
        )

    def close(self) -> None:  # noqa: D102
        self._server.close()
