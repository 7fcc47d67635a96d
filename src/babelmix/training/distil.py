"""Distillation: each translation of a text learns the embedding that a frozen teacher has for the English text.

For texts: Reimers and Gurevych (EMNLP 2020), alone or together with InfoNCE. The teacher may be the starting encoder itself. It
may also read the same text as the encoder, so that the encoder keeps what it has learned before.

For a text tower: M-CLIP (Carlsson et al., LREC 2022). This needs no pictures. The new text tower works with the image tower of
the teacher.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.functional import cosine_similarity, mse_loss, normalize

from babelmix.batches import Batch, BatchPlan
from babelmix.corpus import Corpus
from babelmix.encoders import encode
from babelmix.encoders.embed import encode_batch
from babelmix.errors import TrainingError
from babelmix.training.captions import Features, StepCaptions, unwrapped
from babelmix.training.consistency import StepRenderings
from babelmix.training.data import TrainingData
from babelmix.training.projection import Projection
from babelmix.training.terms import StepEmbeddings, Term

INPUT_KIND = {"queries": "query", "passages": "document"}
"""How the texts of a side are embedded."""


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


class StepTextTargets(StepRenderings):
    """`StepRenderings` with the teacher's embeddings of query and passage in the `label` of each row.

    They are float32, shape (2, dimension). With `negatives`, a third one is that of the hard negative, if the row has any. With
    other renderings, `label` is flat: first the numbers of `StepRenderings`, then the embeddings.

    Args:
        data: the corpora that the plan draws from.
        plan: a plan over `data.index`.
        teacher: the encoder that gives the targets; it is not trained.
        english: whether the teacher reads the English rendering of a row's item (True) or the row's own text (False). An English
            text is embedded once, when it is first needed.
        of: the side whose other renderings are added, see `StepRenderings`; None: no other renderings.
        candidates: whether a term of the loss reads hard negatives. If not, rows have none.
        negatives: whether hard negatives have targets.
        bf16: whether the teacher computes in bfloat16 mixed precision.
        rank: the rank whose part of each batch is returned.

    Raises:
        TrainingError: an item has no English text.

    """

    def __init__(
        self,
        data: TrainingData,
        plan: BatchPlan,
        teacher: SentenceTransformer,
        *,
        english: bool = True,
        of: str | None = None,
        candidates: bool = True,
        negatives: bool = False,
        bf16: bool = False,
        rank: int = 0,
    ) -> None:
        super().__init__(data, plan, of, rank, candidates=candidates)
        self._teacher, self._negatives, self._bf16 = teacher, negatives, bf16
        self._english = {
            name: {side: EnglishTargets(teacher, corpus, side, bf16=bf16) for side in ("queries", "passages")}
            for name, corpus in data.sources.items()
            if english
        }

    def _rows(self, name: str, batch: Batch) -> list[dict[str, Any]]:
        rows = super()._rows(name, batch)
        several = len(batch.query_rows) // len(rows)
        wanted = [("queries", "query", batch.query_rows[::several]), ("passages", "passage", batch.passage_rows)]
        if self._negatives and self._candidates and batch.negative_rows is not None:
            wanted.append(("passages", "negative", batch.negative_rows))
        targets = []
        for side, column, numbers in wanted:
            if self._english:
                vectors = self._english[name][side](numbers)
            else:
                vectors = _embedded(self._teacher, [row[column] for row in rows], INPUT_KIND[side], self._bf16)
            targets.append(torch.from_numpy(vectors))
        for row, target in zip(rows, torch.stack(targets, dim=1), strict=True):
            row["label"] = torch.cat([torch.tensor(row["label"]), target.flatten()]) if "label" in row else target
        return rows


class EnglishTargets:
    """The teacher's embeddings of the English texts of one side, one per item. Each is computed when it is first needed.

    Args:
        teacher: the encoder that embeds.
        corpus: a corpus in which each item of the side has an English text.
        side: `queries` or `passages`.
        bf16: whether the teacher computes in bfloat16 mixed precision.

    Raises:
        TrainingError: an item has no English text.

    """

    def __init__(self, teacher: SentenceTransformer, corpus: Corpus, side: str, *, bf16: bool = False) -> None:
        self._teacher, self._kind, self._bf16 = teacher, INPUT_KIND[side], bf16
        items = getattr(corpus, side)["item"].combine_chunks().dictionary_encode()
        self._item = items.indices.to_numpy()
        self._texts = _in_english(corpus, side, items.dictionary.to_pylist())
        self._vectors: np.ndarray[Any, np.dtype[np.float32]] | None = None
        self._known = np.zeros(len(self._texts), dtype=bool)

    def __call__(self, rows: npt.NDArray[np.int64]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The embeddings for some rows of the side.

        Args:
            rows: row numbers, int64, shape (rows,).

        Returns:
            float32, shape (rows, dimension).

        """
        items = self._item[rows]
        missing = np.unique(items[~self._known[items]])
        if len(missing):
            vectors = _embedded(self._teacher, [self._texts[item] for item in missing], self._kind, self._bf16)
            if self._vectors is None:
                self._vectors = np.zeros((len(self._texts), vectors.shape[1]), dtype=np.float32)
            self._vectors[missing] = vectors
            self._known[missing] = True
        assert self._vectors is not None
        return self._vectors[items]


