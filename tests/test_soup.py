"""The model soup: which weights are averaged, and that a resumed run has the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import flat_settings
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from test_stopping import BASE, Snapshots, parts, run, scores
from test_training_options import Killed, close, load, state

from babelmix.errors import TrainingError
from babelmix.evaluation import audit
from babelmix.training import train, trainer
from babelmix.training.settings import TrainingSettings
from babelmix.training.soup import Soup, greedy_soup

__all__ = ["scores"]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6), lower=st.booleans())
def test_a_soup_is_that_of_the_paper(seed: int, count: int, lower: bool) -> None:
    """Recipe 1, with every average computed anew from its ingredients."""
    generator = np.random.default_rng(seed)
    weights = {step: {"w": torch.from_numpy(generator.normal(size=3).astype(np.float32))} for step in range(count)}
    goal = torch.from_numpy(generator.normal(size=3).astype(np.float32))

    def score(found: Any) -> float:
        distance = float((found["w"] - goal).norm())
        return distance if lower else -distance

    order = sorted(weights, key=lambda step: score(weights[step]) if lower else -score(weights[step]))
    kept: list[int] = []
    for step in order:
        tried = [
            {"w": torch.stack([weights[one]["w"] for one in chosen]).mean(0)}
            for chosen in (kept, [*kept, step])
            if chosen
        ]
        if len(tried) == 1 or (score(tried[1]) <= score(tried[0]) if lower else score(tried[1]) >= score(tried[0])):
            kept.append(step)
    soup, found = greedy_soup(order, score(weights[order[0]]), weights.__getitem__, score, lower_is_better=lower)
    assert soup.steps == tuple(kept)
    assert soup.score == pytest.approx(score(found), abs=1e-6)
    assert torch.allclose(found["w"], torch.stack([weights[one]["w"] for one in kept]).mean(0), atol=1e-6)


# So high rates that the audits of single steps differ by chance.
@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.4},
        {"learning_rate": 0.8, "stop_on": "bias/rank distance", "start_share": 0.25, "strategy": "mono"},
    ],
)
def test_the_saved_weights_are_the_soup_of_the_best_audits(
    tiny_static, tmp_path: Path, change: dict[str, Any]
) -> None:
    encoder, start = copy.deepcopy(tiny_static), state(tiny_static)
    snapshots = Snapshots(encoder)
    result = run(encoder, tmp_path / "m", snapshots, schedule={"soup": 4}, **change)
    name, sign = change.get("stop_on", "multi/mAP"), 1 if "stop_on" in change else -1
    share = change.get("start_share", 0.0)

    def found(steps: list[int]) -> tuple[dict[str, torch.Tensor], float]:
        """The average of some steps with the start, and its audit."""
        states = [state(snapshots.at[step]) for step in steps]
        mean = {
            key: (1 - share) * torch.stack([one[key] for one in states]).mean(0) + share * start[key] for key in start
        }
        other = copy.deepcopy(tiny_static)
        other.load_state_dict(mean)
        return mean, audit(other, parts()[1], name="x", store=False).macro(name)

    looks = {step: found([step])[1] for step in (2, 4, 6, 8, 10, 12)}
    order = sorted(looks, key=lambda step: sign * looks[step])[:4]
    kept = order[:1]
    for step in order[1:]:
        if sign * found([*kept, step])[1] <= sign * found(kept)[1]:
            kept.append(step)
    assert result.soup is not None
    assert list(result.soup.steps) == kept
    assert len(kept) > 1
    assert result.best is not None
    assert result.best.step == order[0]
    mean, score = found(kept)
    assert result.soup.score == pytest.approx(score)
    assert close(state(encoder), mean, 1e-6)
    assert close(state(SentenceTransformer(str(tmp_path / "m"))), mean, 1e-6)
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert record["soup"] == {"steps": kept, "score": pytest.approx(score)}
    assert (
        f"the average of those of steps {', '.join(map(str, kept[:-1]))} and {kept[-1]}, chosen on the validation"
        in (tmp_path / "m" / "README.md").read_text()
    )
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_soup_of_one_is_the_best(tiny_static, tmp_path: Path, scores: list[float]) -> None:
    encoder = copy.deepcopy(tiny_static)
    snapshots = Snapshots(encoder)
    # Six audits, and two averages that are worse than the best.
    scores += [0.1, 0.5, 0.4, 0.3, 0.2, 0.1, 0.45, 0.49]
    result = run(encoder, tmp_path / "m", snapshots, schedule={"soup": 3})
    assert not scores
    assert result.soup == Soup((4,), 0.5)
    assert close(state(encoder), state(snapshots.at[4]), 0)
    assert "The weights are those of step 4, the best" in (tmp_path / "m" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("killed", [5, 7, 9, "in the soup"])
def test_a_resumed_run_has_the_same_soup(
    tiny_bert: Path, tmp_path: Path, scores: list[float], killed: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, soup = [0.5, 0.1, 0.3, 0.6, 0.2, 0.1], [0.65, 0.64]
    given = {"checkpoint_every": 4, "schedule": {"soup": 3}}
    straight, resumed = load(tiny_bert, dropout=True), load(tiny_bert, dropout=True)
    scores += found + soup
    expected = run(straight, tmp_path / "a", **given)
    assert expected.soup == Soup((8, 2), 0.65)
    scores[:] = found + soup

    def dying(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if killed == "in the soup":
            patch.setattr(trainer, "_save", dying)
        with pytest.raises(KeyboardInterrupt):
            run(
                load(tiny_bert, dropout=True),
                tmp_path / "b",
                *([Killed(killed)] if isinstance(killed, int) else []),
                **given,
            )
    done = 12 if killed == "in the soup" else 4 if int(killed) < 8 else 8
    scores[:] = found[done // 2 :] + soup
    result = run(resumed, tmp_path / "b", **given)
    assert not scores
    assert (result.soup, result.best, result.evaluations) == (expected.soup, expected.best, expected.evaluations)
    assert close(state(straight), state(resumed), 1e-6)


def test_the_disk_has_the_weights_that_a_soup_may_need(tiny_bert: Path, tmp_path: Path, scores: list[float]) -> None:
    scores += [0.1, 0.2, 0.3, 0.4, 0.05]
    with pytest.raises(KeyboardInterrupt):
        run(load(tiny_bert), tmp_path / "m", Killed(11), checkpoint_every=4, schedule={"soup": 2})
    left = {path.stem for path in (tmp_path / "m.checkpoints").glob("best-*")}
    # The best two of all, and the best two at the checkpoints of steps 4 and 8.
    assert left == {"best-2", "best-4", "best-6", "best-8"}


def test_what_does_not_fit_is_refused(tiny_static, tmp_path: Path, babelmix) -> None:
    with pytest.raises(TrainingError, match=r"schedule\.soup averages .* there is none; name one"):
        train(
            copy.deepcopy(tiny_static), parts()[0],
            flat_settings(**BASE | {"evaluate_every": None, "schedule": {"soup": 2}}), tmp_path / "m",
        )  # fmt: skip
    with pytest.raises(ValueError, match=r"schedule\.soup .* weights\.lora_rank"):
        TrainingSettings(schedule={"soup": 2}, weights={"lora_rank": 4})
    training, validation = parts()
    training.save(tmp_path / "training")
    validation.save(tmp_path / "validation")
    code, out, err = babelmix(
        "train", "-c", str(tmp_path / "training"), "--validation", str(tmp_path / "validation"), "--model", "static",
        "--steps", "4", "--evaluate-every", "2", "--soup", "2", "--json", "--out", str(tmp_path / "made"),
    )  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["settings"]["schedule"]["soup"] == 2
