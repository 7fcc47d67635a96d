"""A table of PostgreSQL with a column of pgvector. The new vector is a column of the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import numpy as np

from babelmix.errors import SearchError, first_line, require
from babelmix.search.foreign.address import LANG_NAMES, Address
from babelmix.search.foreign.base import Floats, Key, Page

if TYPE_CHECKING:
    from psycopg import Connection, sql

OPTIONS = ("id", "lang", "vector", "similarity", "item", "text", "title", "words", "langs")
"""Options of the address that are ours; those after `similarity` are for searches. All others are of libpq, as `sslmode`."""

TYPES = ("vector", "halfvec")
_BINARY = {
    "bool",
    "bytea",
    "date",
    "int2",
    "int4",
    "int8",
    "numeric",
    "text",
    "timestamp",
    "timestamptz",
    "uuid",
    "varchar",
}
"""Types of keys that psycopg reads in binary form. Of others, such as enumerations, it reads the text."""

_LOCK = "10s"
"""How long to wait for the lock that adding a column needs. Every later query of the table waits behind it."""

COLUMNS = """
SELECT a.attname, a.attnum, t.typname, format_type(a.atttypid, a.atttypmod), a.atttypmod, a.attnotnull,
       coalesce(col_description(a.attrelid, a.attnum), '')
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
KEYS = """
SELECT i.indisprimary, (i.indkey::int2[])[0:i.indnkeyatts - 1] FROM pg_index i
WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indpred IS NULL ORDER BY i.indisprimary DESC, i.indexrelid
"""
OPERATORS = """
SELECT m.amname, o.opcname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam
JOIN pg_opclass o ON o.oid = i.indclass[0]
WHERE i.indrelid = %s AND (i.indkey::int2[])[0] = %s AND m.amname IN ('hnsw', 'ivfflat') ORDER BY i.indexrelid LIMIT 1
"""


_TABLES = """
SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE n.nspname || '.' || c.relname END FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
ORDER BY NOT EXISTS (
    SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = c.oid AND NOT a.attisdropped AND t.typname IN ('vector', 'halfvec')
), 1 LIMIT 11
"""
"""The tables that a role can read, those with vectors first."""

_MOST_TABLES = 10


def no_table(connection: Connection[Any], where: str) -> SearchError:
    """The error for a table that is not there: it names some that are."""
    return SearchError(f"{where}: there is no such table; {tables_there(connection)}")


def tables_there(connection: Connection[Any]) -> str:
    """Tables that the user can read, in words."""
    names = [row[0] for row in connection.execute(_TABLES).fetchall()]
    more = " and others" if len(names) > _MOST_TABLES else ""
    return f"there are {', '.join(names[:_MOST_TABLES])}{more}" if names else "this user can read no table"


def refused(where: str, error: Exception) -> SearchError:
    """The error for what the server or libpq says."""
    said = first_line(error)
    login = "password" in said or "authentication" in said
    advice = "; set PGPASSWORD, or keep the password in ~/.pgpass (or in the file of PGPASSFILE)" if login else ""
    return SearchError(f"{where}: {said}{advice}")


