"""Vectors of texts that several benchmarks share: a folder of `.npy` files, made where they are missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from babelmix.encoders import encode, load_encoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Floats = npt.NDArray[np.float32]


@cache
def _encoder(model: str, backend: str) -> SentenceTransformer:
    return load_encoder(model, backend=backend)


def embedded(
    folder: Path,
    name: str,
    texts: Sequence[str],
    kind: str,
    *,
    model: str = "e5-small-offline",
    backend: str = "openvino",
) -> Floats:
    """The vectors of texts, float32, shape (texts, dimension), of length one.

    Args:
        folder: the folder of vectors; missing files are written into it.
        name: the file is NAME.KIND.npy.
        texts: the texts. A file with another number of vectors is an error.
        kind: `query` or `passage`.
        model: the encoder.
        backend: what runs it.

    """
    file = folder / f"{name}.{kind}.npy"
    if not file.is_file():
        order = np.argsort([len(text) for text in texts], kind="stable")
        encoder = _encoder(model, backend)
        side = "document" if kind == "passage" else "query"
        vectors = encode(
            encoder, [texts[i] for i in order], side, batch_size=64, store=False, label=f"encoding {name}"
        )
        folder.mkdir(parents=True, exist_ok=True)
        back = np.empty_like(vectors)
        back[order] = vectors
        temporary = file.with_suffix(".part.npy")
        np.save(temporary, back)
        temporary.replace(file)
    found = np.asarray(np.load(file), dtype=np.float32)
    if len(found) != len(texts):
        raise SystemExit(f"{file} has {len(found):,} vectors for {len(texts):,} texts; delete it")
    return found / np.linalg.norm(found, axis=1, keepdims=True)
