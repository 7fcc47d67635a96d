"""Arrays of vectors: npy, npz and safetensors, memory-mapped where they are not compressed."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import SafetensorError, safe_open

from babelmix.errors import VectorsError, first_line
from babelmix.evaluation.vector_files.source import (
    NAMES,
    PICKLE,
    VectorSource,
    checked_scales,
    kind_of_values,
)

_TENSORS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "uint16",
    "I8": "int8",
    "U8": "uint8",
    "I64": "int64",
}
"""The types of safetensors that are read, as types of numpy. numpy has no bfloat16, so its bits are read."""

_LOCAL_HEADER = 30
"""Bytes of the fixed part of a zip member's header. The lengths of its two variable parts are in the last four bytes."""


def of_npy(file: Path) -> VectorSource:
    """Map the array of an npy file.

    Raises:
        VectorsError: the file is damaged, holds Python objects, or is no matrix of numbers.

    """
    return source_of_array(mapped_npy(file), file)


def mapped_npy(file: Path) -> npt.NDArray[Any]:
    """The array of an npy file, memory-mapped.

    Raises:
        VectorsError: the file is damaged, or holds Python objects.

    """
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except Exception as error:  # numpy's reader of headers raises many types
        if "object" in str(error).lower() and "python" in str(error).lower():
            raise VectorsError(PICKLE, file=file) from error
        raise VectorsError(
            f"is not a readable npy file ({first_line(error)}); write it again with np.save", file=file
        ) from error


def source_of_array(array: npt.NDArray[Any], place: str | Path, field: str | None = None) -> VectorSource:
    """The vectors of an array.

    Raises:
        VectorsError: it is no matrix of numbers.

    """
    kind = kind_of_values(array.dtype, place, field)
    if array.ndim != 2 or 0 in array.shape:
        raise VectorsError(
            f"has the shape {array.shape}; vectors are a matrix, (rows, dimensions)", file=place, field=field
        )
    return VectorSource(place, array, kind)


def of_npz(file: Path, side: str) -> VectorSource:
    """Open the vectors of one side in an npz file, with their ids and scales if it has any.

    Arrays that are not compressed are memory-mapped.

    Raises:
        VectorsError: the file is damaged, or holds no such array, or one of Python objects.

    """
    try:
        with zipfile.ZipFile(file) as archive:
            members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            headers = {name: _header(archive, one, file, name) for name, one in members.items()}
            name, prefix = _chosen({name: shape for name, (shape, _, _) in headers.items()}, side, file)
            made = source_of_array(_member(archive, members[name], headers[name], file, name), file, name)
            return _with_parts(
                made,
                {
                    part: _member(archive, members[prefix + part], headers[prefix + part], file, prefix + part)
                    for part in ("ids", "scales")
                    if prefix + part in members
                },
                prefix,
            )
    except VectorsError:
        raise
    except Exception as error:  # damaged archives raise many types
        raise VectorsError(
            f"is not a readable npz file ({first_line(error)}); write it again with np.savez", file=file
        ) from error


_Header = tuple[tuple[int, ...], bool, np.dtype[Any]]


def _header(archive: zipfile.ZipFile, member: zipfile.ZipInfo, file: Path, name: str) -> _Header:
    """The shape of an array, whether it is in Fortran's order, and its type."""
    try:
        with archive.open(member) as opened:
            return _npy_header(opened)
    except Exception as error:  # as above
        raise VectorsError(f"is not a readable array ({first_line(error)})", file=file, field=name) from error


def _npy_header(opened: Any) -> _Header:
    version = np.lib.format.read_magic(opened)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(opened)


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, header: _Header, file: Path, name: str
) -> npt.NDArray[Any]:
    shape, fortran, dtype = header
    if dtype.hasobject:
        raise VectorsError(PICKLE, file=file, field=name)
    if member.compress_type == zipfile.ZIP_STORED:
        with file.open("rb") as source:
            source.seek(member.header_offset)
            local = source.read(_LOCAL_HEADER)
            start = _LOCAL_HEADER + int.from_bytes(local[26:28], "little") + int.from_bytes(local[28:30], "little")
            source.seek(member.header_offset + start)
            _npy_header(source)
            offset = source.tell()
        size = int(np.prod(shape, dtype=np.float64)) * dtype.itemsize
        if offset + size > file.stat().st_size:
            raise VectorsError("is cut short; write it again with np.savez", file=file, field=name)
        if size == 0:
            return np.empty(shape, dtype)
        return np.memmap(file, dtype, "r", offset, shape, "F" if fortran else "C")
    try:
        with archive.open(member) as opened:
            return np.lib.format.read_array(opened, allow_pickle=False)
    except Exception as error:  # as above
        raise VectorsError(f"is not a readable array ({first_line(error)})", file=file, field=name) from error


