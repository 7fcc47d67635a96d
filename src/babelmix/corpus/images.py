"""Pictures: where a row's picture is, how it is opened, and what is refused and why."""

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
import pyarrow as pa
import pyarrow.compute as pc

from babelmix.errors import CorpusError, PictureError, require

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_TYPE = pa.struct([("bytes", pa.large_binary()), ("path", pa.large_string())])
"""As `datasets.Image` stores a picture: the bytes of a file, or its path."""

_AT_ONCE = 256
"""Files of pictures that are held in memory together."""
MAX_PIXELS = 50_000_000
"""A picture of more is refused before it is unpacked."""

MAX_BYTES = 100 << 20
"""So is a larger file."""

MAX_ASPECT = 100
"""And a picture that is more times as long as it is wide, or as wide as it is long: an encoder that scales the shorter side to
its size makes gigabytes of it."""

MAX_SCANS = 100
"""And a JPEG of more scans, each of which goes over all pixels; a progressive one usually has ten."""

DECODE_SECONDS = 10.0
"""Of the processor's time for one picture: what takes longer to unpack is refused."""

PIXELS_AT_ONCE = 100_000_000
"""Pictures that are unpacked together have so many pixels at most, unless one alone has more."""

PICTURES = 2
"""Of what `open_picture` makes of a file; what was embedded with an earlier one is embedded again."""


def open_picture(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Image:
    """Unpack a picture.

    Args:
        data: a file's bytes: PNG, JPEG, WebP, GIF, BMP or TIFF.
        max_pixels: a picture of more is refused before it is unpacked.

    Returns:
        An RGB picture, turned as its camera says it is to be; transparent parts are white.

    Raises:
        PictureError: it is empty, cut short, damaged, too large, too long for its width, animated, of a colour space other
            than RGB and grey, or takes too long to unpack.
        MissingExtraError: Pillow is not installed.

    """
    images = require("PIL.Image", "images", "Opening pictures")
    turning = require("PIL.ImageOps", "images", "Opening pictures")
    with _as_picture_errors(images):
        picture = _header(data, images, max_pixels)
        if picture.mode not in ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16"):
            raise PictureError(f"has the colour space {picture.mode}; convert it to RGB")
        picture.load()
        # What a camera wrote of itself may be damaged where the picture is not.
        with contextlib.suppress(Exception):
            turning.exif_transpose(picture, in_place=True)
        return _as_rgb(picture, images)


def pixels_of(data: bytes, *, max_pixels: int = MAX_PIXELS) -> int:
    """How many pixels a picture has, by its header: nothing is unpacked.

    Args:
        data: as for `open_picture`.
        max_pixels: a picture of more is refused.

    Raises:
        PictureError: as `open_picture` does, as far as a header tells.
        MissingExtraError: Pillow is not installed.

    """
    images = require("PIL.Image", "images", "Opening pictures")
    with _as_picture_errors(images):
        width, height = _header(data, images, max_pixels).size
        return int(width * height)


class _TimedBytes(io.BytesIO):
    """A file whose reading ends when its picture has taken too much of the processor: Pillow's decoders read bit by bit."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        # Of this thread alone: how busy the machine is does not matter.
        self._end = time.thread_time() + DECODE_SECONDS

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self._end:
            raise PictureError(f"takes more than {DECODE_SECONDS:g} seconds to unpack; save it anew as PNG or JPEG")
        return super().read(size)


def _header(data: bytes, images: Any, max_pixels: int) -> Image:
    """A picture that is not unpacked yet, of a size that may be."""
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
    # In what is compressed a 255 stands before a 0 or a mark, so that this is no chance; a preview has scans of its own.
    if picture.format in ("JPEG", "MPO") and (scans := data.count(b"\xff\xda")) > MAX_SCANS:
        raise PictureError(f"is a JPEG of {scans:,} scans; at most {MAX_SCANS} are read, so save it anew")
    # A camera's photo may have a preview behind it. Not `n_frames`, which goes through all of them.
    if getattr(picture, "is_animated", False) and picture.format != "MPO":
        raise PictureError("is animated, or has several pages; use one of them")
    return picture


@contextlib.contextmanager
def _as_picture_errors(images: Any) -> Iterator[None]:
    """Turn whatever Pillow raises into a sentence."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of damage that it passes over, and of sizes beyond its own limit, which is above ours.
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
        # Pillow would cut 16 bits of grey to the lowest 8.
        return images.fromarray((np.asarray(picture) >> 8).astype(np.uint8)).convert("RGB")
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        over = picture.convert("RGBA")
        paper = images.new("RGBA", over.size, "white")
        paper.alpha_composite(over)
        return paper.convert("RGB")
    return picture.convert("RGB")


def picture_keys(column: pa.ChunkedArray, side: str) -> list[str | None]:
    """The digest of each picture's bytes, 32 hexadecimal digits; None where there is no picture.

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
    """128 bits of BLAKE2b as hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def bytes_of(value: dict[str, Any]) -> bytes:
    """The encoded picture of a cell of the column `image`.

    Raises:
        PictureError: there is none.

    """
    if value.get("bytes") is not None:
        return value["bytes"]
    path = value.get("path")
    if not path:
        raise PictureError("has neither bytes nor a path")
    try:
        # A device or a pipe may have no end.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise PictureError(f"{path} cannot be read (it is no file)")
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise PictureError(f"{path} has more than {MAX_BYTES:,} bytes, which is the most that is read")
        return data
    except (OSError, ValueError) as error:  # a null character in a path is a ValueError
        raise PictureError(f"{path} cannot be read ({getattr(error, 'strerror', error)})") from error


class Pictures(Sequence["Image"]):
    """Pictures of a table, opened when they are asked for.

    Args:
        table: a side of a corpus, every row of it a picture.

    """

    def __init__(self, table: pa.Table) -> None:
        self._cells = table["image"]
        self._digests = table["digest"].to_pylist()

    @property
    def keys(self) -> npt.NDArray[np.uint64]:
        """128-bit keys, uint64, shape (pictures, 2)."""
        return np.frombuffer(bytes.fromhex("".join(self._digests)), dtype="<u8").reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._digests)

    @overload
    def __getitem__(self, row: int) -> Image: ...

    @overload
    def __getitem__(self, row: slice) -> list[Image]: ...

    def __getitem__(self, row: int | slice) -> Image | list[Image]:
        """The picture of a row, RGB.

        Raises:
            CorpusError: it is damaged, or its file is no longer what it was.

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
    """What `with_bytes` gives, some rows at a time where pictures are read from files: all of them may not fit the memory.

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
    inside = pc.or_(pc.is_null(table["image"]), pc.is_valid(pc.struct_field(table["image"], "bytes")))
    return bool(pc.all(inside).as_py() is not False)


def with_bytes(table: pa.Table, *, first: int = 0) -> pa.Table:
    """A side whose pictures are all in the table itself, none in files.

    Args:
        table: a side, or rows of one.
        first: the number of its first row, from 0, for errors.

    Raises:
        CorpusError: a file cannot be read or has changed.

    """
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
    return table.set_column(place, "image", pa.array(cells, IMAGE_TYPE))


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
