"""Qdrant Edge: Qdrant's engine in the process, in a folder.

Every write is in the write-ahead log before it returns, so it survives a kill of the process. The log is not flushed to the disk
at each write, so a power failure may lose the last seconds.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelmix._files import replacing_folder, write_json
from babelmix.errors import BabelmixError, EngineError, SearchError, WriteError, first_line, require
from babelmix.search.engines.edge_rows import DENSE, LAYOUT, MARKS, WORDS, EdgeRows, layout_file, layout_of
from babelmix.search.rows import Hit, Point, Vectors, Where, stored_point

MARKER = "index.json"
"""The file that makes a folder an index."""

_ROWS = "rows"
_SETTLED = "settled"
"""This file exists while nothing has been written since the graph was built."""
_FACTS = ("item", "lang", "group", "text", "thumbnail", "fields")
_PAGE = 4096
_FLUSH_EVERY = 20_000
_MAX_LANGS = 10_000
_LINKS, _WIDTH = 24, 200
"""The graph: links of a row, and rows compared for each row while the graph is built."""
_LOOK, _LOOK_IN_ONE = 512, 128
"""Rows compared by a search in all languages, and in one language, where fewer are enough: see `benchmarks/engine.py`."""
_FIRST, _MORE = 50, 1.2
"""For k rows, 50 + 1.2 k candidates are compared by their vectors; all others only by their eight-bit codes."""
_SCANNED = 10_000
"""Up to this many KiB of vectors, comparing all of them is faster than the graph."""
_COMPARED = 1 << 29
"""Up to this many bytes of vectors, a search with a metadata filter compares all matching rows. The graph would miss rows if
columns and languages are combined: see `benchmarks/filters.py`."""
_ROOM = 64 << 20
"""Bytes that have to be free on the disk before a write. The library maps files into memory; a page that does not fit on the disk
kills the process without a message."""
_OPENING = 32 << 20
"""Further bytes that have to be free before an index is opened."""
_COPIES = 4
"""Free space is needed for this many copies of the written data: the log, the rows, the segment of the graph, and a reserve."""


class EdgeEngine:
    """See `Engine`; made by `create` and `open`."""

    has_words = True
    shared = False
    max_text: int | None = None

    def __init__(self, folder: Path, shard: Any) -> None:
        self._edge = _library()
        self.address = str(folder)
        self._folder = folder
        self._shard = shard
        self._rows = EdgeRows(self._edge, layout_of(folder))
        self._unflushed = 0
        self._writes = 0
        self._langs: tuple[int, dict[str, int]] | None = None
        # One writer at a time; readers need no lock.
        self._writing = threading.Lock()

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> EdgeEngine:
        """Make an empty index in a folder that does not exist yet.

        Raises:
            SearchError: the folder holds something.

        """
        edge, folder = _library(), Path(address)
        dense = edge.EdgeVectorParams(
            size=dimension,
            distance=edge.Distance.Dot,
            hnsw_config=edge.HnswIndexConfig(m=_LINKS, ef_construct=_WIDTH, full_scan_threshold=_SCANNED),
            # The graph is built and searched with codes of eight bits per dimension. TurboQuant rotates vectors before it rounds
            # them, so encoders with a few very large dimensions, such as XLM-R, lose no precision.
            quantization_config=edge.TurboQuantQuantizationConfig(
                bits=edge.TurboQuantBitSize.Bits8, memory=edge.Memory.Cached
            ),
        )
        config = edge.EdgeConfig(
            vectors={DENSE: dense},
            sparse_vectors={WORDS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        )
        try:
            with replacing_folder(folder, []) as temporary:
                _check_room(temporary, str(folder), _OPENING)
                (temporary / _ROWS).mkdir()
                with _blaming(str(folder), "made"):
                    shard = edge.EdgeShard.create(str(temporary / _ROWS), config)
                    for name in ("item", "lang", "group"):
                        shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Keyword))
                    shard.update(_index_of_marks(edge))
                    shard.close()
                write_json(layout_file(temporary), {"layout": LAYOUT})
                write_json(temporary / MARKER, about)
        except (SearchError, WriteError):
            raise
        except BabelmixError as error:
            raise SearchError(str(error)) from error
        return cls.open(address)

    @classmethod
    def open(cls, address: str) -> EdgeEngine:
        """Open an index that `create` made.

        Raises:
            SearchError: there is no index, it is damaged, or another process has it open.

        """
        edge, folder = _library(), Path(address)
        if not cls.exists(address):
            raise SearchError(f"{folder}: is not an index (there is no {MARKER}); make one with  babelmix index")
        # The library maps the next pages of its log when it opens, even for a search.
        _check_room(folder, str(folder), _OPENING)
        with _blaming(str(folder), "opened as an index"):
            shard = edge.EdgeShard.load(str(folder / _ROWS))
        return cls(folder, shard)

    @classmethod
    def exists(cls, address: str) -> bool:
        """Whether there is an index in a folder."""
        return (Path(address) / MARKER).is_file()

    def about(self) -> dict[str, Any]:  # noqa: D102
        file = self._folder / MARKER
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise EngineError(f"{file}: is damaged ({first_line(error)}); make the index again") from error
        if not isinstance(about, dict):
            raise EngineError(f"{file}: is damaged (it holds no object); make the index again")
        return about

    def remember(self, about: dict[str, Any]) -> None:  # noqa: D102
        write_json(self._folder / MARKER, about)

    def digests(self, items: Sequence[str]) -> dict[str, tuple[str, str]]:  # noqa: D102
        if not items:
            return {}
        where = self._rows.filter(Where(fields={"item": tuple(items)}))
        return {
            str(record.id): (record.payload["item"], record.payload["digest"])
            for record in self._scroll(where, ["item", "digest"])
        }

    def put(self, points: Sequence[Point]) -> None:  # noqa: D102
        if not points:
            return
        made = list(map(self._rows.point, points))
        size = sum(len((p.row.text or p.thumbnail).encode("utf-8", "replace")) for p in points)
        size += sum(point.vector.nbytes for point in points if point.vector is not None)
        with self._writing:
            self._update(self._edge.UpdateOperation.upsert_points(made), len(points), size)

    def remove(self, ids: Sequence[str]) -> None:  # noqa: D102
        if ids:
            with self._writing:
                self._update(self._edge.UpdateOperation.delete_points(list(ids)), len(ids))

    def _update(self, operation: Any, rows: int, size: int = 0) -> None:
        _check_room(self._folder, self.address, _COPIES * size)
        with _blaming(self.address, "written to"):
            (self._folder / _SETTLED).unlink(missing_ok=True)
            self._shard.update(operation)
            self._writes += 1
            self._unflushed += rows
            # Flushed rows need not be read from the log at the next start.
            if self._unflushed >= _FLUSH_EVERY:
                self._shard.flush()
                self._unflushed = 0

    def nearest(  # noqa: D102
        self, vectors: Vectors, wheres: Sequence[Where], k: int, *, exact: bool = False
    ) -> list[list[Hit]]:
        filters = self._rows.filters(wheres)
        counts: dict[int, int] = {}

        def compares(where: Where, filter_: Any) -> bool:
            """Whether to compare all matching rows, because the graph would miss some or is slower."""
            if exact or not where.fields or self._rows.layout == 1:
                return exact or bool(where.fields)
            if id(filter_) not in counts:
                counts[id(filter_)] = self._count(filter_, exact=False)
            return vectors[0].nbytes * counts[id(filter_)] <= _COMPARED

        compared = [compares(where, filter_) for where, filter_ in zip(wheres, filters, strict=True)]
        found = self._nearest(vectors, wheres, filters, k, compared)
        # The graph search may stop before it has found all rows. If few rows match, counting them is cheap.
        short = [i for i, hits in enumerate(found) if len(hits) < k and not compared[i]]
        if short := [i for i in short if len(found[i]) < self._count(filters[i])]:
            again = self._nearest(
                vectors[short], [wheres[i] for i in short], [filters[i] for i in short], k, [True] * len(short)
            )
            for i, hits in zip(short, again, strict=True):
                found[i] = hits
        return found

    def _nearest(
        self, vectors: Vectors, wheres: Sequence[Where], filters: Sequence[Any], k: int, exact: Sequence[bool]
    ) -> list[list[Hit]]:
        edge = self._edge
        # The best candidates by code are sorted by their vectors. An index without codes ignores this.
        codes = edge.QuantizationSearchParams(rescore=True, oversampling=_MORE + _FIRST / k)
        # With its default limit of selectivity, ACORN would be off exactly where it is needed.
        through = edge.AcornSearchParams(enable=True, max_selectivity=1.0)
        parameters = [
            edge.SearchParams(
                exact=all_,
                hnsw_ef=_LOOK_IN_ONE if where.langs and len(where.langs) == 1 else _LOOK,
                quantization=codes,
                acorn=through if where.fields else None,
            )
            for where, all_ in zip(wheres, exact, strict=True)
        ]
        queries = [edge.Query.Nearest(vector.tolist(), using=DENSE) for vector in vectors]
        return self._search(queries, filters, k, parameters)

    def _count(self, filter_: Any, *, exact: bool = True) -> int:
        with _blaming(self.address, "searched"):
            return int(self._shard.count(self._edge.CountRequest(exact=exact, filter=filter_)))

    def with_words(self, texts: Sequence[str], wheres: Sequence[Where], k: int) -> list[list[Hit]]:  # noqa: D102
        if self._rows.layout == 1:
            raise SearchError(
                f"{self.address}: an older version cut its texts into other words; run  babelmix index  on it once more, which "
                "brings it up to date and embeds nothing again"
            )
        queries = [self._rows.weights(text, query=True) for text in texts]
        some = [i for i, query in enumerate(queries) if query.indices]
        nearest = [self._edge.Query.Nearest(queries[i], using=WORDS) for i in some]
        found = self._search(nearest, self._rows.filters([wheres[i] for i in some]), k, [None] * len(some))
        result: list[list[Hit]] = [[] for _ in texts]
        for i, hits in zip(some, found, strict=True):
            result[i] = hits
        return result

    def _search(
        self, queries: Sequence[Any], filters: Sequence[Any], k: int, parameters: Sequence[Any]
    ) -> list[list[Hit]]:
        edge = self._edge
        requests = [
            edge.QueryRequest(query=query, filter=filter_, limit=k, params=how, with_payload=list(_FACTS))
            for query, filter_, how in zip(queries, filters, parameters, strict=True)
        ]
        if not requests:
            return []
        with _blaming(self.address, "searched"):
            found = self._shard.query_batch(edge.QueryBatchRequest(requests))
        return [sorted(map(_hit, points), key=lambda hit: (-hit.score, hit.id)) for points in found]

    def sample(self, lang: str, count: int) -> Vectors:  # noqa: D102
        # Ids are digests, so the first rows are a random sample, and the same each time.
        asked = self._edge.ScrollRequest(
            filter=self._rows.filter(Where((lang,))), limit=count, with_payload=False, with_vector=[DENSE]
        )
        with _blaming(self.address, "read"):
            page, _ = self._shard.scroll(asked)
        return np.array([record.vector[DENSE] for record in page], dtype=np.float32)

    def points(self, langs: Sequence[str] | None = None) -> Iterator[Point]:  # noqa: D102
        where = self._rows.filter(Where(None if langs is None else tuple(langs)))
        for record in self._scroll(where, [*_FACTS, "digest"], vectors=True):
            yield stored_point(
                str(record.id), record.payload["digest"], record.payload, record.vector[DENSE],
            )  # fmt: skip

    def langs(self) -> dict[str, int]:  # noqa: D102
        # A count that began before a write may miss its rows, so it is stored with the number of writes before it.
        writes = self._writes
        if self._langs is None or self._langs[0] != writes:
            with _blaming(self.address, "read"):
                found = self._shard.facet(self._edge.FacetRequest(key="lang", limit=_MAX_LANGS, exact=True))
            # The library still lists languages whose rows are all removed.
            self._langs = writes, dict(sorted((hit.value, hit.count) for hit in found.hits if hit.count))
        return dict(self._langs[1])

    def items(self) -> Iterator[str]:  # noqa: D102
        seen = set()
        for record in self._scroll(None, ["item"]):
            if record.payload["item"] not in seen:
                seen.add(record.payload["item"])
                yield record.payload["item"]

    def settle(self) -> None:  # noqa: D102
        with self._writing, _blaming(self.address, "written to"):
            self._renew()
            if (self._folder / _SETTLED).exists():
                return
            held = sum(512 * file.stat().st_blocks for file in (self._folder / _ROWS).rglob("*") if file.is_file())
            self._shard.flush()
            self._unflushed = 0
            _check_room(self._folder, self.address, held)
            self._shard.optimize()
            (self._folder / _SETTLED).touch()

    def _renew(self) -> None:
        """Rewrite rows of layout 1 in the current layout. After a kill, the next call starts again."""
        if self._rows.layout == LAYOUT:
            return
        edge = self._edge
        self._update(_index_of_marks(edge), 0)
        offset = None
        while True:
            asked = edge.ScrollRequest(limit=_PAGE, offset=offset, with_payload=True, with_vector=[DENSE])
            page, offset = self._shard.scroll(asked)
            size = sum(4 * len(record.vector[DENSE]) + len(str(record.payload)) for record in page)
            if page:
                self._update(edge.UpdateOperation.upsert_points(list(map(self._rows.renewed, page))), len(page), size)
            if offset is None:
                break
        self._shard.flush()
        write_json(layout_file(self._folder), {"layout": LAYOUT})
        self._rows = EdgeRows(edge, LAYOUT)

    def close(self) -> None:  # noqa: D102
        with self._writing:
            if self._shard is None:
                return
            shard, self._shard = self._shard, None
            try:
                with _blaming(self.address, "written to"):
                    shard.flush()
            finally:
                with _blaming(self.address, "closed"):
                    shard.close()

    def _scroll(self, where: Any, facts: list[str], *, vectors: bool = False) -> Iterator[Any]:
        offset = None
        while True:
            asked = self._edge.ScrollRequest(
                filter=where, limit=_PAGE, offset=offset, with_payload=facts, with_vector=[DENSE] if vectors else False
            )
            with _blaming(self.address, "read"):
                page, offset = self._shard.scroll(asked)
            yield from page
            if offset is None:
                return


def _index_of_marks(edge: Any) -> Any:
    # No extra graph links per value: they take longer to build than the whole graph, and help only filters by one value of one
    # column.
    return edge.UpdateOperation.create_field_index(MARKS, edge.KeywordIndexParams(enable_hnsw=False))


def _check_room(folder: Path, address: str, size: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < _ROOM + size:
        raise EngineError(
            f"{address}: its disk has {free >> 20:,} MiB left, and {(_ROOM + size) >> 20:,} have to be free; make room, and try "
            "again"
        )


def _hit(point: Any) -> Hit:
    facts = point.payload
    return Hit(
        str(point.id), float(point.score), facts["item"], facts["lang"], facts["group"], facts.get("text"),
        facts.get("thumbnail", ""), facts.get("fields") or {},
    )  # fmt: skip


@contextlib.contextmanager
def _blaming(address: str, what: str) -> Iterator[None]:
    """Turn the exceptions of the library, and panics of its Rust code, into `EngineError`."""
    try:
        yield
    except (BabelmixError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic is not an Exception
        # The library raises a plain Exception for everything: only its words tell this one.
        if "WouldBlock" in str(error):
            raise EngineError(f"{address}: another process has this index open; wait for it, or stop it") from error
        raise EngineError(f"{address}: cannot be {what} ({first_line(error)})") from error


def _library() -> Any:
    return require("qdrant_edge", "serve", "An index in a folder")
