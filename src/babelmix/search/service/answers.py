"""The work of the service, independent of HTTP."""

from __future__ import annotations

import asyncio
import base64
import binascii
import importlib.metadata
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from babelmix.corpus.images import open_picture, pixels_of
from babelmix.errors import PictureError, SearchError
from babelmix.search.asking import NO_WORDS
from babelmix.search.hits import Hits
from babelmix.search.index import Index
from babelmix.search.options import MODES, SearchOptions
from babelmix.search.policies import POLICIES, Policy
from babelmix.search.rows import Row, Vectors
from babelmix.search.searcher import Searcher
from babelmix.search.service.batching import BatchedEncoder
from babelmix.search.service.bodies import SMALL, parse
from babelmix.search.service.metrics import Metrics
from babelmix.search.service.models import About, HitAnswer, RowRequest, SearchAnswer, SearchRequest, WriteAnswer
from babelmix.search.service.settings import Settings
from babelmix.search.service.unpacking import PixelBudget

AT_ONCE = 4
"""The number of pictures of the maximum size that may be decoded at the same time, or more smaller ones. Others wait."""

T = TypeVar("T")


class Service:
    """Search and writing for many requests at the same time.

    Args:
        searcher: an index and its encoder; the service does not close them.
        settings: the limits.
        metrics: counts forward passes.

    """

    def __init__(self, searcher: Searcher, settings: Settings, metrics: Metrics) -> None:
        self._searcher, self._settings = searcher, settings
        self._encoding = BatchedEncoder(searcher, metrics)
        self._pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="search")
        # Separate pools: pictures do not delay searches, and /health waits for neither. Pillow's decoders release the GIL, so a
        # slow picture blocks only one thread of its pool.
        self._pictures = ThreadPoolExecutor(max(2, os.cpu_count() or 2), thread_name_prefix="pictures")
        self._unpacked = PixelBudget(AT_ONCE * settings.max_pixels)
        self._health = ThreadPoolExecutor(1, thread_name_prefix="health")
        # One large body at a time: the JSON parser holds the GIL.
        self._bodies = ThreadPoolExecutor(1, thread_name_prefix="bodies")
        self._metrics = metrics
        self._writing = asyncio.Lock()

    @property
    def _index(self) -> Index:
        return self._searcher.index

    async def _in_thread(
        self, work: Callable[..., T], *arguments: Any, pool: ThreadPoolExecutor | None = None, **options: Any
    ) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(pool or self._pool, lambda: work(*arguments, **options))

    async def about(self, writable: bool) -> About:
        """What the index holds."""
        return await self._in_thread(self._about, writable)

    def _about(self, writable: bool) -> About:
        langs, facts = self._index.langs(), self._index.about
        return About(
            encoder=facts.encoder,
            similarity=facts.similarity,
            dimension=facts.dimension,
            langs=langs,
            rows=sum(langs.values()),
            columns=dict(self._index.columns),
            modes=list(MODES) if self._index.engine.has_words else ["dense"],
            policies=list(POLICIES),
            pictures=_embeds_pictures(self._searcher),
            writable=writable,
            version=importlib.metadata.version("babelmix"),
        )

    async def parsed(self, body: bytes) -> Any:
        """Parse a body as JSON; a large one in a thread.

        Raises:
            BodyError: the body is not JSON, or exceeds a limit.

        """
        return await self._in_thread(parse, body, pool=self._bodies) if len(body) > SMALL else parse(body)

    async def rows(self) -> int:
        """The number of rows."""
        return sum((await self._in_thread(self._index.langs, pool=self._health)).values())

    async def measurements(self) -> bytes:
        """The metrics in the format of Prometheus."""
        return await self._in_thread(self._metrics.text, pool=self._health)

    async def search(self, request: SearchRequest) -> SearchAnswer:
        """Search.

        Raises:
            SearchError: the policy, a filter, the mode, the language or the weight is wrong, or the index cannot be searched.
            MissingExtraError: the language is to be detected, and the extra `detect` is not installed.
            PictureError: the picture is damaged or too large.
            EncoderError: the query is a picture, and the encoder cannot embed pictures.

        """
        began = time.perf_counter()
        policy = Policy.parse(request.policy)
        options = SearchOptions(request.mode, request.words_weight, None, request.fusion, request.show, request.rerank)
        # In a thread: the engine may take time.
        where = await self._in_thread(self._index.where, request.langs, request.where)
        lang = await self._lang_of(request)
        # A search by words needs no vector.
        vectors = None
        if request.image and request.mode == "words":
            raise SearchError(NO_WORDS)
        if request.image:
            vectors = await self._vector_of(request.image)
        elif request.mode != "words":
            vectors = await self._encoding.query(request.query, lang)
        found: Hits = await self._in_thread(
            self._searcher.search,
            request.query,
            k=request.k,
            policy=policy,
            where=where,
            once=request.once,
            vectors=vectors,
            query_langs=None if request.query_lang is None else [lang],
            **options.keywords(),
        )
        took = round(1000 * (time.perf_counter() - began), 2)
        return SearchAnswer(
            hits=[HitAnswer.of(hit) for hit in found],
            policy=str(policy),
            mode=request.mode,
            query_lang=lang,
            took_ms=took,
        )

    async def _lang_of(self, request: SearchRequest) -> str | None:
        """The language of a query, if it is given or detected."""
        if request.query_lang is None:
            return None
        # In a thread: a detector may load its model.
        told = await self._in_thread(self._searcher.query_langs, [request.query], request.query_lang)
        return None if told is None else told[0]

    async def _vector_of(self, image: str) -> Vectors:
        """The vector of a picture in base64. It is decoded when the pixel budget has room, and freed once it is embedded."""
        self._check_pictures()
        try:
            data, pixels = await self._in_thread(self._packed, image, pool=self._pictures)
            return await self._unpacked.within(pixels, lambda: self._embedded(data))
        except PictureError as error:
            raise SearchError(f"the picture {error}") from error

    async def _embedded(self, data: bytes) -> Vectors:
        most = self._settings.max_pixels
        return await self._encoding.query(
            await self._in_thread(open_picture, data, max_pixels=most, pool=self._pictures)
        )

    def _packed(self, data: str) -> tuple[bytes, int]:
        """The file of a picture, and its number of pixels."""
        decoded = _decoded(data)
        return decoded, pixels_of(decoded, max_pixels=self._settings.max_pixels)

    async def write(self, requested: list[RowRequest]) -> WriteAnswer:
        """Replace items with the given rows.

        Raises:
            SearchError: a row is malformed, or the index cannot be written to.
            CorpusError: a picture is damaged or too large.
            EncoderError: a row is a picture, and the encoder cannot embed pictures.

        """
        # Decode one picture at a time: if the client gives up, no further picture is decoded.
        rows = [await self._row(row) for row in requested]
        async with self._writing:
            changes = await self._in_thread(self._index.changes, rows)
            vectors = await self._encoding.points(changes.points)
            if changes.points or changes.stale:
                await self._to_the_end(self._index.write, changes, vectors)
        return WriteAnswer(written=len(changes.points), unchanged=changes.unchanged, removed=len(changes.stale))

    async def delete(self, item: str) -> int:
        """Remove an item. Returns the number of removed items.

        Raises:
            SearchError: the index cannot be written to.

        """
        async with self._writing:
            return await self._to_the_end(self._index.delete, [item])

    async def _to_the_end(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run work that must not stop halfway, even if the client gives up."""
        task = asyncio.create_task(self._in_thread(work, *arguments))
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.done():
                    raise

    async def _row(self, row: RowRequest) -> Row:
        if not row.image:
            return await self._in_thread(self._row_of, row, None, pool=self._pictures)
        self._check_pictures()
        try:
            image, pixels = await self._in_thread(self._packed, row.image, pool=self._pictures)
            return await self._unpacked.within(
                pixels, lambda: self._in_thread(self._row_of, row, image, pool=self._pictures)
            )
        except PictureError as error:
            raise SearchError(f"item {row.item!r}: the picture {error}") from error

    def _row_of(self, row: RowRequest, image: bytes | None) -> Row:
        if image is not None:
            open_picture(image, max_pixels=self._settings.max_pixels)
        return Row(row.item, row.lang, row.text or None, image, row.group, row.fields)

    def _check_pictures(self) -> None:
        """Raise if the encoder cannot embed pictures, before one is decoded."""
        if not _embeds_pictures(self._searcher):
            raise SearchError(f"{self._index.about.encoder} cannot embed pictures; send texts")

    def close(self) -> None:
        """Wait for running work, then end the threads."""
        self._encoding.close()
        for pool in (self._pool, self._pictures, self._health, self._bodies):
            pool.shutdown(wait=True, cancel_futures=True)


def _embeds_pictures(searcher: Searcher) -> bool:
    return bool(searcher.encoder.supports("image"))


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("is not in base64") from error
