"""A Milvus server: its address, calls to it, and the facts of an index in a collection of their own."""

from __future__ import annotations

import json
import logging
import os
import re
import uuid
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from babelmix.errors import EngineError, SearchError, require

TOKEN = "BABELMIX_MILVUS_TOKEN"
"""The environment variable with the token: an API key, or USER:PASSWORD."""

READ_SECONDS = 60.0
WRITE_SECONDS = 120.0
WAIT_SECONDS = 600.0
"""The time limit of background work of the server: loading, flushing, building graphs."""

_CONNECT_SECONDS = 5.0
# Connections of a process share gRPC's wait before it tries a refused address again, and it grows to two minutes. With these,
# a new connection tries at once, and an old one once a second.
_GRPC = {"grpc.use_local_subchannel_pool": 1, "grpc.max_reconnect_backoff_ms": 1000}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_PORTS = {"http": 19530, "https": 443}
_OPENING = "cannot be opened"
_AGAIN = "; what was acknowledged is safe: run the same command again, and it goes on where it was"
_CHUNK = 60_000
"""The size of a chunk of the facts in bytes. A text in Milvus has at most 65,535 bytes."""

_CHUNKS = 100
"""Chunks of a message; servers accept 64 MiB."""

FACTS = "babelmix: facts of an index"
"""The description of the collection of facts."""

_PART = re.compile(r"facts:([0-9]{12}):([0-9a-f]{32}):([0-9]{6}):([0-9]{6})")
"""The id of a chunk: generation, writer, number of the chunk, number of chunks."""

_LANG = "lang:"
_MARK = "babelmix"
"""The property of a collection with its mark, on servers that keep no descriptions."""

_LITE = "milvus_lite"
_VERSION = re.compile(r"(\d+)\.(\d+)")
_NEWEST = (99, 0)


@dataclass(frozen=True)
class Place:
    """The parts of an address.

    Args:
        address: the address as the user wrote it.
        uri: the URI of the server, with its port.
        name: the name of the index.
        database: the name of the database; empty: the default one.

    """

    address: str
    uri: str
    name: str
    database: str = ""

    @classmethod
    def parse(cls, address: str) -> Place:
        """Read an address such as `http://localhost:19530/my_index`.

        Raises:
            SearchError: the address holds a password, or is incomplete.

        """
        try:
            url = urlsplit(address)
            port = url.port or _PORTS[url.scheme]
        except (ValueError, KeyError) as error:
            raise SearchError(f"{address}: is no address of an index; write  http://HOST:PORT/NAME") from error
        if "@" in url.netloc:
            # The address is not repeated: the message may be logged.
            raise SearchError(
                f"the address of an index holds no user and password; set the environment variable {TOKEN} to them "
                "and write  http://HOST:PORT/NAME"
            )
        name = url.path.removeprefix("/")
        if not url.hostname or url.query or url.fragment or not _NAME.fullmatch(name):
            raise SearchError(
                f"{address}: is no address of an index on a Milvus server; write  http://HOST:PORT/NAME  with a name of "
                "letters, digits and _ that begins with no digit"
            )
        return cls(address, f"{url.scheme}://{url.hostname}:{port}", name)


def mark_of(described: Mapping[str, Any]) -> str:
    """The mark of a collection, from what the server tells of it; empty: it has none."""
    return str(described.get("properties", {}).get(_MARK) or described.get("description") or "")


