"""Training on pictures with captions: the inputs of a step, and the symmetric contrastive loss with a learned scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules.input_module import InputModule
from sentence_transformers.util import all_gather_with_grad
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import Dataset

from babelmix._progress import progress_bar
from babelmix.batches import Batch, BatchPlan
from babelmix.corpus import Corpus
from babelmix.corpus.images import Pictures
from babelmix.encoders import encode
from babelmix.encoders.image_tower import pixels_of
from babelmix.encoders.towers import is_dual, tower_of
from babelmix.errors import TrainingError
from babelmix.training.data import TrainingData

MAX_LOG_SCALE = math.log(100)
"""The upper limit of the learned scale, as a logarithm: CLIP (arXiv 2103.00020), section 2.5."""

_HELD = 1 << 30
"""The most bytes of pixels that are kept in memory. If the pictures need more, they are opened at every use."""

Features = dict[str, Any]


class StepCaptions(Dataset[Features]):
    """The model inputs of each step of a plan over pictures with captions, for one rank.

    The columns are `query` (captions), `passage` (pictures) and `second` (captions in another language), if the batch has them.
    Their features have the names that a `SentenceTransformerTrainer` gives them.

    Args:
        data: the corpora that the plan draws from.
        plan: a plan over `data.index`.
        encoder: an encoder with a text tower and an image tower.
        locked: whether the image tower is not trained. Then the embeddings of pictures come from the user's cache.
        pictures: whether steps have pictures. If not, no picture is opened.
        rank: the rank whose part of each batch is returned.

    Raises:
        TrainingError: the encoder does not have two towers, or a corpus has no pictures.

    """

    def __init__(
        self,
        data: TrainingData,
        plan: BatchPlan,
        encoder: SentenceTransformer,
        *,
        locked: bool,
        pictures: bool = True,
        rank: int = 0,
    ) -> None:
        if not is_dual(encoder):
            raise TrainingError(
                "training on pictures needs an encoder with two towers, such as tiny-clip or IMAGE+TEXT; see  babelmix encoders"
            )
        self._captions = {name: corpus.queries["text"].combine_chunks() for name, corpus in data.sources.items()}
        self._pictures: dict[str, Callable[[npt.NDArray[np.int64]], Features]] = {}
        for name, corpus in data.sources.items():
            if not corpus.has_images:
                raise TrainingError(f"{name}: has no pictures; train on texts and on pictures one after the other")
            if pictures:
                self._pictures[name] = _embedded(encoder, corpus) if locked else _as_pixels(encoder, corpus)
        self._tokenise = cast(InputModule, tower_of(encoder, "text")[0]).preprocess
        self._prompt = encoder.prompts.get("query") or None
        self._data, self.plan, self.rank = data, plan, rank

    def __getitem__(self, step: int) -> Features:
        return self._features(*self._data.batch(self.plan, step, self.rank))

    def _features(self, name: str, batch: Batch) -> Features:
        columns = {"query": self._texts(name, batch.query_rows)}
        if len(batch.passage_rows) and self._pictures:
            columns["passage"] = self._pictures[name](batch.passage_rows)
        if batch.second_rows is not None:
            columns["second"] = self._texts(name, batch.second_rows)
        return {f"{column}_{key}": value for column, inputs in columns.items() for key, value in inputs.items()}

    def _texts(self, name: str, rows: npt.NDArray[np.int64]) -> Features:
        return {**self._tokenise(self._captions[name].take(rows).to_pylist(), prompt=self._prompt), "modality": "text"}


def _embedded(encoder: SentenceTransformer, corpus: Corpus) -> Callable[[npt.NDArray[np.int64]], Features]:
    vectors = torch.from_numpy(np.asarray(encode_pictures(encoder, corpus)))

    def features(rows: npt.NDArray[np.int64]) -> Features:
        return {"sentence_embedding": vectors[torch.from_numpy(rows)], "modality": "image"}

    return features


def encode_pictures(encoder: SentenceTransformer, corpus: Corpus) -> npt.NDArray[np.float32]:
    """Embed a corpus's pictures with the image tower of a dual encoder, or take the embeddings from the user's cache.

    Returns:
        float32, shape (pictures, dimension), of unit length.

    """
    return encode(encoder, Pictures(corpus.passages), "document", label="encoding pictures")


def _as_pixels(encoder: SentenceTransformer, corpus: Corpus) -> Callable[[npt.NDArray[np.int64]], Features]:
    tower, pictures = tower_of(encoder, "image"), Pictures(corpus.passages)

    def of(rows: Sequence[int]) -> torch.Tensor:
        return pixels_of(tower, (pictures[int(row)] for row in rows))

    first = of([0])
    if first.nbytes * len(pictures) > _HELD:
        return lambda rows: {"pixel_values": of(rows.tolist()), "modality": "image"}
    held = torch.empty((len(pictures), *first.shape[1:]), dtype=first.dtype)
    with progress_bar("opening pictures", len(pictures), "pictures") as bar:
        for start in range(0, len(pictures), 64):
            rows = range(start, min(start + 64, len(pictures)))
            held[start : start + len(rows)] = of(rows)
            bar.advance(len(rows))
    return lambda rows: {"pixel_values": held[torch.from_numpy(rows)], "modality": "image"}


class Scale(torch.nn.Module):
    """The learned scale of similarities, at most 100. The parameter is its logarithm.

    Args:
        temperature: the scale starts at 1 / temperature. CLIP's temperature is 0.07.

    Examples:
        >>> round(Scale(temperature=0.05)().item(), 3)
        20.0

    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.log_scale = torch.nn.Parameter(torch.tensor(math.log(1 / temperature)))

    def forward(self) -> torch.Tensor:
        """The scale, clamped as open_clip clamps it after each step."""
        with torch.no_grad():
            self.log_scale.clamp_(max=MAX_LOG_SCALE)
        return self.log_scale.exp()


