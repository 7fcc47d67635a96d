"""Someone else's table of PostgreSQL with a column of pgvector, as an engine that is only read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import unquote

import numpy as np

from babelmix.errors import SearchError, require
from babelmix.search.engines.postgres_rows import MARK
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.engine import OPTIONS, ForeignEngine
from babelmix.search.foreign.postgres import refused
from babelmix.search.foreign.postgres_columns import METRICS, Columns
from babelmix.search.foreign.postgres_words import FullText
from babelmix.search.foreign.row import Asked, ForeignRow
from babelmix.search.rows import Hit, Vectors, Where

if TYPE_CHECKING:
    from psycopg import Connection, sql

_PAGE = 1000
_SOME = 200
"""The rows whose lengths say whether Euclidean distances order as cosines do."""

_SCHEMA = """
SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
"""
_COMMENT = "SELECT oid, obj_description(oid, 'pg_class') FROM to_regclass(%s) AS oid"

_DEEPEST = 1000
"""The largest `hnsw.ef_search` of pgvector."""

_LOOK = 100
"""Candidates of a search under a filter: with pgvector's default of 40 it would miss rows."""


class PostgresCollection(ForeignEngine):
    """See `ForeignEngine`. The session is read-only, so that the server refuses every write.

    Args:
        address: `postgresql://[USER@]HOST[:PORT]/DATABASE/TABLE`, or `.../SCHEMA.TABLE`, or a view. Its options: `id`
            (columns, without it the primary key), `item`, `lang` (without it one of `LANG_NAMES`), `text` (without it `text`,
            `body` or `content`), `words` (a column of the type `tsvector`; without it the only one), `vector` (without it
            the only one) and `similarity` (`cosine`, `dot` or `l2`; without it that of the index). A value in a column of JSON is
            `meta.lang`. All other options are libpq's.

    """

    what = "a table of PostgreSQL"
    options = (*OPTIONS, "words")

    @classmethod
    def is_at(cls, address: str) -> bool:
        """See `ForeignEngine`. An index of ours says so in the comment of its table."""
        parsed = Address.parse(address)
        if any(name in parsed.options for name in cls.options):
            return True
        psycopg = require("psycopg", "postgres", cls.what)
        name = psycopg.sql.Identifier(*(unquote(part) for part in parsed.path[-1].split(".")))
        try:
            with psycopg.connect(parsed.conninfo(cls.options)) as connection:
                found = connection.execute(_COMMENT, [name.as_string(connection)]).fetchone()
        except psycopg.Error as error:
            raise refused(str(parsed), error) from error
        return found[0] is not None and not (found[1] or "").startswith(MARK)

    def _open(self, address: Address) -> None:
        self._psycopg = require("psycopg", "postgres", "a table of PostgreSQL")
        self._sql = require("psycopg.sql", "postgres", "a table of PostgreSQL")
        self._registering = require("pgvector.psycopg", "postgres", "a table of PostgreSQL")
        self._half = require("pgvector", "postgres", "a table of PostgreSQL").HalfVector
        self._info = address.conninfo(self.options)
        self._lock = threading.RLock()
        self._connection = self._connected()
        try:
            with self._errors():
                self._columns = Columns(self._connection, address)
                self._read_table(address)
        except BaseException:
            self._connection.close()
            raise

    def _connected(self) -> Connection[Any]:
        """A new session that can only read."""
        with self._errors():
            connection: Connection[Any] = self._psycopg.connect(self._info, autocommit=True)
            try:
                connection.execute("SET default_transaction_read_only = on")
                found = connection.execute(_SCHEMA).fetchone()
                if found is None:
                    raise SearchError(f"{self.address}: this database does not have the extension vector (pgvector)")
                path = "SELECT set_config('search_path', current_setting('search_path') || ', ' || quote_ident(%s), false)"
                connection.execute(path, [found[0]])
                self._registering.register_vector(connection)
                # The settings of pgvector are there once it is loaded.
                connection.execute("SELECT '[1]'::vector")
                for setting in ("hnsw.iterative_scan = relaxed_order", "ivfflat.iterative_scan = relaxed_order"):
                    self._set(connection, setting)
            except BaseException:
                connection.close()
                raise
        return connection

    def _set(self, connection: Connection[Any], setting: str) -> None:
        try:
            connection.execute(f"SET {setting}")
        except self._psycopg.errors.UndefinedObject:
            self.say(
                "This pgvector is older than 0.8: a search in one language through its index may find too few rows."
            )

    def _read_table(self, address: Address) -> None:
        columns = self._columns
        self.columns = dict(columns.kinds)
        self.detects = columns.lang is None
        if self.detects:
            if columns.body is None:
                raise SearchError(
                    f"{self.address}: has neither a column of languages nor one of texts to detect them from; name one of them:  "
                    "?lang=COLUMN  or  ?text=COLUMN"
                )
            self._detected.check(columns.names)
        self._full_text = FullText(self._connection, address, columns)
        self.has_words = self._full_text.there
        vector = columns.vector
        self.dimension = vector.dimension or self._dimension_of_rows()
        asked = address.options.get("similarity")
        if asked is not None and asked not in ("cosine", "dot", "l2"):
            raise SearchError(f"{self.address}: similarity is cosine, dot or l2, not {asked!r}")
        self._metric = asked or vector.metric
        self.similarity = cast(
            "Literal['cosine', 'dot'] | None", {"l2": "cosine"}.get(self._metric, self._metric) or None
        )
        if self._metric == "l2":
            self.check_euclidean(self.draw(Asked(), _SOME))
        if not vector.method:
            self.say(f"The column {vector.name} has no index of vectors: each search compares with all rows.")
        elif vector.cells:
            probes = int(self._connection.execute("SHOW ivfflat.probes").fetchone()[0])  # type: ignore[index]
            if probes < vector.cells:
                self.say(
                    f"The index of the column {vector.name} is IVFFlat: a search looks at {probes} of its {vector.cells} "
                    "lists. Lists of multilingual vectors are mostly languages, so answers in other languages are missed; raise "
                    "ivfflat.probes, in the address by  &options=-c%20ivfflat.probes=NUMBER"
                )
        if vector.method and asked is not None and asked != vector.metric:
            self.say(
                f"The index of the column {vector.name} compares otherwise ({vector.metric or 'unknown'}), so it is not used."
            )

    def use(self, similarity: Literal["cosine", "dot"]) -> None:
        """See `ForeignEngine`."""
        super().use(similarity)
        self._metric = self._metric or similarity

    def _dimension_of_rows(self) -> int:
        found = self._run("SELECT vector_dims({vector}) FROM {table} WHERE {vector} IS NOT NULL LIMIT 1").fetchone()
        if found is None:
            raise SearchError(f"{self.address}: has no row with a vector {self._columns.vector.name!r}")
        return int(found[0])

    def count_languages(self) -> Mapping[str | None, int]:
        """See `ForeignEngine`."""
        lang = self._columns.lang or self._sql.SQL("NULL::text")
        query = "SELECT {lang}, count(*) FROM {table} WHERE {vector} IS NOT NULL GROUP BY 1"
        with self._errors():
            return dict(self._run(query, lang=lang).fetchall())

    def rows(self, *, texts: bool = False) -> Iterator[ForeignRow]:
        """See `ForeignEngine`. A connection of its own reads them, so that searches go on."""
        columns = self._columns
        query = self._sql.SQL("SELECT {columns} FROM {table} WHERE {vector} IS NOT NULL").format(
            columns=columns.selected(texts=texts), **self._names()
        )
        # A named cursor does not hold all rows in memory; it needs a transaction.
        with (
            self._errors(), self._connected() as connection, connection.transaction(),
            connection.cursor(name="babelmix_rows") as cursor,
        ):  # fmt: skip
            cursor.execute(query, ())
            while page := cursor.fetchmany(_PAGE):
                for row_id, item, lang, *others in page:
                    if not texts:
                        yield ForeignRow(row_id, item or row_id, lang)
                    else:
                        yield ForeignRow(row_id, item or row_id, lang, others[0], columns.fields_of(others[1:]))

    def draw(self, asked: Asked, count: int) -> Vectors:
        """See `ForeignEngine`. A hash of the key says which rows."""
        condition, values = self._columns.condition(asked)
        query = (
            "SELECT {vector} FROM {table} WHERE {condition} ORDER BY hashtextextended({key}, 0), {key} LIMIT {count}"
        )
        with self._errors():
            rows = self._run(query, values, condition=condition, count=self._sql.Literal(count)).fetchall()
        found = [row[0].to_numpy() for row in rows]
        return np.stack(found).astype(np.float32) if found else np.zeros((0, self.dimension), dtype=np.float32)

    def some_texts(self, count: int) -> list[tuple[str, str | None, Vectors]]:
        """See `ForeignEngine`."""
        body, lang = self._columns.body, self._columns.lang or self._sql.SQL("NULL::text")
        if body is None:
            return []
        query = (
            "SELECT {body}, {lang}, {vector} FROM {table} WHERE {vector} IS NOT NULL AND {body} <> '' LIMIT {count}"
        )
        with self._errors():
            rows = self._run(query, body=body, lang=lang, count=self._sql.Literal(count)).fetchall()
        return [(text, lang, vector.to_numpy()) for text, lang, vector in rows]

    def nearest(self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False) -> list[list[Hit]]:
        """See `Engine`. A search through an index that gives too few rows, because few pass the filter, is done again exactly."""
        return [self._nearest(vector, where, k, exact) for vector, where in zip(vectors, wheres, strict=True)]

    def _nearest(self, vector: Any, where: Where, k: int, exact: bool) -> list[Hit]:
        asked = self.asked(where)
        if asked.nothing:
            return []
        exact = exact or not self._columns.vector.method
        # A length of zero has no cosine; every dot product with it is 0.
        metric = self._metric if np.any(vector) else "dot"
        rows = self._ask(vector, asked, k, exact, metric)
        if not exact and len(rows) < min(k, self._most(asked)):
            rows = self._ask(vector, asked, k, True, metric)
        columns = self._columns
        return self.best(
            (
                self.hit(row_id, self._score(distance, metric), item or row_id, lang, text, columns.fields_of(fields))
                for distance, row_id, item, lang, text, *fields in rows
            ),
            k,
        )

    def _most(self, asked: Asked) -> int:
        """The most rows that can pass a filter."""
        if asked.ids is not None:
            return len(asked.ids)
        counts: dict[str | None, int] = {None: sum(self.langs().values())} if self.detects else self._counted().counts
        return sum(counts.values() if asked.langs is None else (counts.get(lang, 0) for lang in asked.langs))

    @staticmethod
    def _score(distance: float, metric: str) -> float:
        return 1 - distance if metric == "cosine" else -distance if metric == "dot" else 1 - distance**2 / 2

    def _ask(self, vector: Any, asked: Asked, k: int, exact: bool, metric: str) -> list[Any]:
        columns = self._columns
        condition, values = columns.condition(asked)
        sign = next(sign for name, sign in METRICS.values() if name == metric)
        wanted = self._half(vector) if columns.vector.half else np.asarray(vector, dtype=np.float32)
        query = (
            "SELECT {vector} " + sign + " %s AS distance, {columns} FROM {table} WHERE {condition} ORDER BY {vector} " + sign
            + " %s LIMIT {count}"
        )  # fmt: skip
        parts = {"columns": columns.selected(texts=True), "condition": condition, "count": self._sql.Literal(k)}
        settings = ["enable_indexscan = off"] if exact else []
        if not exact and columns.vector.method == "hnsw":
            # Without a filter, the answers are those that the server's own setting gives.
            depth = min(k if asked == Asked() else max(_LOOK, 2 * k), _DEEPEST)
            if depth > self._ef_search:
                settings = [f"hnsw.ef_search = {depth}"]
        with self._errors(), self._lock:
            if not settings:
                return cast("list[Any]", self._run(query, [wanted, *values, wanted], **parts).fetchall())
            with self._connection.transaction():
                for setting in settings:
                    self._connection.execute(f"SET LOCAL {setting}")
                return cast("list[Any]", self._run(query, [wanted, *values, wanted], **parts).fetchall())

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:
        """See `Engine`. By full text search, each language with its configuration; the scores are those of `ts_rank`.

        Raises:
            SearchError: the table has no texts.

        """
        if not self.has_words:
            return super().with_words(texts, wheres, k)
        if not self._full_text.indexed:
            self.say("The table has no index of full text: each search by words reads all texts.")
        return [self._by_words(text, where, k) for text, where in zip(texts, wheres, strict=True)]

    def _by_words(self, text: str, where: Where, k: int) -> list[Hit]:
        columns, found = self._columns, []
        groups = self._full_text.by_configuration(self.langs() if where.langs is None else where.langs)
        for configuration, langs in groups.items():
            every = where.langs is None and len(groups) == 1
            asked = self.asked(Where(None if every else tuple(langs), where.fields))
            condition, values = columns.condition(asked)
            with self._errors():
                found += self._run(
                    "SELECT ts_rank({document}, {asked}, 1) AS score, {columns} FROM {table} WHERE {condition} "
                    "AND {document} @@ {asked} ORDER BY score DESC, {key} LIMIT {count}",
                    values, condition=condition, columns=columns.selected(texts=True), count=self._sql.Literal(k),
                    **self._full_text.parts(configuration, text),
                ).fetchall()  # fmt: skip
        return self.best(
            (
                self.hit(row_id, score, item or row_id, lang, body, columns.fields_of(fields))
                for score, row_id, item, lang, body, *fields in found
            ),
            k,
        )

    @property
    def _ef_search(self) -> int:
        if not hasattr(self, "_ef"):
            self._ef = int(self._connection.execute("SHOW hnsw.ef_search").fetchone()[0])  # type: ignore[index]
        return self._ef

    def _names(self) -> dict[str, sql.Composable]:
        columns = self._columns
        return {"table": columns.table, "vector": columns.quoted(columns.vector.name), "key": columns.key}

    def _run(self, statement: str, values: Sequence[Any] = (), **parts: sql.Composable) -> Any:
        """Execute a statement, with values even if there are none: names in it have doubled percent signs."""
        whole = self._sql.SQL(statement).format(**self._names(), **parts)
        with self._lock:
            return self._connection.execute(whole, values)

    def close(self) -> None:
        """See `Engine`."""
        self._connection.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            raise refused(self.address, error) from error


__all__ = ["OPTIONS", "PostgresCollection"]
