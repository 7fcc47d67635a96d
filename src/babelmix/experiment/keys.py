"""The sections of an experiment's TOML file, with their keys, defaults and checks. [training] has `TrainingSettings`."""

from __future__ import annotations

import itertools
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from babelmix._settings import Integers, Numbers, Texts
from babelmix.batches.strategies import Strategy, strategy
from babelmix.evaluation.measure_info import (
    CROSS_MAP,
    MONO_MAP,
    MULTI_MAP,
    SETTINGS,
    TESTS,
    TESTS_OF_PICTURES,
    check_name,
    ranking_metrics,
)
from babelmix.evaluation.metrics import DEFAULT, PICTURES, metric
from babelmix.training.settings import LARGEST_SEED


class Section(BaseModel):
    """A section of the file. An unknown key is an error, and the values cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(Section):
    """The corpora to train and to test on."""

    corpus: str = Field(description="corpus, as `babelmix data` names it, or a path")
    sources: Texts = Field([], description="further training corpora; each batch is from one corpus")
    train_options: dict[str, Any] = Field({}, description="options of the reader for the training part only")
    test: str = Field("", description="test corpus; empty: the test part of `corpus`")
    benchmarks: Texts = Field([], description="further test corpora, each with its own table and tests")
    validation: str = Field(
        "",
        description="validation corpus of early stopping; empty: the validation part of `corpus` if "
        "training.schedule.evaluate_every is set, else no early stopping",
    )
    split: dict[str, float] = Field(
        {"train": 0.7, "validation": 0.1, "test": 0.2}, description="share of each part; a group is in one part only"
    )
    split_seed: int = Field(0, ge=0, description="seed of the split")
    langs: Texts = Field([], description="languages to use; empty: all")
    drop_leaks: bool = Field(
        False, description="train without the groups of passages that are also tested on; by default they are an error"
    )

    @model_validator(mode="after")
    def _parts(self) -> Data:
        needed = ["train"] if self.test else ["train", "test"]
        if missing := [part for part in needed if part not in self.split]:
            raise ValueError(f"split has no part {missing[0]!r}")
        return self


class Encoder(Section):
    """The encoder that every run starts from."""

    name: str = Field("e5-small-offline", description="encoder, as `babelmix encoders` names it, or a folder")
    max_seq_length: int = Field(
        0, ge=0, description="tokens of a text that are read in audits; 0: the encoder's own limit"
    )
    vocabulary: Literal["train", "full"] = Field(
        "train", description="static-e5: keep the pieces of the training texts, or all pieces"
    )
    size: int = Field(32_000, ge=100, description="static, tiny: largest size of the learned vocabulary")
    dimension: int = Field(256, ge=2, description="static, tiny: dimension of the embeddings")
    trust_code: bool = Field(
        False,
        description="let code run that this encoder, a reference or a teacher brings or names; by default it is refused",
    )


class Tower(Section):
    """Pictures: an image tower is trained first, once per seed. The strategies then train text towers that match it."""

    strategy: str = Field("", description="batch strategy of this training; empty: no such training")
    steps: int = Field(0, ge=0, description="optimiser steps; 0: as many as training.steps")

    @field_validator("strategy")
    @classmethod
    def _known(cls, value: str) -> str:
        if value:
            strategy(value)
        return value


def heads_of(width: int) -> int:
    """The attention heads of a layer of UNITER: one per 64 dimensions."""
    return max(1, width // 64)


class Uniter(Section):
    """Pictures: a UNITER as a reference, trained on English captions and on the patches of the image tower; see [tower]."""

    rank_steps: int = Field(0, ge=0, description="ranking steps; 0: no such reference")
    pretrain_steps: int = Field(0, ge=0, description="pre-training steps before the ranking steps")
    batch_size: int = Field(64, ge=2, description="pairs per step")
    learning_rate: float = Field(5e-4, gt=0, description="peak learning rate")
    hard_negatives: int = Field(
        0, ge=0, description="hard negatives per pair and side: the highest-scored of `hard_pool`; 0: none"
    )
    hard_pool: int = Field(0, ge=0, description="candidates for hard negatives")
    width: int = Field(128, ge=8, description="dimension of the layers")
    layers: int = Field(2, ge=1, description="number of layers")
    vocabulary: int = Field(
        2000, ge=100, description="largest size of the vocabulary, which is learned from the captions"
    )
    k: int = Field(32, ge=1, description="candidates of the first stage that are scored per query")

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> Uniter:
        if self.width % heads_of(self.width):
            raise ValueError(f"{heads_of(self.width)} attention heads cannot share a width of {self.width} evenly")
        return self


class References(Section):
    """Encoders that are audited without training."""

    encoders: Texts = Field([], description="encoders, as `babelmix encoders` names them, or folders")
    groups: int = Field(0, ge=0, description="test on this many groups of the test part at most; 0: all")
    max_seq_length: int = Field(0, ge=0, description="tokens of a text that are read; 0: each encoder's own limit")
    translate_test: bool = Field(
        False, description="also audit the references and the trained tower on queries translated to English"
    )


class Tune(Section):
    """Settings that are tuned on the validation part, with the same grid for each strategy."""

    learning_rates: Numbers = Field([], description="learning rates to try; empty: training.learning_rate")
    temperatures: Numbers = Field([], description="temperatures to try; empty: training.loss.temperature")
    measures: Texts = Field(
        [MONO_MAP, CROSS_MAP, MULTI_MAP],
        min_length=1,
        description="measures on the validation part; the settings with the highest mean of them are used",
    )
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="seed of the tuning runs")

    @property
    def grid(self) -> list[dict[str, float]]:
        """Every combination of the values to try; empty without tuning."""
        axes = {"learning_rate": self.learning_rates, "temperature": self.temperatures}
        named = {name: values for name, values in axes.items() if values}
        return [dict(zip(named, point, strict=True)) for point in itertools.product(*named.values())] if named else []

    @field_validator("learning_rates", "temperatures")
    @classmethod
    def _distinct(cls, value: list[float]) -> list[float]:
        if any(entry <= 0 for entry in value) or len(set(value)) < len(value):
            raise ValueError("the values must be positive and distinct")
        return sorted(value)

    @field_validator("measures")
    @classmethod
    def _known_measures(cls, value: list[str]) -> list[str]:
        for name in value:
            setting, _, what = name.partition("/")
            if setting not in SETTINGS:
                raise ValueError(f"{name!r} is not SETTING/METRIC with a setting of {', '.join(SETTINGS)}")
            metric(what)
        return value


class Compare(Section):
    """The strategies to compare, and the tests between them."""

    strategies: Texts = Field(
        ["english", "mixed", "mono", "cross", "hybrid"], min_length=1, description="batch strategies to train with"
    )
    seeds: Integers = Field([0, 1, 2], min_length=1, description="seeds; each strategy is trained once per seed")
    against: str = Field(
        "hybrid", validate_default=True, description="the strategy that every other one is tested against"
    )
    metrics: Texts = Field(
        list(DEFAULT), min_length=1, description=f"ranking metrics of the audits; pictures: {', '.join(PICTURES)}"
    )
    tests: Texts | None = Field(
        None,
        description=f"measures to test, SETTING/METRIC; without this key {', '.join(TESTS)}, and of pictures "
        f"{', '.join(TESTS_OF_PICTURES)}",
    )
    bf16: bool = Field(False, description="audit in bfloat16 mixed precision, which is faster; see docs/audit.md")
    keep_models: Literal["all", "first", "none"] = Field(
        "first", description="trained encoders to keep; first: those of the first seed"
    )

    @field_validator("strategies")
    @classmethod
    def _known_strategies(cls, value: list[str]) -> list[str]:
        known: dict[Strategy, str] = {}
        for spec in value:
            parsed = strategy(spec)
            if parsed in known:
                raise ValueError(f"a strategy is listed twice: {known[parsed]!r} and {spec!r}")
            known[parsed] = spec
        return value

    @field_validator("against")
    @classmethod
    def _against_is_listed(cls, value: str, info: ValidationInfo) -> str:
        # If the strategies are invalid, their own error is reported.
        listed = info.data.get("strategies", [value])
        for spec in listed:
            if strategy(spec) == strategy(value):
                return str(spec)
        raise ValueError(f"against = {value!r} is not among the strategies")

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, value: list[str]) -> list[str]:
        for name in value:
            metric(name)
        return value

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, value: list[int]) -> list[int]:
        if len(set(value)) < len(value) or not all(0 <= seed <= LARGEST_SEED for seed in value):
            raise ValueError(f"seeds must be distinct, and from 0 to {LARGEST_SEED}")
        return value

    @field_validator("tests")
    @classmethod
    def _known_tests(cls, value: list[str] | None) -> list[str] | None:
        for name in value or ():
            check_name(name)
        return value

    @model_validator(mode="after")
    def _tests_are_measured(self) -> Compare:
        for name in self.tests or ():
            if missing := set(ranking_metrics([name])) - set(self.metrics):
                raise ValueError(f"tests has {name!r}, but {missing.pop()!r} is not among the metrics")
        return self

    def on(self, *, pictures: bool) -> Compare:
        """The same with the tests that a corpus of texts, or of pictures, has by default, and with the metrics that they need.

        Args:
            pictures: whether the passages of the test corpus are pictures.

        """
        metrics = list(PICTURES) if pictures and "metrics" not in self.model_fields_set else self.metrics
        default = TESTS_OF_PICTURES if pictures else TESTS
        tests = list(default) if self.tests is None else self.tests
        needed = list(dict.fromkeys([*metrics, *ranking_metrics(tests)]))
        return self.model_copy(update={"metrics": needed, "tests": tests})


__all__ = ["Compare", "Data", "Encoder", "References", "Section", "Tower", "Tune", "Uniter", "heads_of"]