class PostgresStore:
    """See `ForeignStore`. A row is identified by its primary key, or by the columns of a unique index that the address names.

    Args:
        address: `postgresql://HOST/DATABASE/TABLE` or `.../SCHEMA.TABLE`. Its option `id` names the key's columns, `lang` the
            column of the language (without it one such as `lang` or `locale`), `vector` the column of the vector (without it
            the only one).

    Raises:
        SearchError: the server does not answer, or the table is not as the address says.
        MissingExtraError: psycopg or pgvector is not installed.

    """

    def __init__(self, address: Address) -> None:
        self.address = str(address)
        self._psycopg = require("psycopg", "postgres", "a table of PostgreSQL")
        self._sql = require("psycopg.sql", "postgres", "a table of PostgreSQL")
        pgvector = require("pgvector.psycopg", "postgres", "a table of PostgreSQL")
        with self._errors():
            self._connection: Connection[Any] = self._psycopg.connect(address.conninfo(OPTIONS), autocommit=True)
        try:
            with self._errors():
                pgvector.register_vector(self._connection)
                self._read_table(address)
        except BaseException:
            self._connection.close()
            raise

    def _read_table(self, address: Address) -> None:
        parts = [unquote(part) for part in address.path[-1].split(".")]
        self._table = self._sql.Identifier(*parts)
        found = self._one(
            "SELECT c.oid, c.relkind FROM pg_class c WHERE c.oid = to_regclass(%s)", [self._text(self._table)]
        )
        if found is None:
            raise no_table(self._connection, self.address)
        self._oid, kind = found
        if kind not in ("r", "p"):
            raise SearchError(f"{self.address}: is not a table; name the table that the vectors are in")
        rows = self._connection.execute(COLUMNS, [self._oid]).fetchall()
        self._columns = {row[0]: row[1:] for row in rows}
        vectors = [name for name, column in self._columns.items() if column[1] in TYPES and not column[5]]
        self.vector = address.options.get("vector") or (vectors[0] if len(vectors) == 1 else "")
        if not self.vector:
            raise SearchError(
                f"{self.address}: has {len(vectors)} columns of vectors ({', '.join(vectors)}); name one:  ?vector=COLUMN"
            )
        usual = (name for name in LANG_NAMES if name in self._columns)
        self._lang = address.options.get("lang") or next(usual, "lang")
        for option, name in (("vector", self.vector), ("lang", self._lang)):
            self._check_column(option, name)
        number, kind, self._type, modifier = self._columns[self.vector][:4]
        if kind not in TYPES:
            raise SearchError(
                f"{self.address}: the column {self.vector!r} is of the type {kind}, not {' or '.join(TYPES)}"
            )
        self._half = kind == "halfvec"
        self._key = self._key_of(address.options.get("id", ""))
        self._binary = all(self._columns[name][1] in _BINARY for name in self._key)
        self.dimension = modifier if modifier > 0 else self._dimension_of_rows()
        self._method: str
        self._operators: str
        self._method, self._operators = self._one(OPERATORS, [self._oid, number]) or ("hnsw", f"{kind}_cosine_ops")
        indexed = self._one(OPERATORS, [self._oid, number]) is not None
        self.similarity = address.options.get("similarity")
        if self.similarity is None and indexed:
            self.similarity = {"cosine": "cosine", "ip": "dot"}.get(self._operators.split("_")[1])
        elif self.similarity not in (None, "cosine", "dot"):
            raise SearchError(f"{self.address}: similarity is cosine or dot, not {self.similarity!r}")

    def _key_of(self, named: str) -> list[str]:
        """The columns of the key."""
        numbers = {column[0]: name for name, column in self._columns.items()}
        unique = [(primary, [numbers.get(n, "") for n in key]) for primary, key in self._all(KEYS, [self._oid])]
        wanted = [name for name in named.split(",") if name]
        for name in wanted:
            self._check_column("id", name)
        if not wanted:
            wanted = next((key for primary, key in unique if primary), [])
            if not wanted:
                raise SearchError(
                    f"{self.address}: the table has no primary key; name the columns of a unique index:  ?id=COLUMN"
                )
        elif not any(set(key) <= set(wanted) for _, key in unique):
            raise SearchError(
                f"{self.address}: no unique index covers {', '.join(wanted)}, so rows cannot be told apart; name the columns "
                "of the primary key, separated by commas"
            )
        empty = [name for name in wanted if not self._columns[name][4]]
        if empty:
            raise SearchError(
                f"{self.address}: the column {empty[0]!r} may be NULL, so it identifies no row; name another key"
            )
        return wanted

    def _check_column(self, option: str, name: str) -> None:
        if name not in self._columns:
            raise SearchError(
                f"{self.address}: has no column {name!r}; say which one it is with  ?{option}=COLUMN  (columns: "
                f"{', '.join(self._columns)})"
            )

    def _dimension_of_rows(self) -> int:
        found = self._run("SELECT vector_dims({vector}) FROM {table} WHERE {vector} IS NOT NULL LIMIT 1").fetchone()
        if found is None:
            raise SearchError(f"{self.address}: has no row with a vector {self.vector!r}")
        return int(found[0])

    def keys(self, size: int) -> Iterator[tuple[list[Key], list[str | None]]]:
        """See `ForeignStore`."""
        query = self._sql.SQL("SELECT {lang}::text, {key} FROM {table} WHERE {vector} IS NOT NULL ORDER BY {key}")
        # A named cursor does not hold all rows in memory.
        with self._errors(), self._connection.transaction(), self._connection.cursor(name="babelmix_keys") as cursor:
            cursor.execute(query.format(**self._names()), ())
            while rows := cursor.fetchmany(size):
                yield [row[1:] for row in rows], [row[0] or None for row in rows]

    def read(self, keys: Sequence[Key]) -> Floats:
        """See `ForeignStore`."""
        one = self._sql.SQL("({})").format(self._placeholders())
        values = [value for key in keys for value in key]
        with self._errors():
            rows = self._run(
                "SELECT {key}, {vector} FROM {table} WHERE ({key}) IN ({wanted})", values,
                wanted=self._sql.SQL(", ").join([one] * len(keys)),
            )  # fmt: skip
            found = {row[:-1]: row[-1] for row in rows}
        gone = [key for key in keys if found.get(key) is None]
        if gone:
            raise SearchError(
                f"{self.address}: the row {gone[0]} went away while rows were read; run the command again"
            )
        return self._vectors([found[key] for key in keys])

    def mark(self, name: str) -> str | None:
        """See `ForeignStore`. The mark is the comment of the column."""
        with self._errors():
            rows = self._all(COLUMNS, [self._oid])
        self._columns = {row[0]: row[1:] for row in rows}
        return self._columns[name][5] if name in self._columns else None

    def add(self, name: str, mark: str) -> None:
        """See `ForeignStore`."""
        literal, new = self._sql.Literal, self._names(new=name)["new"]
        with self._errors(), self._connection.transaction():
            self._run("SET LOCAL lock_timeout = {time}", time=literal(_LOCK))
            self._run("ALTER TABLE {table} ADD COLUMN {new} {type}", new=new, type=self._sql.SQL(self._type))
            self._run("COMMENT ON COLUMN {table}.{new} IS {mark}", new=new, mark=literal(mark))

    def drop(self, name: str) -> None:
        """See `ForeignStore`."""
        self._check_new(name)
        with self._errors(), self._connection.transaction():
            self._run("SET LOCAL lock_timeout = {time}", time=self._sql.Literal(_LOCK))
            self._run("ALTER TABLE {table} DROP COLUMN {new}", new=self._names(new=name)["new"])

    def left(self, name: str, size: int) -> Iterator[Page]:
        """See `ForeignStore`."""
        names = {"new": self._names(new=name)["new"], "size": self._sql.Literal(size), "after": self._placeholders()}
        after: tuple[Any, ...] = ()
        while True:
            further = "AND ({key}) > ({after}) " if after else ""
            with self._errors():
                rows = self._run(
                    "SELECT {lang}::text, {vector}, {key} FROM {table} WHERE {new} IS NULL AND {vector} IS NOT NULL "
                    + further + "ORDER BY {key} LIMIT {size}", after, **names,
                ).fetchall()  # fmt: skip
            if not rows:
                return
            after = rows[-1][2:]
            langs = [row[0] or None for row in rows]
            yield Page([row[2:] for row in rows], langs, self._vectors([row[1] for row in rows]))

    def write(self, name: str, keys: Sequence[Key], vectors: Floats) -> None:
        """See `ForeignStore`."""
        self._check_new(name)
        names = {**self._names(new=name), "values": self._placeholders(), "value": self._sql.Placeholder()}
        query = self._sql.SQL("UPDATE {table} SET {new} = {value} WHERE ({key}) = ({values})").format(**names)
        kept = self._halved(vectors) if self._half else vectors
        with self._errors(), self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.executemany(query, [(vector, *key) for vector, key in zip(kept, keys, strict=True)])

    def next_steps(self, name: str) -> dict[str, str]:
        """See `ForeignStore`."""
        names = {
            **self._names(lambda one: one, new=name, before=f"{self.vector}_before"),
            "method": self._sql.SQL(self._method), "operators": self._sql.SQL(self._operators),
        }  # fmt: skip

        def text(statement: str) -> str:
            return self._text(self._sql.SQL(statement).format(**names))

        rename = "ALTER TABLE {table} RENAME COLUMN "
        return {
            "index": text(
                "CREATE INDEX CONCURRENTLY ON {table} USING {method} ({new} {operators}); VACUUM ANALYZE {table};"
            ),
            "search": text(
                "use {new} where your queries use {vector}, with corrected query vectors; or rename:  BEGIN; "
            )
            + text(rename + "{vector} TO {before}; " + rename + "{new} TO {vector}; COMMIT;"),
            "back": text(
                "BEGIN; " + rename + "{vector} TO {new}; " + rename + "{before} TO {vector}; COMMIT;  to remove it:  "
            )
            + text("ALTER TABLE {table} DROP COLUMN {new};"),
        }

    def close(self) -> None:
        """See `ForeignStore`."""
        self._connection.close()

    def _names(
        self, quoted: Callable[[sql.Identifier], sql.Composable] | None = None, **more: str
    ) -> dict[str, sql.Composable]:
        """The parts of a statement that is executed; `more` are further columns."""
        quoted, one = quoted or self._in_statement, self._sql.Identifier
        return {
            "table": quoted(self._table),
            "key": self._sql.SQL(", ").join([quoted(one(name)) for name in self._key]),
            **{part: quoted(one(name)) for part, name in {"lang": self._lang, "vector": self.vector, **more}.items()},
        }

    def _in_statement(self, name: sql.Identifier) -> sql.Composable:
        """A quoted name. psycopg takes % for a placeholder in names too, so it is doubled, and `_run` undoes that."""
        return self._sql.SQL(self._text(name).replace("%", "%%").replace("{", "{{").replace("}", "}}")).format()

    def _run(self, statement: str, values: Sequence[Any] = (), **names: sql.Composable) -> Any:
        """Execute a statement, with values even if there are none: see `_in_statement`."""
        whole = self._sql.SQL(statement).format(**{**self._names(), **names})
        return self._connection.execute(whole, values, binary=self._binary)

    def _placeholders(self) -> sql.Composable:
        """Placeholders for the values of a key."""
        return self._sql.SQL(", ").join([self._sql.Placeholder()] * len(self._key))

    def _text(self, statement: sql.Composable) -> str:
        return statement.as_string(self._connection)

    def _one(self, query: str | sql.Composable, values: Sequence[Any] = ()) -> Any:
        return self._connection.execute(query, values).fetchone()  # type: ignore[arg-type]

    def _all(self, query: str, values: Sequence[Any]) -> list[Any]:
        return self._connection.execute(query, values).fetchall()

    def _check_new(self, name: str) -> None:
        if name == self.vector or not self.mark(name):
            raise SearchError(
                f"{self.address}: the column {name!r} is not one that babelmix added, so it is not written"
            )

    def _vectors(self, values: Sequence[Any]) -> Floats:
        found = np.stack([value.to_numpy() for value in values]) if values else np.zeros((0, self.dimension))
        return found.astype(np.float32)

    def _halved(self, vectors: Floats) -> Any:
        half = require("pgvector", "postgres", "a table of PostgreSQL").HalfVector
        return [half(vector) for vector in vectors]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.errors.LockNotAvailable as error:
            raise SearchError(
                f"{self.address}: adding or dropping a column waited {_LOCK} for other transactions; try again when the table is "
                "less busy"
            ) from error
        except self._psycopg.Error as error:
            raise refused(self.address, error) from error


__all__ = ["COLUMNS", "KEYS", "OPERATORS", "OPTIONS", "TYPES", "PostgresStore", "no_table", "refused", "tables_there"]
