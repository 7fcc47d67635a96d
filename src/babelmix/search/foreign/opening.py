"""Find the kind of a store by the scheme of its address."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from babelmix._registry import Lazy, Registry
from babelmix.errors import SearchError
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.base import ForeignStore

if TYPE_CHECKING:
    from babelmix.search.foreign.engine import ForeignEngine

_ELASTIC = ("opensearch", "opensearch+https", "elasticsearch", "elasticsearch+https")

STORES: Registry[Callable[[Address], ForeignStore]] = Registry(
    "foreign store",
    {
        "postgresql": Lazy("babelmix.search.foreign.postgres:PostgresStore"),
        "qdrant": Lazy("babelmix.search.foreign.qdrant:QdrantStore"),
        "milvus": Lazy("babelmix.search.foreign.milvus:MilvusStore"),
        **dict.fromkeys(_ELASTIC, Lazy("babelmix.search.foreign.opensearch_store:OpenSearchStore")),
    },
)
"""The kinds of stores by the scheme of their addresses."""

COLLECTIONS: Registry[type[ForeignEngine]] = Registry(
    "foreign collection",
    {
        "milvus": Lazy("babelmix.search.foreign.milvus_collection:MilvusCollection"),
        "postgres": Lazy("babelmix.search.foreign.postgres_collection:PostgresCollection"),
        "postgresql": Lazy("babelmix.search.foreign.postgres_collection:PostgresCollection"),
        "qdrant": Lazy("babelmix.search.foreign.qdrant_collection:QdrantCollection"),
        **dict.fromkeys(_ELASTIC, Lazy("babelmix.search.foreign.opensearch:OpenSearchCollection")),
    },
)
"""The engines that read someone else's collections, by the scheme of their addresses."""


def is_address(text: str) -> bool:
    """Whether a text is an address of a store."""
    return text.partition("://")[0].lower() in STORES and "://" in text


def open_store(address: str) -> ForeignStore:
    """Open a store for reading and writing.

    Args:
        address: `postgresql://[USER@]HOST[:PORT]/DATABASE/TABLE`, `qdrant://HOST:PORT/COLLECTION`,
            `milvus://HOST:PORT/COLLECTION`, `opensearch://HOST:PORT/INDEX` or `elasticsearch://HOST:PORT/INDEX`, with options
            after a question mark: `id` (the columns of the key), `lang` (the column or field of the language) and `vector`.

    Raises:
        SearchError: the address is wrong, the server does not answer, or the table or collection is not as the address says.
        MissingExtraError: the client of the store is not installed.

    """
    parsed = Address.parse(address)
    if parsed.scheme not in STORES:
        raise SearchError(f"{parsed}: is no address of a store; it begins with {', '.join(f'{s}://' for s in STORES)}")
    return STORES[parsed.scheme](parsed)


def shown_address(address: str) -> str:
    """The address as results and folders show it: without a password, if it may be that of a collection.

    Examples:
        >>> shown_address("postgresql://me:secret@db/shop/articles?id=sku&vector=embedding"), shown_address("my-index")
        ('postgresql://me@db/shop/articles?vector=embedding', 'my-index')

    """
    if "://" not in address or address.partition("://")[0].lower() not in COLLECTIONS:
        return address
    return Address.parse(address).shown


__all__ = ["COLLECTIONS", "STORES", "is_address", "open_store", "shown_address"]
