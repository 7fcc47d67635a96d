"""Open files that may be compressed with gzip, bzip2, xz or Zstandard."""

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

from babelmix.errors import ReaderError

MAX_UNPACKED = 1 << 30
"""Any compressed file may have this many bytes after decompression."""

MAX_RATIO = 200
"""The largest ratio of decompressed to compressed bytes for larger files. Text usually has ten."""

_BLOCK = 1 << 18


def _open_zstandard(file: Path) -> Any:
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(file)), "zstd")


_UNPACKERS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zstandard,
}


def _damage() -> tuple[type[Exception], ...]:
    """The errors of damaged data. Called only once one of them is raised."""
    import pyarrow as pa

    return EOFError, OSError, zlib.error, lzma.LZMAError, pa.ArrowException


PACKED = tuple(_UNPACKERS)
"""The suffixes of compressed files."""


class DamagedError(Exception):
    """A compressed file is damaged or cut short. The caller adds the row to the message."""


def kind_of(file: Path) -> str:
    """The suffix of a file in lower case. The suffix of the compression does not count.

    Examples:
        >>> kind_of(Path("X.CSV.gz"))
        '.csv'

    """
    return _name_and_kind(file)[1]


def stem_of(file: Path) -> str:
    """The name of a file without its suffixes.

    Examples:
        >>> stem_of(Path("pt-BR.csv.gz"))
        'pt-BR'

    """
    return _name_and_kind(file)[0]


def is_packed(file: Path) -> bool:
    """Whether the name of a file has the suffix of a compression."""
    return file.suffix.lower() in PACKED


def _name_and_kind(file: Path) -> tuple[str, str]:
    inner = Path(file.stem) if is_packed(file) else file
    return inner.stem, inner.suffix.lower()


class _Unpacked(io.RawIOBase):
    """The decompressed bytes of a file. Their number is limited."""

    def __init__(self, source: Any, file: Path) -> None:
        self._source, self._file = source, file
        self._left = max(MAX_UNPACKED, MAX_RATIO * file.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._source.read(len(buffer))
        except _damage() as error:
            raise DamagedError(str(error)) from error
        self._left -= len(data)
        if self._left < 0:
            raise ReaderError(
                f"has more than {MAX_RATIO} times its size after decompression; if this is right, decompress it yourself",
                file=self._file,
            )
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file for reading bytes. A file with the suffix of a compression is decompressed.

    Raises:
        ReaderError: there is no such file, or it is far too large after decompression.
        DamagedError: the compressed data are damaged or cut short.

    """
    if not file.is_file():
        raise ReaderError("is missing", file=file)
    with ExitStack() as stack:
        if not is_packed(file):
            yield stack.enter_context(file.open("rb"))
            return
        source = stack.enter_context(_UNPACKERS[file.suffix.lower()](file))
        yield cast(BinaryIO, io.BufferedReader(_Unpacked(source, file), _BLOCK))
