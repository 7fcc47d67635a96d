"""Distilling: every translation of a text is to have the embedding that a frozen teacher gives the English.

For texts as Reimers and Gurevych have it (EMNLP 2020), alone or beside InfoNCE; the teacher may be the start itself, and may read
the very text that the encoder reads, so that what it knew is kept. For a text tower as M-CLIP has it (Carlsson et al., LREC
2022): no pictures are needed, and with the teacher's image tower beside it the new text tower finds pictures at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from torch.nn.functional import cosine_similarity, mse_loss, normalize

from babelmix.batches import Batch, BatchPlan
from babelmix.corpus import Corpus
from babelmix.encoders import encode
from babelmix.encoders.embed import encode_batch
from babelmix.errors import TrainingError
from babelmix.training.captions import Features, StepCaptions, unwrapped
from babelmix.training.data import StepTexts, TrainingData


class StepTargets(StepCaptions):
    """As `StepCaptions`, without the pictures, and with the teacher's embedding of each row's English caption as `label`.

    Args:
        data: what the plan draws from: one corpus of pictures with captions.
        plan: over `data.index`.
        encoder: of two towers; its text tower is trained.
        teacher: embeds English captions.
        rank: whose part of each batch.

    Raises:
        TrainingError: an item has no English caption, or the embeddings of the two are not of one length.

    """

    def __init__(
        self,
        data: TrainingData,
        plan: BatchPlan,
        encoder: SentenceTransformer,
        teacher: SentenceTransformer,
        *,
        rank: int = 0,
    ) -> None:
        super().__init__(data, plan, encoder, locked=True, pictures=False, rank=rank)
        check_dimensions(teacher, encoder)
        self._targets = {name: torch.from_numpy(targets_of(teacher, corpus)) for name, corpus in data.sources.items()}

    def __getitem__(self, step: int) -> Features:
        name, batch = self._data.batch(self.plan, step, self.rank)
        return {**self._features(name, batch), "label": self._targets[name][torch.from_numpy(batch.query_rows)]}


class StepTextTargets(StepTexts):
    """As `StepTexts`, with what a teacher gives each row as `label`: float32, shape (2, dimension), query and passage.

    Args:
        data: what the plan draws from.
        plan: over `data.index`.
        encoder: that is trained.
        teacher: embeds texts; it is not trained.
        english: whether it reads the English rendering of a row's item, or the row's own text.
        rank: whose part of each batch.

    Raises:
        TrainingError: an item has no English text, or the embeddings of the two are not of one length.

    """

    def __init__(
        self,
        data: TrainingData,
        plan: BatchPlan,
        encoder: SentenceTransformer,
        teacher: SentenceTransformer,
        *,
        english: bool = True,
        rank: int = 0,
    ) -> None:
        super().__init__(data, plan, rank)
        check_dimensions(teacher, encoder)
        self._teacher = teacher
        self._english = {
            name: tuple(_in_english(corpus, side) for side in ("queries", "passages"))
            for name, corpus in data.sources.items()
            if english
        }

    def _rows(self, name: str, batch: Batch) -> list[dict[str, Any]]:
        rows = super()._rows(name, batch)
        targets = []
        for side, (column, kind, numbers) in enumerate(
            (("query", "query", batch.query_rows), ("passage", "document", batch.passage_rows))
        ):
            texts = [row[column] for row in rows]
            if self._english:
                texts = [self._english[name][side][number] for number in numbers]
            targets.append(torch.from_numpy(encode_batch(self._teacher, texts, kind)))
        for row, target in zip(rows, torch.stack(targets, dim=1), strict=True):
            row["label"] = target
        return rows


def _in_english(corpus: Corpus, side: str) -> list[str]:
    """The first English text of each row's item."""
    first = corpus.first_texts(side, "en")
    items = getattr(corpus, side)["item"].to_pylist()
    if missing := next((item for item in items if item not in first), None):
        if corpus.has_images:
            where, what, advice = corpus.name, "caption", ""
        else:
            where, what, advice = f"{corpus.name}: {side}", "text", "; leave it out, or set distil_text to 'itself'"
        raise TrainingError(
            f"distil_from: {where}: the item {missing!r} has no English {what} for the teacher to read{advice}"
        )
    return [first[item] for item in items]


def check_dimensions(teacher: SentenceTransformer, encoder: SentenceTransformer) -> None:
    """Raise unless the embeddings of both are of one length.

    Raises:
        TrainingError: they are not.

    """
    theirs, ours = teacher.get_embedding_dimension(), encoder.get_embedding_dimension()
    if theirs != ours:
        raise TrainingError(
            f"the teacher's embeddings have {theirs} dimensions and the encoder's {ours}: they must be alike"
        )


def targets_of(teacher: SentenceTransformer, corpus: Corpus) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The teacher's embedding of the first English caption of every query row's item.

    Returns:
        float32, shape (queries, dimension).

    Raises:
        TrainingError: the corpus has no English, or an item has none.

    """
    return np.array(encode(teacher, _in_english(corpus, "queries"), "query", label="encoding the teacher's captions"))


class DistilLoss(torch.nn.Module):
    """Mean squared error between embeddings of length one and the teacher's.

    Args:
        encoder: of two towers.

    """

    def __init__(self, encoder: SentenceTransformer) -> None:
        super().__init__()
        self.model = encoder

    def forward(self, features: Iterable[Features], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a step, a scalar: the mean over the columns of captions."""
        targets = normalize(labels, dim=-1)
        return torch.stack(
            [mse_loss(unwrapped(self.model)(dict(f))["sentence_embedding"], targets) for f in features]
        ).mean()

    def get_config_dict(self) -> dict[str, Any]:
        """What a model card says of the loss."""
        return {}


class TextDistilLoss(torch.nn.Module):
    """InfoNCE and the distance from the teacher, by shares.

    `(1 - share) * InfoNCE + share * mean(1 - cos(embedding, target)) / temperature`, where 1 - cos is half the squared distance
    of embeddings of length one; both terms are in units of the logits.

    Args:
        encoder: that is trained.
        info_nce: the loss between queries and passages.
        share: of the distance, above 0; 1: the distance alone.
        temperature: of the logits.

    """

    def __init__(
        self,
        encoder: SentenceTransformer,
        info_nce: MultipleNegativesRankingLoss,
        share: float,
        temperature: float,
    ) -> None:
        super().__init__()
        self.model = encoder
        self.info_nce = info_nce
        self.share, self.temperature = share, temperature

    def forward(self, features: Iterable[Features], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a step, a scalar; labels as `StepTextTargets` gives them."""
        # A third column, of hard negatives, has no target.
        embedded = [self.model(dict(column))["sentence_embedding"] for column in features]
        near = torch.stack([cosine_similarity(embedded[side].float(), labels[:, side]) for side in (0, 1)])
        distance = (1 - near).mean() / self.temperature
        if self.share == 1:
            return distance
        contrast = self.info_nce.compute_loss_from_embeddings(embedded, labels)
        return (1 - self.share) * contrast + self.share * distance

    def get_config_dict(self) -> dict[str, Any]:
        """What a model card says of the loss."""
        return {"share": self.share, "temperature": self.temperature}


__all__ = ["DistilLoss", "StepTargets", "StepTextTargets", "TextDistilLoss", "check_dimensions", "targets_of"]
