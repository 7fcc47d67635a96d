"""The file of a removal: a safetensors file with arrays, and the other values as JSON in its metadata under `removal`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from babelmix._files import replacing_file
from babelmix.errors import EncoderError

Floats = npt.NDArray[np.float32]

KINDS = ("query", "passage")
"""The kinds of input, in the order of the first axis of all arrays."""

FORMAT = 1
"""The version of the file's layout."""

FILE = "removal.safetensors"
"""The name of the file in a folder that `debias` or `frontier` wrote."""

AFFINE = "affine"
"""The form of `Removal`, and of a file that states none."""

_KEYS = ("method", "langs", "alpha", "similarity", "facts")


def write_removal(
    file: str | Path, form: str, about: Mapping[str, Any], arrays: Mapping[str, Floats], dtype: str
) -> Path:
    """Write the file of a removal. An existing file is replaced.

    Args:
        file: the file.
        form: what reads the arrays: a name in `babelmix.encoders.removal.FORMS`.
        about: the values that are no arrays, JSON-serialisable: `method`, `langs`, `alpha`, `similarity`, `facts` and others.
        arrays: the arrays.
        dtype: `float32`, or `float16` for half the size.

    """
    from safetensors.numpy import save_file

    place = Path(file)
    whole = {"format": FORMAT, "form": form, "kinds": list(KINDS), **about}
    ready = {name: np.ascontiguousarray(values, dtype=dtype) for name, values in arrays.items()}
    with replacing_file(place) as temporary:
        save_file(ready, temporary, {"removal": json.dumps(whole, ensure_ascii=False)})
    return place


def read_removal(file: str | Path) -> tuple[str, dict[str, Any], dict[str, Floats]]:
    """Read what `write_removal` wrote.

    Returns:
        The form, the values that are no arrays, and the arrays as float32.

    Raises:
        EncoderError: the file is not there, is no such file, or is of another version.

    """
    from safetensors import SafetensorError, safe_open

    place = Path(file)
    try:
        with safe_open(place, "numpy") as opened:
            about = json.loads((opened.metadata() or {})["removal"])
            arrays = {name: opened.get_tensor(name).astype(np.float32) for name in opened.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise EncoderError(f"{place}: is not there; name a file that  babelmix debias  wrote") from error
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise EncoderError(f"{place}: is not a removal of babelmix ({error})") from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or about.get("kinds") != list(KINDS):
        version = about.get("format") if isinstance(about, dict) else about
        raise EncoderError(f"{place}: has the format {version!r}, and this version reads {FORMAT}")
    missing = [key for key in _KEYS if key not in about]
    if missing:
        raise EncoderError(f"{place}: is damaged ({', '.join(missing)} missing); make it again")
    return str(about.get("form", AFFINE)), about, arrays


__all__ = ["AFFINE", "FILE", "FORMAT", "KINDS", "read_removal", "write_removal"]
