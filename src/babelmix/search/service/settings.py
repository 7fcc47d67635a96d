"""What a service allows."""

from __future__ import annotations

from dataclasses import dataclass, field

from babelmix.search.service.keys import Keys

LOOPBACK = ("localhost", "127.0.0.1", "::1")
"""Names of this machine; a page elsewhere cannot reach it under another name that it made point here."""


@dataclass(frozen=True)
class Settings:
    """What a service allows.

    Args:
        keys: who may search and write; without keys everyone who reaches the port may.
        writable: whether items may be written and deleted.
        hosts: the names under which it answers; None: any.
        origins: pages of these origins may call it from a browser (CORS).
        max_body: bytes of a request at most.
        max_pixels: of a picture at most.
        timeout: seconds a request may take.
        receive_timeout: seconds a request may take to arrive.
        write_timeout: seconds a request that writes may take; what has begun to be written is written to its end.
        send_timeout: in so many seconds a client takes 16 KiB a second of its answers, or all there is; see `connections`.
        max_in_flight: requests that are worked on at once; more are turned away.
        max_held: bytes of requests that are held at once, of those that arrive and those that are worked on; one that
            `max_body` allows is always taken when there is no other.

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

    def __post_init__(self) -> None:
        for name in ("hosts", "origins"):
            if isinstance(given := getattr(self, name), str):
                object.__setattr__(self, name, (given,))
