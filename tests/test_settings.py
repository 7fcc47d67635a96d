"""Training settings: sections, the older spelling, and one way in which defaults are filled in."""

from __future__ import annotations

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from conftest import parallel_corpus
from pydantic import ValidationError
from test_train_command_settings import GOLDEN

from babelmix.errors import ConfigError, TrainingError
from babelmix.experiment.config import parse_experiment
from babelmix.experiment.folder import refuse_another
from babelmix.training import TrainingData, TrainingSettings, resolve, resolve_for_data, train
from babelmix.training.checkpoints import resumable
from babelmix.training.flat import in_sections
from babelmix.training.resolving import ResolvedSettings, recorded_settings, trains_alike
from babelmix.training.settings import changed

OLD_CONFIG = Path(__file__).with_name("config_before_sections.toml")
"""What an older version wrote for the experiment of `experiment_of`."""

RECORDS: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())
"""Settings as an older version wrote them to `training.json`."""


# --- what is refused


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strategy": "nonsense"}, "there is no batch strategy 'nonsense'"),
        ({"strategy": "hybrid(2)"}, "alpha"),
        ({"recipe": None}, "name a strategy or a recipe"),
        ({"recipe": "worst"}, "'best', 'paper' or 'zero-shot'"),
        ({"colour": 1}, "colour"),
        ({"loss": {"colour": 1}}, "colour"),
        ({"schedule": {"stop_on": "bias/colour"}}, "there is no bias metric 'colour'"),
        ({"distillation": {"share": 0.5}}, "teacher"),
        (
            {"distillation": {"teacher": "start", "share": 0}},
            "distillation.share 0 and distillation.relations 0 teaches nothing",
        ),
        ({"distillation": {"teacher": "start", "relations": 1, "reads": "itself"}}, "leave distillation.reads out"),
        (
            {"distillation": {"teacher": "start", "relations": 1, "share": 0, "projection": True}},
            "give distillation.share",
        ),
        (
            {"distillation": {"teacher": "start"}, "loss": {"lakda": 0.5}},
            "loss.lakda has no place beside distillation.share 1",
        ),
        ({"loss": {"reverse": 0.4, "reverse_kl": 0.4, "lakda": 0.4}}, "their sum is 1.2 and must be 1 at most"),
        ({"pictures": {"text_only_langs": ["ja"]}}, r"set pictures\.text_share above 0"),
    ],
)
def test_wrong_settings_are_refused_at_once(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainingSettings(**given)


def test_the_command_says_which_setting_is_wrong(babelmix) -> None:
    code, _, err = babelmix("train", "-c", "absent", "--strategy", "nonsense")
    assert (code, "there is no batch strategy 'nonsense'" in err) == (1, True)
    code, _, err = babelmix("train", "-c", "absent", "--distil-share", "0.5")
    assert (code, "--distil-from" in err) == (1, True)


def test_languages_without_pictures_need_no_share_where_batches_have_captions_alone() -> None:
    settings = TrainingSettings(strategy="hybrid(0.5, text_text)", pictures={"text_only_langs": ["ja"]})
    assert settings.pictures.text_only_langs == ["ja"]


# --- the older spelling


def test_the_older_spelling_means_the_same_and_warns_once() -> None:
    with pytest.warns(
        DeprecationWarning, match=r"temperature is loss\.temperature; .*lora_rank is weights\.lora_rank"
    ) as told:
        old = TrainingSettings(  # type: ignore[call-arg]
            strategy="cross", learning_rate=0, temperature=0.1, lora_rank=4, warmup=0.2, pooling="", query_prompt=""
        )
    assert len(told) == 1
    assert told[0].filename == __file__
    assert "learning_rate = 0 is written by leaving it out" in str(told[0].message)
    new = TrainingSettings(
        strategy="cross", loss={"temperature": 0.1}, weights={"lora_rank": 4}, schedule={"warmup": 0.2}
    )
    assert old == new
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert TrainingSettings(**new.model_dump()) == new
    with pytest.warns(
        DeprecationWarning, match=r"TrainingSettings\.lora_rank is now TrainingSettings\.weights\.lora_rank"
    ):
        assert old.lora_rank == 4  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        old.colour  # type: ignore[attr-defined]  # noqa: B018


def test_an_older_zero_or_empty_text_is_the_default() -> None:
    none = {"mini_batch_size": 0, "lora_rank": 0, "evaluate_every": 0, "patience": 0, "temperature": 0.0}
    given = {**none, "distil_from": "", "distil_text": "english", "distil_share": 1.0, "checkpoint_every": 0}
    found = TrainingSettings(strategy="mono", **in_sections(given)[0])
    assert found == TrainingSettings(strategy="mono", schedule={"checkpoint_every": 0})
    # A weight of 0 is a value: it wins over a recipe.
    assert TrainingSettings(**in_sections({"consistency": 0.0})[0]).loss.consistency == 0


def test_one_setting_is_given_once() -> None:
    with pytest.raises(ValidationError, match=r"give loss\.temperature alone"):
        TrainingSettings(temperature=0.1, loss={"temperature": 0.1})  # type: ignore[call-arg]


def test_older_names_of_the_room_warn(tiny_static) -> None:
    from babelmix import training

    with pytest.warns(DeprecationWarning, match=r"training\.resolve, which takes the training data"):
        resolved = training.resolved
    assert resolved(TrainingSettings(), tiny_static).learning_rate == 5e-3
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = training.absent


# --- what is on disk


@pytest.mark.parametrize("name", RECORDS)
def test_an_older_record_is_of_the_same_run(name: str) -> None:
    settings = recorded_settings(RECORDS[name])
    assert trains_alike(RECORDS[name], settings)
    assert trains_alike(json.loads(settings.model_dump_json()), changed(settings, {"recipe": "best"}))
    assert not trains_alike(RECORDS[name], changed(settings, {"seed": 99}))
    assert not trains_alike({"steps": 3}, settings)
    assert not trains_alike(None, settings)


def test_an_interrupted_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    record = RECORDS["audits at given steps, two corpora"]
    about = {"base": "x", "corpus": "y"}
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "trainer_state.json").write_text('{"global_step": 5}')
    (tmp_path / "run.json").write_text(json.dumps({"settings": record, **about}))
    settings = recorded_settings(record)
    assert resumable(tmp_path, about, settings) == str(tmp_path / "checkpoint-5")
    for other, data in ((changed(settings, {"loss.temperature": 0.9}), about), (settings, {**about, "corpus": "z"})):
        with pytest.raises(TrainingError, match="belongs to a run with other settings"):
            resumable(tmp_path, data, other)


