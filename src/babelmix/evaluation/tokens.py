"""Tokenizer fairness: the tokens per character in each language, and the share of texts that are truncated."""

from __future__ import annotations

import copy
import hashlib
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from babelmix.corpus import IMAGE, Corpus
from babelmix.corpus.nfc import composed
from babelmix.encoders.composing import counting_tokenizer
from babelmix.encoders.embed import INPUT_KINDS
from babelmix.encoders.limits import length_limit

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

SAMPLE = 1000
"""The largest number of texts per language and side."""


def tokens_of(
    encoder: SentenceTransformer, corpus: Corpus, *, sample: int = SAMPLE, seed: int = 0
) -> dict[str, Any] | None:
    """Count tokens per character and truncated texts in a seeded sample, by language and side.

    The sample of a language depends on the seed and its own texts only. Tokens per character are counted over all texts of a
    sample together, without prompts. A text is truncated if, with the encoder's prompt and special tokens, it is longer than
    the encoder's limit.

    Args:
        encoder: the encoder.
        corpus: the corpus; pictures are left out.
        sample: the largest number of texts per language and side.
        seed: the seed of the sample.

    Returns:
        `sample`, `seed`, `limit` (tokens; None: no limit) and `langs`: by language, and then by `queries` or `passages`, the
        numbers `texts`, `tokens_per_character` and `cut` (the share of truncated texts; None without a limit). None if the
        encoder has no fast tokenizer.

    """
    tokenizer = counting_tokenizer(encoder)
    if tokenizer is None:
        return None
    limit = length_limit(encoder)
    # Encoders that were trained from one start have equal tokenizers, and an experiment audits all of them on one corpus.
    prompts = tuple(encoder.prompts.get(kind) or "" for kind in INPUT_KINDS)
    key = (hashlib.sha256(tokenizer.to_str().encode()).digest(), prompts, limit, corpus.fingerprint(), sample, seed)
    if key not in _counted:
        while len(_counted) >= _KEPT:
            del _counted[next(iter(_counted))]
        _counted[key] = _counts(tokenizer, prompts, limit, corpus, sample, seed)
    return {"sample": sample, "seed": seed, "limit": limit, "langs": copy.deepcopy(_counted[key])}


_KEPT = 4
_counted: dict[tuple[Any, ...], dict[str, dict[str, Any]]] = {}
"""The last counts, by what decides them."""


def _counts(
    tokenizer: Tokenizer, prompts: tuple[str, ...], limit: int | None, corpus: Corpus, sample: int, seed: int
) -> dict[str, dict[str, Any]]:
    """The part `langs` of what `tokens_of` returns."""
    special = tokenizer.num_special_tokens_to_add(False)
    langs: dict[str, dict[str, Any]] = {}
    for side, prompt, table in zip(("queries", "passages"), prompts, (corpus.queries, corpus.passages), strict=True):
        lang_of = np.array(table["lang"].to_pylist(), dtype=object)
        for lang in sorted(set(lang_of) - {IMAGE}):
            rows = np.flatnonzero(lang_of == lang)
            rng = np.random.default_rng([seed, zlib.crc32(f"{side} {lang}".encode())])
            rows = np.sort(rng.choice(rows, min(sample, len(rows)), replace=False))
            # Encoders read texts in composed Unicode (NFC).
            texts = composed(table["text"].take(rows).to_pylist())
            alone = _lengths(tokenizer, texts)
            read = (_lengths(tokenizer, [prompt + text for text in texts]) if prompt else alone) + special
            langs.setdefault(lang, {})[side] = {
                "texts": len(texts),
                "tokens_per_character": int(alone.sum()) / max(sum(map(len, texts)), 1),
                "cut": None if limit is None else float((read > limit).mean()),
            }
    return langs


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return np.array([len(one.ids) for one in encodings], dtype=np.int64)
