"""How many tokens of a text an encoder reads. Its table of position embeddings decides, whatever its tokenizer says."""

from __future__ import annotations

import math
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.transformer import Transformer

_WORDS = ("word_embeddings", "token_embedding", "tok_embeddings")


def position_limit(model: torch.nn.Module) -> int | None:
    """How many tokens a model's learned positions are enough for; None where positions are computed or relative.

    RoBERTa and its relatives (XLM-R, CamemBERT, MPNet) number their positions from `padding_idx + 1`, so that their table
    of 514 rows is enough for 512 tokens; BERT and its relatives number them from 0.

    Args:
        model: of transformers.

    """
    found: list[int] = []
    for module in model.modules():
        table = getattr(module, "position_embeddings", None) or getattr(module, "position_embedding", None)
        if isinstance(table, torch.nn.Embedding) and any(hasattr(module, words) for words in _WORDS):
            first = table.padding_idx + 1 if table.padding_idx is not None else 0
            found.append(table.num_embeddings - first)
    return min(found, default=None)


def word_table(model: Any) -> torch.nn.Embedding | None:
    """The table in which a model looks up its tokens; None if it has none that can be told.

    Args:
        model: of transformers.

    """
    try:
        table = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        # Of two towers: the text's.
        tables = (getattr(module, name, None) for module in model.modules() for name in _WORDS)
        table = next((one for one in tables if isinstance(one, torch.nn.Embedding)), None)
    return table if isinstance(table, torch.nn.Embedding) else None


def fit_limits(encoder: torch.nn.Module) -> None:
    """Let every transformer of an encoder cut texts where its positions end, if its tokenizer would cut them later."""
    for module in encoder.modules():
        if not isinstance(module, Transformer) or module.tokenizer is None:
            continue
        model: Any = module.model
        limit = position_limit(model)
        now = module.max_seq_length
        if limit is not None and (now is None or now > limit):
            module.max_seq_length = limit


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


__all__ = ["cut_after", "fit_limits", "forget_last_batch", "length_limit", "position_limit", "word_table"]