class CaptionLoss(torch.nn.Module):
    """Symmetric cross-entropy between pictures and captions (CLIP, arXiv 2103.00020, Figure 3).

    The terms depend on the columns of a step. ITC is the image-text contrastive loss, the mean of both directions:

    - captions t and pictures v: `ITC(v, t)`. With K captions in succession for each picture, the targets from picture to text are
      1/K each (CCRK, arXiv 2406.18254, sums them without dividing).
    - captions, pictures and second captions s: `(ITC(v, t) + ITC(v, s)) / 2 + text_weight * ITC(t, s)` (CCLM, ACL 2023).
    - two captions without a picture: `ITC(t, s)` (MURAL, EMNLP 2021).

    With several processes, every row has the rest of the global batch as negatives, with gradients.

    Args:
        encoder: an encoder with a text tower and an image tower.
        temperature: see `Scale`.
        text_weight: the weight of the term between the two captions of a picture.

    """

    def __init__(self, encoder: SentenceTransformer, temperature: float, text_weight: float = 1.0) -> None:
        super().__init__()
        self.model = encoder
        self.scale = Scale(temperature)
        self.text_weight = text_weight

    def forward(self, features: Iterable[Features], labels: Any = None) -> torch.Tensor:
        """The loss of a step, a scalar, from the features of `StepCaptions`. Labels are ignored."""
        del labels
        texts: list[torch.Tensor] = []
        pictures: list[torch.Tensor] = []
        for inputs in features:
            (pictures if inputs["modality"] == "image" else texts).append(self._embed(inputs))
        scale = self.scale()
        if not pictures:
            return contrastive(texts[0], texts[1], scale)
        with_pictures = torch.stack([contrastive(text, pictures[0], scale) for text in texts]).mean()
        if len(texts) == 1:
            return with_pictures
        return with_pictures + self.text_weight * contrastive(texts[0], texts[1], scale)

    def _embed(self, inputs: Features) -> torch.Tensor:
        # With a locked image tower, the features are already embeddings.
        embedded = inputs if "sentence_embedding" in inputs else unwrapped(self.model)(dict(inputs))
        vectors = normalize(embedded["sentence_embedding"].float(), dim=-1)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            vectors = all_gather_with_grad(vectors)
        return vectors

    def get_config_dict(self) -> dict[str, Any]:
        """The parameters of the loss, for the model card."""
        return {"temperature": float(torch.exp(-self.scale.log_scale)), "text_weight": self.text_weight}


def unwrapped(model: torch.nn.Module) -> torch.nn.Module:
    """The encoder inside `DistributedDataParallel`; see `PlanTrainer.training_step`."""
    return model.module if isinstance(model, torch.nn.parallel.DistributedDataParallel) else model


def contrastive(texts: torch.Tensor, pictures: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The mean of the cross-entropies from text to picture and from picture to text, a scalar.

    Args:
        texts: unit vectors, shape (K * pictures, dimension), with K in succession for each picture.
        pictures: unit vectors, shape (pictures, dimension).
        scale: the scale of the similarities, a scalar.

    Examples:
        >>> vectors = torch.eye(2)
        >>> round(float(contrastive(vectors, vectors, torch.tensor(10.0))), 6)
        4.5e-05

    """
    captions = len(texts) // len(pictures)
    own = torch.arange(len(pictures), device=texts.device).repeat_interleave(captions)
    logits = scale * texts @ pictures.T
    if captions == 1:
        backward = cross_entropy(logits.T, own)
    else:
        targets = torch.zeros_like(logits.T)
        targets[own, torch.arange(len(texts), device=texts.device)] = 1 / captions
        backward = cross_entropy(logits.T, targets)
    return (cross_entropy(logits, own) + backward) / 2


__all__ = ["MAX_LOG_SCALE", "CaptionLoss", "Scale", "StepCaptions", "contrastive", "encode_pictures", "unwrapped"]
