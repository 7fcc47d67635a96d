"""UNITER's single stream: a sequence is the tokens of a text, then the regions of an image.

Source: Chen et al., ECCV 2020, arXiv 1909.11740.

Tokens and regions are embedded without padding, all texts and all images one after another. A sequence is then gathered from
these, so that the first region follows the last token directly. A text or image that is in several pairs is embedded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from babelmix.encoders.uniter.block import EPSILON, Encoder
from babelmix.encoders.uniter.config import UniterConfig
from babelmix.encoders.uniter.regions import Regions
from babelmix.errors import EncoderError

_MASKED = -10_000.0
"""Added to the attention logits of padding, as in BERT. Attention weights in float32 become exactly 0."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Embedded texts, or embedded images.

    Args:
        values: all tokens or regions, one text or image after another, floating, shape (tokens or regions, width).
        lengths: number of tokens or regions of each, int64 on the CPU, shape (texts or images,).

    """

    values: torch.Tensor
    lengths: torch.Tensor

    @property
    def starts(self) -> torch.Tensor:
        """Index of the first value of each text or image, int64 on the CPU, shape (texts or images,)."""
        return self.lengths.cumsum(0) - self.lengths


@dataclass(frozen=True)
class Packed:
    """Pairs as sequences: the tokens of a text, the regions of an image, then padding.

    Args:
        states: floating, shape (pairs, positions, width).
        lengths: tokens and regions of each pair, int64 on the CPU, shape (pairs,).
        text_lengths: tokens of each pair, int64 on the CPU, shape (pairs,).

    """

    states: torch.Tensor
    lengths: torch.Tensor
    text_lengths: torch.Tensor

    def is_text(self) -> torch.Tensor:
        """Whether a position is a token, bool, shape (pairs, positions)."""
        at = torch.arange(self.states.shape[1])
        return (at < self.text_lengths[:, None]).to(self.states.device)

    def is_region(self) -> torch.Tensor:
        """Whether a position is a region, bool, shape (pairs, positions)."""
        at = torch.arange(self.states.shape[1])
        return ((at >= self.text_lengths[:, None]) & (at < self.lengths[:, None])).to(self.states.device)

    def mask(self) -> torch.Tensor | None:
        """What is added to the attention logits, shape (pairs, 1, 1, positions); None without padding."""
        positions = self.states.shape[1]
        if int(self.lengths.min()) == positions:
            return None
        padding = torch.arange(positions) >= self.lengths[:, None]
        mask = torch.zeros(padding.shape, dtype=self.states.dtype).masked_fill_(padding, _MASKED)
        return mask[:, None, None].to(self.states.device)


def pack(
    table: torch.Tensor,
    text_starts: torch.Tensor,
    text_lengths: torch.Tensor,
    region_starts: torch.Tensor,
    region_lengths: torch.Tensor,
) -> Packed:
    """Gather sequences from one table of embedded tokens and regions.

    Args:
        table: floating, shape (tokens and regions, width).
        text_starts: row of the first token of each pair, int64 on the CPU, shape (pairs,).
        text_lengths: number of tokens of each pair, int64 on the CPU, shape (pairs,).
        region_starts: row of the first region of each pair, int64 on the CPU, shape (pairs,).
        region_lengths: number of regions of each pair, int64 on the CPU, shape (pairs,).

    """
    lengths = text_lengths + region_lengths
    at = torch.arange(int(lengths.max()))
    in_text = at < text_lengths[:, None]
    row = torch.where(in_text, text_starts[:, None] + at, (region_starts - text_lengths)[:, None] + at)
    # Padding repeats the first token. No position attends to it.
    row = torch.where(at < lengths[:, None], row, text_starts[:, None]).to(table.device)
    return Packed(nn.functional.embedding(row, table), lengths, text_lengths)


class _TextEmbeddings(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_positions, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(2, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        kind = self.token_type_embeddings.weight[0]
        return self.dropout(self.LayerNorm(self.word_embeddings(tokens) + self.position_embeddings(positions) + kind))


class _ImageEmbeddings(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.img_linear = nn.Linear(config.region_size, config.hidden_size)
        self.img_layer_norm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.pos_linear = nn.Linear(config.location_size, config.hidden_size)
        self.pos_layer_norm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        # Row 1 is for masked regions. Row 0, for all others, is always zero.
        self.mask_embedding = nn.Embedding(2, config.region_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, features: torch.Tensor, locations: torch.Tensor, kind: torch.Tensor, masked: torch.Tensor | None
    ) -> torch.Tensor:
        if masked is not None:
            features = torch.where(masked[:, None], self.mask_embedding.weight[1], features)
        seen = self.img_layer_norm(self.img_linear(features))
        where = self.pos_layer_norm(self.pos_linear(locations))
        return self.dropout(self.LayerNorm(seen + where + kind))


class _Pooler(nn.Module):
    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, first: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.dense(first))


class UniterModel(nn.Module):
    """The transformer without heads. Parameters have the names of the published checkpoints.

    Args:
        config: the configuration of the model.

    """

    def __init__(self, config: UniterConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _TextEmbeddings(config)
        self.img_embeddings = _ImageEmbeddings(config)
        self.encoder = Encoder(config)
        self.pooler = _Pooler(config)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.pooler.dense.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        return self.pooler.dense.weight.dtype

    def embed_texts(self, tokens: Sequence[Ints]) -> Parts:
        """Embed texts.

        Args:
            tokens: token ids of each text from `WordPiece.encode`, int64, shape (tokens,).

        Raises:
            EncoderError: a text has no tokens, or more than the model has positions.

        """
        lengths = np.array([len(text) for text in tokens], dtype=np.int64)
        if len(lengths) == 0 or lengths.min() == 0:
            raise EncoderError("there is no text" if len(lengths) == 0 else f"text {lengths.argmin()} has no tokens")
        if lengths.max() > self.config.max_positions:
            raise EncoderError(
                f"text {lengths.argmax()} has {lengths.max()} tokens, but the model {self.config.max_positions} positions"
            )
        positions = np.concatenate([np.arange(length) for length in lengths])
        values = self.embeddings(
            torch.from_numpy(np.concatenate(tokens)).to(self.device), torch.from_numpy(positions).to(self.device)
        )
        return Parts(values, torch.from_numpy(lengths))

    def embed_regions(self, regions: Sequence[Regions], masked: npt.NDArray[np.bool_] | None = None) -> Parts:
        """Embed images.

        Args:
            regions: the regions of each image.
            masked: regions whose features are hidden, bool, shape (regions of all images,).

        Raises:
            EncoderError: there is no image, or its features do not have the size of the model.

        """
        if not regions:
            raise EncoderError("there is no image")
        check_regions(self.config, regions)
        features = torch.from_numpy(np.concatenate([image.features for image in regions]))
        locations = torch.from_numpy(np.concatenate([image.locations for image in regions]))
        values = self.img_embeddings(
            features.to(self.device, self.dtype),
            locations.to(self.device, self.dtype),
            self.embeddings.token_type_embeddings.weight[1],
            None if masked is None else torch.from_numpy(masked).to(self.device),
        )
        return Parts(values, torch.tensor([len(image) for image in regions], dtype=torch.int64))

    def pair(self, texts: Parts, images: Parts, pairs: Ints) -> Packed:
        """Make sequences from embedded texts and images.

        Args:
            texts: embedded texts.
            images: embedded images.
            pairs: rows of the text and the image of each pair, int64, shape (pairs, 2).

        """
        table = torch.cat([texts.values, images.values])
        text, image = torch.from_numpy(pairs).unbind(1)
        return pack(
            table,
            texts.starts[text],
            texts.lengths[text],
            images.starts[image] + len(texts.values),
            images.lengths[image],
        )

    def forward(self, packed: Packed, *, first_only: bool = False) -> torch.Tensor:
        """Compute the states after the last block.

        Args:
            packed: embedded pairs.
            first_only: only the state of the first token, which is cheaper.

        Returns:
            Floating, shape (pairs, positions or 1, width). States of padding have no meaning.

        """
        return self.encoder(packed.states, packed.mask(), first_only=first_only)

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """The embedding of each pair, from the state of its first token, floating, shape (pairs, width)."""
        return self.pooler(states[:, 0])


def check_regions(config: UniterConfig, regions: Sequence[Regions]) -> None:
    """Raise unless the features, locations and soft labels of every image have the sizes of the model.

    Raises:
        EncoderError: they do not. The message has the row of the image.

    """
    for row, image in enumerate(regions):
        if image.features.shape[1] != config.region_size:
            raise EncoderError(
                f"image {row}: its regions have {image.features.shape[1]} features, but the model reads {config.region_size}"
            )
        if image.locations.shape[1] != config.location_size:
            raise EncoderError(
                f"image {row}: its locations have {image.locations.shape[1]} numbers, but the model reads "
                f"{config.location_size}"
            )
        if image.soft_labels is not None and image.soft_labels.shape[1] != config.label_size:
            raise EncoderError(
                f"image {row}: its regions have {image.soft_labels.shape[1]} classes, but the model {config.label_size}"
            )
