"""Pictures: how a row stores one, how it is opened, and which pictures are refused."""

from __future__ import annotations

import contextlib
import hashlib
import io
import stat
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from babelmix.errors import CorpusError, PictureError, require

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image

    IMAGE_TYPE: pa.StructType
    """A picture as `datasets.Image` stores it: the bytes of a file, or its path."""

_AT_ONCE = 256
"""The number of picture files that are in memory together."""

MAX_PIXELS = 50_000_000
"""A picture with more pixels is refused before it is decoded."""

MAX_BYTES = 100 << 20
"""A larger file is refused."""

MAX_ASPECT = 100
"""The largest ratio of the longer to the shorter side. An encoder that scales the shorter side to its input size would need
gigabytes for a longer picture."""

MAX_SCANS = 100
"""The most scans of a JPEG. Each scan writes all pixels. A progressive JPEG usually has ten."""

DECODE_SECONDS = 10.0
"""The CPU time for one picture. A picture that takes longer to decode is refused."""

PIXELS_AT_ONCE = 100_000_000
"""The most pixels of all pictures that are decoded together. A single larger picture is decoded alone."""

PICTURES = 2
"""The version of `open_picture`. Embeddings that are cached under another version are not used."""


def open_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Decode a picture.

    Args:
        data: the bytes of a PNG, JPEG, WebP, GIF, BMP or TIFF file.
        max_pixels: a picture with more pixels is refused before it is decoded.

    Returns:
        An RGB picture, rotated as its EXIF data say. Transparent parts are white.

    Raises:
        PictureError: the picture is empty, cut short, damaged, too large, too long and narrow, animated, in a colour space other
            than RGB and grey, or takes too long to decode.
        MissingExtraError: Pillow is not installed.

    """
    images = require("PIL.Image", "images", "Opening pictures")
    turning = require("PIL.ImageOps", "images", "Opening pictures")
    with _as_picture_errors(images):
        picture = _header(data, images, max_pixels)
        if picture.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"):
            raise PictureError(f"has the colour space {picture.mode}; convert it to RGB")
        picture.load()
        # The EXIF data may be damaged although the picture is not.
        with contextlib.suppress(Exception):
            turning.exif_transpose(picture, in_place=True)
        return _as_rgb(picture, images)


def pixels_of(data: bytes, *, max_pixels: int = MAX_PIXELS) -> int:
    """The number of pixels of a picture, from its header alone.

    Args:
        data: the bytes of a file, as for `open_picture`.
        max_pixels: a picture with more pixels is refused.

    Raises:
        PictureError: the header already shows a fault that `open_picture` refuses.
        MissingExtraError: Pillow is not installed.

    """
    images = require("PIL.Image", "images", "Opening pictures")
    with _as_picture_errors(images):
        width, height = _header(data, images, max_pixels).size
        return int(width * height)


class _TimedBytes(io.BytesIO):
    """A file in memory. Reading fails once the CPU time for the picture is spent; Pillow's decoders read in small pieces."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        # The time of this thread alone, so that a busy machine makes no difference.
        self._end = time.thread_time() + DECODE_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self._end:
            raise PictureError(f"takes more than {DECODE_SECONDS:g} seconds to decode; save it again as PNG or JPEG")
        return super().read(size)


