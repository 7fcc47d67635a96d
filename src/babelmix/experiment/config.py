"""The settings of an experiment, from a TOML file. They are checked before anything runs, and saved with every default."""

from __future__ import annotations

import difflib
import json
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from babelmix.errors import BabelmixError, ConfigError
from babelmix.experiment.keys import Compare, Data, Encoder, References, Section, Tower, Tune, Uniter
from babelmix.training import TrainingSettings
from babelmix.training.flat import in_sections
from babelmix.training.settings import changed

RESERVED = ("strategy", "recipe", "seed")
"""Training settings that [training] must not set: [compare] sets strategy and seed of each run. A recipe has a strategy too."""

ALIKE: dict[str, Any] = {
    "steps": 200,
    "batch_size": 64,
    "loss.consistency": 0.0,
    "loss.reverse": 0.0,
    "loss.reverse_kl": 0.0,
    "weights.start_share": 0.0,
}
"""The defaults of training settings in an experiment. They do not depend on the strategy, so strategies are comparable."""

TUNED = {"learning_rate": "learning_rate", "temperature": "loss.temperature"}
"""The settings that can be tuned: the name in records, and the dotted name in the training settings."""


class Experiment(Section):
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
        if self.uniter.rank_steps and not self.tower.strategy and not self.training.pictures.lock_images:
            raise ValueError(
                "uniter reads the patches of a trained image tower; set tower.strategy, or pictures.lock_images with an encoder "
                "whose image tower is trained"
            )
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
        """The settings to train the image tower of one seed: both towers, on pictures alone, without early stopping."""
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
            "schedule.soup": 0,
        }
        return changed(self.training, values | ({"steps": self.tower.steps} if self.tower.steps else {}))

    def to_toml(self) -> str:
        """The experiment with every default written out, and what each key means; a setting without a value is a comment."""
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
    """A section, and all sections inside it, as TOML, with a comment on each section and key."""
    title, keys, below = _commented(meaning_of(type(model))) if path else [], [], []
    for name, field in type(model).model_fields.items():
        value, inner = getattr(model, name), f"{path}.{name}".lstrip(".")
        if path == "training" and name in RESERVED:
            continue
        about = _commented(field.description or "")
        if isinstance(value, BaseModel):
            below.append(as_toml(value, inner))
        elif value is None and (section := section_of(field.annotation)):
            below.append(
                "\n".join([*_commented(meaning_of(section)), f"# [{inner}]", *_keys_left_out(section)]) + "\n"
            )
        elif isinstance(value, dict) and value:
            below.append("\n".join([*about, f"[{inner}]", tomli_w.dumps(value)]))
        elif value is None:
            keys += [*about, f"# {name} ="]
        else:
            keys += [*about, f"{name} = {{}}" if value == {} else tomli_w.dumps({name: value}).rstrip("\n")]
    return "\n".join(["\n".join([*title, *([f"[{path}]"] if path else []), *keys]) + "\n", *below])


def meaning_of(section: type[BaseModel]) -> str:
    """The first paragraph of a section's docstring."""
    return " ".join((section.__doc__ or "").partition("\n\n")[0].split())


def section_of(annotation: Any) -> type[BaseModel] | None:
    """The section that a field holds or, if it is optional, would hold."""
    return next(
        (
            kind
            for kind in (annotation, *get_args(annotation))
            if isinstance(kind, type) and issubclass(kind, BaseModel)
        ),
        None,
    )


def _keys_left_out(section: type[BaseModel]) -> list[str]:
    """The keys of a section that an experiment does not have, as comments."""
    lines = []
    for name, field in section.model_fields.items():
        none = field.is_required() or field.default is None
        default = "" if none else tomli_w.dumps({"": field.default}).partition("=")[2]
        lines += [*_commented(field.description or ""), f"# {name} ={default}".rstrip()]
    return lines


def _commented(text: str) -> list[str]:
    """A text as lines of a comment."""
    return [f"# {line}" for line in textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False)]


def load_experiment(file: Path, *, record: bool = False) -> Experiment:
    """Read and check a TOML file.

    Args:
        file: the TOML file.
        record: whether babelmix wrote the file as a record. Then the spelling of older versions is accepted without a warning.

    Raises:
        ConfigError: the file is missing or is not TOML, or a setting is unknown or wrong; the message names the setting.

    Examples:
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
        raise ConfigError(f"{file}: {describe(error, Experiment)}") from error


def describe(error: ValidationError, root: type[BaseModel]) -> str:
    """A validation error as one sentence: which setting is wrong, and why.

    Args:
        error: the error.
        root: the class that refused the values.

    """
    parts = []
    for entry in error.errors():
        where = ".".join(map(str, entry["loc"])) or "the settings"
        if entry["type"] == "extra_forbidden":
            message = f"there is no such setting{_key_meant(entry['loc'], root)}"
        elif entry["type"] == "model_type" and (section := _section_at(root, entry["loc"])):
            message = _is_a_section(where, section, entry["input"])
        else:
            message = {"missing": "is missing"}.get(entry["type"], entry["msg"].removeprefix("Value error, "))
        parts.append(f"{where}: {message}")
    return "; ".join(parts)


def _section_at(root: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel] | None:
    """The section at a path of keys; None if there is none."""
    found: type[BaseModel] | None = root
    for key in path:
        field = found.model_fields.get(str(key)) if found else None
        found = field and section_of(field.annotation)
    return found


def _key_meant(path: Sequence[int | str], root: type[BaseModel]) -> str:
    """The known key that is meant by an unknown one: one of its section, of the sections in it, or of the others."""
    *before, key = map(str, path)
    for section in (_section_at(root, before), root):
        # Of several keys with one name, the one that is nearest to the section is meant, and then the one of [training].
        known = sorted(_keys_of(section) if section else (), key=lambda one: (one.count("."), "training" not in one))
        named = {one.rpartition(".")[2]: one for one in reversed(known)}
        if near := difflib.get_close_matches(key, named, n=1, cutoff=0.7):
            return f" (did you mean {named[near[0]]!r}?)"
    return ""


def _keys_of(section: type[BaseModel], before: str = "") -> Iterator[str]:
    for name, field in section.model_fields.items():
        yield before + name
        if inner := section_of(field.annotation):
            yield from _keys_of(inner, f"{before}{name}.")


def _is_a_section(where: str, section: type[BaseModel], given: object) -> str:
    """What to write in place of a value that stands for a whole section."""
    first, field = next(iter(section.model_fields.items()))
    if isinstance(given, str) and field.annotation in (str, list[str]):
        return f"is a section, not a text; write {where}.{first} = {json.dumps(given, ensure_ascii=False)}"
    return f"is a section with the keys {', '.join(section.model_fields)}; give them as {where}.{first} = ..."
