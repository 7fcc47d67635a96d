"""Find the engine of an address."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

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