def _embedded(
    teacher: SentenceTransformer, texts: list[str], kind: str, bf16: bool
) -> np.ndarray[Any, np.dtype[np.float32]]:
    with torch.autocast(teacher.device.type, dtype=torch.bfloat16, enabled=bf16):
        return encode_batch(teacher, texts, kind)


def _in_english(corpus: Corpus, side: str, items: Sequence[str]) -> list[str]:
    """For each item, its first English text."""
    first = corpus.first_texts(side, "en")
    if missing := next((item for item in items if item not in first), None):
        if corpus.has_images:
            where, what, advice = corpus.name, "caption", ""
        else:
            where, what = f"{corpus.name}: {side}", "text"
            advice = "; leave it out, or set distillation.reads to 'itself'"
        raise TrainingError(
            f"distillation: {where}: the item {missing!r} has no English {what} for the teacher to read{advice}"
        )
    return [first[item] for item in items]


def dimension_of(encoder: SentenceTransformer) -> int:
    """The dimension of an encoder's embeddings."""
    return int(encoder.get_embedding_dimension() or 0)


def check_dimensions(teacher: SentenceTransformer, encoder: SentenceTransformer) -> None:
    """Check that both encoders have embeddings of the same dimension, as the towers of pictures need. Texts have a `Projection`.

    Raises:
        TrainingError: the dimensions differ.

    """
    theirs, ours = dimension_of(teacher), dimension_of(encoder)
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
    texts = _in_english(corpus, "queries", corpus.queries["item"].to_pylist())
    return np.array(encode(teacher, texts, "query", label="encoding the teacher's captions"))


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


class Distance(Term):
    """The distance of queries and passages from the teacher: the mean of `(1 - cos(embedding, target)) / temperature`.

    1 - cos is half the squared distance of unit embeddings. Divided by the temperature, it has the scale of InfoNCE's logits.
    Hard negatives have no such term. In a `one_to_k` batch, the distance of the queries is their mean.

    Args:
        projection: the map from the encoder's embeddings to the teacher's; None: there is none.

    """

    reads_candidates = False

    def __init__(self, projection: Projection | None = None) -> None:
        super().__init__()
        self.projection = projection

    def forward(self, step: StepEmbeddings) -> torch.Tensor:
        """The mean over both sides, a scalar."""
        queries = torch.stack([self._near(vectors, step.targets[:, 0]) for vectors in step.queries]).mean()
        passages = self._near(step.candidates[0], step.targets[:, 1])
        return (1 - (queries + passages) / 2) * step.scale

    def _near(self, vectors: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        vectors = vectors.float() if self.projection is None else self.projection(vectors)
        return cosine_similarity(vectors, targets).mean()


__all__ = [
    "Distance",
    "DistilLoss",
    "EnglishTargets",
    "StepTargets",
    "StepTextTargets",
    "check_dimensions",
    "dimension_of",
    "targets_of",
]
