"""Distillation: each translation of a text learns the embedding that a frozen teacher has for the English text.

For texts: Reimers and Gurevych (EMNLP 2020), alone or together with InfoNCE. The teacher may be the starting encoder itself. It
may also read the same text as the encoder, so that the encoder keeps what it has learned before.

For a text tower: M-CLIP (Carlsson et al., LREC 2022). This needs no pictures. The new text tower works with the image tower of
the teacher.
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
    """`StepCaptions` without pictures. `label` is the teacher's embedding of each row's English caption.

    Args:
        data: the corpora of pictures with captions that the plan draws from.
        plan: a plan over `data.index`.
        encoder: an encoder with two towers; its text tower is trained.
        teacher: the encoder that embeds the English captions.
        rank: the rank whose part of each batch is returned.

    Raises:
        TrainingError: an item has no English caption, or encoder and teacher have embeddings of different dimensions.

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
    """`StepTexts` with the teacher's embeddings of query and passage as the `label` of each row: float32, shape (2, dimension).

    Args:
        data: the corpora that the plan draws from.
        plan: a plan over `data.index`.
        encoder: the encoder that is trained.
        teacher: the encoder that gives the targets; it is not trained.
        english: whether the teacher reads the English rendering of a row's item (True) or the row's own text (False).
        rank: the rank whose part of each batch is returned.

    Raises:
        TrainingError: an item has no English text, or encoder and teacher have embeddings of different dimensions.

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
    """For each row, the first English text of its item."""
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
    """Check that both encoders have embeddings of the same dimension.

    Raises:
        TrainingError: the dimensions differ.

    """
    theirs, ours = teacher.get_embedding_dimension(), encoder.get_embedding_dimension()
    if theirs != ours:
        raise TrainingError(
            f"the teacher's embeddings have {theirs} dimensions and the encoder's {ours}; the two must be equal"
        )


def targets_of(teacher: SentenceTransformer, corpus: Corpus) -> np.ndarray[Any, np.dtype[np.float32]]:
    """For each query row, the teacher's embedding of the first English caption of its item.

    Returns:
        float32, shape (queries, dimension).

    Raises:
        TrainingError: an item has no English caption.

    """
    return np.array(encode(teacher, _in_english(corpus, "queries"), "query", label="encoding the teacher's captions"))


class DistilLoss(torch.nn.Module):
    """The mean squared error between the encoder's unit embeddings and the teacher's.

    Args:
        encoder: an encoder with two towers.

    """

    def __init__(self, encoder: SentenceTransformer) -> None:
        super().__init__()
        self.model = encoder

    def forward(self, features: Iterable[Features], labels: torch.Tensor) -> torch.Tensor:
        """The loss of a step, a scalar: the mean over the columns of captions. `labels` come from `StepTargets`."""
        targets = normalize(labels, dim=-1)
        return torch.stack(
            [mse_loss(unwrapped(self.model)(dict(f))["sentence_embedding"], targets) for f in features]
        ).mean()

    def get_config_dict(self) -> dict[str, Any]:
        """The parameters of the loss, for the model card."""
        return {}


class TextDistilLoss(torch.nn.Module):
    """A weighted sum of InfoNCE and the distance from the teacher.

    The loss is `(1 - share) * InfoNCE + share * mean(1 - cos(embedding, target)) / temperature`. 1 - cos is half the squared
    distance of unit embeddings. Divided by the temperature, it has the scale of the logits of InfoNCE.

    Args:
        encoder: the encoder that is trained.
        info_nce: the loss between queries and passages.
        share: the weight of the distance, in (0, 1]. 1 is the distance alone.
        temperature: the temperature of the logits.

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
        """The loss of a step, a scalar. `labels` come from `StepTextTargets`."""
        # The third column, if any, has hard negatives; they have no target.
        embedded = [self.model(dict(column))["sentence_embedding"] for column in features]
        near = torch.stack([cosine_similarity(embedded[side].float(), labels[:, side]) for side in (0, 1)])
        distance = (1 - near).mean() / self.temperature
        if self.share == 1:
            return distance
        contrast = self.info_nce.compute_loss_from_embeddings(embedded, labels)
        return (1 - self.share) * contrast + self.share * distance

    def get_config_dict(self) -> dict[str, Any]:
        """The parameters of the loss, for the model card."""
        return {"share": self.share, "temperature": self.temperature}


__all__ = ["DistilLoss", "StepTargets", "StepTextTargets", "TextDistilLoss", "check_dimensions", "targets_of"]