class Server:
    """A connection to the server of an index.

    Attributes:
        version: the first two numbers of the server's version; of one that tells none, larger than all.
        lite: whether the server is Milvus Lite.

    Args:
        place: the address of the index.

    Raises:
        SearchError: no server answers there, or it refuses the token.
        MissingExtraError: pymilvus is not installed.

    """

    def __init__(self, place: Place) -> None:
        # gRPC and pymilvus would also print the errors that they raise.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        self.library: Any = require("pymilvus", "scale", "An index on a Milvus server")
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self.place = place
        self._token = os.environ.get(TOKEN, "")
        try:
            self._client = self.library.MilvusClient(
                uri=place.uri,
                token=self._token,
                timeout=_CONNECT_SECONDS,
                dedicated=True,
                db_name=place.database,
                grpc_options=_GRPC,
            )
        except Exception as error:  # see `_error`
            raise self._error(error, _OPENING) from error
        try:
            told = str(self.call("get_server_version"))
        except BaseException:
            self.close()
            raise
        found = _VERSION.search(told)
        self.lite = told.startswith(_LITE)
        self.version = (int(found[1]), int(found[2])) if found else _NEWEST

    def marked(self, mark: str) -> dict[str, Any]:
        """The arguments of `create_collection` that mark a collection, beside the description of its schema."""
        # Milvus Lite forgets descriptions.
        return {"properties": {_MARK: mark}} if self.lite else {}

    def call(
        self, method: str, *given: Any, timeout: float = READ_SECONDS, writing: bool = False, **options: Any
    ) -> Any:
        """Call a method of `MilvusClient`, with repeats for at most `timeout` seconds.

        Args:
            method: the name of the method.
            given: the positional arguments.
            timeout: the time limit in seconds.
            writing: whether the call writes rows. If so, an error message says that the command can be repeated.
            options: the keyword arguments.

        Raises:
            SearchError: the call fails.

        """
        try:
            return getattr(self._client, method)(*given, timeout=timeout, **options)
        except Exception as error:  # see `_error`
            raise self._error(
                error, "cannot be written to" if writing else "cannot be used", _AGAIN * writing
            ) from error

    def pages(
        self, collection: str, expression: str, fields: list[str], size: int
    ) -> Generator[list[Any], None, None]:
        """Pages of at most `size` rows, sorted by id. All pages show the state at the time of the first page.

        Raises:
            SearchError: the pages cannot be read.

        """
        pages = self.call(
            "query_iterator", collection, filter=expression or 'id != ""', output_fields=fields, batch_size=size,
            consistency_level="Strong",
        )  # fmt: skip
        try:
            while page := pages.next():
                yield page
        except Exception as error:  # see `_error`
            raise self._error(error, "cannot be read") from error
        finally:
            pages.close()

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _error(self, error: Exception, what: str, again: str = "") -> SearchError:
        """The error to raise. The library raises its own, gRPC's and plain exceptions; a chain of causes may be a circle."""
        here, codes, cause = self.place.address, set(), error
        no_answer = what == _OPENING
        seen: list[BaseException] = []
        while isinstance(cause, Exception) and not any(cause is other for other in seen):
            seen.append(cause)
            code = getattr(cause, "code", None)
            # pymilvus's codes are numbers, gRPC's are members of an enumeration.
            no_answer |= isinstance(code, int) and code == self.library.Status.CONNECT_FAILED
            codes.add(getattr(code() if callable(code) else code, "name", ""))
            cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
        if codes & {"UNAUTHENTICATED", "PERMISSION_DENIED"}:
            wrong = "refuses the token" if self._token else "asks for a token"
            return EngineError(
                f"{here}: the server {wrong}; set the environment variable {TOKEN} to a key or USER:PASSWORD"
            )
        if codes & {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"} or no_answer:
            return EngineError(f"{here}: no Milvus server answers there; start it, or correct the address{again}")
        message = str(getattr(error, "message", "") or error).splitlines()[0][:200]
        return EngineError(f"{here}: {what} ({message}){again}")


class FactsCollection:
    """The facts of an index, in a collection of their own. Each write is a new generation; the last complete one counts.

    The collection also has one row for each language of the index, so that two processes can add languages at the same time.

    Args:
        server: the server.
        collection: the collection's name.

    """

    def __init__(self, server: Server, collection: str) -> None:
        self._server, self.collection = server, collection

    def schema(self) -> Any:
        """The schema of the collection."""
        kind = self._server.library.DataType
        schema = self._server.library.MilvusClient.create_schema(description=FACTS)
        schema.add_field("id", kind.VARCHAR, is_primary=True, max_length=512)
        schema.add_field("body", kind.VARCHAR, max_length=65_535)
        # Every collection in Milvus needs a vector field.
        schema.add_field("vector", kind.FLOAT_VECTOR, dim=2)
        return schema

    @staticmethod
    def indexes() -> dict[str, dict[str, Any]]:
        """The indexes of the collection, by field."""
        return {"vector": {"index_type": "FLAT", "metric_type": "IP"}}

    def read(self) -> dict[str, Any] | None:
        """The facts that were written last. None if there are none.

        Raises:
            SearchError: the facts cannot be read.

        """
        parts: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        counts = {}
        for row in self._rows("facts:", ["id", "body"]):
            if found := _PART.fullmatch(row["id"]):
                generation, writer, part, count = found.groups()
                parts[generation, writer][part] = row["body"]
                counts[generation, writer] = int(count)
        whole = [name for name, bodies in parts.items() if len(bodies) == counts[name]]
        if not whole:
            return None
        bodies = parts[max(whole)]
        try:
            return dict(json.loads("".join(bodies[part] for part in sorted(bodies))))
        except (ValueError, TypeError) as error:
            raise SearchError(f"{self._server.place.address}: its facts are damaged; make the index again") from error

    def write(self, about: dict[str, Any]) -> None:
        """Replace the facts, either completely or not at all.

        Raises:
            SearchError: the server cannot be written to.

        """
        text = json.dumps(about)
        chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
        before = sorted(row["id"] for row in self._rows("facts:", ["id"]))
        generation = 1 + (int(before[-1].split(":")[1]) if before else 0)
        name = f"facts:{generation:012}:{uuid.uuid4().hex}"
        rows = [(f"{name}:{number:06}:{len(chunks):06}", chunk) for number, chunk in enumerate(chunks)]
        for start in range(0, len(rows), _CHUNKS):
            self._put(rows[start : start + _CHUNKS])
        if before:
            self._server.call("delete", self.collection, ids=before, timeout=WRITE_SECONDS, writing=True)

    def langs(self) -> set[str]:
        """The languages that were added.

        Raises:
            SearchError: the languages cannot be read.

        """
        return {row["id"].removeprefix(_LANG) for row in self._rows(_LANG, ["id"])}

    def add_langs(self, langs: Iterable[str]) -> None:
        """Add languages.

        Raises:
            SearchError: the server cannot be written to.

        """
        self._put([(_LANG + lang, "") for lang in langs])

    def _rows(self, prefix: str, fields: list[str]) -> Any:
        return self._server.call(
            "query", self.collection, f'id like "{prefix}%"', output_fields=fields, consistency_level="Strong"
        )

    def _put(self, rows: list[tuple[str, str]]) -> None:
        data = [{"id": name, "body": body, "vector": [0.0, 0.0]} for name, body in rows]
        self._server.call("upsert", self.collection, data, timeout=WRITE_SECONDS, writing=True)
