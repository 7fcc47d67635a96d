"""The loss of a run: for texts a sum of terms, for pictures a symmetric loss with a learned scale, or a registered one.

Each term of texts is in a file of its own. `weighted_terms` lists them with their weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    CachedMultipleNegativesRankingLoss,
    MultipleNegativesRankingLoss,
)

from babelmix import _processes
from babelmix.batches import BatchPlan
from babelmix.errors import TrainingError
from babelmix.training.captions import CaptionLoss, Features
from babelmix.training.consistency import Consistency, StepRenderings, columns_of
from babelmix.training.data import StepTexts, TrainingData
from babelmix.training.distil import Distance, DistilLoss, StepTextTargets, dimension_of
from babelmix.training.lakda import LaKDA
from babelmix.training.projection import Projection, projection_of
from babelmix.training.registry import INFO_NCE, LOSSES
from babelmix.training.relations import Relations
from babelmix.training.resolving import ResolvedSettings
from babelmix.training.reverse import Reverse, ReverseKL
from babelmix.training.terms import PLAIN, InfoNCE, StepEmbeddings, Term


def loss_of(
    encoder: SentenceTransformer, settings: ResolvedSettings, data: TrainingData, teacher_dimension: int | None = None
) -> torch.nn.Module:
    """The loss of a run.

    Args:
        encoder: the encoder to train.
        settings: the settings of the run.
        data: the training data; pictures have a loss of their own.
        teacher_dimension: the dimension of the teacher's embeddings; None: that of the encoder's.

    Raises:
        TrainingError: a registered loss is no torch module, or the dimension of the teacher does not fit.

    """
    loss = settings.loss
    if data.has_images and settings.distillation is not None:
        return DistilLoss(encoder)
    if data.has_images:
        return CaptionLoss(encoder, loss.temperature, settings.pictures.text_weight)
    if loss.name != INFO_NCE:
        return _registered(encoder, settings)
    contrast = info_nce(encoder, settings)
    ours = dimension_of(encoder)
    theirs = teacher_dimension or ours
    weighted = weighted_terms(settings, projection_of(settings.distillation, ours, theirs, settings.seed))
    if weighted.keys() == {INFO_NCE} and not settings.several_queries:
        return contrast
    terms = Terms(weighted, others_of(settings), theirs)
    if isinstance(contrast, MultipleNegativesRankingLoss):
        return ColumnLoss(encoder, contrast, terms)
    assert loss.mini_batch_size is not None
    return CachedColumnLoss(
        encoder, terms, scale=1.0 / loss.temperature, mini_batch_size=loss.mini_batch_size,
        gather_across_devices=_processes.world_size() > 1,
    )  # fmt: skip


def weighted_terms(settings: ResolvedSettings, projection: Projection | None = None) -> dict[str, tuple[float, Term]]:
    """The terms of babelmix's own loss for texts that have a weight, by name, each with its weight.

    Reverse training and LaKDA take their shares from InfoNCE. The distance to a teacher takes its share from all of them.
    Consistency and the teacher's relations are added.

    Args:
        settings: the settings of the run.
        projection: the map to the teacher's embeddings.

    """
    loss, teacher = settings.loss, settings.distillation
    share = 0.0 if teacher is None else teacher.share
    weighted: dict[str, tuple[float, Term]] = {
        INFO_NCE: ((1 - share) * loss.rest, InfoNCE()),
        "reverse": ((1 - share) * loss.reverse, Reverse()),
        "reverse_kl": ((1 - share) * loss.reverse_kl, ReverseKL()),
        "lakda": ((1 - share) * loss.lakda, LaKDA()),
        "distance": (share, Distance(projection)),
        "relations": (0.0 if teacher is None else teacher.relations, Relations()),
        "consistency": (loss.consistency, Consistency()),
    }
    return {name: (weight, term) for name, (weight, term) in weighted.items() if weight}


def others_of(settings: ResolvedSettings) -> Sequence[str]:
    """The columns with translations into another language that the terms of the loss read, in order."""
    return columns_of(settings.loss.consistency_of) if settings.loss.reads_translations else ()


def text_steps(
    data: TrainingData, plan: BatchPlan, settings: ResolvedSettings, teacher: SentenceTransformer | None, rank: int
) -> StepTexts:
    """The steps of a run on texts, with the columns and labels that the terms of its loss read.

    Args:
        data: the corpora that the plan draws from.
        plan: a plan over `data.index`.
        settings: the settings of the run.
        teacher: the teacher, if there is one.
        rank: the rank whose part of each batch is returned.

    Raises:
        TrainingError: the teacher reads English, and an item has no English text.

    """
    if settings.loss.name != INFO_NCE:
        return StepTexts(data, plan, rank)
    terms = [term for _, term in weighted_terms(settings).values()]
    of = settings.loss.consistency_of if others_of(settings) else None
    candidates = any(term.reads_candidates for term in terms)
    if teacher is None or settings.distillation is None:
        return StepRenderings(data, plan, of, rank, candidates=candidates)
    return StepTextTargets(
        data, plan, teacher, english=settings.distillation.reads == "english", of=of, candidates=candidates,
        negatives=any(isinstance(term, Relations) for term in terms), bf16=settings.bf16, rank=rank,
    )  # fmt: skip


def _registered(encoder: SentenceTransformer, settings: ResolvedSettings) -> torch.nn.Module:
    """The loss that a plugin registered."""
    made: object = LOSSES[settings.loss.name](encoder, settings)
    if not isinstance(made, torch.nn.Module):
        raise TrainingError(
            f"the loss {settings.loss.name!r}: its factory must return a torch.nn.Module, not {type(made).__name__}"
        )
    return made


def check_once(loss: torch.nn.Module, name: str) -> None:
    """Check the first value of a loss from outside the package: a scalar tensor with a gradient.

    Args:
        loss: the loss.
        name: its name, for the message.

    """

    def check(_: torch.nn.Module, __: Any, value: object) -> None:
        hook.remove()
        # The trainer of sentence-transformers takes the sum of the components in a dictionary.
        for part in value.values() if isinstance(value, dict) else [value]:
            if not isinstance(part, torch.Tensor):
                found = f"a {type(part).__name__}"
            elif part.dim():
                found = f"a tensor of shape {tuple(part.shape)}"
            elif not part.requires_grad:
                found = "a tensor without a gradient"
            else:
                continue
            raise TrainingError(
                f"the loss {name!r}: its forward returns {found}; it must return a scalar tensor that depends on the encoder, "
                "such as the mean over the rows of the batch"
            )

    hook = loss.register_forward_hook(check)


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


class Terms(torch.nn.Module):
    """The loss of a step: a weighted sum of terms.

    Args:
        weighted: the terms by name, each with its weight.
        others: the columns with translations into another language, in the order of the labels' columns.
        teacher_dimension: the dimension of the teacher's embeddings; any number without a teacher.

    """

    def __init__(
        self, weighted: Mapping[str, tuple[float, Term]], others: Sequence[str], teacher_dimension: int
    ) -> None:
        super().__init__()
        self.weights = {name: weight for name, (weight, _) in weighted.items()}
        self.parts = torch.nn.ModuleDict({name: term for name, (_, term) in weighted.items()})
        self.others, self._teacher_dimension = tuple(others), teacher_dimension
        self.columns: tuple[str, ...] = ()
        """The names of the step's columns, in order. The trainer sets them, because a loss gets the columns without names."""

    def forward(
        self, info_nce: MultipleNegativesRankingLoss, embedded: Sequence[torch.Tensor], labels: torch.Tensor | None
    ) -> torch.Tensor:
        """The loss of a step, a scalar.

        Args:
            info_nce: the loss between queries and passages.
            embedded: the embeddings of each column, shape (rows, dimension).
            labels: see `StepEmbeddings`.

        """
        columns = self.columns or PLAIN[: len(embedded)]
        by_column = dict(zip(columns, embedded, strict=True))
        step = StepEmbeddings(info_nce, by_column, self.others, labels, self._teacher_dimension)
        return torch.stack([self.weights[name] * term(step) for name, term in self.parts.items()]).sum()


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
        """The loss of a step, a scalar. For the labels see `StepEmbeddings`."""
        return self.terms(self.info_nce, [self.model(dict(f))["sentence_embedding"] for f in features], labels)

    def get_config_dict(self) -> dict[str, Any]:
        """The parameters of the loss, for the model card."""
        return {**self.info_nce.get_config_dict(), **self.terms.weights}


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
            loss.backward()
        return loss.detach() if with_backward else loss


__all__ = [
    "LOSSES",
    "CachedColumnLoss",
    "ColumnLoss",
    "Terms",
    "check_once",
    "info_nce",
    "loss_of",
    "others_of",
    "text_steps",
    "weighted_terms",
]
