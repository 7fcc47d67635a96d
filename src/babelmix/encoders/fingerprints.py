"""Fingerprints of encoders: SHA-256 over everything that decides an embedding."""

from __future__ import annotations

import functools
import hashlib
import json
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.module import Module
from sentence_transformers.base.modules.router import Router

from babelmix.encoders.composing import without_composing
from babelmix.encoders.runtime import runtime_of
from babelmix.encoders.towers import way_of_pictures


def fingerprint(encoder: SentenceTransformer) -> str:
    """SHA-256 over what decides an embedding: weights, tokenizer, modules, prompts, length limit.

    It is of the float32 weights, whatever runs them: see `babelmix.encoders.runtime.backend_of`.
    """
    runtime = runtime_of(encoder)
    digest = hashlib.sha256() if runtime is None else runtime.weights()
    if runtime is None:
        digest_weights(digest, encoder)
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


def image_fingerprint(encoder: torch.nn.Module) -> str:
    """SHA-256 over what decides the embedding of a picture: another text tower leaves it as it is."""
    digest = hashlib.sha256()
    digest.update(repr([type(module).__name__ for module in encoder.children()]).encode())
    for number, module in enumerate(way_of_pictures(encoder)):
        processor = getattr(module, "processor", None)
        digest.update(repr(sorted(processor.to_dict().items()) if processor is not None else "").encode())
        # What weights do not say: activations, which output is taken.
        activation = getattr(getattr(getattr(module, "model", None), "config", None), "hidden_act", None)
        digest.update(repr((getattr(module, "get_config_dict", dict)(), activation)).encode())
        digest_weights(digest, module, f"{number} ")
    return digest.hexdigest()


def digest_weights(digest: hashlib._Hash, module: torch.nn.Module, prefix: str = "") -> None:
    """Add a module's weights to a digest, in the order of their names.

    Args:
        digest: of `hashlib`.
        module: with the weights.
        prefix: put before each name.

    """
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{prefix}{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


__all__ = ["digest_weights", "fingerprint", "image_fingerprint"]
