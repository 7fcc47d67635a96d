"""The loss of a run: InfoNCE for texts, a symmetric one with a learned scale for pictures, or a registered one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import all_gather_with_grad
from torch.nn.functional import normalize

from babelmix import _processes
from babelmix.errors import TrainingError
from babelmix.training.captions import CaptionLoss, Features
from babelmix.training.consistency import columns_of, of_passages, of_queries
from babelmix.training.data import TrainingData, is_query
from babelmix.training.distil import DistilLoss, TextDistilLoss
from babelmix.training.registry import INFO_NCE, LOSSES
from babelmix.training.resolving import ResolvedSettings


def loss_of(encoder: SentenceTransformer, settings: ResolvedSettings, data: TrainingData) -> torch.nn.Module:
    """The loss of a run.

    Args:
        encoder: the encoder to train.
        settings: the settings of the run.
        data: the training data; pictures have a loss of their own.

    Raises:
        TrainingError: a registered loss is no torch module.

    """
    loss, teacher = settings.loss, settings.distillation
    if data.has_images and teacher is not None:
        return DistilLoss(encoder)
    if data.has_images:
        return CaptionLoss(encoder, loss.temperature, settings.pictures.text_weight)
    if loss.name != INFO_NCE:
        return _registered(encoder, settings)
    contrast = info_nce(encoder, settings)
    if teacher is not None:
        assert isinstance(contrast, MultipleNegativesRankingLoss)
        return TextDistilLoss(encoder, contrast, teacher.share, loss.temperature)
    if not loss.consistency and not settings.several_queries:
        return contrast
    terms = Terms(loss.consistency, columns_of(loss.consistency_of) if loss.consistency else ())
    if isinstance(contrast, MultipleNegativesRankingLoss):
        return ColumnLoss(encoder, contrast, terms)
    assert loss.mini_batch_size is not None
    return CachedColumnLoss(
        encoder, terms, scale=1.0 / loss.temperature, mini_batch_size=loss.mini_batch_size,
        gather_across_devices=_processes.world_size() > 1,
    )  # fmt: skip


def _registered(encoder: SentenceTransformer, settings: ResolvedSettings) -> torch.nn.Module:
    """The loss that a plugin registered."""
    made: object = LOSSES[settings.loss.name](encoder, settings)
    if not isinstance(made, torch.nn.Module):
        raise TrainingError(
            f"the loss {settings.loss.name!r}: its factory must return a torch.nn.Module, not {type(made).__name__}"
        )
    return made


def info_nce(encoder: SentenceTransformer, settings: ResolvedSettings) -> torch.nn.Module:
    """InfoNCE over the batch of all processes: the passages of every process are negatives, with gradients.

    Source:
        arXiv 2408.10536, Eq. 1, with a temperature.

    """
    gather = _processes.world_size() > 1
    scale = 1.0 / settings.loss.temperature
    if settings.loss.mini_batch_size:
        return CachedMultipleNegativesRankingLoss(
            encoder, scale=scale, mini_batch_size=settings.loss.mini_batch_size, gather_across_devices=gather
        )
    return MultipleNegativesRankingLoss(encoder, scale=scale, gather_across_devices=gather)


class Terms:
    """The loss of a step: InfoNCE and consistency terms.

    InfoNCE is averaged over the query columns: `query`, and in a `one_to_k` batch `query2` and so on. A consistency term is added
    for each side that is compared: `weight` times the mean of the term over the rows of the batch; see `consistency`. A row whose
    item has only one language counts as 0 in this mean.

    Args:
        weight: the weight of the consistency terms.
        others: the columns with translations into another language, in the order of the labels' columns.

    """

    def __init__(self, weight: float, others: Sequence[str]) -> None:
        self.weight, self.others = weight, tuple(others)
        self.columns: tuple[str, ...] = ()
        """The names of the step's columns, in order. The trainer sets them, because a loss gets the columns without names."""

    def __call__(
        self, info_nce: MultipleNegativesRankingLoss, embedded: Sequence[torch.Tensor], labels: torch.Tensor | None
    ) -> torch.Tensor:
        """The loss of a step, a scalar.

        Args:
            info_nce: the loss between queries and passages.
            embedded: the embeddings of each column, shape (rows, dimension).
            labels: 1 where there is a translation, 0 where there is none, shape (rows, columns of others).

        """
        by_column = dict(zip(self.columns, embedded, strict=True))
        others = {name: by_column.pop(name) for name in self.others}
        queries = [vectors for name, vectors in by_column.items() if is_query(name)]
        candidates = [vectors for name, vectors in by_column.items() if not is_query(name)]
        # InfoNCE ignores labels.
        unlabelled = queries[0].new_empty(0)
        contrast = [info_nce.compute_loss_from_embeddings([query, *candidates], unlabelled) for query in queries]
        loss = torch.stack(contrast).mean()
        if not others:
            return loss
        assert labels is not None
        units = [normalize(vectors.float(), dim=-1) for vectors in candidates]
        start = 0
        if info_nce.gather_across_devices:
            start = _processes.rank() * len(units[0])
            units = [all_gather_with_grad(vectors) for vectors in units]
        pool = torch.cat(units) * info_nce.scale
        own = torch.arange(start, start + len(queries[0]), device=pool.device)
        for column, (name, vectors) in enumerate(others.items()):
            other = normalize(vectors.float(), dim=-1)
            terms = []
            for query in (normalize(vectors.float(), dim=-1) for vectors in queries):
                if is_query(name):
                    terms.append(of_queries(query @ pool.T, other @ pool.T))
                else:
                    terms.append(of_passages(query @ pool.T, info_nce.scale * (query * other).sum(1), own))
            loss = loss + self.weight * (torch.stack(terms).mean(0) * labels[:, column]).mean()
        return loss


class ColumnLoss(torch.nn.Module):
    """`Terms` as a loss of sentence-transformers.

    Args:
        encoder: the encoder to train.
        info_nce: the loss between queries and passages.
        terms: computes the loss from embeddings.

    """

    def __init__(self, encoder: SentenceTransformer, info_nce: MultipleNegativesRankingLoss, terms: Terms) -> None:
        super().__init__()
        self.model = encoder
        self.info_nce = info_nce
        self.terms = terms

    def forward(self, features: Iterable[Features], labels: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of a step, a scalar. The labels are those of `StepRenderings`."""
        return self.terms(self.info_nce, [self.model(dict(f))["sentence_embedding"] for f in features], labels)

    def get_config_dict(self) -> dict[str, Any]:
        """The parameters of the loss, for the model card."""
        return {**self.info_nce.get_config_dict(), "consistency": self.terms.weight}


class CachedColumnLoss(CachedMultipleNegativesRankingLoss):
    """`Terms` as a loss with GradCache.

    Args:
        encoder: the encoder to train.
        terms: computes the loss from embeddings.
        given: arguments of `CachedMultipleNegativesRankingLoss`.

    """

    def __init__(self, encoder: SentenceTransformer, terms: Terms, **given: Any) -> None:
        super().__init__(encoder, **given)
        self.terms = terms

    def calculate_loss(
        self, reps: list[list[torch.Tensor]], labels: torch.Tensor | None = None, *, with_backward: bool = False
    ) -> torch.Tensor:
        """The loss from the embeddings of each column in mini-batches. `with_backward` also computes the gradients."""
        loss = self.terms(self.loss, [torch.cat(column) for column in reps], labels)
        if with_backward:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach() if with_backward else loss


__all__ = ["LOSSES", "CachedColumnLoss", "ColumnLoss", "Terms", "info_nce", "loss_of"]
