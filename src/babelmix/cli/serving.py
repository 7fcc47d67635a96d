"""`babelmix serve`."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
from pathlib import Path
from typing import Annotated

import typer

from babelmix._interrupts import interrupts
from babelmix.cli.options import SearchBackendOption, TrustOption, say, tell_backend

_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
_LOG = {
    "version": 1,
    "disable_existing_loggers": False,
    # A path may hold whatever a client likes.
    "formatters": {"line": {"()": "babelmix._terminal.VisibleFormatter", "format": "%(levelname)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"uvicorn": {"handlers": ["stderr"]}, "babelmix": {"handlers": ["stderr"]}},
}
_ORIGIN = re.compile(r"\*|[a-z][a-z0-9+.-]*://[^/?#\s]+")


def serve(
    address: Annotated[str, typer.Argument(help="The index: see `babelmix index`.", metavar="INDEX")],
    host: Annotated[
        str, typer.Option(help="Where to listen. Beyond this machine nothing is written unless there are keys.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8765,
    keys: Annotated[
        Path | None, typer.Option(help="A file with lines  read KEY  and  write KEY.", metavar="FILE")
    ] = None,
    read_only: Annotated[bool, typer.Option(help="Search only: nothing is written or deleted.")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Answer under this name too, as behind a proxy; may be repeated.", metavar="NAME"),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="Let pages of this origin call it from a browser; may be repeated.", metavar="ORIGIN"),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds a search may take.")] = 10.0,
    max_request: Annotated[int, typer.Option(min=1, help="Mebibytes a request may have.", metavar="MIB")] = 16,
    max_in_flight: Annotated[int, typer.Option(min=1, help="Requests worked on at once.")] = 64,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Where the index's encoder is now, if it was moved.")
    ] = "",
    backend: SearchBackendOption = "",
    trust_code: TrustOption = False,
) -> None:
    """Serve an index: a page to search on, and an API for programs, described at /docs."""
    import ipaddress

    from babelmix.errors import ConfigError, require

    require("fastapi", "serve", "Serving")
    require("fastapi_offline", "serve", "Serving")
    uvicorn = require("uvicorn", "serve", "Serving")

    from babelmix.search import Searcher
    from babelmix.search.service import Keys, Settings, create_app
    from babelmix.search.service.connections import files_allowed, impatient
    from babelmix.search.service.settings import LOOPBACK

    try:
        loopback = host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    for name in allow_host or ():
        if not _HOST.fullmatch(name):
            raise ConfigError(
                f"--allow-host {name}: is a name alone, without scheme and port, as in  search.example.org"
            )
    for origin in cors or ():
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(f"--cors {origin}: is no origin; write scheme and name, as in  https://www.example.org")
    known = Keys.read(keys) if keys is not None else Keys()
    names = (*LOOPBACK, *(name.lower() for name in (host, *(allow_host or ()))))
    settings = Settings(
        keys=known,
        # Who may write to a service that the network reaches is to be said.
        writable=not read_only and (loopback or bool(known)),
        hosts=names if loopback or allow_host else None,
        origins=tuple(cors or ()),
        timeout=timeout,
        max_body=max_request << 20,
        max_in_flight=max_in_flight,
    )
    files = files_allowed()
    # As many may be taken in at once, beside those that are there.
    backlog = min(2048, files // 4)
    try:
        listening = listen(host, port, backlog=backlog)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}, port {port} ({error.strerror}); choose another with --host and --port"
        ) from error
    with listening:
        searcher = Searcher.open(address, model=model or None, backend=backend or None, trust_code=trust_code)
        with searcher.index:
            # What fails is said in one sentence now, and by the server with a traceback.
            searcher.search(["."], k=1)
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
            # Who asks before it is ready waits: the socket listens already.
            say(f"{address} is served at http://{shown}:{number} (stop it with Ctrl-C)", err=True)
            tell_backend(searcher)
            if not loopback and not known:
                say("Everyone who reaches this port may search; nothing is written. See --keys.", err=True)
            # The server ends itself at a signal, then sends it on: it is to find the index closed, not the process dead.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with contextlib.suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listening])
            interrupts.forget()


def listen(host: str, port: int, *, backlog: int = 2048) -> socket.socket:
    """A listening socket, whose connections send at once what they have.

    Args:
        host: a name or address of this machine.
        port: 0: any that is free.
        backlog: connections that may wait to be taken in.

    Raises:
        OSError: the address cannot be had.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family, backlog=backlog)
    # Connections take this over. asyncio does not see that they are TCP's; without it many an answer waits 40 ms for an
    # acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening
