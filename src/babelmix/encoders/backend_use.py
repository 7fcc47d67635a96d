"""Let an engine run an encoder that torch would run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from babelmix._progress import console
from babelmix.encoders.backend_names import parse_backend
from babelmix.encoders.backends import exported_graph, why_not
from babelmix.encoders.fingerprints import digest_weights
from babelmix.encoders.graph import open_graph
from babelmix.encoders.towers import is_dual
from babelmix.errors import EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def use_backend(encoder: SentenceTransformer, backend: str, *, name: str) -> None:
    """Let an engine run an encoder's transformer. `auto` prints which engine it chose.

    Args:
        encoder: it is changed. Prompts, tokenizer, pooling and all further modules stay.
        backend: see `parse_backend`. `auto` is the fastest that is installed and agrees with float32, see
            `babelmix.encoders.exported.choosing`; torch if none can run this encoder. Of an encoder of pictures, `onnx-fp32` and
            `openvino-fp32` run the image tower, if it is `lite0-offline`; texts stay with torch.
        name: the name of the encoder, for messages.

    Raises:
        EncoderError: there is no such backend, or it cannot run this encoder.
        MissingExtraError: the engine is not installed.

    """
    asked, precise = parse_backend(backend)
    if asked == "torch":
        return
    if asked != "auto":
        if is_dual(encoder):
            if precise != "fp32":
                raise EncoderError(
                    f"{name}: --backend {backend} cannot run it, for it reads more than texts; use {asked}-fp32, or torch"
                )
            from babelmix.encoders.picture_graph import use_picture_engine

            use_picture_engine(encoder, asked, name=name)
            return
        if (why := why_not(encoder)) is not None:
            raise EncoderError(f"{name}: --backend {backend} cannot run it, for {why}; use --backend torch")
        _use(encoder, asked, precise, name)
        return
    if (why := why_not(encoder)) is not None:
        console.print(f"{name} is run by torch: {why}", markup=False, highlight=False)
        return
    from babelmix.encoders.exported.making import automatic_export

    choice = automatic_export(encoder, name=name)
    console.print(choice.line, markup=False, highlight=False)
    if choice.folder is not None:
        _run(encoder, choice.folder, choice.backend)


def _use(encoder: SentenceTransformer, engine: str, precise: str, name: str) -> None:
    _run(encoder, *exported_graph(encoder, engine, precise, name))


def _run(encoder: SentenceTransformer, folder: Path, kind: str) -> None:
    """Put the graph of an export in the place of the encoder's transformer."""
    from babelmix.encoders.torch_runtime import Runtime

    first: Any = encoder[0]
    digest = hashlib.sha256()
    digest_weights(digest, encoder)
    first.model = Runtime(first.model.config, open_graph(folder, kind, _cores()), digest).eval()


def _cores() -> int:
    import torch

    return torch.get_num_threads()


__all__ = ["use_backend"]
