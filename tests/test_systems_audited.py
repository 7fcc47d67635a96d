"""`babelmix.audit` takes systems that score every passage, and keeps the first answers to each query."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import babelmix as bm
from babelmix.corpus import Corpus
from babelmix.errors import ArgumentError
from babelmix.evaluation import Audit
from babelmix.evaluation.systems import ScoreMatrix


@pytest.fixture
def corpus() -> Corpus:
    rows = [{"item": i, "lang": lang, "text": f"{i} {lang}"} for i in "ab" for lang in ("de", "en")]
    return Corpus.from_rows(rows, rows, [("a", "a"), ("b", "b")], name="two")


@pytest.fixture
def scores() -> np.ndarray:
    return np.array([[4, 3, 2, 1], [3, 4, 1, 2], [2, 1, 4, 3], [1, 2, 3, 4]], dtype=np.float32)


def test_scores_are_audited_saved_and_found_finished(corpus: Corpus, scores: np.ndarray, tmp_path: Path) -> None:
    calls = []

    def computed() -> np.ndarray:
        calls.append(1)
        return scores

    report = bm.audit(ScoreMatrix("mine", computed), corpus, out=tmp_path / "one")
    assert report.name == "mine"
    assert report.macro("multi/mAP") == 1.0
    again = bm.audit(ScoreMatrix("mine", computed), corpus, out=tmp_path / "one")
    assert calls == [1]
    assert again.macro("multi/mAP") == 1.0


def test_the_first_answers_are_kept_with_the_ranks(corpus: Corpus, scores: np.ndarray, tmp_path: Path) -> None:
    found = bm.audit(ScoreMatrix("mine", scores), corpus, out=tmp_path / "one").audit.table.first
    assert found is not None
    assert found.tolist() == np.argsort(-scores, axis=1, kind="stable").tolist()
    loaded = Audit.load(tmp_path / "one").table.first
    assert loaded is not None
    assert loaded.tolist() == found.tolist()


def test_two_systems_are_compared(corpus: Corpus, scores: np.ndarray) -> None:
    reports = bm.audit([ScoreMatrix("good", scores), ScoreMatrix("bad", -scores)], corpus)
    assert reports.reports["good"].macro("multi/mAP") == 1.0
    assert reports.reports["bad"].macro("multi/mAP") < 0.5


def test_an_argument_for_encoders_is_refused(corpus: Corpus, scores: np.ndarray) -> None:
    with pytest.raises(ArgumentError, match="is for encoders, and mine is none"):
        bm.audit(ScoreMatrix("mine", scores), corpus, max_seq_length=64)
