"""The settings of a training run, in sections. `None` stands for the default, which `resolve` fills in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from babelmix._registry import OWN_PART
from babelmix._settings import Texts
from babelmix.batches.strategies import strategy as parse_strategy
from babelmix.errors import BabelmixError
from babelmix.evaluation.measure_info import check_name, measure_info
from babelmix.training.flat import MOVED, in_sections
from babelmix.training.registry import INFO_NCE, LOSSES

LARGEST_SEED = 2**32 - 1
"""NumPy's generators take no larger seed."""

RECIPES = ("best", "paper", "zero-shot")
"""The names of the recipes; see `recipes`."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Loss(_Section):
    """The loss of a step."""

    name: str = Field("info_nce", description="`info_nce`, or a loss that a plugin registers with `extend.loss`")
    temperature: float | None = Field(
        None,
        gt=0,
        le=1,
        description="temperature of InfoNCE; default: 0.05; for pictures 0.07, from which it is learned",
    )
    consistency: float | None = Field(
        None,
        ge=0,
        description="texts: weight of the consistency term, which pulls translations of an item together; 0: no such term; "
        "default: the recipe's, 0 without a recipe",
    )
    consistency_of: Literal["passages", "queries", "both"] = Field(
        "passages", description="texts: the side whose translations consistency and lakda compare"
    )
    reverse: float | None = Field(
        None,
        ge=0,
        le=1,
        description="texts: share of reverse training in the loss: each passage finds its query; 0: none; default: the recipe's, "
        "0 without a recipe",
    )
    reverse_kl: float | None = Field(
        None,
        ge=0,
        le=1,
        description="texts: share of the divergence between the reverse and the forward distributions in the loss; 0: none; "
        "default: the recipe's, 0 without a recipe",
    )
    lakda: float = Field(
        0.0,
        ge=0,
        le=1,
        description="texts: share of LaKDA's divergence between two translations in the loss, see consistency_of; 0: none",
    )
    mini_batch_size: int | None = Field(
        None, ge=1, description="texts per forward pass with GradCache; default: no GradCache"
    )

    @field_validator("name")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in LOSSES:
            raise ValueError(f"there is no loss {value!r}; there are {', '.join(LOSSES)}; {OWN_PART}")
        return value

    @model_validator(mode="after")
    def _own_terms(self) -> Loss:
        if self.name == INFO_NCE:
            if self.rest < 0:
                raise ValueError(
                    "loss.reverse, loss.reverse_kl and loss.lakda are shares of the loss, and InfoNCE has the rest; their sum is "
                    f"{1 - self.rest:g} and must be 1 at most"
                )
            return self
        for term in self.extra_terms:
            raise ValueError(f"{term} is a term of info_nce; leave it out with the loss {self.name}")
        if self.mini_batch_size:
            raise ValueError(f"GradCache is for info_nce; leave mini_batch_size out with the loss {self.name}")
        return self

    @property
    def rest(self) -> float:
        """The share of InfoNCE: what `reverse`, `reverse_kl` and `lakda` leave."""
        return round(1 - (self.reverse or 0) - (self.reverse_kl or 0) - self.lakda, 9)

    @property
    def extra_terms(self) -> list[str]:
        """The names of the terms beside InfoNCE that have a weight."""
        return [name for name in ("consistency", "reverse", "reverse_kl", "lakda") if getattr(self, name)]

    @property
    def reads_translations(self) -> bool:
        """Whether a term reads another translation of each row."""
        return bool(self.consistency or self.lakda)


class Distillation(_Section):
    """Learning from a teacher: an encoder whose embeddings the trained encoder learns to reproduce."""

    teacher: str = Field(
        min_length=1,
        description="the teacher: an encoder as `babelmix encoders` names it, or `start`: the trained encoder as it was "
        "before training",
    )
    reads: Literal["english", "itself"] = Field(
        "english",
        description="the text that the teacher embeds: the English translation of the text, or the text itself",
    )
    share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="texts: share of the distance to the teacher in the loss, in the place of InfoNCE; 1: no InfoNCE; 0: no "
        "distance, see relations",
    )
    relations: float = Field(
        0.0,
        ge=0,
        description="texts: weight of the term that gives each answer the probability that it has for the teacher in English; 0: "
        "no such term",
    )

    projection: bool | None = Field(
        None,
        description="texts: a linear map from the encoder's embeddings to the teacher's, in training only; default: where their "
        "dimensions differ",
    )

    @model_validator(mode="after")
    def _has_a_term(self) -> Distillation:
        if not self.share and not self.relations:
            raise ValueError(
                "a teacher with distillation.share 0 and distillation.relations 0 teaches nothing; give one of them"
            )
        if self.relations and self.reads != "english":
            raise ValueError(
                "distillation.relations are those of the teacher in English; leave distillation.reads out, or the relations"
            )
        if self.projection and not self.share:
            raise ValueError(
                "distillation.projection is for the distance to the teacher; give distillation.share, or leave projection out"
            )
        return self


class Pictures(_Section):
    """Settings of image-text training."""

    lock_images: bool = Field(False, description="train the text tower only (LiT); each picture is then embedded once")
    text_share: float = Field(0.0, ge=0, lt=1, description="share of the steps that match captions with captions")
    text_weight: float = Field(
        1.0, ge=0, description="weight of the term between two captions of a picture, in `paired` batches"
    )
    text_only_langs: Texts = Field(
        [], description="languages that are seen in caption-caption steps only, never beside a picture; see text_share"
    )


class Weights(_Section):
    """Which weights are trained, and what is saved."""

    lora_rank: int | None = Field(
        None, ge=1, description="rank of LoRA adapters, merged when the encoder is saved; default: train all weights"
    )
    freeze_embeddings: bool = Field(
        False, description="do not train a transformer's token embeddings: several times faster on a CPU"
    )
    start_share: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of the starting weights in the saved weights: saved = (1 - share) * trained + share * start; "
        "default: the recipe's, 0 without a recipe",
    )


class Schedule(_Section):
    """Warmup, audits on the validation corpus, early stopping and checkpoints."""

    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    evaluate_every: int | None = Field(
        None, ge=1, description="steps between audits on the validation corpus; default: ten audits in all"
    )
    stop_on: str = Field(
        "multi/mAP", description="measure of those audits; the weights of the step where it is best are saved"
    )
    patience: int | None = Field(
        None, ge=1, description="stop after this many audits without an improvement; default: never"
    )
    soup: int = Field(
        0,
        ge=0,
        description="with a validation corpus: save the greedy average of the weights of this many best audits, a model soup; 0: "
        "the weights of the best one",
    )
    checkpoint_every: int | None = Field(
        None, ge=0, description="steps between checkpoints; 0: none; default: 50, and 0 for static encoders"
    )

    @field_validator("stop_on")
    @classmethod
    def _has_a_direction(cls, value: str) -> str:
        try:
            check_name(value)
            better = measure_info(value).better
        except BabelmixError as error:
            raise ValueError(str(error)) from error
        if better is None:
            raise ValueError(f"{value}: neither more nor less of it is better, so training cannot stop on it")
        return value


class TrainingSettings(_Section):
    """Settings of a training run; `None` stands for the default.

    `train` fills every default in (see `resolve`) and writes the result to `training.json`.

    Examples:
        >>> settings = TrainingSettings(strategy="cross", steps=100, loss={"temperature": 0.1})
        >>> settings.loss.temperature
        0.1

    """

    recipe: Literal["best", "paper", "zero-shot"] | None = Field(
        "best",
        description="the source of strategy, consistency, reverse, reverse_kl and start_share where they are not given; naming a "
        "strategy leaves the recipe out",
    )
    strategy: str | None = Field(
        None,
        description="batch strategy: english, mixed, mono, cross, hybrid, hybrid(ALPHA), hybrid(FROM..TO); see docs; "
        "default: the recipe's",
    )
    steps: int | None = Field(
        None,
        ge=1,
        description="optimiser steps; default: three passes over the pairs, but 30 at least and 500 at most",
    )
    batch_size: int | None = Field(
        None,
        ge=2,
        description="pairs in a batch, over all processes; default: 64, or as many as the smallest language has",
    )
    learning_rate: float | None = Field(
        None, gt=0, description="peak learning rate of AdamW; default: 2e-5, and 5e-3 for static encoders"
    )
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW; static encoders have none")
    max_seq_length: int = Field(
        128,
        ge=0,
        description="tokens of a text that are read in training; 0: as many as the encoder can read. The saved encoder keeps its "
        "own limit",
    )
    pooling: Literal["mean", "cls"] | None = Field(
        None, description="pooling of token embeddings; default: the encoder's own"
    )
    query_prompt: str | None = Field(
        None, description="text put before each query, and saved with the encoder; default: the encoder's own"
    )
    passage_prompt: str | None = Field(
        None, description="text put before each passage, and saved with the encoder; default: the encoder's own"
    )
    hard_negatives: bool = Field(True, description="give each pair a hard negative, where its corpus has any")
    language_temperature: float = Field(
        0.0, ge=0, description="how often a language is drawn: size ** language_temperature; 0: all languages alike"
    )
    source_weights: dict[str, float] = Field(
        {},
        description="of several training corpora: how often each is drawn, by name; default: see source_temperature",
    )
    source_temperature: float = Field(
        1.0, ge=0, description="of several training corpora without weights: size ** source_temperature; 0: all alike"
    )
    bf16: bool = Field(False, description="train in bfloat16 mixed precision")
    dropout: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="share of activations that are set to 0 in training; default: the encoder's own rates",
    )
    gradient_checkpointing: bool = Field(
        False, description="compute activations again in the backward pass: less memory, more time"
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="seed of the batches and of the random weights")
    loss: Loss = Loss()
    distillation: Distillation | None = None
    pictures: Pictures = Pictures()
    weights: Weights = Weights()
    schedule: Schedule = Schedule()

    @model_validator(mode="before")
    @classmethod
    def _older_spellings(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        found, changed = in_sections(values)
        if changed:
            warnings.warn(
                f"training settings are in sections now: {'; '.join(changed)}; the old spelling goes in the next version",
                DeprecationWarning,
                stacklevel=3,
            )
        return found

    @field_validator("strategy")
    @classmethod
    def _known_strategy(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_strategy(value)
            except BabelmixError as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> TrainingSettings:
        if self.strategy is None and self.recipe is None:
            raise ValueError("name a strategy or a recipe")
        if self.loss.name != INFO_NCE and self.distillation is not None:
            raise ValueError(f"a teacher goes with info_nce; leave distillation out with the loss {self.loss.name}")
        if self.loss.name != INFO_NCE and self.several_queries:
            raise ValueError(
                f"one_to_k batches go with info_nce; take another strategy with the loss {self.loss.name}"
            )
        shares = [f"loss.{name}" for name in self.loss.extra_terms if name != "consistency"]
        if shares and self.distillation is not None and self.distillation.share == 1:
            raise ValueError(
                f"{shares[0]} has no place beside distillation.share 1, which is the default; give a smaller share, or leave "
                f"{shares[0]} out"
            )
        if self.schedule.soup > 1 and self.weights.lora_rank:
            raise ValueError(
                "schedule.soup averages weights, and averaged factors of weights.lora_rank give no averaged product; leave "
                "one of them out"
            )
        pictures = self.pictures
        seen = pictures.text_share or (self.strategy is not None and parse_strategy(self.strategy).draws_text_only)
        if pictures.text_only_langs and not seen:
            raise ValueError(
                "pictures.text_only_langs are only seen in steps without pictures; set pictures.text_share above 0, or take "
                "hybrid(ALPHA, text_text)"
            )
        return self

    @property
    def several_queries(self) -> bool:
        """Whether some batches have several queries per item."""
        return self.strategy is not None and parse_strategy(self.strategy).several_queries

    def rows(self) -> list[tuple[str, str]]:
        """Every setting that has a value, as dotted name and text, for a table."""
        return _rows(self.model_dump(), "")

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The value of a setting by its old flat name."""
            if name not in MOVED:
                return super().__getattr__(name)
            path = MOVED[name]
            warnings.warn(f"TrainingSettings.{name} is now TrainingSettings.{path}", DeprecationWarning, stacklevel=2)
            section, _, key = path.partition(".")
            return getattr(getattr(self, section), key, None)


S = TypeVar("S", bound=TrainingSettings)


def changed(settings: S, values: Mapping[str, Any]) -> S:
    """A copy of settings with some other values. All values are checked again.

    Args:
        settings: `TrainingSettings` or a subclass.
        values: the new values by dotted name, as in `{"loss.temperature": 0.1}`.

    Raises:
        ValidationError: a value is wrong.

    """
    found = settings.model_dump()
    for path, value in values.items():
        section, _, key = path.rpartition(".")
        if section:
            found[section] = {**(found[section] or {}), key: value}
        else:
            found[key] = value
    return type(settings)(**found)


def _rows(values: Mapping[str, Any], before: str) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, dict) and name != "source_weights":
            rows += _rows(value, f"{before}{name}.")
        elif value not in (None, "", {}, []):
            rows.append((before + name, str(value)))
    return rows


__all__ = [
    "LARGEST_SEED",
    "RECIPES",
    "Distillation",
    "Loss",
    "Pictures",
    "Schedule",
    "TrainingSettings",
    "Weights",
    "changed",
]
