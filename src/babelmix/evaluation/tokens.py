"""Tokenizer fairness: how many tokens a character takes in each language, and how many texts are cut."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from babelmix.corpus import IMAGE, Corpus
from babelmix.corpus.nfc import composed
from babelmix.encoders.composing import composing
from babelmix.encoders.embed import KINDS
from babelmix.encoders.limits import length_limit

SAMPLE = 1000
"""Texts a language and side at most."""


def tokens_of(
    encoder: SentenceTransformer, corpus: Corpus, *, sample: int = SAMPLE, seed: int = 0
) -> dict[str, Any] | None:
    """Tokens a character and the share of texts cut, by language and side, of a seeded sample.

    A language's sample depends on nothing but the seed and its own texts. Tokens a character are of the texts alone, all
    of a sample together; a text is cut if with the encoder's prompt and special tokens it is longer than the encoder reads.

    Args:
        encoder: the encoder.
        corpus: whose queries and passages are sampled; pictures are left out.
        sample: texts a language and side at most.
        seed: of the sample.

    Returns:
        `sample`, `seed`, `limit` (tokens, None: no limit) and `langs`: by language and `queries` or `passages` the numbers
        `texts`, `tokens_per_character` and `cut` (a share; None without a limit). None if the encoder has no fast tokenizer.

    """
    own: Any = getattr(encoder, "tokenizer", None)
    backend = getattr(own, "backend_tokenizer", own)
    if not isinstance(backend, Tokenizer):
        return None
    # The encoder's own is left as it is.
    tokenizer = composing(Tokenizer.from_str(backend.to_str()))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    special = tokenizer.num_special_tokens_to_add(False)
    limit = length_limit(encoder)
    langs: dict[str, dict[str, Any]] = {}
    for side, kind, table in zip(("queries", "passages"), KINDS, (corpus.queries, corpus.passages), strict=True):
        lang_of = np.array(table["lang"].to_pylist(), dtype=object)
        prompt = encoder.prompts.get(kind) or ""
        for lang in sorted(set(lang_of) - {IMAGE}):
            rows = np.flatnonzero(lang_of == lang)
            rng = np.random.default_rng([seed, zlib.crc32(f"{side} {lang}".encode())])
            rows = np.sort(rng.choice(rows, min(sample, len(rows)), replace=False))
            # As encoders read them.
            texts = composed(table["text"].take(rows).to_pylist())
            read = _lengths(tokenizer, [prompt + text for text in texts]) + special
            langs.setdefault(lang, {})[side] = {
                "texts": len(texts),
                "tokens_per_character": int(_lengths(tokenizer, texts).sum()) / max(sum(map(len, texts)), 1),
                "cut": None if limit is None else float((read > limit).mean()),
            }
    return {"sample": sample, "seed": seed, "limit": limit, "langs": langs}


def _lengths(tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    encodings = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return np.array([len(one.ids) for one in encodings], dtype=np.int64)
