"""Someone else's collection of Qdrant, as an engine that is only read."""

from __future__ import annotations

import hashlib
import heapq
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from babelmix.errors import SearchError
from babelmix.search.foreign.address import Address
from babelmix.search.foreign.engine import OPTIONS, ForeignEngine
from babelmix.search.foreign.qdrant import OPTIONS as STORE_OPTIONS
from babelmix.search.foreign.qdrant import QdrantStore
from babelmix.search.foreign.qdrant_fields import Fields
from babelmix.search.foreign.row import Asked, ForeignRow
from babelmix.search.rows import Hit, Vectors, Where

_PAGE = 1000
_SOME = 200
"""The points that say which fields there are, and whether Euclidean distances order as cosines do."""

_LANGUAGES = 1000
_BATCH = 64
"""Searches that are sent together."""


class QdrantCollection(ForeignEngine):
    """See `ForeignEngine`.

    Args:
        address: `qdrant://HOST:PORT/COLLECTION`, or `qdrant:///FOLDER/COLLECTION` for a folder of qdrant-client itself. Its
            options: `id` (a field of the payload, without it the id of the point), `item`, `lang` (without it one of
            `LANG_NAMES`), `text` (without it `text`, `body`, `content` or `page_content`), `vector` (without it the unnamed or
            only one); `https=1` encrypts. A field may be nested, as in `payload.meta.lang`. The API key is in the environment
            variable `QDRANT_API_KEY`.

    """

    what = "a collection of Qdrant"
    options = (*OPTIONS, "https")

    def _open(self, address: Address) -> None:
        address.only(self.options)
        kept = {
            name: value for name, value in address.options.items() if name in STORE_OPTIONS and name != "similarity"
        }
        self._store = QdrantStore(replace(address, options=kept))
        # The local mode of the client is for one thread.
        self._lock = threading.RLock()
        try:
            self._read_collection(address)
        except BaseException:
            self._store.close()
            raise

    def _read_collection(self, address: Address) -> None:
        store = self._store
        self.dimension = store.dimension
        with store.errors():
            info = store.client.get_collection(store.name)
        schema = {name: one.data_type.value for name, one in (info.payload_schema or {}).items()}
        some = next(self._pages(Asked(), payload=True, size=_SOME), [])
        self._fields = Fields(store.models, address, schema, [point.payload for point in some])
        if not some:
            raise SearchError(f"{self.address}: has no point with a vector {store.vector or '(unnamed)'!r}")
        if (missing := self._fields.missing()) is not None:
            raise SearchError(
                f"{self.address}: the first {len(some)} points have no field {missing[1]!r}; say which one it is with  "
                f"?{missing[0]}=payload.FIELD  (fields: {', '.join(self._fields.there) or 'none'})"
            )
        self.columns = dict(self._fields.kinds)
        self.detects = not self._fields.lang
        if self.detects:
            if not self._fields.text:
                raise SearchError(
                    f"{self.address}: has neither a field of languages nor one of texts to detect them from; name one of them:  "
                    "?lang=payload.FIELD  or  ?text=payload.FIELD"
                )
            self._detected.check(self._fields.there)
        elif address.place and self._fields.lang not in schema:
            self.say(
                f"The field {self._fields.lang} has no index in Qdrant: searches in one language are slow, and may miss rows; "
                "create_payload_index makes one, of the type keyword."
            )
        self._distance = store.dense.distance.value
        self._indexed = schema
        if self._distance not in ("Cosine", "Dot", "Euclid"):
            raise SearchError(
                f"{self.address}: compares by {self._distance} distance, and an encoder by cosine or dot product; name another "
                "vector:  ?vector=NAME"
            )
        if self._distance == "Euclid":
            self.check_euclidean(self.draw(Asked(), _SOME))
        self.similarity = "dot" if self._distance == "Dot" else "cosine"
        if address.options.get("similarity") not in (None, self.similarity):
            raise SearchError(
                f"{self.address}: Qdrant compares these vectors by {self._distance}, so the similarity is {self.similarity}; "
                "leave similarity out"
            )

    def count_languages(self) -> Mapping[str | None, int]:
        """See `ForeignEngine`. The server counts if the field has an index; otherwise one pass reads all points."""
        store, models = self._store, self._store.models
        has = store.has(store.vector)
        with store.errors(), self._lock:
            total = store.client.count(store.name, count_filter=models.Filter(must=[has]), exact=True).count
            if not self._fields.lang:
                return {None: total}
            if self._indexed.get(self._fields.lang) == "keyword":
                empty = self._fields.conditions(Asked((None,)))
                none = store.client.count(store.name, count_filter=models.Filter(must=[has, *empty]), exact=True).count
                found = store.client.facet(
                    store.name, self._fields.lang, facet_filter=models.Filter(must=[has]), limit=_LANGUAGES, exact=True
                )
                counts: dict[str | None, int] = {str(hit.value): hit.count for hit in found.hits}
                if sum(counts.values()) + none == total:
                    return counts | ({None: none} if none else {})
        return Counter(row.lang for row in self.rows())

    def rows(self, *, texts: bool = False) -> Iterator[ForeignRow]:
        """See `ForeignEngine`."""
        fields = self._fields
        for points in self._pages(Asked(), payload=fields.needed(texts=texts)):
            for point in points:
                row = ForeignRow(fields.id_of(point), fields.item_of(point), fields.lang_of(point))
                yield replace(row, text=fields.text_of(point), fields=fields.fields_of(point)) if texts else row

    def _pages(self, asked: Asked, *, payload: Any, size: int = _PAGE) -> Iterator[list[Any]]:
        conditions = self._fields.conditions(asked) if asked != Asked() else []
        wanted = self._store.models.Filter(must=[self._store.has(self._store.vector), *conditions])
        yield from self._store.scrolled(wanted, size, vectors=False, payload=payload)

    def draw(self, asked: Asked, count: int) -> Vectors:
        """See `ForeignEngine`. One pass reads the ids that pass; a hash of the id says which points."""
        if asked.nothing:
            return np.zeros((0, self.dimension), dtype=np.float32)

        def hashed(key: Any) -> bytes:
            return hashlib.blake2b(repr(key).encode(), digest_size=8).digest()

        with self._lock:
            keys = (point.id for points in self._pages(asked, payload=False) for point in points)
            drawn = heapq.nsmallest(count, keys, key=hashed)
            parts = [self._store.read(drawn[at : at + _PAGE]) for at in range(0, len(drawn), _PAGE)]
        return np.concatenate(parts) if parts else np.zeros((0, self.dimension), dtype=np.float32)

    def some_texts(self, count: int) -> list[tuple[str, str | None, Vectors]]:
        """See `ForeignEngine`."""
        fields = self._fields
        with self._lock:
            points = next(self._pages(Asked(), payload=True, size=count), [])
            points = [point for point in points if fields.text_of(point)]
            if not points:
                return []
            vectors = self._store.read([point.id for point in points])
        return [
            (fields.text_of(point) or "", fields.lang_of(point), vector)
            for point, vector in zip(points, vectors, strict=True)
        ]

    def nearest(self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False) -> list[list[Hit]]:
        """See `Engine`."""
        store, models = self._store, self._store.models
        found: list[list[Hit]] = [[] for _ in wheres]
        asked = [(number, self.asked(where)) for number, where in enumerate(wheres)]
        asked = [(number, one) for number, one in asked if not one.nothing]
        for start in range(0, len(asked), _BATCH):
            some = asked[start : start + _BATCH]
            requests = [
                models.QueryRequest(
                    query=np.asarray(vectors[number], dtype=np.float32).tolist(), using=store.vector or None, limit=k,
                    filter=models.Filter(must=self._fields.conditions(one)), with_payload=True,
                    params=models.SearchParams(exact=exact),
                )
                for number, one in some
            ]  # fmt: skip
            with store.errors(), self._lock:
                answers = store.client.query_batch_points(store.name, requests)
            for (number, _), answer in zip(some, answers, strict=True):
                found[number] = self.best(map(self._hit, answer.points), k)
        return found

    def _hit(self, point: Any) -> Hit:
        fields, score = self._fields, float(point.score)
        # Qdrant gives the distance itself, so that less is better.
        score = 1 - score**2 / 2 if self._distance == "Euclid" else score
        return self.hit(
            fields.id_of(point), score, fields.item_of(point), fields.lang_of(point), fields.text_of(point),
            fields.fields_of(point),
        )  # fmt: skip

    def close(self) -> None:
        """See `Engine`."""
        self._store.close()


__all__ = ["QdrantCollection"]
