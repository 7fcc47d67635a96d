"""Training on packed tokens on the CPU: the forward pass of a transformer computes no padding.

`packed_tokens` replaces the forward pass of a transformer while it trains. Features and embeddings have their usual shapes, so
that every loss can use it. The columns of a step (queries, passages and others) are computed in one pass.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import BertModel, XLMRobertaModel

from babelmix.training.captions import Features
from babelmix.training.packed_layers import PackedLayers

_MODELS = (BertModel, XLMRobertaModel)
_PLAIN = (torch.nn.Linear, torch.nn.LayerNorm, torch.nn.Dropout, torch.nn.Embedding)
_INPUTS = {"input_ids", "attention_mask", "token_type_ids", "modality"}
_OUTPUTS = {"token_embeddings", "sentence_embedding"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def can_pack(encoder: torch.nn.Module) -> bool:
    """Whether the forward pass of an encoder can be computed on packed tokens.

    The first module must be a BERT or XLM-RoBERTa of transformers in float32 on the CPU, and the second one a pooling. LoRA
    adapters, gradient checkpointing and hooks on layers need the plain forward pass.
    """
    parts = list(encoder.children())
    if len(parts) < 2 or type(parts[0]) is not Transformer or type(parts[1]) is not Pooling:
        return False
    first: Any = parts[0]
    model = first.model
    if type(model) not in _MODELS or first.module_output_name != "token_embeddings":
        return False
    config = model.config
    if (
        config.is_decoder
        or config.hidden_act != "gelu"
        or config.chunk_size_feed_forward
        or config.output_hidden_states
        or (getattr(config, "position_embedding_type", None) or "absolute") != "absolute"
        or first.modality_config.get("text") != {"method": "forward", "method_output_name": "last_hidden_state"}
    ):
        return False
    if any(one.dtype != torch.float32 or one.device.type != "cpu" for one in model.parameters()):
        return False
    # An adapter is a module of another class, and a packed pass calls no hook.
    homes = (type(model).__module__, torch.nn.ModuleList.__module__, "transformers.activations")
    inner = [model, *model.embeddings.modules(), *model.encoder.modules()]
    return all(
        (type(one) in _PLAIN or type(one).__module__ in homes)
        and not getattr(one, "gradient_checkpointing", False)
        and not any(getattr(one, name) for name in _HOOKS)
        for one in inner
    )


@dataclass
class _Tokens:
    """The tokens of the texts of a column, one text after the other.

    Args:
        shape: texts, and tokens of the longest one.
        places: the place of each token in the padded column, shape (tokens,).
        inputs: id, position and type of each token, shape (3, tokens).
        lengths: the number of tokens of each text, shape (texts,).

    """

    shape: tuple[int, int]
    places: torch.Tensor
    inputs: torch.Tensor
    lengths: torch.Tensor


class Packing:
    """The packed forward pass of an encoder.

    Args:
        encoder: an encoder whose first module has transformers' model.

    """

    def __init__(self, encoder: torch.nn.Module) -> None:
        self.passes = 0
        """How many packed passes there were."""
        self._encoder = encoder
        self._transformer: Any = next(iter(encoder.children()))
        self._plain = self._transformer.forward
        self._layers = PackedLayers(self._transformer.model)
        self._columns: list[Features] = []
        self._embedded: list[torch.Tensor | None] = []

    def expect(self, columns: Sequence[Features]) -> None:
        """Announce the columns of a step. When one of them is embedded with gradients, all of them are, in one pass."""
        self._columns = [dict(column) for column in columns]
        self._embedded = []

    def forget(self) -> None:
        """Forget the columns of the step, and the converted weights."""
        self._columns, self._embedded = [], []
        self._layers.casts.clear()

    def forward(self, features: Features, **kwargs: Any) -> Features:
        """Set `token_embeddings`, float32, shape (texts, tokens, dimension). They are 0 for padding."""
        dtype = _type_of_computation()
        ready = dtype is not None and not kwargs and self._transformer.training and can_pack(self._encoder)
        tokens = self._tokens(features) if ready else None
        if dtype is None or tokens is None:
            plain: Features = self._plain(features, **kwargs)
            return plain
        with torch.autocast("cpu", enabled=False):
            found = self._of_step(features, dtype)
            features["token_embeddings"] = self._pass([tokens], dtype)[0] if found is None else found
        return features

    def _of_step(self, features: Features, dtype: torch.dtype) -> torch.Tensor | None:
        """The token embeddings of an announced column. Each is given once, as a second pass has other dropout."""
        number = next((n for n, one in enumerate(self._columns) if one["input_ids"] is features["input_ids"]), None)
        if number is None or not torch.is_grad_enabled():
            return None
        if not self._embedded:
            columns = [self._tokens(column) for column in self._columns]
            if any(column is None for column in columns):
                return None
            self._embedded = list(self._pass([column for column in columns if column is not None], dtype))
        found, self._embedded[number] = self._embedded[number], None
        return found

    def _tokens(self, features: Features) -> _Tokens | None:
        """The tokens of a column; None if it is not of plain texts, or a text has no token."""
        mask = features.get("attention_mask")
        if (
            not features.keys() <= _INPUTS | _OUTPUTS
            or "input_ids" not in features
            or not isinstance(mask, torch.Tensor)
        ):
            return None
        ids, there = features["input_ids"], mask.bool()
        if features.get("modality", "text") != "text" or ids.ndim != 2 or not len(ids) or not there.any(1).all():
            return None
        first = self._transformer.model.embeddings
        if isinstance(self._transformer.model, XLMRobertaModel):
            # Positions start after the number of the padding token, and padding is not counted.
            real = ids.ne(first.padding_idx).int()
            positions = real.cumsum(1) * real + first.padding_idx
        else:
            positions = torch.arange(ids.shape[1]).expand_as(ids)
        kinds = features.get("token_type_ids")
        kinds = torch.zeros_like(ids) if kinds is None else kinds
        places = there.flatten().nonzero()[:, 0]
        inputs = torch.stack([one.flatten()[places] for one in (ids, positions, kinds)])
        return _Tokens((ids.shape[0], ids.shape[1]), places, inputs, there.sum(1))

    def _pass(self, columns: Sequence[_Tokens], dtype: torch.dtype) -> list[torch.Tensor]:
        """The token embeddings of each column, from one pass through the layers."""
        self.passes += 1
        lengths = torch.cat([column.lengths for column in columns])
        order = torch.argsort(lengths, stable=True)
        starts = (lengths.cumsum(0) - lengths)[order]
        by_length = lengths[order]
        # The place of each token of the sorted texts among the tokens of the texts as they are given.
        within = torch.arange(int(lengths.sum())) - torch.repeat_interleave(by_length.cumsum(0) - by_length, by_length)
        source = torch.repeat_interleave(starts, by_length) + within
        inputs = torch.cat([column.inputs for column in columns], dim=1)[:, source]
        ids, positions, kinds = inputs
        hidden = self._layers(ids, positions, kinds, by_length.tolist(), dtype, training=self._transformer.training)
        back = torch.empty_like(source)
        back[source] = torch.arange(len(source))
        found = hidden.index_select(0, back)
        padded = []
        for column, own in zip(columns, torch.split(found, [len(column.places) for column in columns]), strict=True):
            texts, length = column.shape
            empty = own.new_zeros(texts * length, own.shape[1])
            padded.append(empty.index_copy(0, column.places, own).view(texts, length, -1))
        return padded


def _type_of_computation() -> torch.dtype | None:
    """float32, or bfloat16 under autocast; None for another type."""
    if not torch.is_autocast_enabled("cpu"):
        return torch.float32
    return torch.bfloat16 if torch.get_autocast_dtype("cpu") == torch.bfloat16 else None


@contextlib.contextmanager
def packed_tokens(encoder: torch.nn.Module) -> Iterator[Packing | None]:
    """Within this context, an encoder in training mode computes no padding, if `can_pack` allows it.

    Args:
        encoder: a sentence-transformers encoder.

    Yields:
        The packing; None for an encoder of another kind, for one whose forward pass somebody has replaced, or if the environment
        variable `BABELMIX_PACKING` is 0.

    """
    first: Any = next(iter(encoder.children()), None)
    known = type(first) is Transformer and type(first.model) in _MODELS and "forward" not in vars(first)
    if not known or os.environ.get("BABELMIX_PACKING") == "0":
        yield None
        return
    packing = Packing(encoder)
    first.forward = packing.forward
    try:
        yield packing
    finally:
        del first.forward


__all__ = ["Packing", "can_pack", "packed_tokens"]
