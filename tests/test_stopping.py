"""Early stopping: which weights are kept, when training ends, and what a resumed run knows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import flat_settings, parallel_corpus
from sentence_transformers import SentenceTransformer
from test_training_options import Killed, close, load, state
from transformers import TrainerCallback

from babelmix import _processes
from babelmix.corpus import Corpus, split
from babelmix.errors import TrainingError
from babelmix.evaluation import audit
from babelmix.training import Evaluation, TrainingResult, stopping, train, weights
from babelmix.training.stopping import EarlyStopping

# So high a rate that the best step is in the middle.
BASE: dict[str, Any] = {"strategy": "hybrid", "steps": 12, "batch_size": 8, "learning_rate": 3e-2, "evaluate_every": 2}


def parts() -> tuple[Corpus, Corpus]:
    cut = split(parallel_corpus(60), {"train": 0.6, "validation": 0.4})
    return cut["train"], cut["validation"]


class Snapshots(TrainerCallback):
    """Copies of the encoder after each step."""

    def __init__(self, encoder: SentenceTransformer) -> None:
        self.encoder = encoder
        self.at: dict[int, SentenceTransformer] = {}

    def on_step_end(self, args, state, control, **kwargs):
        self.at[state.global_step] = copy.deepcopy(self.encoder).eval()


def run(encoder: SentenceTransformer, folder: Path, *callbacks: TrainerCallback, **change: Any) -> TrainingResult:
    training, validation = parts()
    settings = flat_settings(**BASE | change)
    return train(encoder, training, settings, folder, validation=validation, callbacks=callbacks)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "lower"),
    [
        ({"stop_on": "multi/mAP"}, False),
        ({"stop_on": "cross/R@1"}, False),
        ({"stop_on": "bias/rank distance"}, True),
        ({"stop_on": "bias/median rank distance"}, True),
        ({"stop_on": "mono/mAP", "lora_rank": 4}, False),
    ],
)
def test_the_weights_of_the_best_step_are_kept(tiny_bert, tmp_path, change: dict[str, Any], lower: bool) -> None:
    encoder = load(tiny_bert)
    snapshots = Snapshots(encoder)
    result = run(encoder, tmp_path / "m", snapshots, **change)
    name = change["stop_on"]
    looks = {}
    for step in (2, 4, 6, 8, 10, 12):
        done = audit(snapshots.at[step], parts()[1], name="x", store=False, metrics=["mAP", "R@1"])
        looks[step] = done.macro(name)
    assert [(one.step, one.score) for one in result.evaluations] == [(s, pytest.approx(v)) for s, v in looks.items()]
    best = (min if lower else max)(looks, key=lambda step: looks[step])
    assert len(set(looks.values())) > 2
    assert result.best == next(one for one in result.evaluations if one.step == best)
    for one in (encoder, SentenceTransformer(str(tmp_path / "m"))):
        assert audit(one, parts()[1], name="x", store=False, metrics=["mAP", "R@1"]).macro(name) == pytest.approx(
            looks[best]
        )
    if not change.get("lora_rank"):
        assert close(state(encoder), state(snapshots.at[best]), 0)
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert record["best_step"] == best
    assert record["evaluations"] == [[one.step, one.score] for one in result.evaluations]
    assert f"The weights are those of step {best}" in (tmp_path / "m" / "README.md").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.fixture
def scores(monkeypatch) -> list[float]:
    """What the validation audits find, in place of what they would find."""
    given: list[float] = []

    class Found:
        lower_is_better = False

        def __init__(self) -> None:
            self.value = given.pop(0)

        def macro(self) -> float:
            return self.value

    monkeypatch.setattr(stopping.EncoderSystem, "rank", lambda *_: None)
    monkeypatch.setattr(stopping, "measures", lambda *_: None)
    monkeypatch.setattr(stopping, "watched", lambda *_: Found())
    return given


@pytest.mark.slow
def test_a_static_encoder_is_looked_at_too(tiny_static, tmp_path) -> None:
    encoder = copy.deepcopy(tiny_static)
    snapshots = Snapshots(encoder)
    result = run(encoder, tmp_path / "m", snapshots)
    looks = {s: audit(e, parts()[1], name="x", store=False).macro("multi/mAP") for s, e in snapshots.at.items()}
    assert [(one.step, one.score) for one in result.evaluations] == [
        (step, pytest.approx(looks[step])) for step in (2, 4, 6, 8, 10, 12)
    ]
    assert result.best is not None
    assert result.best.score == pytest.approx(max(looks[step] for step in (2, 4, 6, 8, 10, 12)))
    assert close(state(encoder), state(snapshots.at[result.best.step]), 0)


def test_patience_ends_the_run_and_keeps_the_best(tiny_static, tmp_path, scores) -> None:
    encoder = copy.deepcopy(tiny_static)
    snapshots = Snapshots(encoder)
    scores += [0.1, 0.5, 0.4, 0.5, 0.6]
    result = run(encoder, tmp_path / "m", snapshots, patience=2, steps=200)
    assert [one.step for one in result.evaluations] == [2, 4, 6, 8]
    assert max(snapshots.at) == 8
    assert result.best == Evaluation(4, 0.5)  # of equal ones the first
    assert result.steps == 8
    assert close(state(encoder), state(snapshots.at[4]), 0)
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert record["steps"] == 8
    assert record["settings"]["steps"] == 200


def test_a_run_that_ends_before_its_first_loss_is_logged_still_has_one(tiny_static, tmp_path, scores) -> None:
    scores += [0.5, 0.4]
    result = run(copy.deepcopy(tiny_static), tmp_path / "m", patience=1, evaluate_every=1, steps=200)
    assert result.steps == 2
    assert [step for step, _ in result.losses] == [2]


def test_without_patience_a_run_goes_to_its_end(tiny_static, tmp_path, scores) -> None:
    scores += [0.9, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    result = run(copy.deepcopy(tiny_static), tmp_path / "m", steps=13)
    assert [one.step for one in result.evaluations] == [2, 4, 6, 8, 10, 12, 13]  # the end is looked at in any case
    assert result.best == Evaluation(2, 0.9)
    assert result.steps == 13


@pytest.mark.slow
def test_the_average_with_the_start_is_of_the_best_weights(tiny_bert, tmp_path, scores) -> None:
    start = state(load(tiny_bert))
    for change in ({}, {"lora_rank": 3}):
        whole, averaged = load(tiny_bert), load(tiny_bert)
        for encoder, share in ((whole, 0.0), (averaged, 0.25)):
            scores += [0.1, 0.5, 0.4]
            run(encoder, tmp_path / "m", steps=6, start_share=share, **change)
        expected = {name: 0.75 * tensor + 0.25 * start[name] for name, tensor in state(whole).items()}
        assert close(expected, state(averaged), 1e-6)
        assert not close(expected, state(whole), 1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("found", [[0.1, 0.5, 0.4, 0.3, 0.2, 0.1], [0.5, 0.1, 0.3, 0.6, 0.2, 0.1]])
@pytest.mark.parametrize("killed", [5, 7, 9])
def test_a_resumed_run_keeps_what_was_found(tiny_bert, tmp_path, scores, found: list[float], killed: int) -> None:
    straight, resumed = load(tiny_bert, dropout=True), load(tiny_bert, dropout=True)
    scores += found
    expected = run(straight, tmp_path / "a", checkpoint_every=4)
    scores[:] = found
    with pytest.raises(KeyboardInterrupt):
        run(load(tiny_bert, dropout=True), tmp_path / "b", Killed(killed), checkpoint_every=4)
    scores[:] = found[2 if killed < 8 else 4 :]
    result = run(resumed, tmp_path / "b", checkpoint_every=4)
    assert not scores
    assert result.evaluations == expected.evaluations
    assert result.best == expected.best
    assert close(state(straight), state(resumed), 1e-6)


@pytest.mark.slow
def test_a_resumed_run_has_the_weights_that_were_best_at_its_checkpoint(tiny_bert, tmp_path, scores) -> None:
    """A later look that was better is forgotten with the steps after the checkpoint; on a GPU it may not come again."""
    resumed = load(tiny_bert)
    scores += [0.1, 0.5, 0.6]
    killed = load(tiny_bert)
    snapshots = Snapshots(killed)
    with pytest.raises(KeyboardInterrupt):
        run(killed, tmp_path / "m", Killed(7), snapshots, checkpoint_every=4)
    scores += [0.3, 0.2, 0.1, 0.0]
    result = run(resumed, tmp_path / "m", checkpoint_every=4)
    assert result.best == Evaluation(4, 0.5)
    assert close(state(resumed), state(snapshots.at[4]), 0)


def test_only_weights_that_may_be_wanted_stay_on_the_disk(tiny_bert, tmp_path, scores) -> None:
    scores += [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    with pytest.raises(KeyboardInterrupt):
        run(load(tiny_bert), tmp_path / "m", Killed(11), checkpoint_every=4)
    left = sorted(path.name for path in (tmp_path / "m.checkpoints").glob("best-*"))
    assert left == ["best-10.safetensors", "best-4.safetensors", "best-8.safetensors"]
    assert sorted(path.name for path in (tmp_path / "m.checkpoints").glob("checkpoint-*")) == [
        "checkpoint-4", "checkpoint-8"
    ]  # fmt: skip


@pytest.mark.slow
def test_patience_that_ran_out_at_a_checkpoint_stays_out(tiny_bert, tmp_path, scores, monkeypatch) -> None:
    """Killed between the last step and the saving, a run that patience ended must not train on."""
    from babelmix.training import trainer

    found = [0.5, 0.4, 0.9, 0.9, 0.9, 0.9]
    scores[:] = found
    straight, resumed = load(tiny_bert), load(tiny_bert)
    expected = run(straight, tmp_path / "a", checkpoint_every=4, patience=1)
    assert expected.steps == 4

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    scores[:] = found
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_save", dying)
        with pytest.raises(KeyboardInterrupt):
            run(load(tiny_bert), tmp_path / "b", checkpoint_every=4, patience=1)
    snapshots = Snapshots(resumed)
    result = run(resumed, tmp_path / "b", snapshots, checkpoint_every=4, patience=1)
    assert not snapshots.at
    assert result.evaluations == expected.evaluations
    assert (result.best, result.steps) == (expected.best, 4)
    assert [step for step, _ in result.losses] == [step for step, _ in expected.losses]
    assert close(state(straight), state(resumed), 0)


@pytest.mark.slow
def test_an_audit_in_between_changes_nothing(tiny_bert, tmp_path) -> None:
    """The looks at the validation corpus draw no chance and leave the encoder training."""
    looked, blind = load(tiny_bert, dropout=True), load(tiny_bert, dropout=True)
    snapshots = Snapshots(looked)
    run(looked, tmp_path / "a", snapshots)
    settings = flat_settings(**BASE | {"evaluate_every": 0})
    train(blind, parts()[0], settings, tmp_path / "b")
    assert close(state(snapshots.at[12]), state(blind), 0)


@pytest.mark.slow
def test_damaged_evaluations_are_one_sentence(tiny_bert, tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(load(tiny_bert), tmp_path / "m", Killed(5), checkpoint_every=4)
    file = tmp_path / "m.checkpoints" / "evaluations.json"
    whole = file.read_text()
    for damage in (whole[:-20], "[]", '{"evaluations": [{"step": 2}], "lower_is_better": false}', "\x00"):
        file.write_text(damage)
        with pytest.raises(TrainingError, match=r"evaluations.json: is damaged; delete .*m.checkpoints to start over"):
            run(load(tiny_bert), tmp_path / "m", checkpoint_every=4)


def test_damaged_best_weights_name_the_run_to_delete(tiny_bert, tmp_path) -> None:
    """Never a folder of the user's: the best weights lie higher than those of a checkpoint."""
    settings = flat_settings(**BASE)
    watcher = EarlyStopping(load(tiny_bert), parts()[1], settings, tmp_path / "m.checkpoints", {})
    watcher.evaluations = [Evaluation(2, 0.5)]
    advice = f"delete {tmp_path / 'm.checkpoints'} to start over"
    file = tmp_path / "m.checkpoints" / "best-2.safetensors"
    with pytest.raises(TrainingError, match=r"best-2.safetensors: is damaged") as caught:
        watcher.restore()
    assert str(caught.value).endswith(advice)
    file.parent.mkdir()
    file.write_bytes(b"\x00")
    with pytest.raises(TrainingError, match=r"best-2.safetensors: is damaged") as caught:
        watcher.restore()
    assert str(caught.value).endswith(advice)
    adapters = load(tiny_bert)
    weights.add_adapters(adapters, 2)
    weights.save_trained(adapters, file)
    with pytest.raises(TrainingError, match=r"best-2.safetensors: is of another encoder") as caught:
        watcher.restore()
    assert str(caught.value).endswith(advice)


