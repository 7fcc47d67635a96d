"""UNITER's single stream (Chen et al., ECCV 2020, arXiv 1909.11740): a text's tokens, then an image's regions.

Sequences are never padded inside: texts' tokens and images' regions are embedded without padding, one after another, and
a sequence is gathered from them, so that the image's regions follow the text's last token at once. A text or an image
that is in several pairs is embedded once.
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
"""Added to the logit of what is not there, as in BERT: float32 weights become exactly 0."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Embedded texts, or embedded images.

    Args:
        values: floating, shape (tokens or regions of all, width), one text or image after another.
        lengths: int64 on the CPU, shape (texts or images,): how many each has.

    """

    values: torch.Tensor
    lengths: torch.Tensor

    @property
    def starts(self) -> torch.Tensor:
        """Where each one begins among the values, int64 on the CPU, shape (texts or images,)."""
        return self.lengths.cumsum(0) - self.lengths


@dataclass(frozen=True)
class Packed:
    """Pairs as sequences: a text's tokens, then an image's regions, and padding after both.

    Args:
        states: floating, shape (pairs, positions, width).
        lengths: int64 on the CPU, shape (pairs,): tokens and regions of each.
        text_lengths: int64 on the CPU, shape (pairs,): tokens of each.

    """

    states: torch.Tensor
    lengths: torch.Tensor
    text_lengths: torch.Tensor

    def is_text(self) -> torch.Tensor:
        """Where the tokens are, bool, shape (pairs, positions)."""
        at = torch.arange(self.states.shape[1])
        return (at < self.text_lengths[:, None]).to(self.states.device)

    def is_region(self) -> torch.Tensor:
        """Where the regions are, bool, shape (pairs, positions)."""
        at = torch.arange(self.states.shape[1])
        return ((at >= self.text_lengths[:, None]) & (at < self.lengths[:, None])).to(self.states.device)

    def mask(self) -> torch.Tensor | None:
        """What is added to the attention's logits, shape (pairs, 1, 1, positions); None where nothing is padded."""
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
        text_starts: row of each pair's first token, int64 on the CPU, shape (pairs,).
        text_lengths: tokens of each pair's text, the same kind.
        region_starts: row of each pair's first region, the same kind.
        region_lengths: regions of each pair's image, the same kind.

    """
    lengths = text_lengths + region_lengths
    at = torch.arange(int(lengths.max()))
    in_text = at < text_lengths[:, None]
    row = torch.where(in_text, text_starts[:, None] + at, (region_starts - text_lengths)[:, None] + at)
    # Padding repeats the first token: whatever it is, no position attends to it.
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
        # Row 1 stands for a masked region; row 0, for one that is not, is always zero.
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
    """The transformer without heads; parameters have the published checkpoints' names.

    Args:
        config: the model's shape.

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
        """Where the weights are."""
        return self.pooler.dense.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """What kind of numbers the weights are."""
        return self.pooler.dense.weight.dtype

    def embed_texts(self, tokens: Sequence[Ints]) -> Parts:
        """Embed texts.

        Args:
            tokens: for each text int64, shape (tokens,), as `WordPiece.encode` gives them.

        Raises:
            EncoderError: a text has no tokens, or more than there are positions.

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
            regions: of each image.
            masked: bool, shape (regions of all images,): regions whose features are hidden.

        Raises:
            EncoderError: there is no image, or its features are not of the model's size.

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
        """Put embedded texts and images together.

        Args:
            texts: embedded texts.
            images: embedded images.
            pairs: int64, shape (pairs, 2): a text and an image each.

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
        """States after the last block.

        Args:
            packed: embedded pairs.
            first_only: of the first token alone, which costs less.

        Returns:
            floating, shape (pairs, positions or 1, width); what is at padded positions means nothing.

        """
        return self.encoder(packed.states, packed.mask(), first_only=first_only)

    def pool(self, states: torch.Tensor) -> torch.Tensor:
        """What stands for a pair, from the first token's state: floating, shape (pairs, width)."""
        return self.pooler(states[:, 0])


def check_regions(config: UniterConfig, regions: Sequence[Regions]) -> None:
    """Raise unless every image's features, and soft labels where it has some, are of the model's size.

    Raises:
        EncoderError: they are not; the image is named.

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
