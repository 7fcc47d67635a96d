"""Fingerprints of encoders: SHA-256 over everything that decides an embedding.

Hashing the weights and the tokenizer takes seconds for a large encoder. Both digests are therefore kept for as long as the
encoder lives, and are used again only while a cheap check finds no change: sums over the bits of every weight, and the
tokenizer's settings. Prompts, modules and the length limit are read at every call.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

from tokenizers import Tokenizer

from babelmix.encoders.composing import without_composing
from babelmix.encoders.runtime import export_of, runtime_of
from babelmix.encoders.towers import picture_modules

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from babelmix.encoders.protocol import Encoder

_digests: WeakKeyDictionary[torch.nn.Module, dict[str, tuple[Any, hashlib._Hash]]] = WeakKeyDictionary()


def fingerprint(encoder: Encoder) -> str:
    """SHA-256 over what decides an embedding: weights, tokenizer, modules, prompts, length limit.

    The second call for an unchanged encoder takes milliseconds. Training, averaging, other prompts or another length limit
    change the fingerprint. The backend does not: the fingerprint is of the float32 weights, see
    `babelmix.encoders.runtime.backend_of`.

    Args:
        encoder: any encoder.

    Returns:
        64 hexadecimal digits.

    Examples:
        >>> from babelmix.encoders import static
        >>> encoder = static.from_scratch(["a dog", "ein Hund"], dimension=8)
        >>> before = fingerprint(encoder)
        >>> encoder.prompts = {"query": "query: "}
        >>> fingerprint(encoder) == before
        False

    """
    if export_of(encoder) is not None:
        # It knows the fingerprint of the encoder that was exported.
        return str(cast("Any", encoder).fingerprint())
    return _of_modules(cast("SentenceTransformer", encoder))


def _of_modules(encoder: SentenceTransformer) -> str:
    from sentence_transformers.base.modules.module import Module
    from sentence_transformers.base.modules.router import Router

    tokenizer = getattr(encoder.tokenizer, "backend_tokenizer", encoder.tokenizer)
    runtime = runtime_of(encoder)
    state = (runtime or _state_of_weights(encoder), _state_of_tokenizer(tokenizer))

    def digest_slow_parts() -> hashlib._Hash:
        digest = hashlib.sha256() if runtime is None else runtime.weights()
        if runtime is None:
            digest_weights(digest, encoder)
        if hasattr(tokenizer, "to_str"):
            digest.update(_rules_of(tokenizer.to_str()).encode())
        return digest

    digest = _remembered(encoder, "texts", state, digest_slow_parts)
    parts = [inner for module in encoder for inner in (module.modules() if isinstance(module, Router) else [module])]
    modules = [
        (type(module).__name__, repr(getattr(module, "get_config_dict", dict)()))
        for module in parts
        if isinstance(module, Module) or module in set(encoder)
    ]
    digest.update(repr([modules, sorted(encoder.prompts.items()), encoder.max_seq_length]).encode())
    # An encoder of texts has no image processor. Its fingerprint stays that of versions without pictures.
    for module in parts:
        processor: Any = getattr(module, "processor", None)
        processor = getattr(processor, "image_processor", processor)
        if hasattr(processor, "image_mean"):
            digest.update(repr(sorted(processor.to_dict().items())).encode())
    return digest.hexdigest()


def image_fingerprint(encoder: torch.nn.Module) -> str:
    """SHA-256 over what decides the embedding of a picture; another text tower does not change it.

    Args:
        encoder: an encoder with an image tower.

    Returns:
        64 hexadecimal digits.

    Raises:
        EncoderError: the encoder has no image tower.

    """
    way = picture_modules(encoder)
    described = []
    for module in way:
        processor = getattr(module, "processor", None)
        # Weights say nothing about activations or about which output is taken.
        activation = getattr(getattr(getattr(module, "model", None), "config", None), "hidden_act", None)
        described.append(
            (
                repr(sorted(processor.to_dict().items()) if processor is not None else ""),
                repr((getattr(module, "get_config_dict", dict)(), activation)),
            )
        )
    names = repr([type(module).__name__ for module in encoder.children()])

    def digest_all() -> hashlib._Hash:
        digest = hashlib.sha256(names.encode())
        for number, (module, texts) in enumerate(zip(way, described, strict=True)):
            for text in texts:
                digest.update(text.encode())
            digest_weights(digest, module, f"{number} ")
        return digest

    state = (names, described, [_state_of_weights(module) for module in way])
    return _remembered(encoder, "pictures", state, digest_all).hexdigest()


def digest_weights(digest: hashlib._Hash, module: torch.nn.Module, prefix: str = "") -> None:
    """Add a module's weights to a digest, in the order of their names.

    Args:
        digest: a digest of `hashlib`, which is updated.
        module: the module.
        prefix: a text before each name.

    """
    import torch

    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{prefix}{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _remembered(
    encoder: torch.nn.Module, what: str, state: Any, compute: Callable[[], hashlib._Hash]
) -> hashlib._Hash:
    """A copy of the digest that was computed for this encoder in this state, or one that is computed now."""
    known = _digests.setdefault(encoder, {})
    found = known.get(what)
    if found is None or found[0] != state:
        found = known[what] = (state, compute())
    return found[1].copy()


def _state_of_weights(module: torch.nn.Module) -> list[tuple[Any, ...]]:
    """A state that changes with any weight: name, type, shape, PyTorch's count of changes, and sums over all bits.

    The count alone is not enough: PyTorch's fused optimisers and writes through `.data` do not raise it.
    """
    return [
        (name, tensor.dtype, tensor.shape, 0 if tensor.is_inference() else tensor._version, _sums_of_bits(tensor))
        for name, tensor in sorted(module.state_dict().items())
    ]


def _sums_of_bits(tensor: torch.Tensor) -> tuple[int, ...]:
    """Sums of a tensor's bytes in words of eight, modulo 2**64: of all words, of 64 words spread evenly, of the rest.

    Thirty times as fast as SHA-256.
    """
    import torch

    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    if data.storage_offset() % 8:
        data = data.clone()
    words = data[: len(data) // 8 * 8].view(torch.int64)
    rest = data[8 * len(words) :]
    return (int(words.sum()), int(words[:: max(1, len(words) // 64)].sum()), int(rest.sum()))


def _state_of_tokenizer(tokenizer: Any) -> tuple[Any, ...]:
    """The tokenizer itself, its steps around the model, and some tokens."""
    if not isinstance(tokenizer, Tokenizer):
        return (tokenizer,)
    steps = (tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.post_processor, tokenizer.decoder)
    size = tokenizer.get_vocab_size()
    tokens = [tokenizer.id_to_token(number) for number in range(0, size, max(1, size // 64))]
    added = [(number, str(token)) for number, token in sorted(tokenizer.get_added_tokens_decoder().items())]
    return (tokenizer, [None if step is None else step.__getstate__() for step in steps], size, tokens, added)


def _rules_of(tokenizer: str) -> str:
    """A serialised tokenizer without the parts that change when it is used or saved."""
    description = json.loads(tokenizer)
    # Encoding sets both; the length limit is part of the fingerprint by itself.
    description["truncation"] = description["padding"] = None
    # Text that is composed already is read as before.
    description["normalizer"] = without_composing(description["normalizer"])
    if description["model"]["type"] == "Unigram":
        # Scores lose their last digit when a tokenizer is saved.
        description["model"]["vocab"] = [piece for piece, _ in description["model"]["vocab"]]
    return json.dumps(description, sort_keys=True)


__all__ = ["digest_weights", "fingerprint", "image_fingerprint"]