def test_measures_and_settings_that_do_not_fit_are_refused(tiny_static, tmp_path) -> None:
    training, validation = parts()
    only_german = validation.only_langs(["de"])

    def one(validation: Corpus | None, **change: Any) -> None:
        settings = flat_settings(**BASE | change)
        train(copy.deepcopy(tiny_static), training, settings, tmp_path / "m", validation=validation)

    with pytest.raises(TrainingError, match="cross/mAP is not measured on toy/validation; there are mono/mAP, multi"):
        one(only_german, stop_on="cross/mAP")
    with pytest.raises(ValueError, match="there is no bias metric 'colour'"):
        one(validation, stop_on="bias/colour")
    with pytest.raises(ValueError, match="neither more nor less of it is better, so training cannot stop on it"):
        one(validation, stop_on="bias/same-language share@10")
    with pytest.raises(TrainingError, match="evaluate_every is set, but there is no validation corpus"):
        one(None)
    with pytest.raises(ValueError, match="'accuracy' is not SETTING/METRIC"):
        one(validation, stop_on="accuracy")
    with pytest.raises(ValueError, match="there is no metric 'accuracy'"):
        one(validation, stop_on="multi/accuracy")
    assert not (tmp_path / "m").exists()


def test_all_ranks_have_read_the_best_weights_before_they_are_deleted(
    tiny_bert, tmp_path, scores, monkeypatch
) -> None:
    """Rank 0 saves and clears up; it must not do so while another rank still reads."""
    from babelmix.training import trainer

    events: list[str] = []
    for place, name in ((EarlyStopping, "restore"), (_processes, "wait_for_all"), (trainer, "_save")):
        original = getattr(place, name)

        def noted(*arguments: Any, _original: Any = original, _name: str = name) -> Any:
            events.append(_name)
            return _original(*arguments)

        monkeypatch.setattr(place, name, noted)
    scores += [0.5, 0.4]
    run(load(tiny_bert), tmp_path / "m", steps=4, checkpoint_every=0)
    assert events == ["restore", "wait_for_all", "_save"]


def test_weights_are_finite_or_training_diverged(tiny_static, tmp_path) -> None:
    class Broken(TrainerCallback):
        def on_step_end(self, args, state, control, model=None, **kwargs):
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))

    with pytest.raises(TrainingError, match="training diverged"):
        train(
            copy.deepcopy(tiny_static), parts()[0], flat_settings(**BASE | {"evaluate_every": 0}), tmp_path / "m",
            callbacks=[Broken()],
        )  # fmt: skip
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_what_is_told_is_of_what_is_saved(tiny_static, tmp_path) -> None:
    encoder = copy.deepcopy(tiny_static)
    result = run(encoder, tmp_path / "m", start_share=0.9, strategy="cross", learning_rate=0.05)
    found = audit(load(tmp_path / "m"), parts()[1], name="saved", store=False).macro("multi/mAP")
    assert result.best is not None
    assert result.best.score == pytest.approx(found, abs=1e-9)


def test_a_look_at_a_broken_encoder_says_that_training_diverged(tiny_static, tmp_path) -> None:
    with pytest.raises(TrainingError, match="training diverged"):
        run(copy.deepcopy(tiny_static), tmp_path / "m", learning_rate=1e38)
