"""Find the engine of an address."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from babelmix._registry import Lazy, Registry
from babelmix.errors import ConfigError, SearchError
from babelmix.search.engines.base import Engine
from babelmix.search.foreign.opening import COLLECTIONS

if TYPE_CHECKING:
    from babelmix.search.foreign.engine import ForeignEngine

FOLDER = ""
"""The scheme of an address without a scheme, which is the path of a folder."""

ENGINES: Registry[type[Engine]] = Registry(
    "search engine",
    {
        FOLDER: Lazy("babelmix.search.engines.edge:EdgeEngine"),
        "http": Lazy("babelmix.search.engines.milvus:MilvusEngine"),
        "https": Lazy("babelmix.search.engines.milvus:MilvusEngine"),
        "postgres": Lazy("babelmix.search.engines.postgres:PostgresEngine"),
        "postgresql": Lazy("babelmix.search.engines.postgres:PostgresEngine"),
    },
)
"""The engines by the scheme of their addresses. `babelmix.extend.engine` adds to them."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

_PORTS: dict[str, int] = {"http": 80, "https": 443, "postgresql": 5432}
"""The port that an address means if it names none."""


def engine_of(address: str) -> type[Engine]:
    """The engine of an address. A scheme of someone else's collections only has the engine that reads them.

    Raises:
        SearchError: no engine has the scheme of the address.

    """
    scheme = _scheme_of(address)
    try:
        return ENGINES[scheme] if scheme in ENGINES else COLLECTIONS[scheme]
    except KeyError:
        others = sorted(set(ENGINES) - {FOLDER, "http", "https", "postgres", "postgresql"})
        more = f", or one with the scheme {', '.join(others)}" if others else ""
        raise SearchError(
            f"{address}: is no address of an index; an index is a folder, or  http://HOST:PORT/NAME  of a Milvus server, "
            f"or  postgresql://HOST/DATABASE/NAME{more}"
        ) from None


def _scheme_of(address: str) -> str:
    found = _SCHEME.match(address)
    return FOLDER if found is None else found[1].lower()


def register_engine(scheme: str, engine: type[Engine]) -> None:
    """Add an engine; see `babelmix.extend.engine`.

    Raises:
        ConfigError: the scheme is malformed, or belongs to an engine of babelmix.

    """
    if not _SCHEME.fullmatch(f"{scheme}://") or scheme != scheme.lower():
        raise ConfigError(
            f"the scheme {scheme!r} of a search engine: write small letters, digits, +, - and . , as in  memory"
        )
    ENGINES.register(scheme, engine)


def create_engine(address: str, dimension: int, about: dict[str, Any]) -> Engine:
    """Make an empty store.

    Args:
        address: a folder that does not exist yet, or a URL with a name: `postgresql://HOST/DATABASE/NAME`, or
            `http://HOST:PORT/NAME` of a Milvus server.
        dimension: the dimension of the vectors.
        about: the facts to keep with the store.

    Raises:
        SearchError: there is a store already, or none can be made at this address.
        MissingExtraError: the engine is not installed.

    """
    return engine_of(address).create(address, dimension, about)


def open_engine(address: str) -> Engine:
    """Open a store: one of ours, or else a collection of someone else's for reading.

    Raises:
        SearchError: there is no store, it is damaged, its server does not answer, or another process has its folder open.
        MissingExtraError: the engine is not installed.

    """
    return (foreign_engine(address) or engine_of(address)).open(address)


def foreign_engine(address: str) -> type[ForeignEngine] | None:
    """The engine that reads someone else's collection at this address; None: the address is that of an index.

    Where indexes have the same scheme, as in PostgreSQL, what is there decides.

    Raises:
        SearchError: the server does not answer.

    """
    scheme = _scheme_of(address)
    if scheme not in COLLECTIONS or (scheme in ENGINES and not COLLECTIONS[scheme].is_at(address)):
        return None
    return COLLECTIONS[scheme]


def exists(address: str) -> bool:
    """Whether there is an index.

    Raises:
        SearchError: the server of the index does not answer.
        MissingExtraError: the engine is not installed.

    """
    return engine_of(address).exists(address)


def is_same_place(one: str, other: str) -> bool:
    """Whether two addresses are those of one index: folders also by another path or a link, URLs also in another spelling.

    Two names of one server are not recognised, such as `localhost` and `127.0.0.1`.

    Examples:
        >>> is_same_place("my-index", "./my-index/"), is_same_place("postgres://db/shop/x", "postgresql://me@DB:5432/shop/x")
        (True, True)

    """
    return _place(one) == _place(other)


def _place(address: str) -> tuple[str, ...]:
    """What tells an index from others, in one spelling."""
    if (scheme := _scheme_of(address)) == FOLDER:
        # Every link is followed; a folder that is not there yet has a place too.
        return FOLDER, str(Path(address).resolve())
    parts = urlsplit(address)
    names = [unquote(part) for part in parts.path.split("/") if part]
    scheme = "postgresql" if scheme == "postgres" else scheme
    try:
        host, port = parts.hostname or "", parts.port or _PORTS.get(scheme)
    except ValueError:
        # The port is no number, which the engine says.
        return scheme, address
    # With libpq an option may name the server, such as the folder of a socket.
    server = sorted(
        one for one in parts.query.split("&") if one.partition("=")[0] in ("host", "hostaddr", "port", "dbname")
    )
    return scheme, host, str(port), *names, *server
