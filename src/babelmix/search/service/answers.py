"""The work of the service, independent of HTTP."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import importlib.metadata
import importlib.util
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from babelmix.corpus.images import open_picture, pixels_of
from babelmix.errors import BabelmixError, PictureError, SearchError
from babelmix.search.asking import NO_WORDS
from babelmix.search.hits import Hits
from babelmix.search.index import Index
from babelmix.search.options import DETECT, MODES, SearchOptions, told_langs
from babelmix.search.policies import POLICIES, Policy
from babelmix.search.request_lines import now
from babelmix.search.rows import Row, Vectors
from babelmix.search.searcher import Searcher
from babelmix.search.service.accept_language import policy_for
from babelmix.search.service.batching import BatchedEncoder
from babelmix.search.service.bodies import SMALL, parse
from babelmix.search.service.examples import examples_of
from babelmix.search.service.metrics import Metrics
from babelmix.search.service.models import (
    About,
    Example,
    HitAnswer,
    RowRequest,
    SearchAnswer,
    SearchRequest,
    WriteAnswer,
)
from babelmix.search.service.request_log import RequestLog
from babelmix.search.service.settings import Settings
from babelmix.search.service.unpacking import PixelBudget

AT_ONCE = 4
"""The number of pictures of the maximum size that may be decoded at the same time, or more smaller ones. Others wait."""

DETECTED = 500
"""Characters of a query from which its language is detected for metrics and log."""

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
        self._examples: list[Example] = []
        self._log = settings.log and RequestLog(
            settings.log, self._log_header, lambda result: metrics.log_lines.labels(result).inc()
        )

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
            detects=importlib.util.find_spec("py3langid") is not None,
            writable=writable,
            version=importlib.metadata.version("babelmix"),
        )

    async def examples(self) -> list[Example]:
        """Texts to search with; see `examples_of`. They are chosen once."""
        if not self._examples:
            self._examples = await self._in_thread(examples_of, self._index)
        return self._examples

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

    async def warm_up(self) -> None:
        """Search without and with a comparison of languages, so that no client waits for what a first search does."""
        await self._search(SearchRequest(query="."), "any")
        # An index that cannot compare languages says so to those who ask it to.
        with contextlib.suppress(BabelmixError):
            await self._search(SearchRequest(query="."), "balanced")

    async def search(self, request: SearchRequest, accept_language: str = "") -> SearchAnswer:
        """Search, and count the answer.

        Args:
            request: the search.
            accept_language: the header `Accept-Language`. If the settings say so, it gives a request without a policy one.

        Raises:
            SearchError: the policy, a filter, the mode, the language or the weight is wrong, or the index cannot be searched.
            MissingExtraError: the language is to be detected, and the extra `detect` is not installed.
            PictureError: the picture is damaged or too large.
            EncoderError: the query is a picture, and the encoder cannot embed pictures.

        """
        text, source = request.policy, "request" if "policy" in request.model_fields_set else "default"
        if source == "default" and self._settings.accept_language and accept_language:
            langs = await self._in_thread(self._index.langs)
            use, own = self._settings.accept_language, request.query_lang is not None
            if accepted := policy_for(accept_language, list(langs), use, own=own):
                text, source = accepted, "accept-language"
        answer = await self._search(request, text)
        # An answer that was found is given, even if the engine cannot say its languages now.
        with contextlib.suppress(BabelmixError):
            await self._in_thread(self._record, request, answer, source)
        return answer

    async def _search(self, request: SearchRequest, policy_text: str) -> SearchAnswer:
        began = time.perf_counter()
        policy = Policy.parse(policy_text)
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

    def _record(self, request: SearchRequest, answer: SearchAnswer, policy_from: str) -> None:
        """Count the languages of an answer, and log it."""
        lang, lang_from = answer.query_lang, "request"
        if lang is None and self._settings.detect and request.query:
            told = told_langs([request.query[:DETECTED]], [DETECT], list(self._index.langs()))
            lang, lang_from = told[0] if told else None, "detected"
        self._metrics.count_answers(lang, [hit.lang for hit in answer.hits])
        if not self._log:
            return
        facts: dict[str, Any] = {
            "time": now(), "policy": answer.policy, "policy_from": policy_from, "mode": answer.mode, "k": request.k,
            "query_lang": lang, "query_lang_from": lang_from if lang else None, "langs": request.langs,
            # The values of a filter may be about a person.
            "where": sorted(request.where) or None, "once": request.once or None, "picture": bool(request.image) or None,
            "fusion": request.fusion, "show": None if request.show == "found" else request.show, "rerank": request.rerank,
            "query": (request.query or None) if self._settings.log_texts else None,
            "answers": [{"item": hit.item, "lang": hit.lang, "score": float(f"{hit.score:.6g}")} for hit in answer.hits],
            "took_ms": answer.took_ms,
        }  # fmt: skip
        always = ("query_lang", "answers")
        self._log.add({name: value for name, value in facts.items() if value is not None or name in always})

    def _log_header(self) -> dict[str, Any]:
        about = self._index.about
        return {"index": self._index.address, "encoder": about.encoder, "langs": self._index.langs()}

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
        if self._log:
            self._log.close()


def _embeds_pictures(searcher: Searcher) -> bool:
    return bool(searcher.encoder.supports("image"))


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError("is not in base64") from error
