"""A PostgreSQL server: the address of an index on it, connections for several threads, and what its errors mean."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from babelmix.errors import EngineError, SearchError, first_line, require
from babelmix.search.foreign.address import Address

if TYPE_CHECKING:
    from psycopg import Connection

Result = TypeVar("Result")

FORM = "postgresql://[USER@]HOST[:PORT]/DATABASE/NAME"

_NAME = re.compile(r"(?:(?P<schema>[A-Za-z_][A-Za-z0-9_]{0,62})\.)?(?P<name>[A-Za-z_][A-Za-z0-9_]{0,49})")
"""PostgreSQL cuts names of more than 63 characters; ours get endings."""

_PASSWORDS = ("password", "sslpassword")
_CONNECTIONS = 16
"""Idle connections that are kept. Servers allow about a hundred in all."""

_TRIES = 20
"""Attempts at a write that collides with those of other processes."""

_AGAIN = "; what was acknowledged is safe: run the same command again, and it goes on where it was"
_PGVECTOR = (0, 8)


@dataclass(frozen=True)
class Place:
    """The parts of an address.

    Args:
        address: the address as the user wrote it; it holds no password.
        conninfo: the URL of the database, for libpq.
        schema: the schema; empty: the first of the search path.
        name: the name of the index.

    """

    address: str
    conninfo: str
    schema: str
    name: str

    @classmethod
    def parse(cls, address: str) -> Place:
        """Read an address such as `postgresql://me@localhost/shop/my_index`.

        Options after a question mark are those of libpq, such as `?host=/var/run/postgresql` or `?sslmode=require`.

        Raises:
            SearchError: the address holds a password, or is incomplete.

        Examples:
            >>> Place.parse("postgresql://me@db/shop/my_index?sslmode=require").conninfo
            'postgresql://me@db/shop?connect_timeout=20&application_name=babelmix&sslmode=require'

        """
        form = f"write  {FORM}  with a name of at most 50 letters, digits and _ that begins with no digit"
        try:
            url = urlsplit(address)
            user, _, hosts = url.netloc.rpartition("@")
            if "," not in hosts:  # libpq takes several
                _ = url.port
            options = dict(parse_qsl(url.query, keep_blank_values=True))
            if ":" in user or any(name in options for name in _PASSWORDS):
                # The address is not repeated: the message may be logged.
                raise SearchError(
                    "the address of an index holds no password; set the environment variable PGPASSWORD, or keep it in "
                    f"~/.pgpass, and write  {FORM}"
                )
            parsed = Address.parse(address)
        except ValueError as error:
            raise SearchError(f"{address}: is no address of an index; {form}") from error
        found = _NAME.fullmatch(parsed.name)
        if len(parsed.path) != 2 or found is None or url.fragment:
            raise SearchError(f"{address}: is no address of an index in PostgreSQL; {form}")
        return cls(address, parsed.conninfo(), found["schema"] or "", found["name"])


class Server:
    """Connections to the database of an index. Threads may share it.

    Args:
        place: the address of the index.

    Raises:
        MissingExtraError: psycopg or pgvector is not installed.

    """

    def __init__(self, place: Place) -> None:
        what = "An index in PostgreSQL"
        self.psycopg: Any = require("psycopg", "postgres", what)
        self.sql: Any = require("psycopg.sql", "postgres", what)
        self.pgvector: Any = require("pgvector", "postgres", what)
        self._register = require("pgvector.psycopg", "postgres", what).register_vector
        self.place = place
        self._idle: list[Connection[Any]] = []
        self._lock = threading.Lock()
        self._closed = False

    def run(
        self, work: Callable[[Any], Result], *, vectors: bool = True, writing: bool = False, fresh: bool = False
    ) -> Result:
        """Call a function with a connection. It may be called again, after nothing of it was kept.

        Args:
            work: the function. It makes a transaction of its own.
            vectors: whether the connection has to know the types of pgvector.
            writing: whether the function writes rows. If so, an error message says that the command can be repeated.
            fresh: whether to make a new connection, because none may know the types of pgvector yet.

        Raises:
            SearchError: no server answers, or it refuses.

        """
        errors = self.psycopg.errors
        collisions = (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure)
        tries = _TRIES
        while True:
            tries -= 1
            with self._connection(vectors, fresh) as (connection, used):
                try:
                    return work(connection)
                except collisions as error:
                    if not writing or not tries:
                        raise self._error(error, writing) from error
                except self.psycopg.Error as error:
                    # The server may have been started again since the connection was made.
                    if not (connection.closed and used and tries):
                        raise self._error(error, writing) from error

    @contextmanager
    def holding(self) -> Iterator[Any]:
        """A connection for a block that reads page by page.

        Raises:
            SearchError: no server answers, or it refuses.

        """
        # A connection that is tried first is not a broken one.
        self.run(lambda connection: connection.execute("SELECT 1"))
        with self._connection(True, False) as (connection, _):
            try:
                yield connection
            except self.psycopg.Error as error:
                raise self._error(error, False) from error

    @contextmanager
    def _connection(self, vectors: bool, fresh: bool) -> Iterator[tuple[Any, bool]]:
        """A connection, and whether it was used before."""
        with self._lock:
            used = self._idle.pop() if self._idle and not fresh else None
        connection = self._connect(vectors) if used is None else used
        keep = False
        try:
            yield connection, used is not None
            keep = True
        finally:
            idle = self.psycopg.pq.TransactionStatus.IDLE
            keep = keep and not fresh and connection.info.transaction_status == idle
            with self._lock:
                keep = keep and not self._closed and len(self._idle) < _CONNECTIONS
                if keep:
                    self._idle.append(connection)
            if not keep:
                connection.close()

    def _connect(self, vectors: bool) -> Any:
        try:
            # Prepared statements would break behind a connection pooler.
            connection = self.psycopg.connect(
                self.place.conninfo, autocommit=True, prepare_threshold=None, client_encoding="utf8"
            )
        except (self.psycopg.Error, ValueError) as error:
            raise self._unreachable(error) from error
        try:
            if vectors:
                self._register(connection)
        except self.psycopg.Error as error:
            connection.close()
            raise SearchError(
                f"{self.place.address}: is not an index: the database has no extension 'vector' (pgvector)"
            ) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def check(self, connection: Any) -> None:
        """Make the extension pgvector, if it is not there, and check what the database can do.

        Raises:
            SearchError: the database has no pgvector, an old one, or holds no Unicode.

        """
        address, errors = self.place.address, self.psycopg.errors
        encoding = connection.execute("SELECT current_setting('server_encoding')").fetchone()[0]
        if encoding != "UTF8":
            raise SearchError(f"{address}: the database has the encoding {encoding}; make one with  ENCODING 'UTF8'")
        try:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        except (errors.InsufficientPrivilege, errors.FeatureNotSupported, errors.UndefinedFile) as error:
            raise SearchError(
                f"{address}: the database has no extension 'vector' ({first_line(error)}); install pgvector 0.8 or later on the "
                "server, and let its administrator run  CREATE EXTENSION vector"
            ) from error
        found = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()[0]
        if tuple(map(int, re.findall(r"\d+", found)[:2])) < _PGVECTOR:
            raise SearchError(
                f"{address}: the database has pgvector {found}, and searches in one language need 0.8 or later; update it, then "
                "run  ALTER EXTENSION vector UPDATE"
            )

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def _unreachable(self, error: Exception) -> SearchError:
        said = first_line(error)
        if "password" in said or "authentication" in said:
            return EngineError(
                f"{self.place.address}: the server refuses the user ({said}); set PGPASSWORD, or keep the password in ~/.pgpass"
            )
        if isinstance(error, self.psycopg.OperationalError):
            return EngineError(f"{self.place.address}: no PostgreSQL server can be reached there ({said})")
        return SearchError(f"{self.place.address}: is no address of an index ({said}); write  {FORM}")

    def _error(self, error: Exception, writing: bool) -> SearchError:
        errors = self.psycopg.errors
        said, again = first_line(error), _AGAIN if writing else ""
        if isinstance(error, errors.UndefinedTable):
            return SearchError(
                f"{self.place.address}: is not an index any more ({said}); make one with  babelmix index"
            )
        if isinstance(error, errors.DiskFull):
            return EngineError(f"{self.place.address}: the server's disk is full ({said}){again}")
        if isinstance(error, self.psycopg.OperationalError):
            return EngineError(f"{self.place.address}: the PostgreSQL server failed ({said}){again}")
        return EngineError(f"{self.place.address}: the PostgreSQL server refused ({said}){again}")
