"""Encoders by name: everything is a `SentenceTransformer` with prompts for queries and passages."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.module import Module
from sentence_transformers.base.modules.router import Router
from sentence_transformers.base.modules.transformer import Transformer

from babelmix._progress import console
from babelmix.encoders import backends, dual, e5_offline, families, static
from babelmix.encoders.composing import compose_first, without_composing
from babelmix.encoders.known import E5_OFFLINE, STATIC_PREFIX
from babelmix.encoders.limits import fit_limits
from babelmix.encoders.opening import open_encoder
from babelmix.encoders.origin import Origin, remember
from babelmix.encoders.runtime import runtime_of
from babelmix.errors import EncoderError


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
    if name == static.FROM_SCRATCH:
        raise EncoderError("'static' has no weights before training: use  babelmix train --model static")
    if dual.is_dual_name(name):
        if name.count("+") > 1:
            raise EncoderError(f"{name!r} has more than one +; two towers are  IMAGE+TEXT")
        raise EncoderError(f"{name!r} has no weights before training: use  babelmix train --model {name}")
    backends.check_backend(backend)
    if is_made(name):
        encoder = make_static(name, None, trust_code=trust_code)
        remember(encoder, Origin(name))
        backends.use_backend(encoder, backend, name=name, key="")
        return encoder
    if backend not in ("auto", "torch"):
        # Engines of the extra `fast` are for a CPU.
        device = device or "cpu"
    encoder, folder = open_encoder(
        str(e5_offline.folder()) if name == e5_offline.NAME else name,
        called=name, device=device, revision=revision, trust_code=trust_code,
    )  # fmt: skip
    remember(encoder, Origin(name, _with_prompts(encoder, name, folder)))
    fit_limits(encoder)
    _pad_as_trained(encoder)
    compose_first(encoder)
    if max_seq_length is not None:
        limit = encoder.max_seq_length
        # A static encoder has no limit and knows of none.
        if limit != math.inf:
            encoder.max_seq_length = max_seq_length if limit is None else min(max_seq_length, int(limit))
    if backend != "torch":
        backends.use_backend(encoder, backend, name=name, key=fingerprint(encoder))
    return encoder


def _with_prompts(encoder: SentenceTransformer, name: str, folder: Path) -> str:
    """Give an encoder without prompts those of its family; where its prompts come from."""
    source = "saved with the encoder"
    if not any(encoder.prompts.values()):
        source = ""
        if (found := families.prompts_of_family(name, folder)) is not None:
            prompts, source = found
            encoder.prompts = dict(prompts)
        elif not (folder / "training.json").is_file() and (why := families.looks_like_e5(folder)) is not None:
            console.print(
                f"{name}: has no prompts, but {why}: if it wants 'query: ' and 'passage: ', call its folder "
                "multilingual-e5-small, -base or -large, or save the prompts with it",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
    _name_document_prompt(encoder, folder)
    return source


def _name_document_prompt(encoder: SentenceTransformer, folder: Path) -> None:
    """Let `document`, where it is empty, stand for `passage` or `corpus`.

    sentence-transformers adds an empty `document` to prompts that lack it, and then takes that.
    """
    other = encoder.prompts.get("passage") or encoder.prompts.get("corpus")
    # What we trained with an empty prompt is used with it.
    if other and not encoder.prompts.get("document") and not (folder / "training.json").is_file():
        encoder.prompts = {**encoder.prompts, "document": other}


def _pad_as_trained(encoder: SentenceTransformer) -> None:
    """Pad texts of a SigLIP to its full length: it reads the last place, so that else a text depends on its batch."""
    for module in encoder.modules():
        if isinstance(module, Transformer) and module.config.model_type in ("siglip", "siglip2"):
            given = dict(module.processing_kwargs or {})
            module.processing_kwargs = {**given, "text": {"padding": "max_length", **given.get("text", {})}}


def has_modules(name: str) -> bool:
    """Whether a name is a folder that sentence-transformers saved."""
    return (Path(name) / "modules.json").is_file()


def is_made(name: str) -> bool:
    """Whether `make_static` makes this encoder."""
    return name in (static.FROM_E5, static.FROM_SCRATCH) or name.startswith(STATIC_PREFIX)


def make_static(
    name: str,
    texts: Iterable[str] | None,
    memory: static.TokenMemory | None = None,
    *,
    size: int = 32_000,
    dimension: int = 256,
    trust_code: bool = False,
) -> SentenceTransformer:
    """Make `static` (learned from `texts`), `static-e5` or `static:NAME` (pruned to `texts`, or whole if None).

    Args:
        name: of the encoder.
        texts: the training texts.
        memory: filled with token ids where they are found anyway.
        size: pieces of a learned vocabulary at most.
        dimension: of vectors from scratch.
        trust_code: see `load_encoder`.

    Raises:
        EncoderError: there is no such encoder, or it has no token vectors to start from.

    """
    if name == static.FROM_SCRATCH:
        return static.from_scratch(texts or (), vocabulary=size, dimension=dimension)
    if name in (static.FROM_E5, STATIC_PREFIX + E5_OFFLINE):
        return static.from_e5(texts, memory)
    return static.from_encoder(load_encoder(name.removeprefix(STATIC_PREFIX), trust_code=trust_code), texts, memory)


def length_limit(encoder: SentenceTransformer) -> int | None:
    """How many tokens of a text an encoder reads; None where there is no limit."""
    limit = encoder.max_seq_length
    return None if limit in (None, math.inf) else int(limit)


def cut_after(encoder: SentenceTransformer, tokens: int) -> None:
    """Let an encoder that has a limit cut texts after so many tokens, if it does not cut them before; 0: leave it as it is."""
    if tokens and (limit := length_limit(encoder)) is not None:
        encoder.max_seq_length = min(tokens, limit)


def forget_last_batch(encoder: SentenceTransformer) -> None:
    """Take out of an encoder's tokenizers how they padded and cut their last batch: each batch says it anew.

    What is saved is then the same whatever was encoded before.
    """
    for module in encoder.modules():
        tokenizer = getattr(getattr(module, "tokenizer", None), "backend_tokenizer", None)
        if tokenizer is not None:
            tokenizer.no_padding()
            tokenizer.no_truncation()


def fingerprint(encoder: SentenceTransformer) -> str:
    """SHA-256 over what decides an embedding: weights, tokenizer, modules, prompts, length limit.

    It is of the float32 weights, whatever runs them: see `babelmix.encoders.runtime.backend_of`.
    """
    runtime = runtime_of(encoder)
    digest = hashlib.sha256() if runtime is None else runtime.weights()
    if runtime is None:
        dual.digest_weights(digest, encoder)
    tokenizer = getattr(encoder.tokenizer, "backend_tokenizer", encoder.tokenizer)
    if hasattr(tokenizer, "to_str"):
        digest.update(_rules_of(tokenizer.to_str()).encode())
    parts = [inner for module in encoder for inner in (module.modules() if isinstance(module, Router) else [module])]
    modules = [
        (type(module).__name__, repr(getattr(module, "get_config_dict", dict)()))
        for module in parts
        if isinstance(module, Module) or module in set(encoder)
    ]
    digest.update(repr([modules, sorted(encoder.prompts.items()), encoder.max_seq_length]).encode())
    # How pictures are made ready; an encoder of texts keeps the fingerprint it had before there were pictures.
    for module in parts:
        processor: Any = getattr(module, "processor", None)
        processor = getattr(processor, "image_processor", processor)
        if hasattr(processor, "image_mean"):
            digest.update(repr(sorted(processor.to_dict().items())).encode())
    return digest.hexdigest()


# A quarter of a million pieces take half a second, and an index asks for what the encoder's loading has asked for.
@functools.lru_cache(maxsize=1)
def _rules_of(tokenizer: str) -> str:
    """What a serialised tokenizer does, without what use or saving changes about it."""
    description = json.loads(tokenizer)
    # Encoding sets both; the length limit is part of the fingerprint by itself.
    description["truncation"] = description["padding"] = None
    # What is composed already is read as before.
    description["normalizer"] = without_composing(description["normalizer"])
    if description["model"]["type"] == "Unigram":
        # Scores lose their last digit when a tokenizer is saved.
        description["model"]["vocab"] = [piece for piece, _ in description["model"]["vocab"]]
    return json.dumps(description, sort_keys=True)
