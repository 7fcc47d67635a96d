"""An index of OpenSearch or Elasticsearch as a store: the new vector is a field of the same documents."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from babelmix.errors import SearchError
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.base import Floats, Key, Page
from babelmix.search.foreign.elastic_client import ElasticClient
from babelmix.search.foreign.elastic_fields import Fields
from babelmix.search.foreign.elastic_vectors import Mapped
from babelmix.search.foreign.opensearch import MARKS, vector_field, vector_names, vectors_asked, vectors_of

OPTIONS = ("id", "item", "lang", "text", "vector", "similarity", "tls")
"""The options of an address: those of a collection that is read, so that one address is for both."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_FULL = 429
_CONFLICT = 409
_TRIES = 5
_PAUSE = 0.5


class OpenSearchStore:
    """See `ForeignStore`. A document is identified by its `_id`.

    A document that someone changes between the reading and the writing of its vector is not written: the server compares its
    sequence number. The mark of a new field is in the `_meta` of the mapping.

    Args:
        address: `opensearch://HOST:9200/INDEX` or `elasticsearch://HOST:9200/INDEX`. Its options are `lang` (without it one of
            `LANG_NAMES`), `vector` (without it the only one), `similarity` (`cosine` or `dot`) and `tls`; `id`, `item` and `text`
            are for searches. For a login see `ElasticClient`.

    Raises:
        SearchError: the server does not answer, or the index is not as the address says.
        MissingExtraError: httpx is not installed.

    """

    def __init__(self, address: Address) -> None:
        self.address = str(address)
        address.only(OPTIONS)
        self._client = ElasticClient(address)
        try:
            self._field = vector_field(self._client, address)
            self._fields = Fields.read(address, self._client.mapping, vector_names(self._client.mapping))
            if not self._fields.lang:
                raise SearchError(f"{self.address}: has no field of languages; name it:  ?lang=FIELD")
            self.vector, self.dimension = self._field.name, self._field.dimension
            given = address.options.get("similarity")
            if given not in (None, "cosine", "dot"):
                raise SearchError(f"{self.address}: similarity is cosine or dot, not {given!r}")
            self.similarity: str | None = given or self._field.similarity
        except BaseException:
            self._client.close()
            raise
        self._seen: dict[Key, Mapping[str, Any]] = {}

    def keys(self, size: int) -> Iterator[tuple[list[Key], list[str | None]]]:
        """See `ForeignStore`."""
        body = {"query": self._has(self.vector), "_source": [self._fields.lang]}
        for hits in self._client.pages(body, size):
            yield [str(hit["_id"]) for hit in hits], [self._fields.lang_of(hit) or None for hit in hits]

    def read(self, keys: Sequence[Key]) -> Floats:
        """See `ForeignStore`."""
        query = {"bool": {"filter": [{"ids": {"values": list(keys)}}, self._has(self.vector)]}}
        asked = {"size": len(keys), "query": query, **vectors_asked(self._client, self.vector)}
        hits = {str(hit["_id"]): hit for hit in self._client.search(asked)["hits"]["hits"]}
        gone = [key for key in keys if key not in hits]
        if gone:
            raise SearchError(
                f"{self.address}: the document {gone[0]} went away while documents were read; run the command again"
            )
        return vectors_of(self.address, [hits[key] for key in keys], self._field)

    def mark(self, name: str) -> str | None:
        """See `ForeignStore`. The mark is in the `_meta` of the mapping."""
        mapping = self._mapping()
        if name not in Mapped.read(mapping).specs and name not in (mapping.get("properties") or {}):
            return None
        return str(((mapping.get("_meta") or {}).get(MARKS) or {}).get(name) or "")

    def add(self, name: str, mark: str) -> None:
        """See `ForeignStore`. A field that `drop` emptied is used again: neither product can remove a field from a mapping."""
        if not _NAME.fullmatch(name):
            raise SearchError(f"{self.address}: {name!r} cannot be the name of a field; use letters, digits, _ and -")
        meta = dict(self._mapping().get("_meta") or {})
        meta[MARKS] = {**(meta.get(MARKS) or {}), name: mark}
        # One request: the field and its mark are there together, or neither.
        self._client.put(
            f"/{self._client.index}/_mapping", {"properties": {name: dict(self._field.spec)}, "_meta": meta}
        )

    def drop(self, name: str) -> None:
        """See `ForeignStore`. The field stays in the mapping, empty and with its mark: it cannot be removed from there."""
        self._check_new(name)
        script = {"source": "ctx._source.remove(params.name)", "params": {"name": name}}
        self._refresh()
        for hits in self._client.pages({"query": self._has(name), "_source": False}, 1000):
            lines: list[Mapping[str, Any]] = []
            for hit in hits:
                lines += [{"update": {"_id": hit["_id"], **_routed(hit)}}, {"script": script}]
            self._write(lines)
        self._refresh()

    def left(self, name: str, size: int) -> Iterator[Page]:
        """See `ForeignStore`."""
        self._refresh()
        asked = vectors_asked(self._client, self.vector)
        source = [*(asked["_source"] or []), self._fields.lang]
        query = {"bool": {"filter": [self._has(self.vector)], "must_not": [self._has(name)]}}
        for hits in self._client.pages(
            {"query": query, "seq_no_primary_term": True, **asked, "_source": source}, size
        ):
            self._seen = {
                str(hit["_id"]): {"if_seq_no": hit["_seq_no"], "if_primary_term": hit["_primary_term"], **_routed(hit)}
                for hit in hits
            }
            langs = [self._fields.lang_of(hit) or None for hit in hits]
            yield Page([str(hit["_id"]) for hit in hits], langs, vectors_of(self.address, hits, self._field))
        self._refresh()

    def write(self, name: str, keys: Sequence[Key], vectors: Floats) -> None:
        """See `ForeignStore`. A document is written or not; a page may be written in part, and the next call writes the rest.

        Raises:
            SearchError: documents were changed in the meantime, or are refused.

        """
        self._check_new(name)
        lines: list[Mapping[str, Any]] = []
        for key, vector in zip(keys, vectors.tolist(), strict=True):
            lines += [{"update": {"_id": key, **self._seen.get(key, {})}}, {"doc": {name: vector}}]
        self._write(lines)

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Send updates; those that a full server puts off are sent again."""
        left, answers = list(lines), []
        for attempt in range(_TRIES):
            answers = self._client.bulk(left)
            again = [row for row, answer in enumerate(answers) if answer["status"] == _FULL]
            failed = [answer for answer in answers if answer["status"] >= 300 and answer["status"] != _FULL]
            if failed:
                break
            if not again:
                return
            left = [line for row in again for line in left[2 * row : 2 * row + 2]]
            time.sleep(_PAUSE * 2**attempt)
        changed = sum(answer["status"] in (_CONFLICT, 404) for answer in answers)
        if changed:
            raise SearchError(
                f"{self.address}: {changed:,} documents were changed or removed by others while they were written; run the "
                "command again: it goes on with the documents that are left"
            )
        first = next(answer for answer in answers if answer["status"] >= 300)
        error = first.get("error") or {}
        raise SearchError(
            f"{self.address}: the document {first.get('_id')} was not written: {error.get('reason', 'refused')}; the same "
            "command goes on from here"
        )

    def next_steps(self, name: str) -> dict[str, str]:
        """See `ForeignStore`."""
        index = self._client.index
        if self._client.product == "opensearch":
            body = f'{{"query": {{"knn": {{"{name}": {{"vector": CORRECTED_QUERY_VECTOR, "k": 10}}}}}}}}'
        else:
            body = f'{{"knn": {{"field": "{name}", "query_vector": CORRECTED_QUERY_VECTOR, "k": 10, "num_candidates": 100}}}}'
        return {
            "index": f"{self._client.called} indexes {name!r} by itself, with the settings of {self.vector!r}; it takes as much "
            "memory again",
            "search": f"POST /{index}/_search  {body}",
            "back": f"search {self.vector!r} with the query vector as it is; a field cannot be removed from a mapping: to get "
            f"rid of {name!r}, remove its values by _update_by_query, or copy the index without it by _reindex",
        }

    def close(self) -> None:
        """See `ForeignStore`."""
        self._client.close()

    def _mapping(self) -> dict[str, Any]:
        found = self._client.get(f"/{self._client.index}/_mapping")
        return dict(next(iter(found.values())).get("mappings", {}))

    def _refresh(self) -> None:
        """Make searches see what was written."""
        self._client.post(f"/{self._client.index}/_refresh")

    def _has(self, name: str) -> dict[str, Any]:
        return {"exists": {"field": name}}

    def _check_new(self, name: str) -> None:
        if name == self.vector or not self.mark(name):
            raise SearchError(
                f"{self.address}: the field {name!r} is not one that babelmix added, so it is not written"
            )


def _routed(hit: Mapping[str, Any]) -> dict[str, Any]:
    return {"routing": hit["_routing"]} if "_routing" in hit else {}


__all__ = ["OPTIONS", "OpenSearchStore"]
