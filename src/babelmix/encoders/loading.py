"""Load encoders by name. Every encoder is a `SentenceTransformer` with prompts for queries and passages."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from babelmix.encoders.kinds import kind_named
from babelmix.encoders.origin import Origin, origin_of, remember

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load_encoder(
    name: str | Path,
    *,
    device: str | None = None,
    max_seq_length: int | None = None,
    revision: str | None = None,
    backend: str = "torch",
    prompts: Mapping[str, str] | None = None,
    trust_code: bool = False,
) -> SentenceTransformer:
    """Load an encoder by its name.

    A saved encoder has the prompts that it was saved with. A published model that needs prompts and does not save them, such as
    `intfloat/multilingual-e5-small`, gets those of its card. A plain transformers model is mean-pooled.

    Args:
        name: a name from `KNOWN`, `static:NAME`, a hub name, or a folder.
        device: a torch device; None: the best one that is available.
        max_seq_length: cut texts after this many tokens; None: the encoder's own limit.
        revision: branch, tag or commit of a hub model.
        backend: `torch`, `onnx`, `openvino`, or `auto` for the fastest; see `babelmix.encoders.backend_use.use_backend`.
        prompts: the text to put before each query and each passage, by `query` and `document`; None: the encoder's own.
        trust_code: run code that the model contains or names, and print which code. Otherwise such a model is refused.

    Returns:
        The encoder, a `SentenceTransformer`.

    Raises:
        EncoderError: there is no such encoder, the hub does not answer, the folder is no encoder or is damaged, it names code or
            modules that babelmix does not know, or the backend cannot run it.
        MissingExtraError: the package of an offline encoder or of a backend is not installed.

    Examples:
        >>> import tempfile
        >>> from babelmix.encoders import static
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     static.from_scratch(["a dog", "ein Hund"], dimension=8).save(folder)
        ...     encoder = load_encoder(folder, prompts={"query": "query: "})
        >>> encoder.encode_query(["dog"]).shape, encoder.prompts["query"]
        ((1, 8), 'query: ')

    """
    from babelmix.encoders.backend_use import use_backend
    from babelmix.encoders.backends import check_backend

    name = str(name)
    kind = kind_named(name)
    check_backend(backend)
    if backend not in ("auto", "torch"):
        # These engines are for a CPU.
        device = device or "cpu"
    encoder = kind.load(name, device=device, revision=revision, trust_code=trust_code)
    if origin_of(encoder) is None:
        remember(encoder, Origin(name, kind.name))
    if prompts is not None:
        encoder.prompts = {"query": "", "document": "", **prompts}
        remember(encoder, Origin(name, kind.name, "given to load_encoder"))
    # A static encoder has no limit: its length is infinite.
    limit = encoder.max_seq_length
    if max_seq_length is not None and limit != math.inf:
        encoder.max_seq_length = max_seq_length if limit is None else min(max_seq_length, int(limit))
    use_backend(encoder, backend, name=name)
    return encoder


load_model = load_encoder

__all__ = ["load_encoder", "load_model"]
