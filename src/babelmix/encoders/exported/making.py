"""Export an encoder, once, with torch: into the user's cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from babelmix._checksums import write_checksums
from babelmix._files import replacing_folder
from babelmix.encoders.backend_names import STATIC, kept_backends, parse_backend, spec_of
from babelmix.encoders.backends import exported_graph, kind_here, say_exported, why_not
from babelmix.encoders.exported.checking import embed_check_set
from babelmix.encoders.exported.choosing import Choice, choose
from babelmix.encoders.exported.describing import describe, why_no_steps
from babelmix.encoders.exported.encoder import ExportedEncoder
from babelmix.encoders.exported.facts import FILE, cached_export
from babelmix.encoders.exported.processors import fastest_first, processor
from babelmix.encoders.exported.static import VECTORS
from babelmix.encoders.fingerprints import fingerprint
from babelmix.encoders.ngram_export import export_ngram
from babelmix.encoders.ngram_network import NGramNetwork
from babelmix.errors import EncoderError


def make_export(encoder: SentenceTransformer, backend: str, *, name: str) -> Path | None:
    """Export an encoder for a backend, unless the cache has the export.

    Args:
        encoder: the encoder; it runs by torch.
        backend: `numpy` for a static encoder; engine and precision, as in `onnx-int8`, for a transformer.
        name: the name of the encoder, for messages.

    Returns:
        The folder; None if the backend is not for such an encoder.

    Raises:
        EncoderError: the encoder cannot be exported.
        MissingExtraError: the engine, or what exports for it, is not installed.

    """
    if isinstance(encoder[0], StaticEmbedding) != (backend == STATIC):
        return None
    if (why := why_no_steps(encoder)) is not None:
        raise EncoderError(f"{name}: cannot run without torch, for {why}")
    if backend == STATIC:
        return static_export(encoder)
    engine, precision = parse_backend(spec_of(backend))
    if isinstance(encoder[0], NGramNetwork):
        return _ngram_export(encoder, engine, precision, backend, name)
    if (why := why_not(encoder)) is not None:
        raise EncoderError(f"{name}: --backend {spec_of(backend)} cannot run it, for {why}; use --backend torch")
    folder, made = exported_graph(encoder, engine, precision, name)
    # This processor may need another precision than the one that was asked for.
    return folder if made == backend else None


def automatic_export(encoder: SentenceTransformer, *, name: str) -> Choice:
    """Export an encoder for what `auto` stands for: the fastest backend that agrees with float32.

    Args:
        encoder: the encoder; it runs by torch.
        name: its name, for messages.

    """
    candidates: tuple[str, ...] = ()
    if isinstance(encoder[0], StaticEmbedding):
        candidates = (STATIC,)
    elif encoder.device.type == "cpu":
        candidates = fastest_first(processor())
    return choose(
        name,
        candidates,
        lambda backend: make_export(encoder, backend, name=name),
        # `make_export` has compared its files with their checksums.
        lambda folder: ExportedEncoder(folder, checked=True),
        lambda: embed_check_set(encoder),
        similarity=str(encoder.similarity_fn_name),
    )


def _ngram_export(encoder: SentenceTransformer, engine: str, precision: str, backend: str, name: str) -> Path | None:
    if kind_here(engine, precision) != backend:
        return None
    network: Any = encoder[0]
    folder = cached_export(fingerprint(encoder), backend)
    if not (folder / FILE).is_file():
        say_exported(name, backend)
        with replacing_folder(folder, [FILE], keep_existing=True) as temporary:
            export_ngram(network, temporary, backend)
            describe(encoder, temporary, backend=backend)
            write_checksums(temporary)
    return folder


def export_for(encoder: SentenceTransformer, backend: str, *, name: str) -> Path:
    """Export an encoder for a backend that the user names, unless the cache has the export.

    Args:
        encoder: the encoder; it runs by torch.
        backend: see `load_encoder`; `auto`: the fastest that agrees with float32.
        name: the name of the encoder, for messages.

    Returns:
        The folder.

    Raises:
        EncoderError: the encoder cannot be exported for it.
        MissingExtraError: the engine, or what exports for it, is not installed.

    """
    engine, _ = parse_backend(backend)
    if isinstance(encoder[0], StaticEmbedding):
        if engine not in ("auto", "torch"):
            raise EncoderError(f"{name}: is a static encoder, which needs no --backend {backend}; leave it out")
        backends: tuple[str, ...] = (STATIC,)
    elif engine == "torch":
        raise EncoderError("--backend torch cannot be exported; use onnx-fp32 for the same vectors")
    elif engine == "auto":
        choice = automatic_export(encoder, name=name)
        if choice.folder is None:
            raise EncoderError(f"{name}: cannot be exported, for it {choice.line.partition(' is ')[2]}")
        return choice.folder
    else:
        backends = kept_backends(backend, None)
    for one in backends:
        if (folder := make_export(encoder, one, name=name)) is not None:
            return folder
    raise EncoderError(f"{name}: cannot be exported for {backend} on this processor; use onnx-fp32")


def static_export(encoder: SentenceTransformer) -> Path:
    """The folder of a static encoder's export in the cache. It is made on first use.

    Raises:
        EncoderError: the export in the cache is damaged and cannot be removed.

    """
    folder = cached_export(fingerprint(encoder), STATIC)
    if not (folder / FILE).is_file():
        with replacing_folder(folder, [FILE], keep_existing=True) as temporary:
            embedding: Any = encoder[0]
            vectors = embedding.embedding.weight.detach().cpu().float().numpy()
            np.save(temporary / VECTORS, np.ascontiguousarray(vectors))
            describe(encoder, temporary, backend=STATIC)
            write_checksums(temporary)
    return folder


__all__ = ["automatic_export", "export_for", "make_export", "static_export"]
