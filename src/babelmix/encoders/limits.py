"""Length limits of encoders, in tokens. The table of position embeddings decides, not the tokenizer's setting."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from babelmix.encoders.protocol import Encoder

_WORDS = ("word_embeddings", "token_embedding", "tok_embeddings")


def position_limit(model: torch.nn.Module) -> int | None:
    """The number of tokens that the learned positions of a model allow; None if positions are computed or relative.

    RoBERTa and its relatives (XLM-R, CamemBERT, MPNet) count positions from `padding_idx + 1`: a table of 514 rows is for 512
    tokens. BERT and its relatives count from 0.

    Args:
        model: a transformers model.

    """
    import torch

    found: list[int] = []
    for module in model.modules():
        table = getattr(module, "position_embeddings", None) or getattr(module, "position_embedding", None)
        if isinstance(table, torch.nn.Embedding) and any(hasattr(module, words) for words in _WORDS):
            first = table.padding_idx + 1 if table.padding_idx is not None else 0
            found.append(table.num_embeddings - first)
    return min(found, default=None)


def word_table(model: Any) -> torch.nn.Embedding | None:
    """The embedding table of a model's tokens; None if there is none.

    Args:
        model: a transformers model.

    """
    import torch

    try:
        table = model.get_input_embeddings()
    except (NotImplementedError, AttributeError):
        # A model of two towers: the table of the text tower.
        tables = (getattr(module, name, None) for module in model.modules() for name in _WORDS)
        table = next((one for one in tables if isinstance(one, torch.nn.Embedding)), None)
    return table if isinstance(table, torch.nn.Embedding) else None


def fit_limits(encoder: torch.nn.Module) -> None:
    """Lower the length limit of every transformer in an encoder to what its positions allow."""
    from sentence_transformers.base.modules.transformer import Transformer

    for module in encoder.modules():
        if not isinstance(module, Transformer) or module.tokenizer is None:
            continue
        model: Any = module.model
        limit = position_limit(model)
        now = module.max_seq_length
        if limit is not None and (now is None or now > limit):
            module.max_seq_length = limit


def length_limit(encoder: Encoder) -> int | None:
    """How many tokens of a text an encoder reads; None if there is no limit."""
    limit = encoder.max_seq_length
    return None if limit in (None, math.inf) else int(limit)


def cut_after(encoder: SentenceTransformer, tokens: int) -> None:
    """Lower the length limit of an encoder.

    Args:
        encoder: it is changed. An encoder without a limit stays as it is.
        tokens: the new limit, if it is lower than the current one; 0: no change.

    """
    if tokens and (limit := length_limit(encoder)) is not None:
        encoder.max_seq_length = min(tokens, limit)


def forget_last_batch(encoder: SentenceTransformer) -> None:
    """Reset padding and truncation of an encoder's tokenizers, which keep the settings of the last batch.

    A saved encoder then does not depend on what was encoded before.
    """
    for module in encoder.modules():
        tokenizer = getattr(getattr(module, "tokenizer", None), "backend_tokenizer", None)
        if tokenizer is not None:
            tokenizer.no_padding()
            tokenizer.no_truncation()


__all__ = ["cut_after", "fit_limits", "forget_last_batch", "length_limit", "position_limit", "word_table"]
