"""Milvus: a server or a cluster, by URL.

The server acknowledges a write once it is in its log, so it survives a kill of this process and of the server. The collection
NAME holds the rows; NAME_facts holds the facts and the languages.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Self

import numpy as np

from babelmix.errors import SearchError
from babelmix.search.engines.base import Engine
from babelmix.search.engines.milvus_rows import (
    BM25,
    ROWS,
    SHOWN,
    asked_terms,
    can_search_words,
    expression,
    hit_of,
    indexes,
    one_of,
    row_of,
    schema,
)
from babelmix.search.engines.milvus_server import (
    FACTS,
    WAIT_SECONDS,
    WRITE_SECONDS,
    FactsCollection,
    Place,
    Server,
    mark_of,
)
from babelmix.search.rows import Hit, Point, Vectors, Where, stored_point

_MESSAGE = 8 << 20
"""Approximate bytes of an upsert. Servers accept 64 MiB."""

_ANSWERS = 1024
"""Maximum rows of an answer: each may have 60,000 bytes, and servers send up to 100 MB."""

_LIMIT = 16_384
"""Maximum rows of a query in Milvus."""

_PAGE = 4096
_IDS = 1000
_COUNTS = 16
_LANGS_SECONDS = 60.0
_LEAST_BEAM, _BEAM_UNDER_FILTERS = 128, 1024
"""Candidates of a graph search, without and with a metadata filter. The graph misses rows if few match: see
`benchmarks/filters.py`."""


class MilvusEngine(Engine):
    """See `Engine`; made by `create` and `open`."""

    shared = True
    max_text: int | None = 60_000

    def __init__(self, server: Server) -> None:
        self.address = server.place.address
        self._server = server
        self._rows = server.place.name
        self._facts = FactsCollection(server, f"{self._rows}_facts")
        # An index that an older server holds has no fields of words.
        self.has_words = False
        self._langs: tuple[float, dict[str, int]] | None = None
        self._known: set[str] = set()
        # The number of writes of this process, and how many of them a read has certainly seen. The first starts at 1, so that the
        # first read also sees the writes of other processes.
        self._written, self._seen = 1, 0
        self._lock = threading.Lock()

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> Self:
        """Make an empty index. Parts left by a killed run are replaced.

        Raises:
            SearchError: there is an index already, or another collection has the name.

        """
        with cls._connected(address) as engine:
            if engine._is_there():
                raise SearchError(f"{address}: there is an index already")
            engine._make(dimension)
            engine._facts.write(about)
            return engine

    @classmethod
    def open(cls, address: str) -> Self:
        """Open an index that `create` made; several processes may have it open.

        Raises:
            SearchError: there is no index, or the server does not answer.

        """
        with cls._connected(address) as engine:
            if not engine._is_there():
                raise SearchError(f"{address}: is not an index; make one with  babelmix index")
            return engine

    @classmethod
    @contextmanager
    def _connected(cls, address: str) -> Iterator[Self]:
        """An engine; its connection is closed if the block fails."""
        engine = cls(Server(Place.parse(address)))
        try:
            yield engine
        except BaseException:
            engine.close()
            raise

    @classmethod
    def exists(cls, address: str) -> bool:
        """Whether there is an index.

        Raises:
            SearchError: the server does not answer.

        """
        with closing(cls(Server(Place.parse(address)))) as engine:
            return engine._is_there()

    def _is_there(self) -> bool:
        """Whether the index is complete; if so, its collections are loaded.

        Raises:
            SearchError: a collection with the name was made by someone else.

        """
        if not all([self._has(self._rows, ROWS), self._has(self._facts.collection, FACTS)]):
            return False
        self._load()
        return self._facts.read() is not None

    def _has(self, collection: str, mark: str) -> bool:
        if not self._server.call("has_collection", collection):
            return False
        found = self._server.call("describe_collection", collection)
        if mark_of(found) != mark:
            raise SearchError(
                f"{self.address}: the server has a collection {collection!r} that babelmix did not make; choose another name"
            )
        if mark == ROWS:
            self.has_words = set(BM25) <= {field["name"] for field in found["fields"]}
        return True

    def _make(self, dimension: int) -> None:
        server = self._server
        self.has_words = can_search_words(server)
        for name, mark, made, on in (
            (self._rows, ROWS, schema(server, dimension, words=self.has_words), indexes(server, words=self.has_words)),
            (self._facts.collection, FACTS, self._facts.schema(), self._facts.indexes()),
        ):
            # Without facts, no rows can have been written.
            server.call("drop_collection", name, timeout=WRITE_SECONDS)
            server.call(
                "create_collection", name, schema=made, consistency_level="Strong", timeout=WRITE_SECONDS,
                **server.marked(mark),
            )  # fmt: skip
            for field, options in on.items():
                index = server.library.MilvusClient.prepare_index_params()
                index.add_index(field, index_name=field, **options)
                # The collection is empty: there is nothing to wait for.
                server.call("create_index", name, index, sync=False, timeout=WRITE_SECONDS)
        self._load()

    def _load(self) -> None:
        for name in (self._rows, self._facts.collection):
            self._server.call("load_collection", name, _async=True, timeout=WAIT_SECONDS)
        for name in (self._rows, self._facts.collection):
            self._server.call("load_collection", name, timeout=WAIT_SECONDS)

    def about(self) -> dict[str, Any]:  # noqa: D102
        return self._facts.read() or {}

    def remember(self, about: dict[str, Any]) -> None:  # noqa: D102
        self._facts.write(about)

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:  # noqa: D102
        if not items:
            return {}
        filter_ = self._filter(Where(fields={"item": tuple(items)}))
        # The answer decides which rows are written, so it has to be complete.
        found = self._server.call(
            "query", self._rows, filter_, output_fields=["id", "item", "digest"], limit=_LIMIT,
            consistency_level="Strong", writing=True,
        )  # fmt: skip
        if len(found) == _LIMIT and len(items) > 1:
            middle = len(items) // 2
            return self.digests(items[:middle]) | self.digests(items[middle:])
        return {row["id"]: (row["item"], row["digest"]) for row in found}

    def put(self, points: Sequence[Point]) -> None:  # noqa: D102
        # Store the languages before the rows: a kill in between must not leave rows of an unknown language.
        if new := {point.row.lang for point in points} - self._known:
            self._facts.add_langs(sorted(new))
            self._known |= new
        data: list[dict[str, Any]] = []
        size = 0
        for point in {point.id: point for point in points}.values():
            row = point.row
            assert point.vector is not None
            data.append(row_of(point, words=self.has_words))
            size += (
                1024 + point.vector.nbytes + (24 if self.has_words else 4) * len(row.text or "") + len(point.thumbnail)
            )
            if size >= _MESSAGE:
                self._write("upsert", data)
                data, size = [], 0
        if data:
            self._write("upsert", data)

    def remove(self, ids: Sequence[str]) -> None:  # noqa: D102
        for start in range(0, len(ids), _IDS):
            self._write("delete", list(ids[start : start + _IDS]))

    def _write(self, method: str, data: list[Any]) -> None:
        try:
            self._server.call(method, self._rows, data, timeout=WRITE_SECONDS, writing=True)
        finally:
            with self._lock:
                self._written += 1
                self._langs = None

    def _filter(self, where: Where) -> str | None:
        return expression(where, self._server)

    def _read(self, method: str, *given: Any, **options: Any) -> Any:
        """Read, including all writes of this process. The first read after a write may wait up to 0.2 s for it."""
        written = self._written
        level = "Bounded" if self._seen == written else "Strong"
        result = self._server.call(method, self._rows, *given, consistency_level=level, **options)
        with self._lock:
            self._seen = max(self._seen, written)
        return result

    def nearest(  # noqa: D102
        self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False
    ) -> list[list[Hit]]:
        groups: dict[str, list[int]] = {}
        for number, where in enumerate(wheres):
            if (filter_ := self._filter(Where(None, where.fields) if exact else where)) is not None:
                groups.setdefault(filter_, []).append(number)
        result: list[list[Hit]] = [[] for _ in wheres]
        for filter_, numbers in groups.items():
            some = vectors[numbers]
            beam = _BEAM_UNDER_FILTERS if wheres[numbers[0]].fields else _LEAST_BEAM
            found = self._exact(some, [wheres[i] for i in numbers], k) if exact else self._near(some, filter_, k, beam)
            for number, hits in zip(numbers, found, strict=True):
                result[number] = sorted(hits, key=lambda hit: (-hit.score, hit.id))
            # The graph search may stop before it has found all rows.
            short = [] if exact else [number for number in numbers if len(result[number]) < k]
            there = self._counted(filter_) if short else 0
            if short := [number for number in short if len(result[number]) < there]:
                again = self._exact(vectors[short], [wheres[number] for number in short], k)
                for number, hits in zip(short, again, strict=True):
                    result[number] = sorted(hits, key=lambda hit: (-hit.score, hit.id))
        return result

    def _near(self, vectors: Vectors, filter_: str, k: int, beam: int) -> Iterator[list[Hit]]:
        step = max(1, _ANSWERS // k)
        parameters = {"metric_type": "IP", "params": {"ef": max(beam, 2 * k)}}
        for start in range(0, len(vectors), step):
            some = list(vectors[start : start + step])
            for hits in self._read(
                "search", some, anns_field="vector", filter=filter_, limit=k, output_fields=SHOWN,
                search_params=parameters,
            ):  # fmt: skip
                yield [hit_of(hit["id"], hit["distance"], hit["entity"]) for hit in hits]

    def _exact(self, vectors: Vectors, wheres: Sequence[Where], k: int) -> Iterator[list[Hit]]:
        """Compare with every row here, because Milvus does so only without a graph. The vectors are read once.

        Args:
            vectors: float32, shape (searches, dimension).
            wheres: one filter per search. They differ only in their languages.
            k: the most rows per search.

        """
        langs = {lang for where in wheres for lang in where.langs or ()}
        everywhere = any(where.langs is None for where in wheres)
        filter_ = self._filter(Where(None if everywhere else tuple(sorted(langs)), wheres[0].fields))
        queries = vectors.astype(np.float64)
        best: list[dict[str, float]] = [{} for _ in wheres]
        size = max(1, min(_PAGE, _MESSAGE // (4 * vectors.shape[1])))
        pages = () if filter_ is None else self._server.pages(self._rows, filter_, ["id", "lang", "vector"], size)
        for page in pages:
            ids, found = (np.array([row[name] for row in page]) for name in ("id", "lang"))
            # Only scores that are computed in double precision and rounded are equal for equal rows.
            held = np.array([row["vector"] for row in page], dtype=np.float64)
            scores = (queries @ held.T).astype(np.float32)
            for where, kept, row in zip(wheres, best, scores, strict=True):
                suits = np.arange(len(row)) if where.langs is None else np.flatnonzero(np.isin(found, where.langs))
                if len(suits) > k:
                    suits = suits[row[suits] >= np.partition(row[suits], -k)[-k]]
                kept |= zip(ids[suits].tolist(), row[suits].tolist(), strict=True)
                for name, _ in sorted(kept.items(), key=lambda one: (-one[1], one[0]))[k:]:
                    del kept[name]
        names = sorted({name for kept in best for name in kept})
        facts: dict[str, Any] = {}
        for start in range(0, len(names), _ANSWERS):
            wanted = names[start : start + _ANSWERS]
            facts |= {row["id"]: row for row in self._read("query", ids=wanted, output_fields=["id", *SHOWN])}
        # A row may have been removed in the meantime.
        yield from (
            [hit_of(name, score, facts[name]) for name, score in kept.items() if name in facts] for kept in best
        )

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:  # noqa: D102
        if not self.has_words:
            raise SearchError(
                f"{self.address}: has no BM25: its server, or the version of babelmix that made it, had none; use the mode "
                "'dense', or make the index again on a server of Milvus 2.5 or newer"
            )
        groups: dict[tuple[str, str], list[tuple[int, str]]] = {}
        for number, (text, where) in enumerate(zip(texts, wheres, strict=True)):
            if (filter_ := self._filter(where)) is not None:
                for field, asked in asked_terms(text).items():
                    groups.setdefault((BM25[field], filter_), []).append((number, asked))
        best: list[dict[str, Hit]] = [{} for _ in texts]
        step = max(1, _ANSWERS // k)
        for (field, filter_), some in groups.items():
            for start in range(0, len(some), step):
                part = some[start : start + step]
                found = self._read(
                    "search", [asked for _, asked in part], anns_field=field, filter=filter_, limit=k,
                    output_fields=SHOWN, search_params={"metric_type": "BM25"},
                )  # fmt: skip
                for (number, _), hits in zip(part, found, strict=True):
                    for hit in hits:
                        # Milvus Lite gives the scores with a minus.
                        one = hit_of(hit["id"], abs(hit["distance"]), hit["entity"])
                        before = best[number].get(one.id)
                        best[number][one.id] = one if before is None else one.scored(before.score + one.score)
        return [sorted(hits.values(), key=lambda hit: (-hit.score, hit.id))[:k] for hits in best]

    def sample(self, lang: str, count: int) -> Vectors:  # noqa: D102
        # Ids are digests, so the first rows are a random sample, and the same each time.
        with closing(self._server.pages(self._rows, one_of("lang", [lang]), ["vector"], min(count, _LIMIT))) as pages:
            page: list[dict[str, Any]] = next(pages, [])
        return np.array([row["vector"] for row in page], dtype=np.float32)

    def points(self, langs: Sequence[str] | None = None) -> Iterator[Point]:  # noqa: D102
        filter_ = "" if langs is None else self._filter(Where(tuple(langs)))
        if filter_ is None:
            return
        for page in self._server.pages(self._rows, filter_, ["id", "digest", "vector", *SHOWN], _ANSWERS):
            for row in page:
                yield stored_point(row["id"], row["digest"], row, row["vector"])

    def langs(self) -> dict[str, int]:  # noqa: D102
        now, kept = time.monotonic(), self._langs
        # Count again after a minute, because other processes may write too.
        if kept is None or now - kept[0] > _LANGS_SECONDS:
            written = self._written
            langs = sorted(self._facts.langs())
            with ThreadPoolExecutor(_COUNTS) as pool:
                counts = dict(zip(langs, pool.map(self._count, langs), strict=True))
            kept = now, {lang: count for lang, count in counts.items() if count}
            with self._lock:
                self._langs = kept if written == self._written else None
        return dict(kept[1])

    def _count(self, lang: str) -> int:
        return self._counted(one_of("lang", [lang]))

    def _counted(self, filter_: str) -> int:
        found = self._read("query", filter_, output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def items(self) -> Iterator[str]:  # noqa: D102
        seen = set()
        for page in self._server.pages(self._rows, "", ["item"], _PAGE):
            for row in page:
                if row["item"] not in seen:
                    seen.add(row["item"])
                    yield row["item"]

    def settle(self) -> None:  # noqa: D102
        self._server.call("flush", self._rows, timeout=WAIT_SECONDS, writing=True)
        end = time.monotonic() + WAIT_SECONDS
        # If it takes longer, the server continues without us.
        while (
            self._server.call("describe_index", self._rows, "vector").get("pending_index_rows")
            and time.monotonic() < end
        ):
            time.sleep(0.2)

    def close(self) -> None:  # noqa: D102
        self._server.close()
