"""Serve an index over HTTP: check the options, listen, load, and run uvicorn until it is stopped."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from babelmix._lists import as_list
from babelmix.corpus.detecting import check_detector
from babelmix.errors import ArgumentError, ConfigError, require
from babelmix.search.searcher import open_index

if TYPE_CHECKING:
    from babelmix.search.service import Keys, Settings
    from babelmix.search.service.accept_language import Use

_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#\s]+")
_LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    # A client chooses what stands in a path: control characters are shown as escapes.
    "formatters": {"line": {"()": "babelmix._terminal.VisibleFormatter", "format": "%(levelname)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"uvicorn": {"handlers": ["stderr"]}, "babelmix": {"handlers": ["stderr"]}},
}

log = logging.getLogger("babelmix.service")


def serve(
    address: str | Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8765,
    keys: str | Path | Keys | None = None,
    read_only: bool = False,
    allow_host: str | Sequence[str] = (),
    cors: str | Sequence[str] = (),
    timeout: float = 10.0,
    max_request: int = 16,
    max_in_flight: int = 64,
    accept_language: str | None = None,
    detect: bool = False,
    log_to: str | Path | None = None,
    log_texts: bool = False,
    model: str | None = None,
    backend: str | None = None,
    trust_code: bool = False,
    rerank: str | None = None,
    say: Callable[[str], None] = log.info,
) -> None:
    """Serve an index until Ctrl-C or SIGTERM: a page to search on, and an API for programs, described at /docs.

    Args:
        address: the address of the index.
        host: the host name or address to listen on. If other machines can reach it, writing needs a key.
        port: the port. 0: any free port.
        keys: the keys of clients, or a file with lines `read KEY` and `write KEY`.
        read_only: search only: nothing is written or deleted.
        allow_host: also answer under these names, as behind a proxy.
        cors: let pages of these origins call the service from a browser.
        timeout: seconds that a search may take.
        max_request: the largest size of a request in MiB.
        max_in_flight: the most requests that are worked on at the same time.
        accept_language: what the header `Accept-Language` becomes for searches without a policy: `prefer` raises answers in its
            languages, `reads` gives only those, and those in the language that the request states for its query. None: the header
            is not read.
        detect: detect the language of queries that do not state it, for metrics and log; answers stay the same. Needs the extra
            `detect`.
        log_to: add a line of each search to this file: languages, items and scores of its answers, policy, mode and time. It has
            no texts, keys or addresses of clients. `babelmix audit --log` reads it. None: searches are not logged.
        log_texts: the log has the words of the queries too.
        model: the new path of the encoder, if it was moved after the index was made.
        backend: the backend that runs the encoder; by default the one that embedded the rows.
        trust_code: run Python code that the encoder contains or refers to; see `load_encoder`.
        rerank: a reranker that scores the first rows of each search again; see `open_index`.
        say: a function that gets each message for the user, such as the URL of the service. By default it logs them.

    Raises:
        ConfigError: an option is wrong, or the port is taken.
        SearchError: there is no index, or it was made with another encoder, or its engine fails.
        EncoderError: the encoder cannot be loaded.
        MissingExtraError: the extra `search` is not installed.

    """
    require("fastapi", "search", "Serving")
    require("fastapi_offline", "search", "Serving")
    uvicorn = require("uvicorn", "search", "Serving")
    from babelmix.search.service.app import create_app
    from babelmix.search.service.connections import files_allowed, impatient

    settings = service_settings(
        host, keys=keys, read_only=read_only, allow_host=allow_host, cors=cors, timeout=timeout, max_request=max_request,
        max_in_flight=max_in_flight, accept_language=accept_language, detect=detect, log_to=log_to, log_texts=log_texts,
    )  # fmt: skip
    files = files_allowed()
    # The number of connections that may wait to be accepted, besides the open ones.
    backlog = min(2048, files // 4)
    try:
        listening = listen(host, port, backlog=backlog)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}, port {port} ({error.strerror}); choose another host or port"
        ) from error
    with (
        listening,
        open_index(address, model=model, backend=backend, trust_code=trust_code, rerank=rerank) as searcher,
    ):
        # A failure is one sentence here; inside the server it would be a traceback.
        searcher.search(".", k=1)
        if searcher.index.engine.read_only:
            settings = replace(settings, writable=False)
        number = listening.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        config = uvicorn.Config(
            create_app(searcher, settings),
            http=impatient(settings.receive_timeout, files // 2, settings.send_timeout),
            ws="none",
            log_config=_LOG,
            backlog=backlog,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=10,
            lifespan="on",
        )
        # The socket is already open; early requests wait until startup completes.
        say(f"{searcher.index.address} is served at http://{shown}:{number} (stop it with Ctrl-C)")
        for note in searcher.notes:
            say(note)
        if not _is_loopback(host) and not settings.keys:
            say("Everyone who reaches this port may search; nothing is written. See --keys.")
        if settings.log is not None:
            say(
                f"Each search is logged in {settings.log}, {'with' if log_texts else 'without'} the words of its query."
            )
        with _terminated_as_interrupted(), contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def service_settings(
    host: str,
    *,
    keys: str | Path | Keys | None = None,
    read_only: bool = False,
    allow_host: str | Sequence[str] = (),
    cors: str | Sequence[str] = (),
    timeout: float = 10.0,
    max_request: int = 16,
    max_in_flight: int = 64,
    accept_language: str | None = None,
    detect: bool = False,
    log_to: str | Path | None = None,
    log_texts: bool = False,
) -> Settings:
    """The settings of a service; see `serve`.

    Raises:
        ConfigError: an option is wrong, or the file of keys cannot be read.
        MissingExtraError: `detect`, and the extra `detect` is not installed.

    """
    from babelmix.search.service.keys import Keys
    from babelmix.search.service.settings import LOOPBACK, Settings

    hosts, origins = as_list(allow_host, "allow_host"), as_list(cors, "cors")
    for name in hosts:
        if not _HOST.fullmatch(name):
            raise ArgumentError(
                "allow_host", f"{name} has to be a name without scheme and port, as in  search.example.org"
            )
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ArgumentError(
                "cors", f"{origin} is no origin; write scheme and name, as in  https://www.example.org"
            )
    if detect:
        check_detector()
    if log_texts and log_to is None:
        raise ArgumentError("log_texts", "is for a log; name its file with log_to")
    known = keys if isinstance(keys, Keys) else Keys() if keys is None else Keys.read(Path(keys))
    loopback = _is_loopback(host)
    return Settings(
        keys=known,
        # If other machines can reach the service, only clients with a key may write.
        writable=not read_only and (loopback or bool(known)),
        hosts=(*LOOPBACK, *(name.lower() for name in (host, *hosts))) if loopback or hosts else None,
        origins=tuple(origins),
        timeout=timeout,
        max_body=max_request << 20,
        max_in_flight=max_in_flight,
        accept_language=_use(accept_language),
        detect=detect,
        log=None if log_to is None else Path(log_to),
        log_texts=log_texts,
    )


def _use(accept_language: str | None) -> Use | None:
    from babelmix.search.service.accept_language import USES

    if accept_language is None:
        return None
    for use in USES:
        if use == accept_language:
            return use
    raise ArgumentError("accept_language", f"{accept_language!r} is unknown; use {' or '.join(USES)}")


def listen(host: str, port: int, *, backlog: int = 2048) -> socket.socket:
    """Open a listening socket whose connections send data immediately.

    Args:
        host: a name or address of this machine.
        port: the port. 0: any free port.
        backlog: the number of connections that may wait to be accepted.

    Raises:
        OSError: the address is not available.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=backlog)
    # Connections inherit this option, and asyncio does not set it. Without it, many answers wait 40 ms for an acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Turn SIGTERM into KeyboardInterrupt. Uvicorn raises the signal again when it ends, but the index must be closed first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