def of_safetensors(file: Path, side: str) -> VectorSource:
    """Map the vectors of one side in a safetensors file, with their scales if it has any.

    Raises:
        VectorsError: the file is damaged, or holds no such tensor.

    """
    try:
        # This checks the whole header: offsets, shapes and types fit together and the file.
        with safe_open(str(file), framework="np") as opened:
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
        with file.open("rb") as source:
            size = int.from_bytes(source.read(8), "little")
            tensors = json.loads(source.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise VectorsError(f"is not a readable safetensors file ({first_line(error)})", file=file) from error
    name, prefix = _chosen(shapes, side, file)

    def tensor(name: str) -> tuple[npt.NDArray[Any], str]:
        about = tensors[name]
        kind = _TENSORS.get(about["dtype"])
        if kind is None:
            raise VectorsError(
                f"holds values of the type {about['dtype']}; save float32, float16, bfloat16, int8 with scales, or packed bits "
                "(uint8)",
                file=file, field=name,
            )  # fmt: skip
        shape = tuple(about["shape"])
        if 0 in shape:
            return np.empty(shape, kind), about["dtype"]
        # Format: little endian, values begin after the header.
        dtype = np.dtype(kind).newbyteorder("<")
        return np.memmap(file, dtype, "r", 8 + size + about["data_offsets"][0], shape), about["dtype"]

    values, dtype = tensor(name)
    if dtype == "BF16":
        # Checked as float16, which has as many bytes.
        made = replace(source_of_array(values.view(np.float16), file, name), values=values, kind="bfloat16")
    else:
        made = source_of_array(values, file, name)
    parts = {part: tensor(prefix + part) for part in ("ids", "scales") if prefix + part in tensors}
    decoded = {part: from_bfloat16(found) if kind == "BF16" else found for part, (found, kind) in parts.items()}
    return _with_parts(made, decoded, prefix)


def from_bfloat16(bits: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    """The values of bfloat16's bits: those are the upper half of a float32."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _chosen(shapes: Mapping[str, tuple[int, ...]], side: str, file: Path) -> tuple[str, str]:
    """The name of the array with the vectors of a side, and what the names of its ids and scales begin with."""
    if side in shapes:
        return side, f"{side}."
    named = [name for name in NAMES if name in shapes]
    matrices = [name for name, shape in shapes.items() if len(shape) == 2 and not name.endswith(("ids", "scales"))]
    found = named or matrices
    if len(found) != 1:
        raise VectorsError(
            f"holds {', '.join(shapes) or 'nothing'}; name the array of the vectors {side!r} or 'vectors'", file=file
        )
    return found[0], ""


def _with_parts(source: VectorSource, parts: Mapping[str, npt.NDArray[Any]], prefix: str) -> VectorSource:
    """The vectors with the ids and scales that are in the same file."""
    if "ids" in parts:
        source = replace(source, ids=ids_of_array(parts["ids"], source.place, f"{prefix}ids"), ids_place=source.place)
    if "scales" in parts:
        scales = checked_scales(parts["scales"], source.values.shape, source.place, f"{prefix}scales")
        source = replace(source, scales=scales)
    return source


def ids_of_array(ids: npt.NDArray[Any], place: str | Path, field: str | None = None) -> pl.Series:
    """Ids as strings; whole numbers become their digits.

    Raises:
        VectorsError: they are neither texts nor whole numbers, or have more than one dimension.

    """
    if ids.dtype.hasobject:
        raise VectorsError(
            PICKLE.partition("; ")[0] + "; save ids as texts: np.array(ids, dtype=str)", file=place, field=field
        )
    if ids.ndim != 1 or ids.dtype.kind not in "USiu" or (ids.dtype.kind == "S" and not _is_ascii(ids)):
        raise VectorsError(
            f"has ids of the type {ids.dtype} and the shape {ids.shape}; save one text or whole number for each row",
            file=place, field=field,
        )  # fmt: skip
    return pl.Series("id", ids.astype(str).tolist(), dtype=pl.String)


def _is_ascii(ids: npt.NDArray[Any]) -> bool:
    return bool((ids.view(np.uint8) < 128).all()) if ids.size and ids.dtype.itemsize else True


__all__ = ["from_bfloat16", "ids_of_array", "mapped_npy", "of_npy", "of_npz", "of_safetensors", "source_of_array"]
