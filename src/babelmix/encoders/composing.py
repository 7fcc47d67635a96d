"""Tokenizers that compose (NFC) what they read, so that decomposed text has the tokens of what it looks like.

The maps of characters that Unigram tokenizers carry have few compositions or none, and `tokenizers` applies those of
sentencepiece to single clusters, where a letter with two marks keeps one of them apart.
"""

from __future__ import annotations

import json
from typing import Any

import torch
from tokenizers import Tokenizer, normalizers

_NFC = {"type": "NFC"}
_COMPOSING = ("NFC", "NFKC")


def compose_first(encoder: torch.nn.Module) -> None:
    """Let an encoder's fast tokenizers compose what they read; it is saved with the encoder.

    Args:
        encoder: it is changed. The embedding of text in NFC stays as it is, and so does the fingerprint.

    """
    for module in encoder.modules():
        own = getattr(module, "tokenizer", None)
        backend = getattr(own, "backend_tokenizer", own)
        if isinstance(backend, Tokenizer):
            composing(backend)


def composing(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer, which composes before it does anything else.

    NFC stands there twice, and thrice before a sequence of one: this says that we put it there, and `without_composing` can
    tell what was there before. A second pass takes no measurable time.
    """
    if tokenizer.normalizer is None:
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.NFC()])
        return tokenizer
    # A sequence does not say what it holds in any other way.
    before = json.loads(tokenizer.normalizer.__getstate__())
    steps = before["normalizers"] if before["type"] == "Sequence" else [before]
    if not steps or steps[0]["type"] not in _COMPOSING:
        times = 3 if before["type"] == "Sequence" and len(steps) < 2 else 2
        tokenizer.normalizer = normalizers.Sequence([*[normalizers.NFC()] * times, tokenizer.normalizer])
    return tokenizer


def without_composing(normalizer: dict[str, Any] | None) -> dict[str, Any] | None:
    """A serialised normaliser as it was before `composing`."""
    if normalizer is None or normalizer["type"] != "Sequence" or normalizer["normalizers"][:2] != [_NFC, _NFC]:
        return normalizer
    rest = normalizer["normalizers"][2:]
    if rest[:1] == [_NFC]:
        return {**normalizer, "normalizers": rest[1:]}
    if len(rest) < 2:
        return rest[0] if rest else None
    return {**normalizer, "normalizers": rest}


__all__ = ["compose_first", "composing", "without_composing"]
