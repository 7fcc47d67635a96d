"""The limits and the keys of a service."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from babelmix.search.service.accept_language import Use
from babelmix.search.service.keys import Keys

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine. Other names are refused, so that a web page cannot reach the service by DNS rebinding."""


@dataclass(frozen=True)
class Settings:
    """The limits and the keys of a service.

    Args:
        keys: keys of clients; without keys everyone who reaches the port may search and write.
        writable: whether items may be written and deleted.
        hosts: the host names that the service answers to; None: any.
        origins: pages of these origins may call the service from a browser (CORS).
        max_body: maximum bytes of a request.
        max_pixels: maximum pixels of a picture.
        timeout: seconds that a request may take.
        receive_timeout: seconds that a request may take to arrive.
        write_timeout: seconds that a write may take; a write to the index that has begun is always completed.
        send_timeout: a time in seconds. Over this time a client must read 16 KiB per second on average, or everything; see
            `connections`.
        max_in_flight: maximum requests in work; further ones are refused.
        max_held: maximum bytes of all requests that are arriving or in work; a single request of up to `max_body` bytes is
            always accepted.
        accept_language: what the header `Accept-Language` becomes for searches without a policy: `prefer` or `reads`; None: it is
            not read.
        detect: whether the languages of queries that do not state theirs are detected for metrics and log. Answers stay the same.
        log: the file for a line of each search; None: searches are not logged. See `babelmix.search.request_lines`.
        log_texts: whether the log has the words of the queries.

    """

    keys: Keys = field(default_factory=Keys)
    writable: bool = True
    hosts: tuple[str, ...] | None = LOOPBACK
    origins: tuple[str, ...] = ()
    max_body: int = 16 << 20
    max_pixels: int = 20_000_000
    timeout: float = 10.0
    receive_timeout: float = 20.0
    write_timeout: float = 120.0
    send_timeout: float = 20.0
    max_in_flight: int = 64
    max_held: int = 128 << 20
    accept_language: Use | None = None
    detect: bool = False
    log: Path | None = None
    log_texts: bool = False

    def __post_init__(self) -> None:
        for name in ("hosts", "origins"):
            if isinstance(given := getattr(self, name), str):
                object.__setattr__(self, name, (given,))
