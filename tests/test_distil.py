"""Distilling texts: from another encoder's English, or from the start itself."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import flat_settings, parallel_corpus
from sentence_transformers import SentenceTransformer

from babelmix.batches import BatchPlan, strategy
from babelmix.encoders import load_encoder, static
from babelmix.errors import TrainingError
from babelmix.training import TrainingData, TrainingSettings, train
from babelmix.training.distil import StepTextTargets
from babelmix.training.losses import loss_of
from babelmix.training.settings import changed

CORPUS = parallel_corpus()


def settings_of(**given: Any) -> TrainingSettings:
    return flat_settings(**{"strategy": "cross", "steps": 60, "batch_size": 8, "learning_rate": 1e-2, **given})


def unit(encoder: SentenceTransformer, lang: str, side: str = "passages") -> np.ndarray:
    """Embeddings of length one of a language's texts, in the order of items."""
    table = getattr(CORPUS.only_langs([lang]), side).sort_by("item")
    return encoder.encode(table["text"].to_pylist(), normalize_embeddings=True)


def nearness(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum(axis=1).mean())


def test_translations_move_to_the_teacher_s_english(tiny_static, tmp_path: Path) -> None:
    teacher = copy.deepcopy(tiny_static)
    teacher.save(str(tmp_path / "teacher"))
    texts = [*CORPUS.queries["text"].to_pylist(), *CORPUS.passages["text"].to_pylist()]
    student = static.from_scratch(texts, vocabulary=200, dimension=16, seed=1)
    before = nearness(unit(student, "ja"), unit(teacher, "en"))
    train(student, CORPUS, settings_of(distil_from=str(tmp_path / "teacher"), steps=200), tmp_path / "student")
    for lang in ("de", "en", "ja"):
        assert nearness(unit(student, lang), unit(teacher, "en")) > before + 0.4
        assert nearness(unit(student, lang, "queries"), unit(teacher, "en", "queries")) > 0.6


@pytest.mark.slow
def test_the_start_itself_holds_the_encoder_back(tiny_bert: Path, tmp_path: Path) -> None:
    moved = {}
    start = load_encoder(str(tiny_bert))
    for share in (0.0, 0.9):
        encoder = load_encoder(str(tiny_bert))
        distil = {"distil_from": "start", "distil_text": "itself", "distil_share": share} if share else {}
        train(encoder, CORPUS, settings_of(steps=20, learning_rate=1e-3, **distil), tmp_path / f"{share}")
        moved[share] = 1 - nearness(unit(encoder, "de"), unit(start, "de"))
    assert 0 < moved[0.9] < 0.5 * moved[0.0]


@pytest.mark.parametrize("english", [True, False], ids=["english", "itself"])
@pytest.mark.parametrize("share", [1.0, 0.3])
def test_the_loss_is_that_of_its_formula(tiny_static, english: bool, share: float) -> None:
    encoder, teacher = copy.deepcopy(tiny_static), copy.deepcopy(tiny_static)
    settings = settings_of(
        distil_from="start", distil_text="english" if english else "itself", distil_share=share, temperature=0.1
    )
    settings = changed(settings, {"loss.reverse": 0.0, "loss.reverse_kl": 0.0})
    data = TrainingData(CORPUS)
    plan = BatchPlan(data.index, strategy("cross"), 8, seed=3)
    rows = StepTextTargets(data, plan, teacher, english=english)[5]
    batch = plan[5]
    with torch.no_grad():
        encoder[0].embedding.weight.add_(0.05 * torch.randn_like(encoder[0].embedding.weight))
        features = [encoder.preprocess([row[column] for row in rows]) for column in ("query", "passage")]
        found = float(loss_of(encoder, settings, data)(features, torch.stack([row["label"] for row in rows])))
    query, passage = (
        encoder.encode([row[c] for row in rows], normalize_embeddings=True) for c in ("query", "passage")
    )
    targets = []
    for side, numbers, kind in (("queries", batch.query_rows, "query"), ("passages", batch.passage_rows, "passage")):
        table = getattr(CORPUS, side).to_pylist()
        first = {row["item"]: row["text"] for row in table if row["lang"] == "en"}
        texts = [first[table[n]["item"]] if english else table[n]["text"] for n in numbers]
        assert english or texts == [row[kind] for row in rows]
        targets.append(teacher.encode(texts, normalize_embeddings=True))
    distance = np.mean([1 - (query * targets[0]).sum(1), 1 - (passage * targets[1]).sum(1)]) / 0.1
    logits = query @ passage.T / 0.1
    contrast = np.mean(np.log(np.exp(logits).sum(1)) - np.diag(logits))
    assert found == pytest.approx((1 - share) * contrast + share * distance if share < 1 else distance, abs=1e-4)


def test_what_does_not_fit_is_refused(tiny_static, tiny_bert: Path, tmp_path: Path) -> None:
    other = {"teacher": str(tiny_bert), "projection": False}
    with pytest.raises(
        TrainingError, match=r"have 32 dimensions and the encoder's 16: .* leave distillation\.projection out"
    ):
        train(copy.deepcopy(tiny_static), CORPUS, settings_of(distillation=other), tmp_path / "a")
    with pytest.raises(TrainingError, match="no English text for the teacher to read"):
        train(
            copy.deepcopy(tiny_static),
            CORPUS.only_langs(["de", "ja"]),
            settings_of(distil_from="start"),
            tmp_path / "b",
        )
