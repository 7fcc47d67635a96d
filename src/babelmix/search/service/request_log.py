"""The log of searches that `serve --log` writes: JSON lines, for `babelmix audit --log`."""

from __future__ import annotations

import json
import logging
import os
import queue
import stat
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from babelmix.errors import BabelmixError, ConfigError
from babelmix.search.request_lines import HEADER, VERSION, now

WAITING = 10_000
"""Searches that may wait to be written. Further ones are lost, because a slow disk must not fill the memory."""

# A pipe whose reader is slow loses lines, so that the service can end.
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)

log = logging.getLogger("babelmix.service")


class RequestLog:
    """Writes one line for each search, in a thread of its own.

    A line is written by one call of the system, at the end of the file, so that a reader sees whole lines. If the file was moved
    or deleted, a new one is begun. Every file begins with a line about the index. If a line cannot be written, it is lost; the
    service says so once and goes on.

    Args:
        path: the file; lines are added to it. A new file is readable for its owner alone.
        header: returns the facts that the first line of a file states.
        count: is called with `written` or `lost` for each search.

    Raises:
        ConfigError: the file cannot be opened.

    """

    def __init__(self, path: Path, header: Callable[[], Mapping[str, Any]], count: Callable[[str], None]) -> None:
        self._path, self._header, self._count = path, header, count
        self._waiting: queue.Queue[Mapping[str, Any] | None] = queue.Queue(WAITING)
        self._lost = 0
        self._stated = self._halved = False
        """Whether the facts are in this file, and whether its last line was cut short."""
        try:
            self._file: int | None = os.open(path, _FLAGS, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot write the log {path} ({error.strerror}); name a file in a folder that exists"
            ) from error
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()

    def add(self, record: Mapping[str, Any]) -> None:
        """Write a record soon. This never waits."""
        try:
            self._waiting.put_nowait(record)
        except queue.Full:
            self._lose("it is written too slowly")

    def close(self) -> None:
        """Write what waits, then end the thread."""
        if self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _run(self) -> None:
        while (record := self._waiting.get()) is not None:
            try:
                file = self._opened()
                if not self._stated:
                    self._put(file, {HEADER: VERSION, "time": now(), **self._header()})
                    self._stated = True
                self._put(file, record)
            except (OSError, BabelmixError) as error:
                self._lose(getattr(error, "strerror", None) or str(error))
                continue
            self._count("written")
            if self._lost:
                log.warning("%s is written again; %d searches are missing in it", self._path, self._lost)
                self._lost = 0

    def _opened(self) -> int:
        """The file; a new one if it was moved."""
        if self._file is not None and not _is_at(self._file, self._path):
            os.close(self._file)
            self._file = None
        if self._file is None:
            self._file = os.open(self._path, _FLAGS, 0o600)
            self._stated = self._halved = False
        found = os.fstat(self._file)
        if stat.S_ISREG(found.st_mode) and not found.st_size:
            # A program that rotates logs may empty the file in its place.
            self._stated = False
        return self._file

    def _put(self, file: int, record: Mapping[str, Any]) -> None:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
        data = line.encode("utf-8", "backslashreplace")
        if self._halved:
            data = b"\n" + data
        written = os.write(file, data)
        self._halved = False
        if written < len(data):
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode):
                # The part of a line that a full disk had room for would damage the log.
                os.ftruncate(file, found.st_size - written)
            else:
                self._halved = True
            raise OSError(0, "there was no room for a whole line")

    def _lose(self, why: str) -> None:
        self._count("lost")
        self._lost += 1
        if self._lost == 1:
            log.warning("%s: a search could not be logged (%s); searches go on without", self._path, why)


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


__all__ = ["RequestLog"]
