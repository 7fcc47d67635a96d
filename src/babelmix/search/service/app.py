"""The service as an ASGI application."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Annotated, Any

import fastapi_offline
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.cors import CORSMiddleware

from babelmix._terminal import visible
from babelmix.errors import BabelmixError, EmbeddingError, EngineError, WriteError
from babelmix.search.searcher import Searcher
from babelmix.search.service.answers import Service
from babelmix.search.service.bodies import BodyError
from babelmix.search.service.guard import Guard
from babelmix.search.service.keys import Right
from babelmix.search.service.metrics import Metrics
from babelmix.search.service.models import (
    About,
    DeleteAnswer,
    Examples,
    Health,
    Problem,
    SearchAnswer,
    SearchRequest,
    WriteAnswer,
    WriteRequest,
)
from babelmix.search.service.settings import Settings

_PAGE = Path(__file__).with_name("page.html")
_STATUS = {400: "something asked is wrong", 413: "the request is too large", 422: "the request is malformed"}
_KEY_STATUS = {401: "a key is needed", 403: "the key does not allow it"}
_BUSY_STATUS = {503: "too many requests, or the engine fails", 504: "it took too long"}

_BEARER = HTTPBearer(auto_error=False, description="a key")
_KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)
_DESCRIBED = [Depends(_BEARER), Depends(_KEY_HEADER)]
"""Only for the OpenAPI description; `_route_for` checks the keys."""

AcceptLanguage = Annotated[
    str, Header(description="with `serve --accept-language`: the policy of a search that names none")
]

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def create_app(searcher: Searcher, settings: Settings | None = None) -> FastAPI:
    """Make the service of an index.

    Args:
        searcher: the index and its encoder; the caller closes it after the application has ended.
        settings: the limits and the keys.

    Returns:
        An ASGI application, for one event loop in one process. `babelmix serve` runs it by uvicorn with the protocol that
        `connections.impatient` makes; how long a client may take to send a head or to take an answer is up to the server.

    """
    allowed = settings or Settings()
    metrics = Metrics(searcher.index.langs)
    service = Service(searcher, allowed, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        # The first forward pass of an encoder is slow: no client should wait for it.
        await service.warm_up()
        yield
        service.close()

    app = FastAPI(
        title="babelmix",
        description="Search in every language under a language policy.",
        version=importlib.metadata.version("babelmix"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _answer_errors(app)
    _add_pages(app)
    _add_routes(app, service, allowed)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=allowed.max_body)
    app.add_middleware(Guard, settings=allowed, metrics=metrics)
    # Outermost, so that a page of another origin can read why a request was refused.
    if allowed.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=allowed.origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type", "x-api-key"],
        )
    return app


def _add_routes(app: FastAPI, service: Service, settings: Settings) -> None:
    reading = APIRouter(route_class=_route_for("read", settings, service), dependencies=_DESCRIBED)
    writing = APIRouter(route_class=_route_for("write", settings, service), dependencies=_DESCRIBED)
    writable = settings.writable

    @reading.post("/search", responses=_problems(_STATUS, _KEY_STATUS, _BUSY_STATUS))
    async def search(request: SearchRequest, response: Response, accept_language: AcceptLanguage = "") -> SearchAnswer:
        """Search by words in any language, or by a picture, under a language policy."""
        if settings.accept_language:
            response.headers["vary"] = "Accept-Language"
        return await service.search(request, accept_language)

    @reading.get("/examples", responses=_problems(_KEY_STATUS, _BUSY_STATUS))
    async def examples() -> Examples:
        """A few texts of the index to search with, in several languages: always the same ones."""
        return Examples(examples=await service.examples())

    @reading.get("/about", responses=_problems(_KEY_STATUS, _BUSY_STATUS))
    async def about() -> About:
        """The encoder, the languages, the metadata columns, and the modes."""
        return await service.about(writable)

    @writing.post("/items", responses=_problems(_STATUS, _KEY_STATUS, _BUSY_STATUS))
    async def write(request: WriteRequest) -> WriteAnswer:
        """Write items: the given rows of an item replace all its rows."""
        return await service.write(request.rows)

    @writing.delete(
        "/items/{item:path}",
        responses=_problems({404: "there is no such item"}, _KEY_STATUS, _BUSY_STATUS),
    )
    async def delete(item: str) -> DeleteAnswer:
        """Remove an item with all its rows."""
        if not (removed := await service.delete(item)):
            raise HTTPException(404, "there is no such item")
        return DeleteAnswer(removed=removed)

    @app.head("/health", include_in_schema=False)
    @app.get("/health", responses=_problems({503: "the engine fails"}))
    async def health() -> Health:
        """Whether the service works."""
        return Health(status="ok", rows=await service.rows())

    @reading.get(
        "/metrics",
        response_class=Response,
        responses=_problems(_KEY_STATUS) | {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def measurements() -> Response:
        """The metrics in the format of Prometheus."""
        return Response(await service.measurements(), headers={"content-type": CONTENT_TYPE_LATEST})

    app.include_router(reading)
    app.include_router(writing)


def _route_for(right: Right, settings: Settings, service: Service) -> type[APIRoute]:
    """Routes that check the key before the body is read, and the size of the JSON before it is parsed."""

    async def check(request: Request) -> None:
        if settings.keys:
            bearer = await _BEARER(request)
            given = await _KEY_HEADER(request) or (bearer.credentials if bearer else "")
            if (has := settings.keys.right_of(given)) is None:
                sentence = "this key is not known" if given else "give a key in the header  Authorization: Bearer KEY"
                raise HTTPException(401, sentence, {"www-authenticate": "Bearer"})
            if right == "write" and settings.writable and has != "write":
                raise HTTPException(403, "this key allows searching, not writing")
        if right == "write" and not settings.writable:
            raise HTTPException(403, "this service only searches; it was started so that nothing is written")

    class BoundedRequest(Request):
        async def json(self) -> Any:
            try:
                return await service.parsed(await self.body())
            except BodyError as error:
                raise HTTPException(422, str(error)) from error

    class KeyedRoute(APIRoute):
        def get_route_handler(self) -> Handler:
            answer = super().get_route_handler()

            async def handler(request: Request) -> Response:
                await check(request)
                return await answer(BoundedRequest(request.scope, request.receive))

            return handler

    return KeyedRoute


def _problems(*groups: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """The errors for the OpenAPI description."""
    described: dict[int | str, dict[str, Any]] = {}
    for group in ({421: "asked under a foreign name"}, *groups):
        for status, what in group.items():
            described[status] = {"model": Problem, "description": what}
    return described


def _answer_errors(app: FastAPI) -> None:
    async def babelmix_error(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, EmbeddingError):
            # Not a fault of the request. The message may quote the text of another client, so it goes to the log only.
            raise error
        return JSONResponse(
            {"error": _bounded(str(error))}, 503 if isinstance(error, (EngineError, WriteError)) else 400
        )

    async def http_error(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, StarletteHTTPException)
        sentence = str(error.detail)
        if error.status_code == 405:
            sentence = f"{request.method} does not go here; see /openapi.json"
        elif error.status_code == 404 and sentence == "Not Found":
            sentence = "there is nothing here; see /openapi.json"
        return JSONResponse({"error": _bounded(sentence)}, error.status_code, dict(error.headers or {}))

    async def invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = [part for part in first["loc"] if part != "body"]
        what = str(first["msg"]).removeprefix("Value error, ")
        if {"where", "fields"} & set(place) and place[-1] in ("str", "int", "float", "constrained-float", "bool"):
            place, what = place[:-1], "has to be a text, a finite number, true or false"
        where = ".".join(_bounded(str(part), 80) for part in place)
        if first["loc"] == ("body",) and first["type"] != "value_error":
            what = "the body has to be a JSON object, with the header  Content-Type: application/json"
        return JSONResponse({"error": _bounded(f"{where}: {what}" if where else what)}, 422)

    app.add_exception_handler(BabelmixError, babelmix_error)
    app.add_exception_handler(StarletteHTTPException, http_error)
    app.add_exception_handler(RequestValidationError, invalid)


def _bounded(sentence: str, most: int = 1000) -> str:
    """A message of bounded length without control characters, whatever it quotes from the request."""
    shown = visible(sentence[: most + 1])
    return shown if len(shown) <= most else f"{shown[:most]}..."


def _add_pages(app: FastAPI) -> None:
    page = _page(_PAGE.read_text(encoding="utf-8"), "img-src data: blob:; connect-src 'self'")

    @app.head("/", include_in_schema=False)
    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return page

    static = Path(fastapi_offline.__file__).with_name("static")
    app.mount("/docs-files", StaticFiles(directory=static), name="docs-files")
    described = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="babelmix",
        swagger_js_url="docs-files/swagger-ui-bundle.js",
        swagger_css_url="docs-files/swagger-ui.css",
        swagger_favicon_url="docs-files/favicon.png",
    )
    docs = _page(
        bytes(described.body).decode(), "img-src data: 'self'; connect-src 'self'", "'self'", "'unsafe-inline'"
    )

    @app.head("/docs", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def docs_page() -> Response:
        return docs


def _page(html: str, more: str, files: str = "", styles: str = "") -> HTMLResponse:
    """An HTML page with a Content-Security-Policy that allows its own scripts and styles alone.

    Args:
        html: the page.
        more: further directives of the policy.
        files: further sources of scripts and styles.
        styles: the allowed sources of styles, instead of the hashes of the page's own styles.

    """
    scripts = f"{_hashes(html, 'script')} {files}".strip() or "'none'"
    looks = f"{styles or _hashes(html, 'style')} {files}".strip()
    policy = (
        f"default-src 'none'; {more}; style-src {looks}; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return HTMLResponse(html, headers={"content-security-policy": policy})


def _hashes(html: str, tag: str) -> str:
    """The hashes of the contents of all elements with this tag, for a Content-Security-Policy."""
    reader = _Inline(tag)
    reader.feed(html)
    reader.close()
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in reader.found if text)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


class _Inline(HTMLParser):
    """Collects the contents of all elements with one tag, unescaped."""

    def __init__(self, tag: str) -> None:
        super().__init__(convert_charrefs=False)
        self._tag, self._inside = tag, False
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a text."""
        if tag == self._tag:
            self._inside = True
            self.found.append("")

    def handle_endtag(self, tag: str) -> None:
        """End a text."""
        self._inside = self._inside and tag != self._tag

    def handle_data(self, data: str) -> None:
        """Take a part of a text."""
        if self._inside:
            self.found[-1] += data
