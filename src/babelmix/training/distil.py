"""Distilling a text tower: every translation of a caption is to have the embedding that a frozen teacher gives the English.

As M-CLIP has it (Carlsson et al., LREC 2022): no pictures are needed, and with the teacher's image tower beside it the new
text tower finds pictures at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import mse_loss, normalize

from babelmix.batches import BatchPlan
from babelmix.corpus import Corpus, find_language
from babelmix.encoders import encode
from babelmix.errors import TrainingError
from babelmix.training.captions import Features, StepCaptions, unwrapped
from babelmix.training.data import TrainingData


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
        self._targets = {name: torch.from_numpy(targets_of(teacher, corpus)) for name, corpus in data.sources.items()}
        width = encoder.get_embedding_dimension()
        if any(targets.shape[1] != width for targets in self._targets.values()):
            theirs = next(iter(self._targets.values())).shape[1]
            raise TrainingError(
                f"the teacher's embeddings have {theirs} dimensions and the encoder's {width}: they must be alike"
            )

    def __getitem__(self, step: int) -> Features:
        name, batch = self._batch(step)
        return {**self._features(name, batch), "label": self._targets[name][torch.from_numpy(batch.query_rows)]}


def targets_of(teacher: SentenceTransformer, corpus: Corpus) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The teacher's embedding of the first English caption of every query row's item.

    Returns:
        float32, shape (queries, dimension).

    Raises:
        TrainingError: the corpus has no English, or an item has none.

    """
    items = corpus.queries["item"].to_pylist()
    first = corpus.first_texts("queries", find_language("en", corpus.langs))
    if missing := next((item for item in items if item not in first), None):
        raise TrainingError(
            f"distil_from: {corpus.name}: the item {missing!r} has no English caption for the teacher to read"
        )
    return np.array(encode(teacher, [first[item] for item in items], "query", label="encoding the teacher's captions"))


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


__all__ = ["DistilLoss", "StepTargets", "targets_of"]
