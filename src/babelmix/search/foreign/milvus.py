"""A collection of Milvus. The new vectors are in a copy of the collection, which takes its place by an alias.

The servers that are tested cannot add a field of vectors to a collection, and Milvus before 2.4 holds one such field only. So the
copy has the same fields and indexes, and the corrected vector in place of the old one. The old collection is only read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from babelmix.errors import SearchError
from babelmix.search.engines.milvus_server import WAIT_SECONDS, WRITE_SECONDS, mark_of
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.base import Floats, Key, Page
from babelmix.search.foreign.milvus_fields import DYNAMIC, SIMILARITIES, Fields, server_of

OPTIONS = ("id", "lang", "vector", "similarity", "https")
"""The options of an address."""

_OURS = "babelmix"
"""What the marks of our copies begin with."""

_COPIED = {
    "BOOL", "INT8", "INT16", "INT32", "INT64", "FLOAT", "DOUBLE", "VARCHAR", "JSON", "ARRAY", "FLOAT_VECTOR",
    "SPARSE_FLOAT_VECTOR",
}  # fmt: skip
"""Types of fields that are copied."""

_FIELD = ("nullable", "default_value", "is_partition_key", "is_clustering_key", "element_type", "description")
_KEYS = 1000
_MESSAGE = 8 << 20
"""Approximate bytes of a write. Servers accept 64 MiB."""


class MilvusStore:
    """See `ForeignStore`. A row is identified by its primary key. A vector NAME is the collection COLLECTION_NAME.

    Args:
        address: `milvus://HOST:PORT/COLLECTION`, or `.../DATABASE/COLLECTION`; an alias is a name too. Its option `lang` names
            the field of the language (without it `lang`; a value in a field of JSON is `meta.lang`), `vector` the vector (without
            it the only one); `https=1` encrypts. The token is in the environment variable `BABELMIX_MILVUS_TOKEN`.

    Raises:
        SearchError: the server does not answer, or the collection is not as the address says.
        MissingExtraError: pymilvus is not installed.

    """

    def __init__(self, address: Address) -> None:
        self.address = str(address)
        address.only(OPTIONS)
        self._asked = address.name
        self._server = server_of(address)
        try:
            self._fields = fields = Fields(self._server, address)
            if fields.lang is None:
                raise SearchError(f"{self.address}: has no field of languages; say which one it is with  ?lang=FIELD")
            self.vector, self.dimension = fields.vector, fields.dimension
            self.similarity = address.options.get("similarity")
            if self.similarity not in (None, "cosine", "dot"):
                raise SearchError(f"{self.address}: similarity is cosine or dot, not {self.similarity!r}")
            metric = SIMILARITIES.get(fields.metric)
            self.similarity = self.similarity or (metric if metric in ("cosine", "dot") else None)
        except BaseException:
            self._server.close()
            raise

    def keys(self, size: int) -> Iterator[tuple[list[Key], list[str | None]]]:
        """See `ForeignStore`."""
        fields = self._fields
        assert fields.lang is not None
        for page in self._pages(list(dict.fromkeys([fields.key, fields.lang.field])), size):
            yield [row[fields.key] for row in page], [self._lang_of(row) for row in page]

    def read(self, keys: Sequence[Key]) -> Floats:
        """See `ForeignStore`."""
        rows = self._with_keys(self._fields.name, keys, [self._fields.key, self.vector])
        return np.array([row[self.vector] for row in rows], dtype=np.float32)

    def mark(self, name: str) -> str | None:
        """See `ForeignStore`. The mark is that of the copy."""
        copy = self._copy(name)
        if not self._server.call("has_collection", copy):
            return None
        found = mark_of(self._server.call("describe_collection", copy))
        return found if found.startswith(_OURS) else ""

    def add(self, name: str, mark: str) -> None:
        """See `ForeignStore`. The copy has no rows yet, and is loaded."""
        server, fields, copy = self._server, self._fields, self._copy(name)
        self._check_copyable()
        server.call(
            "create_collection", copy, schema=self._schema(mark), timeout=WRITE_SECONDS,
            consistency_level=fields.described.get("consistency_level_name", "Bounded"), **server.marked(mark),
        )  # fmt: skip
        for field in fields.all:
            if index := fields.index_of(field):
                made = server.library.MilvusClient.prepare_index_params()
                made.add_index(
                    field, index_name=str(index.get("index_name", field)), index_type=index["index_type"],
                    metric_type=index.get("metric_type", ""), params=_parameters(index),
                )  # fmt: skip
                server.call("create_index", copy, made, sync=False, timeout=WRITE_SECONDS)
        self._load(copy)

    def _load(self, copy: str) -> None:
        self._server.call("load_collection", copy, timeout=WAIT_SECONDS)

    def _check_copyable(self) -> None:
        fields = self._fields
        odd = [f"{name} ({kind})" for name, kind in fields.kinds.items() if kind not in _COPIED]
        if odd:
            raise SearchError(f"{self.address}: the field {odd[0]} is of a type that cannot be copied here")
        if not fields.metric:
            raise SearchError(f"{self.address}: has no index of the field {self.vector!r}; make one first")
        keyed = any(field.get("is_partition_key") for field in fields.all.values())
        parts = (
            [] if keyed else [name for name in self._server.call("list_partitions", fields.name) if name != "_default"]
        )
        if parts:
            raise SearchError(
                f"{self.address}: has the partition {parts[0]!r}; collections with partitions of their own cannot be copied here"
            )

    def _schema(self, mark: str) -> Any:
        library, fields = self._server.library, self._fields
        made = library.MilvusClient.create_schema(description=mark, enable_dynamic_field=fields.dynamic)
        for name, field in fields.all.items():
            # The copy has the keys of the old collection, also where the server made them.
            given = {option: field[option] for option in _FIELD if field.get(option) is not None}
            given |= {"is_primary": True, "auto_id": False} if name == fields.key else {}
            made.add_field(name, field["type"], **_options(field.get("params", {})), **given)
        for function in fields.described.get("functions", ()):
            made.add_function(
                library.Function(
                    function["name"], function["type"], list(function["input_field_names"]), list(function["output_field_names"]),
                    params=dict(function.get("params") or {}),
                )
            )  # fmt: skip
        return made

    def drop(self, name: str) -> None:
        """See `ForeignStore`."""
        self._check_new(name)
        self._server.call("drop_collection", self._copy(name), timeout=WRITE_SECONDS)

    def left(self, name: str, size: int) -> Iterator[Page]:
        """See `ForeignStore`."""
        fields, copy = self._fields, self._copy(name)
        assert fields.lang is not None
        self._load(copy)
        for page in self._pages(list(dict.fromkeys([fields.key, fields.lang.field, self.vector])), size):
            there = self._there(copy, [row[fields.key] for row in page], [fields.key])
            rows = [row for row in page if row[fields.key] not in there]
            if rows:
                vectors = np.array([row[self.vector] for row in rows], dtype=np.float32)
                yield Page([row[fields.key] for row in rows], [self._lang_of(row) for row in rows], vectors)

    def write(self, name: str, keys: Sequence[Key], vectors: Floats) -> None:
        """See `ForeignStore`. Rows with long texts are written in several parts, each whole."""
        self._check_new(name)
        fields = self._fields
        made = {out for function in fields.described.get("functions", ()) for out in function["output_field_names"]}
        wanted = [field for field in fields.all if field not in made and field != self.vector]
        rows = self._with_keys(fields.name, keys, [*wanted, *[DYNAMIC] * fields.dynamic])
        part: list[dict[str, Any]] = []
        size = 0
        for row, vector in zip(rows, vectors, strict=True):
            part.append({**row, self.vector: vector})
            size += vector.nbytes + len(str(row))
            if size >= _MESSAGE:
                self._put(name, part)
                part, size = [], 0
        if part:
            self._put(name, part)

    def _put(self, name: str, rows: list[dict[str, Any]]) -> None:
        self._server.call("upsert", self._copy(name), rows, timeout=WRITE_SECONDS, writing=True)

    def next_steps(self, name: str) -> dict[str, str]:
        """See `ForeignStore`."""
        old, copy = self._fields.name, self._copy(name)
        steps = {
            "index": f"the collection {copy!r} has the indexes of {old!r} and is loaded",
            "search": f"client.search({copy!r}, [CORRECTED_QUERY_VECTOR], anns_field={self.vector!r})",
        }
        if self._asked != old:
            switch = f"client.alter_alias({copy!r}, {self._asked!r})"
            back = f"client.alter_alias({old!r}, {self._asked!r})"
        else:
            switch = f"client.rename_collection({old!r}, {old + '_before'!r}); client.create_alias({copy!r}, {old!r})"
            back = f"client.drop_alias({old!r}); client.rename_collection({old + '_before'!r}, {old!r})"
            back += f"; client.load_collection({old!r})"  # Milvus Lite releases what it renames
        return {**steps, "switch": switch, "back": f"{back}; to remove the copy:  client.drop_collection({copy!r})"}

    def close(self) -> None:
        """See `ForeignStore`."""
        self._server.close()

    def _copy(self, name: str) -> str:
        if not name.isidentifier() or not name.isascii():
            raise SearchError(
                f"{self.address}: {name!r} can be no part of a collection's name; use letters, digits and _"
            )
        return f"{self._fields.name}_{name}"

    def _check_new(self, name: str) -> None:
        if not self.mark(name):
            raise SearchError(
                f"{self.address}: {self._copy(name)!r} is not a collection that babelmix made, so it is not written"
            )

    def _pages(self, outputs: list[str], size: int) -> Iterator[list[Any]]:
        fields = self._fields
        with closing(self._server.pages(fields.name, fields.everything, outputs, size)) as pages:
            yield from pages

    def _lang_of(self, row: Any) -> str | None:
        assert self._fields.lang is not None
        found = self._fields.lang.of(row)
        return found if isinstance(found, str) and found else None

    def _there(self, collection: str, keys: Sequence[Key], outputs: list[str]) -> dict[Key, Any]:
        rows: dict[Key, Any] = {}
        for start in range(0, len(keys), _KEYS):
            # pymilvus does not quote the texts of  ids=  for the server.
            some = self._fields.with_keys(keys[start : start + _KEYS])
            found = self._server.call("query", collection, some, output_fields=outputs, consistency_level="Strong")
            rows |= {row[self._fields.key]: row for row in found}
        return rows

    def _with_keys(self, collection: str, keys: Sequence[Key], outputs: list[str]) -> list[Any]:
        rows = self._there(collection, keys, outputs)
        gone = [key for key in keys if key not in rows]
        if gone:
            raise SearchError(
                f"{self.address}: the row {gone[0]!r} went away while rows were read; run the command again"
            )
        return [rows[key] for key in keys]


_OF_THE_SERVER = {
    "index_type", "metric_type", "field_name", "index_name", "total_rows", "indexed_rows", "pending_index_rows", "state",
}  # fmt: skip
"""What `describe_index` says besides the parameters."""


def _parameters(index: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an index, as they were given."""
    given = dict(index.get("params") or {}) if isinstance(index.get("params"), dict) else {}
    given |= {name: value for name, value in index.items() if name not in _OF_THE_SERVER and name != "params"}
    return given


def _options(parameters: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a field, as `add_field` takes them: servers give back texts."""
    whole = {"true": True, "false": False}
    return {name: whole.get(value, value) if isinstance(value, str) else value for name, value in parameters.items()}


__all__ = ["OPTIONS", "MilvusStore"]
