"""Scores of texts and images by UNITER: of all pairs, or of those a first stage thinks best."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_uniter import TEXTS, images, small

from babelmix.encoders.uniter import Regions, score_matrix, score_pairs, scoring
from babelmix.encoders.uniter.scoring import _before_all_others
from babelmix.errors import EncoderError


def test_reranking_all_is_scoring_all() -> None:
    model, found = small(), images(5)
    full = score_matrix(model, TEXTS, found)
    assert (full.mode, full.k, full.query, full.pairs) == ("full", None, None, 30)
    pairs = np.stack(np.meshgrid(np.arange(len(TEXTS)), np.arange(5), indexing="ij"), -1).reshape(-1, 2)
    np.testing.assert_allclose(full.scores.ravel(), score_pairs(model, TEXTS, found, pairs), atol=2e-6)
    first = np.random.default_rng(0).random((len(TEXTS), 5), dtype=np.float32)
    for query, k in (("text", 5), ("image", 6), ("text", 99)):
        again = score_matrix(model, TEXTS, found, mode="rerank-topk", first_stage=first, k=k, query=query)
        assert (again.mode, again.k, again.query, again.pairs) == (
            "rerank-topk",
            min(k, 5 + (query == "image")),
            query,
            30,
        )
        np.testing.assert_allclose(again.scores, full.scores, atol=2e-6)


def test_blocks_of_texts_and_images_change_nothing(monkeypatch) -> None:
    model, found = small(), images(5)
    whole = score_matrix(model, TEXTS, found).scores
    # The last pairs name texts and images of other blocks, and some twice.
    pairs = np.array([[5, 4], [0, 0], [5, 0], [3, 2], [0, 4], [5, 4], [1, 2]])
    monkeypatch.setattr(scoring, "_TEXTS", 2)
    monkeypatch.setattr(scoring, "_IMAGES", 2)
    np.testing.assert_allclose(score_matrix(model, TEXTS, found).scores, whole, atol=2e-6)
    np.testing.assert_allclose(score_pairs(model, TEXTS, found, pairs), whole[pairs[:, 0], pairs[:, 1]], atol=2e-6)


@pytest.mark.parametrize("query", ["text", "image"])
def test_what_is_reranked_stands_first_and_all_else_in_the_first_order(query) -> None:
    model, found = small(), images(5)
    # Few values, so that there are ties, at the border too.
    first = np.random.default_rng(1).integers(0, 3, (len(TEXTS), 5)).astype(np.float32)
    full = score_matrix(model, TEXTS, found).scores
    result = score_matrix(model, TEXTS, found, mode="rerank-topk", first_stage=first, k=2, query=query)
    assert result.pairs == 2 * (len(TEXTS) if query == "text" else 5)
    if query == "image":
        first, full, scores = first.T, full.T, result.scores.T
    else:
        scores = result.scores
    for before, wanted, row in zip(first, full, scores, strict=True):
        best = np.argsort(-before, kind="stable")[:2]
        rest = np.argsort(-before, kind="stable")[2:]
        order = np.argsort(-row, kind="stable")
        assert order.tolist() == [*best[np.argsort(-wanted[best], kind="stable")], *rest]
        np.testing.assert_allclose(row[best], wanted[best], atol=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_law_of_order(data) -> None:
    queries, answers = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 9))
    k = data.draw(st.integers(1, answers))
    cell = st.sampled_from([-3e38, -2.0, -1.0000001, -1.0, 0.0, 1e-40, 1.0, 3e38])
    first = np.array(
        data.draw(st.lists(cell, min_size=queries * answers, max_size=queries * answers)), dtype=np.float32
    )
    first = first.reshape(queries, answers)
    best = np.stack([np.argsort(-row, kind="stable")[:k] for row in first])
    score = st.floats(-1e4, 1e4, width=32)
    read = data.draw(st.lists(score, min_size=queries * k, max_size=queries * k))
    read = np.array(read, dtype=np.float32).reshape(queries, k)
    result = _before_all_others(first, best, read)
    for before, chosen, own, row in zip(first, best, read, result, strict=True):
        rest = np.setdiff1d(np.arange(answers), chosen)
        assert np.array_equal(row[chosen], own)
        if len(rest):
            assert row[rest].max() < read.min()
            for compare in (np.less, np.equal):
                assert np.array_equal(compare.outer(row[rest], row[rest]), compare.outer(before[rest], before[rest]))


def test_the_mode_of_every_module_is_restored() -> None:
    model, found = small().train(), images(2)
    model.cls.eval()
    before = [module.training for module in model.modules()]
    once = score_matrix(model, TEXTS, found).scores
    assert [module.training for module in model.modules()] == before
    assert np.array_equal(once, score_matrix(model, TEXTS, found).scores)  # No dropout.
    with pytest.raises(EncoderError, match="text 1 is empty"):
        score_matrix(model, ["cat", ""], found)
    assert [module.training for module in model.modules()] == before
    assert all(parameter.grad is None for parameter in model.parameters())


def test_scores_that_cannot_be_given() -> None:
    model, found = small(), images(3)
    first = np.zeros((len(TEXTS), 3), dtype=np.float32)
    with pytest.raises(EncoderError, match="leave first-stage scores out"):
        score_matrix(model, TEXTS, found, first_stage=first)
    rerank = {"mode": "rerank-topk", "first_stage": first}
    for changed, match in (
        ({"first_stage": None}, "needs first-stage"),
        ({"first_stage": first.T}, r"of shape \(6, 3\), but of \(3, 6\)"),
        ({"first_stage": first + np.nan}, "not finite"),
        ({"k": 0}, "best 0 answers"),
        ({"query": "region"}, "neither"),
        ({"mode": "some"}, "no mode 'some'"),
        ({"batch_size": 0}, "a batch of 0"),
    ):
        with pytest.raises(EncoderError, match=match):
            score_matrix(model, TEXTS, found, **{**rerank, **changed})
    for texts, regions in (([], found), (TEXTS, [])):
        with pytest.raises(EncoderError, match="nothing to score"):
            score_matrix(model, texts, regions)
    for pairs, match in (
        (np.array([[0, 3]]), "pair 0 names row 3 of 3 images"),
        (np.array([[0, 0], [-1, 0]]), "pair 1 names row -1 of 6 texts"),
        (np.zeros((2, 3), dtype=int), "shape"),
        (np.zeros((2, 2)), "float64"),
    ):
        with pytest.raises(EncoderError, match=match):
            score_pairs(model, TEXTS, found, pairs)
    assert score_pairs(model, TEXTS, found, np.zeros((0, 2), dtype=np.int64)).shape == (0,)
    wide = Regions(np.ones((2, 9), dtype=np.float32), np.ones((2, 7), dtype=np.float32))
    with pytest.raises(EncoderError, match="image 3: its regions have 9 features, but the model reads 6"):
        score_pairs(model, TEXTS, [*found, wide], np.array([[0, 3]]))
    with torch.no_grad():
        model.rank_output.bias[0] = float("inf")
    with pytest.raises(EncoderError, match="not finite"):
        score_matrix(model, TEXTS, found)
