"""The settings of an experiment, from a TOML file. They are checked before anything runs, and saved with every default."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from babelmix._settings import Texts
from babelmix.batches import Strategy, strategy
from babelmix.errors import BabelmixError, ConfigError
from babelmix.evaluation.measure_info import (
    CROSS_MAP,
    MONO_MAP,
    MULTI_MAP,
    SETTINGS,
    TESTS,
    check_name,
    ranking_metrics,
)
from babelmix.evaluation.metrics import DEFAULT, metric
from babelmix.training import TrainingSettings
from babelmix.training.flat import in_sections
from babelmix.training.settings import LARGEST_SEED, changed

RESERVED = ("strategy", "recipe", "seed")
"""Training settings that [compare] sets for each run, and [training] must not."""

ALIKE: dict[str, Any] = {"steps": 200, "batch_size": 64, "loss.consistency": 0.0, "weights.start_share": 0.0}
"""The defaults of training settings in an experiment. They do not depend on the strategy, so strategies are comparable."""

TUNED = {"learning_rate": "learning_rate", "temperature": "loss.temperature"}
"""The settings that can be tuned: the name in records, and the dotted name in the training settings."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Data(_Section):
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

    @model_validator(mode="after")
    def _parts(self) -> Data:
        needed = ["train"] if self.test else ["train", "test"]
        if missing := [part for part in needed if part not in self.split]:
            raise ValueError(f"split has no part {missing[0]!r}")
        return self


class Encoder(_Section):
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


class Tower(_Section):
    """Pictures: an image tower that is trained first, once per seed. The strategies then train text towers against it."""

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


class Uniter(_Section):
    """Pictures: a reference row, a UNITER that reads the patches of the image tower, trained on English captions; see [tower]."""

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


class References(_Section):
    """Encoders that are audited without training."""

    encoders: Texts = Field([], description="encoders, as `babelmix encoders` names them, or folders")
    groups: int = Field(0, ge=0, description="test on this many groups of the test part at most; 0: all")
    max_seq_length: int = Field(0, ge=0, description="tokens of a text that are read; 0: each encoder's own limit")
    translate_test: bool = Field(
        False, description="also audit the references and the trained tower on queries translated to English"
    )


class Tune(_Section):
    """Settings that are tuned on the validation part, with the same grid for each strategy."""

    learning_rates: list[float] = Field([], description="learning rates to try; empty: training.learning_rate")
    temperatures: list[float] = Field([], description="temperatures to try; empty: training.loss.temperature")
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


class Compare(_Section):
    """The strategies to compare, and the tests between them."""

    strategies: Texts = Field(
        ["english", "mixed", "mono", "cross", "hybrid"], min_length=1, description="batch strategies to train with"
    )
    seeds: list[int] = Field([0, 1, 2], min_length=1, description="seeds; each strategy is trained once per seed")
    against: str = Field(
        "hybrid", validate_default=True, description="the strategy that every other one is tested against"
    )
    metrics: Texts = Field(list(DEFAULT), min_length=1, description="ranking metrics of the audits")
    tests: Texts = Field(list(TESTS), description="measures to test, SETTING/METRIC")
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
        # Without valid strategies there is another error already.
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
    def _known_tests(cls, value: list[str]) -> list[str]:
        for name in value:
            check_name(name)
        return value

    @model_validator(mode="after")
    def _tests_are_measured(self) -> Compare:
        for name in self.tests:
            if missing := set(ranking_metrics([name])) - set(self.metrics):
                raise ValueError(f"tests has {name!r}, but {missing.pop()!r} is not among the metrics")
        return self


