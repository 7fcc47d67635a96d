"""The removal of an index: what takes language out of its rows and of its queries. It is kept in the facts of the index."""

from __future__ import annotations

import base64
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix.encoders import fingerprint
from babelmix.encoders.removal import AnyRemoval, load_removal
from babelmix.encoders.removal.shipped import shipped_removal
from babelmix.errors import EncoderError, SearchError

if TYPE_CHECKING:
    from babelmix.encoders.protocol import Encoder

SHIPPED = "auto"
"""In place of a file: the removal that babelmix has for the encoder."""

_FULL, _MOST = 4 << 20, 32 << 20
"""Bytes up to which a removal is kept in float32, and in float16. The facts are read whenever the index is opened."""


def packed(removal: AnyRemoval, address: str) -> dict[str, Any]:
    """A removal as JSON-serialisable values: its file in base64 with a checksum. A large one is kept in float16.

    Raises:
        SearchError: it is too large to be kept with an index.

    """
    with tempfile.TemporaryDirectory() as folder:
        content = removal.save(Path(folder, "removal")).read_bytes()
        if len(content) > _FULL:
            content = removal.save(Path(folder, "removal"), dtype="float16").read_bytes()
    if len(content) > _MOST:
        raise SearchError(
            f"{address}: the removal has {len(content) >> 20} MiB, and an index keeps at most {_MOST >> 20}; fit it on fewer "
            "languages, or use offsets or own-means"
        )
    return {
        "method": removal.method, "alpha": removal.alpha, "langs": list(removal.langs), "crc32": zlib.crc32(content),
        "safetensors": base64.b64encode(content).decode("ascii"),
    }  # fmt: skip


def unpacked(kept: Mapping[str, Any], address: str) -> AnyRemoval:
    """The removal that `packed` made values of.

    Raises:
        SearchError: the values are damaged, or made by a newer babelmix.

    """
    try:
        content = base64.b64decode(kept["safetensors"], validate=True)
        if zlib.crc32(content) != kept["crc32"]:
            raise ValueError("its checksum is another")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "removal")
            file.write_bytes(content)
            return load_removal(file)
    except (KeyError, TypeError, ValueError, EncoderError) as error:
        why = str(error).partition(": ")[2] if isinstance(error, EncoderError) else str(error)
        raise SearchError(f"{address}: its removal is damaged ({why}); make the index again") from error


def shipped(encoder: Encoder, name: str) -> AnyRemoval | None:
    """The removal that comes with babelmix for an encoder; None: there is none."""
    return shipped_removal(name) or shipped_removal(fingerprint(encoder))


def removal_for(given: str | Path | AnyRemoval | None, encoder: Encoder, name: str) -> AnyRemoval | None:
    """The removal for a new index of an encoder.

    Args:
        given: a removal, its file or the folder of it, or `auto`: the one that babelmix has for the encoder.
        encoder: the encoder.
        name: its name.

    Raises:
        SearchError: babelmix has none for this encoder.
        EncoderError: the file is not there, or is no removal.

    """
    if given == SHIPPED:
        found = shipped(encoder, name)
        if found is None:
            raise SearchError(f"babelmix has no removal for {name}; name a file, or take language out afterwards")
        return found
    return load_removal(given) if isinstance(given, (str, Path)) else given


def check_removal(removal: AnyRemoval, dimension: int, similarity: str, address: str) -> None:
    """Raise unless a removal is for the vectors of an index.

    Raises:
        SearchError: it is for another dimension or similarity.

    """
    if (removal.dimension, removal.similarity) != (dimension, similarity):
        raise SearchError(
            f"{address}: the removal is for vectors of dimension {removal.dimension} that are compared by {removal.similarity}, "
            f"and this index has {dimension} and {similarity}; use one that was fitted on vectors of its encoder"
        )


__all__ = ["SHIPPED", "check_removal", "packed", "removal_for", "shipped", "unpacked"]
