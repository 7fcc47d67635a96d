"""How someone else's collection of Milvus is made: its fields, their types and indexes, and filters in its language."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from babelmix.errors import SearchError
from babelmix.search.engines.milvus_rows import one_in_json, one_of
from babelmix.search.engines.milvus_server import TOKEN, Place, Server
from babelmix.search.foreign.address import LANG_NAMES, Address
from babelmix.search.rows import Value

Kind = Literal["text", "integer", "number", "boolean"]

DYNAMIC = "$meta"
"""The field with the values of fields that the schema does not name."""

SIMILARITIES = {"COSINE": "cosine", "IP": "dot", "L2": "l2"}
"""How an index compares, by the name of its metric."""

_KINDS: dict[str, Kind] = {
    "VARCHAR": "text", "INT8": "integer", "INT16": "integer", "INT32": "integer", "INT64": "integer",
    "FLOAT": "number", "DOUBLE": "number", "BOOL": "boolean",
}  # fmt: skip
_TEXTS = ("text", "body", "content")
_SEEN = 100
"""Rows that say which fields there are besides those of the schema."""


def server_of(address: Address) -> Server:
    """Connect to the server of a collection, `milvus://HOST:PORT/COLLECTION` or `milvus://HOST:PORT/DATABASE/COLLECTION`.

    Raises:
        SearchError: the address is wrong, or no server answers.
        MissingExtraError: pymilvus is not installed.

    """
    if "@" in address.place:
        raise SearchError(
            f"the address of a collection of Milvus holds no user and password; set the environment variable {TOKEN} to them and "
            "write  milvus://HOST:PORT/COLLECTION"
        )
    if not address.place or len(address.path) > 2:
        raise SearchError(f"{address}: is no address of a collection; write  milvus://HOST:PORT/COLLECTION")
    secure = address.options.get("https", "0") not in ("", "0", "false")
    host = address.place if address.place.rpartition(":")[2].isdigit() else f"{address.place}:19530"
    database = address.path[0] if len(address.path) == 2 else ""
    return Server(Place(str(address), f"{'https' if secure else 'http'}://{host}", address.name, database))


@dataclass(frozen=True)
class Column:
    """A field, or a value in a field of JSON.

    Args:
        field: the field.
        path: the keys of the value in it; empty: the field itself.
        nullable: whether the schema says that the field may be empty.

    """

    field: str
    path: tuple[str, ...] = ()
    nullable: bool = False

    @property
    def term(self) -> str:
        """What stands for it in a filter."""
        if self.is_dynamic:
            return self.path[0]
        return self.field + "".join(f"[{json.dumps(key, ensure_ascii=False)}]" for key in self.path)

    @property
    def is_dynamic(self) -> bool:
        """Whether it is a value of the dynamic field, which filters name like a field."""
        return self.field == DYNAMIC and len(self.path) == 1 and self.path[0].isidentifier()

    def of(self, row: Mapping[str, Any]) -> Any:
        """Its value in a row; None: there is none."""
        # The values of the dynamic field are beside the others.
        found: Any = row if self.field == DYNAMIC else row.get(self.field)
        for key in self.path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found


class Fields:
    """The fields of a collection.

    Args:
        server: the server.
        address: the address, with the options `id`, `item`, `lang`, `text` and `vector`.

    Raises:
        SearchError: there is no such collection, or it is not as the address says.

    """

    def __init__(self, server: Server, address: Address) -> None:
        self._server, self._address = server, address
        if not server.call("has_collection", address.name):
            raise SearchError(f"{address}: there is no such collection")
        self.described: dict[str, Any] = server.call("describe_collection", address.name)
        self.name = str(self.described["collection_name"])
        """The name of the collection. The address may name an alias."""

        kind = server.library.DataType
        self.all = {str(field["name"]): field for field in self.described["fields"]}
        self.kinds = {name: kind(field["type"]).name for name, field in self.all.items()}
        self.dynamic = bool(self.described.get("enable_dynamic_field"))
        self.key = next(name for name, field in self.all.items() if field.get("is_primary"))
        if address.options.get("id", self.key) != self.key:
            raise SearchError(
                f"{address}: the rows are identified by the field {self.key!r}; leave the option  id  out"
            )
        self.vector = self._vector_of(address.options.get("vector"))
        self.dimension = int(self.all[self.vector]["params"]["dim"])
        index = self.index_of(self.vector)
        self.index_type, self.metric = str(index.get("index_type", "")), str(index.get("metric_type", "")).upper()
        self.item = self._named(address.options.get("item"), "item")
        self.lang = self._named(address.options.get("lang"), "lang", LANG_NAMES)
        self.text = self._named(address.options.get("text"), "text", _TEXTS)
        self.columns = self._columns_of()

    def _vector_of(self, named: str | None) -> str:
        vectors = [name for name, kind in self.kinds.items() if kind == "FLOAT_VECTOR"]
        if named is None and len(vectors) == 1:
            return vectors[0]
        if named is None:
            raise SearchError(
                f"{self._address}: has the vectors {', '.join(vectors) or 'none'}; say which:  ?vector=FIELD"
            )
        if named not in vectors:
            kind = self.kinds.get(named)
            why = (
                f"is of the type {kind}, not FLOAT_VECTOR"
                if kind
                else f"is not there; there are: {', '.join(vectors)}"
            )
            raise SearchError(f"{self._address}: the field {named!r} {why}")
        return named

    def index_of(self, field: str) -> dict[str, Any]:
        """The index of a field; empty: it has none."""
        server = self._server
        # Milvus Lite names indexes by their fields, and cannot list those of one field.
        names = [field] if server.lite else server.call("list_indexes", self.name, field_name=field)
        try:
            found = [server.call("describe_index", self.name, name) for name in names]
        except SearchError as error:
            # So it says that a field has no index, if several others have one.
            if isinstance(error.__cause__, server.library.exceptions.AmbiguousIndexName):
                return {}
            raise
        # If one other has, it describes that one.
        return next((dict(index) for index in found if index and index["field_name"] == field), {})

    def _named(self, named: str | None, option: str, usual: Sequence[str] = ()) -> Column | None:
        """The column that an option names; without it the first of the usual ones that is there."""
        if named is None:
            found = [self._column(name) for name in usual if name in self.all]
            return next((column for column in found if column), None) or self._usual(usual)
        column = self._column(named)
        if column is None:
            raise SearchError(
                f"{self._address}: has no field {named!r}; say which one it is with  ?{option}=FIELD  (fields: "
                f"{', '.join(name for name in self.all if name != self.vector)})"
            )
        return column

    def _usual(self, usual: Sequence[str]) -> Column | None:
        there = self._seen() if self.dynamic and usual else {}
        return next((Column(DYNAMIC, (name,)) for name in usual if isinstance(there.get(name), str)), None)

    def _column(self, named: str) -> Column | None:
        first, *path = named.removeprefix(f"{DYNAMIC}.").split(".")
        if first in self.all and bool(path) == (self.kinds[first] == "JSON"):
            return Column(first, tuple(path), bool(self.all[first].get("nullable")))
        if first not in self.all and self.dynamic:
            return Column(DYNAMIC, (first, *path))
        return None

    def _seen(self) -> dict[str, Any]:
        """Values of the dynamic field in the first rows, by name."""
        if not hasattr(self, "_met"):
            rows = self._server.call(
                "query", self.name, self.everything, output_fields=[DYNAMIC], limit=_SEEN, consistency_level="Strong"
            )
            self._met = {name: value for row in rows for name, value in row.items() if name not in self.all}
        return self._met

    def _columns_of(self) -> dict[str, tuple[Column, Kind]]:
        """The columns of metadata by name."""
        used = {column.field for column in (self.item, self.lang, self.text) if column and not column.path}
        made = {
            name: (Column(name, (), bool(self.all[name].get("nullable"))), _KINDS[kind])
            for name, kind in self.kinds.items()
            if kind in _KINDS and name not in used and name != self.key
        }
        used |= {column.path[0] for column in (self.item, self.lang, self.text) if column and column.field == DYNAMIC}
        for name, value in (self._seen() if self.dynamic else {}).items():
            kind = kind_of(value)
            if name not in used and kind:
                made[name] = (Column(DYNAMIC, (name,)), kind)
        return made

    @property
    def everything(self) -> str:
        """A filter that every row passes."""
        return f'{self.key} != ""' if self.kinds[self.key] == "VARCHAR" else f"{self.key} >= {1 - 2**63}"

    def outputs(self, *, texts: bool) -> list[str]:
        """The fields to read of a row: key, item and language, and also text and metadata if they are asked for."""
        columns = [column for column in (self.item, self.lang) if column]
        if texts:
            columns += [column for column in (self.text,) if column]
            columns += [column for column, _ in self.columns.values()]
        return list(dict.fromkeys([self.key, *(column.field for column in columns)]))

    def fields_of(self, row: Mapping[str, Any]) -> dict[str, Value]:
        """The metadata of a row."""
        made = ((name, column.of(row)) for name, (column, _) in self.columns.items())
        return {name: value for name, value in made if isinstance(value, (str, int, float, bool))}

    def item_of(self, row: Mapping[str, Any], key: str) -> str:
        """The item of a row, from its key."""
        found = self.item.of(row) if self.item else None
        return key if found is None or found == "" else str(found)

    def keys(self, names: Iterable[str]) -> list[Any]:
        """Keys as the server writes them, from their texts. What can be no key is left out."""
        if self.kinds[self.key] == "VARCHAR":
            return list(names)
        return [int(name) for name in names if name.removeprefix("-").isdigit()]

    def with_keys(self, keys: Sequence[Any]) -> str:
        """The filter of rows with some keys."""
        return one_of(self.key, keys)

    def condition(self, column: Column, values: Sequence[Value | None], known: Iterable[Value | None] = ()) -> str:
        """The filter of rows with some values.

        Args:
            column: the column.
            values: the values; None: no value.
            known: all values that the column has.

        """
        there = [value for value in values if value is not None]
        made = []
        if there:
            plain = column.is_dynamic or not column.path
            made.append(one_of(column.term, there) if plain else one_in_json(column.term, there, self._server))
        if None in values:
            rest = [value for value in known if value is not None]
            if column.nullable and not column.path:
                made.append(f"{column.term} is null")
            else:
                made.append(f"not ({self.condition(column, rest)})" if rest else self.everything)
        return made[0] if len(made) == 1 else f"({' or '.join(made)})"


def kind_of(value: Any) -> Kind | None:
    """The type of a value of metadata; None: it is none."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "integer" if isinstance(value, int) else (
        "number" if isinstance(value, float) else None
    )  # fmt: skip


__all__ = ["DYNAMIC", "SIMILARITIES", "Column", "Fields", "kind_of", "server_of"]
