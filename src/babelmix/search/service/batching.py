"""Encode for many requests: queries that wait at the same time share a forward pass."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from babelmix.errors import EmbeddingError
from babelmix.search.encoding import encode_points
from babelmix.search.rows import Point, Vectors
from babelmix.search.searcher import Searcher
from babelmix.search.service.metrics import Metrics

if TYPE_CHECKING:
    from PIL.Image import Image

BATCH = 32
"""Maximum queries of a forward pass."""

CHUNK = 8
"""The most rows to write per forward pass. A query that arrives during a write waits for at most one such pass."""

KEPT = 1024
"""The number of queries whose vectors are cached, because users often repeat a query under another policy."""


class BatchedEncoder:
    """One thread that encodes.

    A query is encoded immediately if the thread is idle. Queries that arrive during a forward pass are encoded together in the
    next one. Rows to write are encoded in small chunks in between.

    Args:
        searcher: the searcher with the encoder.
        metrics: counts forward passes.

    """

    def __init__(self, searcher: Searcher, metrics: Metrics) -> None:
        self._searcher, self._metrics = searcher, metrics
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._waiting: deque[tuple[str | Image, str | None, asyncio.Future[Vectors]]] = deque()
        self._kept: OrderedDict[tuple[str, str | None], Vectors] = OrderedDict()
        self._pump: asyncio.Task[None] | None = None

    async def query(self, query: str | Image, lang: str | None = None) -> Vectors:
        """The vector of a query, float32, shape (1, dimension), as the index compares it.

        Args:
            query: a text or an opened picture.
            lang: its language; None: unknown.

        Raises:
            EncoderError: the query is a picture, and the encoder cannot embed pictures.

        """
        if isinstance(query, str) and (query, lang) in self._kept:
            self._kept.move_to_end((query, lang))
            return self._kept[query, lang]
        future: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        self._waiting.append((query, lang, future))
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._embed_all())
        vectors = await future
        if isinstance(query, str):
            self._kept[query, lang] = vectors
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return vectors

    async def points(self, points: Sequence[Point]) -> Vectors:
        """The vectors of rows, float32, shape (points, dimension), as the encoder returns them.

        Raises:
            EncoderError: a row is a picture, and the encoder cannot embed pictures.
            CorpusError: a picture is damaged.

        """
        encoder = self._searcher.encoder
        parts = []
        for start in range(0, len(points), CHUNK):
            some = points[start : start + CHUNK]
            parts.append(await self._run("document", len(some), encode_points, encoder, some))
        empty = np.empty((0, self._searcher.index.about.dimension), dtype=np.float32)
        return np.concatenate(parts) if parts else empty

    async def _embed_all(self) -> None:
        while self._waiting:
            # Texts or pictures, not both: a picture that cannot be embedded must not fail the texts of others.
            is_text = isinstance(self._waiting[0][0], str)
            queries: list[str | Image] = []
            langs: list[str | None] = []
            futures: list[asyncio.Future[Vectors]] = []
            while self._waiting and len(queries) < BATCH and isinstance(self._waiting[0][0], str) == is_text:
                query, lang, future = self._waiting.popleft()
                if not future.done():  # the client has given up
                    queries.append(query)
                    langs.append(lang)
                    futures.append(future)
                del query
            if not queries:
                continue
            try:
                vectors = await self._run("query", len(queries), partial(self._searcher.embed, langs=langs), queries)
            except EmbeddingError as error:
                # One text must not fail the others.
                for query, lang, future in zip(list(queries), langs, futures, strict=True):
                    await self._embed_alone(query, lang, future, error if len(futures) == 1 else None)
                continue
            except Exception as error:  # whatever it is, the waiting requests need it
                for future in futures:
                    if not future.done():
                        future.set_exception(error)
                continue
            finally:
                # The thread may hold the list a moment longer: decoded pictures are freed before others are decoded.
                queries.clear()
            for row, future in enumerate(futures):
                if not future.done():
                    # A copy: a cached row must not keep the whole batch in memory.
                    future.set_result(vectors[row : row + 1].copy())

    async def _embed_alone(
        self, query: str | Image, lang: str | None, future: asyncio.Future[Vectors], failed: EmbeddingError | None
    ) -> None:
        """Embed one query of a failed batch; if it was the only one, pass the error on."""
        try:
            if failed is not None:
                raise failed
            vectors = await self._run("query", 1, partial(self._searcher.embed, langs=[lang]), [query])
        except Exception as error:  # as for a batch
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(vectors.copy())

    async def _run(self, kind: str, size: int, work: Callable[..., Vectors], *arguments: Any) -> Vectors:
        self._metrics.encode_batch.labels(kind).observe(size)

        def timed() -> Vectors:
            with self._metrics.encode_seconds.labels(kind).time():
                return work(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._thread, timed)

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)
