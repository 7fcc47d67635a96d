"""Tokenizers that compose text (NFC) before they read it, so that decomposed text has the same tokens as composed text.

The character map of a Unigram tokenizer has few compositions or none. Moreover, `tokenizers` applies the map to one grapheme
cluster at a time, and composes a letter with two marks with one of them only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, normalizers

if TYPE_CHECKING:
    import torch

_NFC = {"type": "NFC"}
_COMPOSING = ("NFC", "NFKC")


def compose_first(encoder: torch.nn.Module) -> None:
    """Let an encoder's fast tokenizers compose text. The setting is saved with the encoder.

    Args:
        encoder: it is changed. Embeddings of text in NFC stay the same, and so does the fingerprint.

    """
    for module in encoder.modules():
        own = getattr(module, "tokenizer", None)
        backend = getattr(own, "backend_tokenizer", own)
        if isinstance(backend, Tokenizer):
            composing(backend)


def composing(tokenizer: Tokenizer) -> Tokenizer:
    """Let a tokenizer compose text before anything else; returns the same tokenizer.

    NFC is added twice, and three times before a sequence of one step. This marks it as added by babelmix, so that
    `without_composing` finds the original. A second pass takes no measurable time.
    """
    if tokenizer.normalizer is None:
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.NFC()])
        return tokenizer
    # The only way to read the steps of a sequence.
    before = json.loads(tokenizer.normalizer.__getstate__())
    steps = before["normalizers"] if before["type"] == "Sequence" else [before]
    if not steps or steps[0]["type"] not in _COMPOSING:
        times = 3 if before["type"] == "Sequence" and len(steps) < 2 else 2
        tokenizer.normalizer = normalizers.Sequence([*[normalizers.NFC()] * times, tokenizer.normalizer])
    return tokenizer


def counting_tokenizer(encoder: Any) -> Tokenizer | None:
    """A copy of an encoder's fast tokenizer that composes, and neither cuts nor pads; None if the encoder has none.

    Args:
        encoder: it is not changed.

    """
    own = getattr(encoder, "tokenizer", None)
    backend = getattr(own, "backend_tokenizer", own)
    if not isinstance(backend, Tokenizer):
        return None
    tokenizer = composing(Tokenizer.from_str(backend.to_str()))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def without_composing(normalizer: dict[str, Any] | None) -> dict[str, Any] | None:
    """A serialised normaliser without what `composing` added."""
    if normalizer is None or normalizer["type"] != "Sequence" or normalizer["normalizers"][:2] != [_NFC, _NFC]:
        return normalizer
    rest = normalizer["normalizers"][2:]
    if rest[:1] == [_NFC]:
        return {**normalizer, "normalizers": rest[1:]}
    if len(rest) < 2:
        return rest[0] if rest else None
    return {**normalizer, "normalizers": rest}


__all__ = ["compose_first", "composing", "counting_tokenizer", "without_composing"]
