"""API keys: which clients may search and which may write."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from babelmix.errors import ConfigError

Right = Literal["read", "write"]

MIN_LENGTH = 16
"""Minimum length of a key in characters."""


class Keys:
    """API keys. Only their digests are kept in memory.

    Args:
        rights: the right of each key; `write` includes `read`.

    Raises:
        ConfigError: a key is too short, or has characters that a header cannot carry.

    """

    def __init__(self, rights: Mapping[str, Right] | None = None) -> None:
        for key in rights or {}:
            if len(key) < MIN_LENGTH or not key.isascii() or not key.isprintable() or " " in key:
                raise ConfigError(f"a key has to have at least {MIN_LENGTH} ASCII characters without spaces")
        self._rights = [(_digest(key), right) for key, right in (rights or {}).items()]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read a file with lines such as `read 0123456789abcdef`. Empty lines and lines that begin with `#` are ignored.

        Raises:
            ConfigError: the file cannot be read, holds no key, or a line is malformed.

        """
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file}: cannot be read ({getattr(error, 'strerror', error)})") from error
        rights: dict[str, Right] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            right, _, key = line.strip().partition(" ")
            if right not in ("read", "write") or not key:
                raise ConfigError(f"{file}, row {number}: write  read KEY  or  write KEY")
            try:
                cls({key.strip(): "read"})
            except ConfigError as error:
                raise ConfigError(f"{file}, row {number}: {error}") from error
            rights[key.strip()] = "read" if right == "read" else "write"
        if not rights:
            raise ConfigError(f"{file}: holds no key; write a line  read KEY  or  write KEY")
        return cls(rights)

    def __bool__(self) -> bool:
        return bool(self._rights)

    def right_of(self, key: str) -> Right | None:
        """The right of a key; None: the key is unknown. Takes the same time for every key."""
        given, found = _digest(key), None
        for digest, right in self._rights:
            if hmac.compare_digest(given, digest):
                found = right
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