class Experiment(_Section):
    """An experiment: a comparison of batch strategies, as a TOML file describes it."""

    name: str = Field(
        min_length=1, pattern=r"^[\w.-]+$", description="name of the experiment, and of its default folder"
    )
    data: Data
    encoder: Encoder = Encoder()
    tower: Tower = Tower()
    uniter: Uniter = Uniter()
    references: References = References()
    training: TrainingSettings = Field(default_factory=lambda: alike(TrainingSettings()))
    tune: Tune = Tune()
    compare: Compare = Compare()

    @field_validator("training", mode="before")
    @classmethod
    def _left_to_compare(cls, value: Any) -> Any:
        for name in RESERVED:
            default = TrainingSettings.model_fields[name].default
            if isinstance(value, Mapping) and value.get(name, default) != default:
                raise ValueError(f"{name!r} is set by [compare], not by [training]")
        return value

    @field_validator("training")
    @classmethod
    def _alike(cls, value: TrainingSettings) -> TrainingSettings:
        return alike(value)

    @model_validator(mode="after")
    def _uniter_has_a_tower(self) -> Experiment:
        if self.uniter.rank_steps and not self.tower.strategy:
            raise ValueError("uniter reads the patches of a trained image tower; set tower.strategy")
        if self.uniter.pretrain_steps and not self.uniter.rank_steps:
            raise ValueError("uniter.pretrain_steps come before steps of ranking; set uniter.rank_steps")
        return self

    @model_validator(mode="after")
    def _validation_has_data(self) -> Experiment:
        if "validation" not in self.data.split:
            if self.tune.grid:
                raise ValueError("tune needs a part 'validation' in data.split")
            if self.training.schedule.evaluate_every and not self.data.validation:
                raise ValueError(
                    "training.schedule.evaluate_every needs data.validation, or a part 'validation' in data.split"
                )
        return self

    @property
    def stops_early(self) -> bool:
        """Whether training audits on a validation corpus."""
        return bool(self.data.validation or self.training.schedule.evaluate_every)

    def run_settings(self, strategy: str, seed: int, tuned: Mapping[str, float] | None = None) -> TrainingSettings:
        """The settings of one run.

        Args:
            strategy: the batch strategy.
            seed: the seed of the run.
            tuned: tuned values, by name, in place of those of the experiment.

        """
        values: dict[str, Any] = {"strategy": strategy, "seed": seed}
        if self.tower.strategy:
            values["pictures.lock_images"] = True
        return changed(self.training, values | {TUNED[name]: value for name, value in (tuned or {}).items()})

    def tower_settings(self, seed: int) -> TrainingSettings:
        """The settings of the image tower of one seed: all weights of both towers are trained, on pictures alone."""
        values: dict[str, Any] = {
            "strategy": self.tower.strategy,
            "seed": seed,
            "distillation": None,
            "pictures": {"text_weight": self.training.pictures.text_weight},
            "loss.consistency": 0.0,
            "weights.lora_rank": None,
            "weights.start_share": 0.0,
            "schedule.evaluate_every": None,
            "schedule.patience": None,
        }
        return changed(self.training, values | ({"steps": self.tower.steps} if self.tower.steps else {}))

    def to_toml(self) -> str:
        """The experiment with every default written out; a setting that has no value is a comment."""
        return as_toml(self)


def alike(settings: TrainingSettings) -> TrainingSettings:
    """Training settings with the defaults of an experiment, which are the same for all of its strategies."""
    given = settings.model_dump()
    missing: dict[str, Any] = {}
    for path, value in ALIKE.items():
        section, _, key = path.rpartition(".")
        if (given[section] if section else given)[key] is None:
            missing[path] = value
    return changed(settings, missing)


def as_toml(model: BaseModel, path: str = "") -> str:
    """A section with all sections in it as TOML."""
    lines, below = [f"[{path}]"] if path else [], []
    for name, field in type(model).model_fields.items():
        value, inner = getattr(model, name), f"{path}.{name}".lstrip(".")
        if path == "training" and name in RESERVED:
            continue
        if isinstance(value, BaseModel):
            below.append(as_toml(value, inner))
        elif isinstance(value, dict) and value:
            below.append(f"[{inner}]\n{tomli_w.dumps(value)}")
        elif value is None:
            lines.append(f"# {name}: {field.description or 'none'}")
        else:
            lines.append(tomli_w.dumps({name: value}) if not isinstance(value, dict) else f"{name} = {{}}\n")
    return "\n".join(["\n".join(line.rstrip("\n") for line in lines) + "\n", *below])


def load_experiment(file: Path, *, record: bool = False) -> Experiment:
    """Read and check a TOML file.

    Args:
        file: the TOML file.
        record: whether babelmix wrote it, perhaps in the spelling of an older version.

    Raises:
        ConfigError: the file is missing or is not TOML, or a setting is unknown or wrong; the message names the setting.

    Example:
        >>> import pathlib, tempfile
        >>> text = '''
        ... name = "my-experiment"
        ... data.corpus = "my.csv"
        ... training.loss.temperature = 0.02
        ... compare.strategies = ["mono", "cross", "hybrid"]
        ... '''
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "my-experiment.toml")
        ...     _ = file.write_text(text)
        ...     experiment = load_experiment(file)
        >>> experiment.run_settings("mono", seed=0).loss.temperature
        0.02

    """
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from error
    if record and isinstance(values.get("training"), dict):
        values["training"], _ = in_sections(values["training"])
    return parse_experiment(values, str(file))


def parse_experiment(values: dict[str, Any], file: str) -> Experiment:
    """Check the values of a TOML file.

    Args:
        values: the parsed TOML file.
        file: the name of the file, for messages.

    Raises:
        ConfigError: a setting is unknown or wrong.

    """
    try:
        return Experiment(**values)
    except BabelmixError as error:
        raise ConfigError(f"{file}: {error}") from error
    except ValidationError as error:
        raise ConfigError(f"{file}: {describe(error)}") from error


def describe(error: ValidationError) -> str:
    """A validation error as one sentence: which setting is wrong, and why."""
    parts = []
    for entry in error.errors():
        where = ".".join(map(str, entry["loc"])) or "the settings"
        message = {"extra_forbidden": "there is no such setting", "missing": "is missing"}.get(
            entry["type"], entry["msg"].removeprefix("Value error, ")
        )
        parts.append(f"{where}: {message}")
    return "; ".join(parts)
