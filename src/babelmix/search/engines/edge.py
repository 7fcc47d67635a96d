"""Qdrant Edge: Qdrant's engine in the process, in a folder.

Every write is in the write-ahead log before it returns, so it survives a kill of the process. The log is not flushed to the disk
at each write, so a power failure may lose the last seconds.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from babelmix._files import replacing_folder, write_json
from babelmix.errors import BabelmixError, SearchError, WriteError
from babelmix.search.engines.base import Correct
from babelmix.search.engines.edge_calls import blaming, check_room, library, read_object
from babelmix.search.engines.edge_rows import (
    CORRECTED,
    DENSE,
    LAYOUT,
    EdgeRows,
    config_of,
    index_of_marks,
    layout_file,
    layout_of,
)
from babelmix.search.engines.edge_search import FACTS, EdgeSearch
from babelmix.search.rows import Point, Vectors, Where, stored_point

MARKER = "index.json"
"""The file that makes a folder an index."""

_ROWS = "rows"
_SETTLED = "settled"
"""This file exists while nothing has been written since the graph was built."""
_READ_AHEAD = ("vector_storage-*/*", "vector_index-*/links*", "payload_index/*/*.bin")
"""Files of a segment that are read whole when an index opens."""
_PAGE = 4096
_CORRECTED_AT_ONCE = 1024
_FLUSH_EVERY = 20_000
_MAX_LANGS = 10_000
_SCANNED = 10_000
"""Up to this many KiB of vectors, comparing all of them is faster than the graph."""
_OPENING = 32 << 20
"""Further bytes that have to be free before an index is opened."""
_COPIES = 4
"""Free space is needed for this many copies of the written data: the log, the rows, the segment of the graph, and a reserve."""


class EdgeEngine(EdgeSearch):
    """See `Engine`; made by `create` and `open`."""

    has_words = True
    has_corrected = True
    shared = False
    read_only = False
    max_text: int | None = None

    def __init__(self, folder: Path, shard: Any) -> None:
        self._edge = library()
        self.address = str(folder)
        self._folder = folder
        self._shard = shard
        self._rows = EdgeRows(self._edge, layout_of(folder))
        self._unflushed = 0
        self._writes = 0
        self._langs: tuple[int, dict[str, int]] | None = None
        self._uncorrected: tuple[int, int] | None = None
        self._has_name = False
        # One writer at a time; readers need no lock.
        self._writing = threading.Lock()

    @classmethod
    def create(cls, address: str, dimension: int, about: dict[str, Any]) -> EdgeEngine:
        """Make an empty index in a folder that does not exist yet.

        Raises:
            SearchError: the folder holds something.

        """
        edge, folder = library(), Path(address)
        try:
            with replacing_folder(folder, []) as temporary:
                check_room(temporary, str(folder), _OPENING)
                (temporary / _ROWS).mkdir()
                with blaming(str(folder), "made"):
                    shard = edge.EdgeShard.create(str(temporary / _ROWS), config_of(edge, dimension, _SCANNED))
                    for name in ("item", "lang", "group"):
                        shard.update(edge.UpdateOperation.create_field_index(name, edge.PayloadSchemaType.Keyword))
                    shard.update(index_of_marks(edge))
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
        edge, folder = library(), Path(address)
        if not cls.exists(address):
            raise SearchError(f"{folder}: is not an index (there is no {MARKER}); make one with  babelmix index")
        # The library maps the next pages of its log when it opens, even for a search.
        check_room(folder, str(folder), _OPENING)
        with blaming(str(folder), "opened as an index"):
            _read_ahead(folder / _ROWS)
            shard = edge.EdgeShard.load(str(folder / _ROWS))
        return cls(folder, shard)

    @classmethod
    def exists(cls, address: str) -> bool:
        """Whether there is an index in a folder."""
        return (Path(address) / MARKER).is_file()

    def about(self) -> dict[str, Any]:  # noqa: D102
        return read_object(self._folder / MARKER)

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
            some = [point.corrected for point in points if point.corrected is not None]
            if some:
                self._name_corrected(len(some[0]))
            self._update(
                self._edge.UpdateOperation.upsert_points(made), len(points), size, complete=len(some) == len(points)
            )

    def remove(self, ids: Sequence[str]) -> None:  # noqa: D102
        if ids:
            with self._writing:
                self._update(self._edge.UpdateOperation.delete_points(list(ids)), len(ids), complete=True)

    def _update(self, operation: Any, rows: int, size: int = 0, *, complete: bool = False) -> None:
        """Apply a write.

        Args:
            operation: the write.
            rows: the number of its rows.
            size: bytes that it writes.
            complete: whether all rows have corrected vectors after it if all had before it; they need not be counted again.

        """
        check_room(self._folder, self.address, _COPIES * size)
        with blaming(self.address, "written to"):
            (self._folder / _SETTLED).unlink(missing_ok=True)
            self._shard.update(operation)
            if complete and self._uncorrected == (self._writes, 0):
                self._uncorrected = self._writes + 1, 0
            self._writes += 1
            self._unflushed += rows
            # Flushed rows need not be read from the log at the next start.
            if self._unflushed >= _FLUSH_EVERY:
                self._shard.flush()
                self._unflushed = 0

    def uncorrected_count(self) -> int:  # noqa: D102
        writes = self._writes
        if self._uncorrected is None or self._uncorrected[0] != writes:
            self._uncorrected = writes, self._count(self._rows.with_corrected(present=False))
        return self._uncorrected[1]

    def correct(self, make: Correct) -> Iterator[int]:  # noqa: D102
        edge, offset = self._edge, None
        while True:
            # A row that is replaced between reading and writing would get the corrected vector of its old text.
            with self._writing, blaming(self.address, "written to"):
                asked = edge.ScrollRequest(
                    filter=self._rows.with_corrected(present=False), limit=_CORRECTED_AT_ONCE, offset=offset,
                    with_payload=["lang"], with_vector=[DENSE],
                )  # fmt: skip
                page, offset = self._shard.scroll(asked)
                if page:
                    self._name_corrected(dimension := len(page[0].vector[DENSE]))
                    points = self._rows.corrected(page, make)
                    self._update(edge.UpdateOperation.update_vectors(points), len(page), 4 * dimension * len(page))
            if page:
                yield len(page)
            if offset is None:
                return

    def forget_corrected(self, lang: str) -> None:  # noqa: D102
        if self._count(self._rows.with_corrected(present=True)):
            with self._writing:
                where = self._rows.filter(Where((lang,)))
                self._update(self._edge.UpdateOperation.delete_vectors_by_filter(where, [CORRECTED]), 0)

    def _name_corrected(self, dimension: int) -> None:
        """Add the vector to an index that has none of this name; nothing changes in one that has."""
        if not self._has_name:
            edge = self._edge
            # No second copy of the numbers: a quarter of the disk and memory.
            codes = edge.VectorStorageDatatype.Turbo8
            self._update(
                edge.UpdateOperation.create_dense_vector(CORRECTED, dimension, edge.Distance.Dot, datatype=codes), 0
            )
            self._has_name = True

    def sample(self, lang: str, count: int) -> Vectors:  # noqa: D102
        # Ids are digests, so the first rows are a random sample, and the same each time.
        asked = self._edge.ScrollRequest(
            filter=self._rows.filter(Where((lang,))), limit=count, with_payload=False, with_vector=[DENSE]
        )
        with blaming(self.address, "read"):
            page, _ = self._shard.scroll(asked)
        return np.array([record.vector[DENSE] for record in page], dtype=np.float32)

    def points(self, langs: Sequence[str] | None = None) -> Iterator[Point]:  # noqa: D102
        where = self._rows.filter(Where(None if langs is None else tuple(langs)))
        for record in self._scroll(where, [*FACTS, "digest"], vectors=True):
            yield stored_point(
                str(record.id), record.payload["digest"], record.payload, record.vector[DENSE],
            )  # fmt: skip

    def langs(self) -> dict[str, int]:  # noqa: D102
        # A count that began before a write may miss its rows, so it is stored with the number of writes before it.
        writes = self._writes
        if self._langs is None or self._langs[0] != writes:
            with blaming(self.address, "read"):
                found = self._shard.facet(self._edge.FacetRequest(key="lang", limit=_MAX_LANGS, exact=True))
            # The library still lists languages whose rows are all removed.
            self._langs = writes, dict(sorted((hit.value, hit.count) for hit in found.hits if hit.count))
        return dict(self._langs[1])

    def items(self) -> Iterator[str]:  # noqa: D102
        seen = set()
        for record in self._scroll(None, ["item"]):
            item = record.payload.get("item")
            if item is None:
                raise SearchError(
                    f"{self.address}: is damaged: a row has no item; make the index again with  babelmix index"
                )
            if item not in seen:
                seen.add(item)
                yield item

    def settle(self) -> None:  # noqa: D102
        with self._writing, blaming(self.address, "written to"):
            self._renew()
            if (self._folder / _SETTLED).exists():
                return
            held = sum(512 * file.stat().st_blocks for file in (self._folder / _ROWS).rglob("*") if file.is_file())
            self._shard.flush()
            self._unflushed = 0
            check_room(self._folder, self.address, held)
            self._shard.optimize()
            (self._folder / _SETTLED).touch()

    def _renew(self) -> None:
        """Rewrite rows of layout 1 in the current layout. After a kill, the next call starts again."""
        if self._rows.layout == LAYOUT:
            return
        edge = self._edge
        self._update(index_of_marks(edge), 0)
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
                # A flush waits for the disk, also if there is nothing to write.
                if self._writes or not (self._folder / _SETTLED).exists():
                    with blaming(self.address, "written to"):
                        shard.flush()
            finally:
                with blaming(self.address, "closed"):
                    shard.close()

    def _scroll(self, where: Any, facts: list[str], *, vectors: bool = False) -> Iterator[Any]:
        offset = None
        while True:
            asked = self._edge.ScrollRequest(
                filter=where, limit=_PAGE, offset=offset, with_payload=facts, with_vector=[DENSE] if vectors else False
            )
            with blaming(self.address, "read"):
                page, offset = self._shard.scroll(asked)
            yield from page
            if offset is None:
                return


def _read_ahead(rows: Path) -> None:
    """Let the system read vectors, graphs and indexes of metadata into its cache.

    The library removes them from the cache when it closes, and reads compressed ones page by page when it opens. From a disk that
    takes seconds for ten thousand rows, and read in one go a tenth of a second.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for file in (file for pattern in _READ_AHEAD for file in rows.glob(f"segments/*/{pattern}") if file.is_file()):
        # The library says what is wrong with a file that cannot be read.
        with contextlib.suppress(OSError), file.open("rb", buffering=0) as source:
            os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
