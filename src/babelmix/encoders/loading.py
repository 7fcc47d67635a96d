"""Encoders by name: everything is a `SentenceTransformer` with prompts for queries and passages."""

from __future__ import annotations

import math

from sentence_transformers import SentenceTransformer

from babelmix.encoders.backends import check_backend, use_backend
from babelmix.encoders.kinds import kind_named
from babelmix.encoders.origin import Origin, origin_of, remember


def load_encoder(
    name: str,
    *,
    device: str | None = None,
    max_seq_length: int | None = None,
    revision: str | None = None,
    backend: str = "torch",
    trust_code: bool = False,
) -> SentenceTransformer:
    """Load an encoder with its own prompts.

    An encoder that saved prompts keeps them; a prompt for passages that it calls `passage` or `corpus` is its prompt for
    documents, unless it has one. One of a family whose authors published prompts only in prose (E5) gets those; a plain
    transformers model is mean-pooled.

    Args:
        name: a name from `KNOWN`, `static:NAME`, a hub name, or a folder.
        device: a torch device; by default the best there is.
        max_seq_length: cut texts after so many tokens; by default the encoder's own limit.
        revision: of a hub model.
        backend: what runs it, one of `babelmix.encoders.backends.BACKENDS`; see `use_backend` there.
        trust_code: let code that the model brings, or names, run; what it is gets printed. Without, a model that needs it
            is refused.

    Raises:
        EncoderError: there is no such encoder, the hub does not answer, the folder is not an encoder or not whole, it names
            code or what babelmix does not know, or the backend cannot run it.
        MissingExtraError: an offline encoder's package, or the backend's, is not installed.

    """
    kind = kind_named(name)
    check_backend(backend)
    if backend not in ("auto", "torch"):
        # Engines of the extra `fast` are for a CPU.
        device = device or "cpu"
    encoder = kind.load(name, device=device, revision=revision, trust_code=trust_code)
    if origin_of(encoder) is None:
        remember(encoder, Origin(name, kind.name))
    # A static encoder has no limit: its length is infinite.
    limit = encoder.max_seq_length
    if max_seq_length is not None and limit != math.inf:
        encoder.max_seq_length = max_seq_length if limit is None else min(max_seq_length, int(limit))
    use_backend(encoder, backend, name=name)
    return encoder


load_model = load_encoder

__all__ = ["load_encoder", "load_model"]
