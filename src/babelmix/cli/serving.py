"""`babelmix serve`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from babelmix._interrupts import interrupts
from babelmix.cli.options import SearchBackendOption, TrustOption, say


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
    accept_language: Annotated[
        str,
        typer.Option(
            help="For searches without a policy, the languages of the header Accept-Language: prefer raises them, reads gives no "
            "others.  [default: the header is not read]",
            metavar="prefer|reads",
        ),
    ] = "",
    detect: Annotated[
        bool,
        typer.Option("--detect", help="Detect the language of queries that do not state it, for metrics and log."),
    ] = False,
    log: Annotated[
        Path | None,
        typer.Option(help="Add a line of each search to this file, for `babelmix audit --log`.", metavar="FILE"),
    ] = None,
    log_texts: Annotated[bool, typer.Option("--log-texts", help="With --log: log the words of queries too.")] = False,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Where the index's encoder is now, if it was moved.")
    ] = "",
    backend: SearchBackendOption = "",
    rerank: Annotated[
        str | None,
        typer.Option(
            help="Score the first rows again with this reranker: a name, a folder or a URL.", metavar="MODEL"
        ),
    ] = None,
    trust_code: TrustOption = False,
) -> None:
    """Serve an index: a page to search on, and an API for programs, described at /docs."""
    from babelmix.search import serving

    _free_early()
    serving.serve(
        address, host=host, port=port, keys=keys, read_only=read_only, allow_host=allow_host or (), cors=cors or (),
        timeout=timeout, max_request=max_request, max_in_flight=max_in_flight, accept_language=accept_language or None,
        detect=detect, log_to=log, log_texts=log_texts, model=model or None, backend=backend or None, trust_code=trust_code,
        rerank=rerank, say=lambda line: say(line, err=True),
    )  # fmt: skip
    # Ctrl-C is the normal way to stop the server, so it is not an error.
    interrupts.forget()


def _free_early() -> None:
    """Let the C library of Linux give freed memory back to the system early, not keep it for later."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    # A C library without this function needs no setting.
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in ((_TRIM_THRESHOLD, 1 << 16), (_ARENA_MAX, 2)):
            mallopt(option, value)


_TRIM_THRESHOLD, _ARENA_MAX = -1, -8
"""The numbers of glibc for: free memory that is kept, in bytes; and the number of heaps that threads share."""
