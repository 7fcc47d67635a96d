"""What a training run needs to know."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from babelmix._settings import Texts
from babelmix.batches.strategies import strategy as parse_strategy
from babelmix.evaluation.measure_info import MULTI_MAP, check_name, measure_info

LARGEST_SEED = 2**32 - 1
"""NumPy's generators take no larger one."""


class TrainingSettings(BaseModel):
    """Settings of one run; every one is written beside the result."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    strategy: str = Field(
        "hybrid",
        description="batch strategy: english, mixed, mono, cross, hybrid, hybrid(ALPHA), hybrid(FROM..TO); see docs",
    )
    steps: int = Field(200, ge=1, description="optimiser steps")
    batch_size: int = Field(64, ge=2, description="pairs in the global batch, over all ranks")
    learning_rate: float = Field(0.0, ge=0, description="0: the default, 2e-5, and 5e-3 for static encoders")
    temperature: float = Field(
        0.0,
        ge=0,
        le=1,
        description="of the InfoNCE loss; 0: the default, 0.05, and 0.07 for pictures, where it is learned from",
    )
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises")
    weight_decay: float = Field(0.01, ge=0, description="of AdamW; static encoders have none")
    max_seq_length: int = Field(
        128,
        ge=0,
        description="tokens a text in training; 0: the encoder's own limit, which the saved encoder keeps in any case",
    )
    language_temperature: float = Field(0.0, ge=0, description="0: languages uniform, 1: by size")
    mini_batch_size: int = Field(0, ge=0, description="texts a forward pass with GradCache; 0: no GradCache")
    lora_rank: int = Field(
        0, ge=0, description="train low-rank adapters of this rank, merged on saving; 0: all weights"
    )
    freeze_embeddings: bool = Field(
        False, description="leave the token vectors of a transformer as they are: several times faster on a CPU"
    )
    bf16: bool = Field(False, description="bfloat16 mixed precision")
    gradient_checkpointing: bool = Field(
        False, description="keep fewer activations and compute them again: less memory"
    )
    pooling: Literal["", "mean", "cls"] = Field("", description="of token vectors; empty: the encoder's own")
    query_prompt: str = Field(
        "", description="put before queries and saved with the encoder; empty: the encoder's own"
    )
    passage_prompt: str = Field("", description="the same for passages")
    hard_negatives: bool = Field(True, description="a hard negative for each row, where its corpus has any")
    lock_images: bool = Field(
        False,
        description="pictures: train the text tower only, against embeddings of pictures that are made once (LiT)",
    )
    text_share: float = Field(
        0.0, ge=0, lt=1, description="pictures: share of the steps in which captions are matched with captions"
    )
    text_weight: float = Field(
        1.0, ge=0, description="pictures: of the term between two captions of a picture, in `paired` batches"
    )
    text_only_langs: Texts = Field(
        [], description="pictures: languages that only stand in steps without pictures; see text_share"
    )
    distil_from: str = Field(
        "",
        description="an encoder whose embeddings of English texts every translation is to have; `start`: the encoder "
        "trained, as it was",
    )
    distil_text: Literal["english", "itself"] = Field(
        "english",
        description="what that encoder reads: the English rendering, or the very text, so that it stays as it was",
    )
    distil_share: float = Field(
        1.0, gt=0, le=1, description="texts: share of the distance from it in the loss; 1: no other loss"
    )
    consistency: float = Field(
        0.0, ge=0, description="texts: weight of the term that gives renderings of one item the same place; 0: none"
    )
    consistency_of: Literal["passages", "queries", "both"] = Field(
        "passages", description="texts: whose renderings; each side costs one more text a row"
    )
    source_weights: dict[str, float] = Field({}, description="of several training corpora, by name; empty: by size")
    source_temperature: float = Field(1.0, ge=0, description="by size to this power; 0: all corpora alike")
    start_share: float = Field(
        0.0, ge=0, lt=1, description="share of the starting weights in the average with the trained ones that is saved"
    )
    evaluate_every: int = Field(0, ge=0, description="steps between audits on a validation corpus; 0: none")
    stop_on: str = Field(MULTI_MAP, description="the measure of those audits whose best weights are kept")
    patience: int = Field(0, ge=0, description="stop after so many audits without a better one; 0: never")
    checkpoint_every: int = Field(0, ge=0, description="steps between checkpoints; 0: only the end is saved")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="of the plan and the weights")

    @property
    def several_queries(self) -> bool:
        """Whether some batches have several queries for each passage."""
        return parse_strategy(self.strategy).several_queries

    @field_validator("stop_on")
    @classmethod
    def _a_measure(cls, value: str) -> str:
        check_name(value)
        if measure_info(value).better is None:
            raise ValueError(f"{value}: neither more nor less of it is better, so training cannot stop on it")
        return value
