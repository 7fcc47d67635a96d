"""Files as they are or packed (gzip, bzip2, xz, Zstandard): what kind they are, and their bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa

from babelmix.errors import ReaderError

MAX_UNPACKED = 1 << 30
"""Bytes that a packed file may always give, however small it is."""

MAX_RATIO = 200
"""Bytes that it may give for each of its own; text packs to a tenth."""

_BLOCK = 1 << 18
_UNPACKERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": lambda file: pa.CompressedInputStream(pa.OSFile(str(file)), "zstd"),
}

PACKED = tuple(_UNPACKERS)
"""Suffixes of packed files."""


class DamagedError(Exception):
    """What is packed is damaged or cut short; whoever reads it knows the row."""


def kind_of(file: Path) -> str:
    """The suffix that says what a file holds, in small letters, without that of a packing.

    >>> kind_of(Path("X.CSV.gz"))
    '.csv'
    """
    return _name_and_kind(file)[1]


def stem_of(file: Path) -> str:
    """A file's name without that suffix.

    >>> stem_of(Path("pt-BR.csv.gz"))
    'pt-BR'
    """
    return _name_and_kind(file)[0]


def is_packed(file: Path) -> bool:
    """Whether a file's name says that it is packed."""
    return file.suffix.lower() in PACKED


def _name_and_kind(file: Path) -> tuple[str, str]:
    inner = Path(file.stem) if is_packed(file) else file
    return inner.stem, inner.suffix.lower()


class _Unpacked(io.RawIOBase):
    """The bytes of a packed file, of which there is an end."""

    def __init__(self, source: Any, file: Path) -> None:
        self._source, self._file = source, file
        self._left = max(MAX_UNPACKED, MAX_RATIO * file.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(len(buffer))
        except (EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
            raise DamagedError(str(error)) from error
        self._left -= len(data)
        if self._left < 0:
            raise ReaderError(
                f"gives more than {MAX_RATIO} times its size when it is unpacked; unpack it yourself if that is right",
                file=self._file,
            )
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """A file's bytes, unpacked if its name says that it is packed.

    Raises:
        ReaderError: there is no such file, or it gives far more than its size.
        DamagedError: what is packed is damaged or cut short.

    """
    if not file.is_file():
        raise ReaderError("is missing", file=file)
    with ExitStack() as stack:
        if not is_packed(file):
            yield stack.enter_context(file.open("rb"))
            return
        source = stack.enter_context(_UNPACKERS[file.suffix.lower()](file))
        yield cast(BinaryIO, io.BufferedReader(_Unpacked(source, file), _BLOCK))
