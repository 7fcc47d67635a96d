"""Losses from outside the package: they train, and what does not go with them is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import parallel_corpus, picture_corpus
from sentence_transformers import SentenceTransformer
from test_negatives import with_negatives

from babelmix import extend
from babelmix.encoders.kinds import make_encoder
from babelmix.errors import ConfigError, TrainingError
from babelmix.training import LOSSES, TrainingSettings, train

SEEN: list[tuple[int, float]] = []
"""Columns of each step, and the temperature, as the loss of the tests sees them."""


class Distance(torch.nn.Module):
    """The mean squared distance between the first two columns."""

    def __init__(self, encoder: SentenceTransformer, temperature: float) -> None:
        super().__init__()
        self.model, self.temperature = encoder, temperature

    def forward(self, features: Any, labels: torch.Tensor | None = None) -> torch.Tensor:
        embedded = [self.model(dict(column))["sentence_embedding"] for column in features]
        SEEN.append((len(embedded), self.temperature))
        return (embedded[0] - embedded[1]).square().sum(1).mean()


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    SEEN.clear()
    extend.loss("distance")(lambda encoder, settings: Distance(encoder, settings.loss.temperature))
    yield
    LOSSES.unregister("distance")


def distance(encoder: SentenceTransformer) -> float:
    corpus = parallel_corpus()
    rows = {(r["item"], r["lang"]): r["text"] for r in corpus.passages.to_pylist()}
    pairs = [(r["text"], rows[r["item"], r["lang"]]) for r in corpus.queries.to_pylist()]
    queries, passages = (encoder.encode(list(side), normalize_embeddings=True) for side in zip(*pairs, strict=True))
    return float(np.square(queries - passages).sum(1).mean())


def test_an_own_loss_is_what_a_run_makes_smaller(tiny_static, tmp_path: Path) -> None:
    encoder = copy.deepcopy(tiny_static)
    settings = TrainingSettings(steps=30, batch_size=8, learning_rate=0.05, loss={"name": "distance"})
    result = train(encoder, parallel_corpus(), settings, tmp_path / "m")
    assert distance(encoder) < distance(tiny_static) / 2
    assert set(SEEN) == {(2, 0.05)}
    # Of the recipe everything but the term that is part of InfoNCE.
    assert (result.settings.recipe, result.settings.strategy) == ("best", "hybrid")
    assert (result.settings.loss.consistency, result.settings.weights.start_share) == (0.0, 0.15)
    record = json.loads((tmp_path / "m" / "training.json").read_text())
    assert record["settings"]["loss"]["name"] == "distance"
    assert "| loss.name | distance |" in (tmp_path / "m" / "README.md").read_text()


def test_an_own_loss_has_hard_negatives_and_the_temperature(tiny_static, tmp_path: Path) -> None:
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    settings = TrainingSettings(strategy="mono", steps=2, batch_size=8, loss={"name": "distance", "temperature": 0.5})
    train(copy.deepcopy(tiny_static), corpus, settings, tmp_path / "m")
    assert set(SEEN) == {(3, 0.5)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loss": {"name": "distance", "consistency": 0.5}}, "consistency is a term of info_nce"),
        ({"loss": {"name": "distance", "reverse": 0.4}}, "reverse is a term of info_nce"),
        ({"loss": {"name": "distance", "lakda": 0.4}}, "lakda is a term of info_nce"),
        ({"loss": {"name": "distance", "mini_batch_size": 4}}, "GradCache is for info_nce"),
        ({"distillation": {"teacher": "start"}}, "a teacher goes with info_nce"),
        ({"strategy": "one_to_k"}, "one_to_k batches go with info_nce"),
        ({"strategy": "hybrid(0.5, one_to_k(2))"}, "one_to_k batches go with info_nce"),
        ({"loss": {"name": "distnce"}}, "there is no loss 'distnce'; there are info_nce, distance"),
    ],
)
def test_what_does_not_go_with_an_own_loss_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**{"loss": {"name": "distance"}, **change})


def test_an_own_loss_is_a_module_and_for_texts(tiny_static, tmp_path: Path) -> None:
    settings = TrainingSettings(steps=1, batch_size=4, loss={"name": "distance"})
    pictures = picture_corpus()
    dual = make_encoder("tiny-clip", pictures.queries["text"].to_pylist(), dimension=16)
    with pytest.raises(TrainingError, match="the loss distance is for texts"):
        train(dual, pictures, settings, tmp_path / "m", base="tiny-clip")
    extend.loss("distance")(lambda encoder, settings: 3)  # type: ignore[arg-type,return-value]
    with pytest.raises(TrainingError, match=r"its factory must return a torch\.nn\.Module, not int"):
        train(copy.deepcopy(tiny_static), parallel_corpus(), settings, tmp_path / "m")
    with pytest.raises(ConfigError, match="part of babelmix"):
        extend.loss("info_nce")(lambda encoder, settings: Distance(encoder, 1.0))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            lambda found: found.expand(3),
            r"the loss 'distance': its forward returns a tensor of shape \(3,\); it must return a",
        ),
        (lambda found: found.detach(), "the loss 'distance': its forward returns a tensor without a gradient"),
        (lambda found: found.item(), "the loss 'distance': its forward returns a float"),
        (lambda found: found @ found, "the loss 'distance' is not babelmix's own: look at it first"),
    ],
)
def test_what_an_own_loss_returns_is_checked(tiny_static, tmp_path: Path, value: Any, message: str) -> None:
    class Wrong(Distance):
        def forward(self, features: Any, labels: torch.Tensor | None = None) -> torch.Tensor:
            found: torch.Tensor = value(super().forward(features, labels))
            return found

    extend.loss("distance")(lambda encoder, settings: Wrong(encoder, 1.0))
    settings = TrainingSettings(steps=1, batch_size=4, loss={"name": "distance"})
    with pytest.raises(TrainingError, match=message):
        train(copy.deepcopy(tiny_static), parallel_corpus(), settings, tmp_path / "m")
    if "its forward" in message:
        settings = TrainingSettings(steps=1, batch_size=4)
        with pytest.raises(TrainingError, match=message.replace("distance", "Wrong")):
            train(
                copy.deepcopy(tiny_static), parallel_corpus(), settings, tmp_path / "m", loss=lambda one: Wrong(one, 1.0)
            )  # fmt: skip
