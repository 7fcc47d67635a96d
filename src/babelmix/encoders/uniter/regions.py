"""Regions of an image: the objects that a detector found, or the cells of a grid."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]

LOCATION_SIZE = 7
_MOST_REGIONS = 1_000
_MOST_FEATURES = 65_536
_SLACK = 0.02
"""How far values may lie outside their bounds, because files store them as float16."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The regions of one image.

    Args:
        features: float32, shape (regions, dimension).
        locations: float32, shape (regions, 7): left, top, right, bottom, width and height, as fractions of the width or height of
            the image, and the area, width times height.
        soft_labels: float32, shape (regions, classes): class probabilities of a detector, the background first; None if there are
            none.

    Raises:
        EncoderError: there is no region, shapes do not match, or a value is not finite.

    """

    features: Floats
    locations: Floats
    soft_labels: Floats | None = None

    def __post_init__(self) -> None:
        for name in ("features", "locations", "soft_labels"):
            array = getattr(self, name)
            if name == "soft_labels" and array is None:
                continue
            if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 2:
                raise EncoderError(f"{name} of regions are not a float32 matrix")
            if len(array) != len(self.features):
                raise EncoderError(f"there are features of {len(self.features)} regions but {name} of {len(array)}")
            if array.size == 0:
                raise EncoderError(f"{name} of regions are empty: the image has no regions")
            if not np.isfinite(array).all():
                raise EncoderError(f"{name} of region {_first_bad(array)} are not finite")
        if self.locations.shape[1] != LOCATION_SIZE:
            raise EncoderError(f"a location has {LOCATION_SIZE} numbers, not {self.locations.shape[1]}")

    def __len__(self) -> int:
        return len(self.features)


def grid_regions(features: npt.NDArray[np.floating]) -> Regions:
    """Make regions from the cells of a grid. A model on these is "UNITER, grid features", not UNITER.

    Args:
        features: patch features of an image tower, floating, shape (rows, columns, dimension).

    Returns:
        One region per cell, row by row.

    Raises:
        EncoderError: the shape is another, or a value is not finite.

    Examples:
        >>> grid = grid_regions(np.ones((2, 3, 5)))
        >>> grid.features.shape, grid.locations.shape
        ((6, 5), (6, 7))

    """
    if features.ndim != 3 or 0 in features.shape:
        raise EncoderError(f"a grid's features have shape {features.shape}, not (rows, columns, dimension)")
    rows, columns, dimension = features.shape
    row, column = np.divmod(np.arange(rows * columns), columns)
    width, height = np.full(len(row), 1 / columns), np.full(len(row), 1 / rows)
    corners = [column / columns, row / rows, (column + 1) / columns, (row + 1) / rows]
    locations = np.stack([*corners, width, height, width * height], axis=1)
    flat = np.ascontiguousarray(features.reshape(-1, dimension), dtype=np.float32)
    return Regions(flat, locations.astype(np.float32))


def read_regions(
    path: Path,
    *,
    confidence: float = 0.2,
    minimum: int = 10,
    maximum: int = 100,
    region_size: int | None = None,
) -> Regions:
    """Read the regions of an image from a file in the published layout (arXiv 1909.11740). Nothing in it is executed.

    The file has the arrays `features`, floating, shape (regions, dimension), and `norm_bb`, floating, shape (regions, 6): left,
    top, right, bottom, width and height as fractions of the image's. It may have `conf`, floating, shape (regions,), and
    `soft_labels`, floating, shape (regions, classes).

    All regions with more than `confidence` are kept, but at least `minimum` and at most `maximum` of them: the most confident
    ones, in descending order. Without `conf` the first `maximum` regions are kept.

    Args:
        path: an `.npz` file.
        confidence: the threshold of `conf`.
        minimum: the smallest number of regions that are kept, if the file has so many.
        maximum: the largest number of regions that are kept.
        region_size: the dimension that the features must have; None: any.

    Raises:
        EncoderError: the file or an array is missing, damaged, too large, of the wrong shape or type, not finite or out of
            bounds. The message names file and array.

    """
    if not 1 <= minimum <= maximum:
        raise EncoderError(f"at least {minimum} and at most {maximum} regions cannot be kept")
    try:
        with zipfile.ZipFile(path) as archive:
            keys = {name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")}
            for key in ("features", "norm_bb"):
                if key not in keys:
                    raise EncoderError(f"{path}: there is no {key!r} in it")
            features = _read(archive, path, "features", (None, region_size))
            regions = len(features)
            boxes = _read(archive, path, "norm_bb", (regions, 6))
            conf = _read(archive, path, "conf", (regions,)) if "conf" in keys else None
            labels = _read(archive, path, "soft_labels", (regions, None)) if "soft_labels" in keys else None
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, UnicodeDecodeError) as error:
        raise EncoderError(f"{path}: cannot be read as an .npz file ({error})") from error
    _check_bounds(path, boxes, conf, labels)
    if conf is None:
        kept = np.arange(min(regions, maximum))
    else:
        wanted = min(max(minimum, int((conf > confidence).sum())), maximum)
        kept = np.argsort(-conf, kind="stable")[:wanted]
    areas = boxes[kept, 4:5] * boxes[kept, 5:6]
    locations = np.concatenate([boxes[kept], areas], axis=1)
    return Regions(features[kept], locations, None if labels is None else labels[kept])


def _read(archive: zipfile.ZipFile, path: Path, key: str, shape: tuple[int | None, ...]) -> Floats:
    """Read one array as float32. Its header is checked before memory is allocated."""
    try:
        with archive.open(f"{key}.npy") as source:
            found, dtype = _header(source)
    except (ValueError, EOFError, KeyError, zlib.error) as error:
        raise EncoderError(f"{path}, {key}: is not an array ({error})") from error
    if dtype.kind != "f":
        raise EncoderError(f"{path}, {key}: holds {dtype}, not floating-point numbers")
    if len(found) != len(shape) or any(wanted not in (None, size) for wanted, size in zip(shape, found, strict=True)):
        named = ", ".join("any" if size is None else str(size) for size in shape)
        raise EncoderError(f"{path}, {key}: has shape {found}, not ({named})")
    if 0 in found:
        raise EncoderError(f"{path}, {key}: is empty: the image has no regions")
    if found[0] > _MOST_REGIONS or max(found[1:], default=0) > _MOST_FEATURES:
        raise EncoderError(f"{path}, {key}: has shape {found}; at most {_MOST_REGIONS} x {_MOST_FEATURES} are read")
    try:
        with archive.open(f"{key}.npy") as source:
            array = np.lib.format.read_array(source, allow_pickle=False)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise EncoderError(f"{path}, {key}: is damaged ({error})") from error
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise EncoderError(f"{path}, {key}: region {_first_bad(numbers)} has a number that is not finite")
    return np.ascontiguousarray(numbers)


def _header(source: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in NumPy's format."""
    version = np.lib.format.read_magic(source)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(source)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(source)
    else:
        raise ValueError(f"version {version} of the format is not for arrays of numbers")
    return shape, dtype


def _check_bounds(path: Path, boxes: Floats, conf: Floats | None, labels: Floats | None) -> None:
    if boxes.min() < -_SLACK or boxes.max() > 1 + _SLACK:
        raise EncoderError(f"{path}, norm_bb: is not in [0, 1]; divide boxes by the image's width and height")
    if np.abs(boxes[:, 2:4] - boxes[:, :2] - boxes[:, 4:6]).max() > _SLACK:
        raise EncoderError(f"{path}, norm_bb: width and height are not right - left and bottom - top")
    if conf is not None and (conf.min() < -_SLACK or conf.max() > 1 + _SLACK):
        raise EncoderError(f"{path}, conf: is not in [0, 1]")
    if labels is not None and (labels.min() < -_SLACK or np.abs(labels.sum(axis=1) - 1).max() > 5 * _SLACK):
        raise EncoderError(f"{path}, soft_labels: a region's probabilities are not positive or do not add up to 1")


def _first_bad(array: Floats) -> int:
    """The first row with a value that is not finite."""
    return int(np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0])