def experiment_of(**training: Any) -> dict[str, Any]:
    return {
        "name": "small",
        "data": {"corpus": "corpus", "split": {"train": 0.5, "validation": 0.25, "test": 0.25}},
        "encoder": {"name": "static", "size": 300, "dimension": 16},
        "training": {"steps": 12, "learning_rate": 0.05, **training},
        "compare": {"strategies": ["mono", "cross", "hybrid"], "seeds": [0, 1]},
    }


def test_a_folder_of_an_older_version_holds_the_same_experiment(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(OLD_CONFIG.read_text())
    new = {"loss": {"temperature": 0.1}, "schedule": {"evaluate_every": 4, "patience": 2}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuse_another(tmp_path, parse_experiment(experiment_of(**new), "x.toml"))
        # Checkpoints decide where an interrupted run goes on, not what it gives.
        every = {**new, "schedule": {**new["schedule"], "checkpoint_every": 7}}
        refuse_another(tmp_path, parse_experiment(experiment_of(**every), "x.toml"))
        for other in ({**new, "loss": {"temperature": 0.2}}, {**new, "steps": 13}, {**new, "batch_size": 8}):
            with pytest.raises(ConfigError, match="holds an experiment with other settings"):
                refuse_another(tmp_path, parse_experiment(experiment_of(**other), "x.toml"))
    with pytest.warns(DeprecationWarning, match=r"temperature is loss\.temperature"):
        old = parse_experiment(experiment_of(temperature=0.1, evaluate_every=4, patience=2), "x.toml")
    assert old == parse_experiment(experiment_of(**new), "x.toml")


def test_all_strategies_of_an_experiment_have_the_same_steps_and_batches(tmp_path: Path) -> None:
    experiment = parse_experiment(experiment_of(steps=None), "x.toml")
    for strategy in ("mono", "cross"):
        settings = experiment.run_settings(strategy, 3, {"temperature": 0.2, "learning_rate": 0.1})
        assert (settings.strategy, settings.seed, settings.steps, settings.batch_size) == (strategy, 3, 200, 64)
        assert (settings.loss.temperature, settings.learning_rate) == (0.2, 0.1)


# --- defaults


def test_train_means_what_the_command_means(babelmix, tiny_static, tmp_path: Path, monkeypatch) -> None:
    parallel_corpus().save(tmp_path / "toy")
    code, out, err = babelmix(
        "train",
        "-c",
        str(tmp_path / "toy"),
        "--model",
        "static",
        "--json",
        "--out",
        str(tmp_path / "command"),
        "--steps",
        "3",
    )
    assert code == 0, err
    result = train(
        copy.deepcopy(tiny_static), parallel_corpus(), TrainingSettings(steps=3), tmp_path / "function", base="static"
    )
    assert json.loads(out)["settings"] == result.settings.model_dump()
    record = json.loads((tmp_path / "function" / "training.json").read_text())["settings"]
    assert (record["recipe"], record["loss"]["consistency"], record["weights"]["start_share"]) == ("best", 0.3, 0.0)


def test_resolved_settings_stay_as_they_are(tiny_static) -> None:
    data = TrainingData(parallel_corpus())
    once = resolve(TrainingSettings(), data, tiny_static, validation=True)
    assert (once.steps, once.batch_size, once.schedule.evaluate_every, once.schedule.checkpoint_every) == (
        30,
        40,
        3,
        0,
    )
    assert isinstance(once, ResolvedSettings)
    assert resolve(once, data, tiny_static) is once
    assert resolve_for_data(once, data) is once
    named = resolve(TrainingSettings(strategy="cross"), data, tiny_static)
    assert (named.recipe, named.loss.consistency, named.weights.start_share) == (None, 0.0, 0.0)