def _header(data: bytes, images: Any, max_pixels: int) -> Image:
    """Open a picture without decoding it, and check its size."""
    if not data:
        raise PictureError("is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise PictureError(f"is a file of {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    picture: Image = images.open(_TimedBytes(data), formats=("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"))
    width, height = picture.size
    if width * height > max_pixels:
        raise PictureError(f"has {width:,} x {height:,} pixels; at most {max_pixels:,} are read")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise PictureError(
            f"has {width:,} x {height:,} pixels; one side may be {MAX_ASPECT} times as long as the other, so cut it"
        )
    # Compressed data never contain these two bytes by chance. The scans of an embedded preview count too.
    if picture.format in ("JPEG", "MPO") and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise PictureError(f"is a JPEG of {scans:,} scans; at most {MAX_SCANS} are read, so save it again")
    # A photo (MPO) may have a preview as a second frame. `n_frames` would read all frames.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise PictureError("is animated, or has several pages; use one of them")
    return picture


@contextlib.contextmanager
def _as_picture_errors(images: Any) -> Iterator[None]:
    """Turn every error of Pillow into a `PictureError`."""
    try:
        with warnings.catch_warnings():
            # Pillow warns about small damage, and about sizes above its own limit, which is higher than ours.
            warnings.simplefilter("ignore")
            yield
    except PictureError:
        raise
    except images.DecompressionBombError as error:
        raise PictureError(f"has too many pixels; at most {MAX_PIXELS:,} are read") from error
    except images.UnidentifiedImageError as error:
        raise PictureError("is no picture, or damaged at its beginning; use PNG, JPEG or WebP") from error
    except Exception as error:  # Pillow's decoders raise many unrelated types
        raise PictureError(f"is cut short or damaged ({error})") from error


def _as_rgb(picture: Image, images: Any) -> Image:
    if picture.mode == "I;16":
        # Pillow would keep the lowest 8 bits.
        return images.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        paper = images.new("RGBA", over.size, "white")
        paper.alpha_composite(over)
        return paper.convert("RGB")
    return picture.convert("RGB")


def picture_keys(column: pa.ChunkedArray, side: str) -> list[str | None]:
    """The digest of each picture, 32 hexadecimal digits. None if a row has no picture.

    Raises:
        CorpusError: a picture has neither bytes nor a path, or its file cannot be read.

    """
    keys: list[str | None] = []
    for row, cell in enumerate(column):
        value = cell.as_py()
        if value is None:
            keys.append(None)
            continue
        try:
            keys.append(digest_of(bytes_of(value)))
        except PictureError as error:
            raise CorpusError(f"{side}, row {row + 1}, column 'image': {error}") from error
    return keys


def digest_of(data: bytes) -> str:
    """The BLAKE2b hash of a file's bytes, 128 bits as hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def bytes_of(value: dict[str, Any]) -> bytes:
    """The bytes of a picture from a cell of the column `image`.

    Raises:
        PictureError: the cell has no picture, or its file cannot be read or is too large.

    """
    if value.get("bytes") is not None:
        return value["bytes"]
    path = value.get("path")
    if not path:
        raise PictureError("has neither bytes nor a path")
    try:
        # A device or a pipe may never end.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise PictureError(f"{path} cannot be read (it is no file)")
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise PictureError(f"{path} has more than {MAX_BYTES:,} bytes, which is the most that is read")
        return data
    except (OSError, ValueError) as error:  # a NUL in a path is a ValueError
        raise PictureError(f"{path} cannot be read ({getattr(error, 'strerror', error)})") from error


class Pictures(Sequence["Image"]):
    """The pictures of a table. Each one is decoded when it is accessed.

    Args:
        table: rows of a side of a corpus. Every row is a picture.

    """

    def __init__(self, table: pa.Table) -> None:
        self._cells = table["image"]
        self._digests = table["digest"].to_pylist()

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        """The digests as 128-bit keys, uint64, shape (pictures, 2)."""
        return np.frombuffer(bytes.fromhex("".join(self._digests)), dtype="<u8").reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._digests)

    @overload
    def __getitem__(self, row: int) -> Image: ...

    @overload
    def __getitem__(self, row: slice) -> list[Image]: ...

    def __getitem__(self, row: int | slice) -> Image | list[Image]:
        """The RGB picture of a row.

        Raises:
            CorpusError: the picture is damaged, or its file has changed since the corpus was read.

        """
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        value = self._cells[int(row)].as_py()
        try:
            data = bytes_of(value)
            if value.get("bytes") is None and digest_of(data) != self._digests[int(row)]:
                raise PictureError(f"{value['path']} has changed since the corpus was read; read it again")
            return open_picture(data)
        except PictureError as error:
            raise CorpusError(f"picture {int(row) + 1}: {error}") from error

    def __iter__(self) -> Iterator[Image]:
        return (self[row] for row in range(len(self)))


def pieces_with_bytes(table: pa.Table) -> Iterator[pa.Table]:
    """Apply `with_bytes` to a few rows at a time, because all pictures together may not fit into memory.

    Raises:
        CorpusError: see `with_bytes`.

    """
    if _is_whole(table):
        yield table
        return
    for start in range(0, table.num_rows, _AT_ONCE):
        yield with_bytes(table.slice(start, _AT_ONCE), first=start)


def _is_whole(table: pa.Table) -> bool:
    if "image" not in table.column_names:
        return True
    import pyarrow.compute as pc

    inside = pc.or_(pc.is_null(table["image"]), pc.is_valid(pc.struct_field(table["image"], "bytes")))
    return bool(pc.all(inside).as_py() is not False)


def with_bytes(table: pa.Table, *, first: int = 0) -> pa.Table:
    """Read the pictures that are files into the table.

    Args:
        table: rows of a side of a corpus.
        first: the number of the first row, from 0, for errors.

    Returns:
        The table. Every picture is stored as bytes.

    Raises:
        CorpusError: a file cannot be read or has changed.

    """
    import pyarrow as pa

    if _is_whole(table):
        return table
    cells: list[dict[str, Any] | None] = []
    for row, (cell, digest) in enumerate(zip(table["image"], table["digest"].to_pylist(), strict=True), first):
        value = cell.as_py()
        try:
            cells.append(
                value and {"bytes": bytes_of(value), "path": Path(value["path"]).name if value["path"] else None}
            )
        except PictureError as error:
            raise CorpusError(f"picture {row + 1}: {error}") from error
        if value and digest_of(cells[-1]["bytes"]) != digest:  # type: ignore[index]
            raise CorpusError(
                f"picture {row + 1}: {value['path']} has changed since the corpus was read; read it again"
            )
    place = table.column_names.index("image")
    return table.set_column(place, "image", pa.array(cells, _image_type()))


def _image_type() -> pa.StructType:
    import pyarrow as pa

    return pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])


def __getattr__(name: str) -> Any:
    # Made on first use: a search opens pictures without pyarrow.
    if name == "IMAGE_TYPE":
        return _image_type()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "IMAGE_TYPE",
    "Pictures",
    "bytes_of",
    "digest_of",
    "open_picture",
    "picture_keys",
    "pieces_with_bytes",
    "with_bytes",
]
