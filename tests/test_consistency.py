"""The consistency of renderings: what is drawn, what the loss is, and that it does what it is for."""

from __future__ import annotations

import copy
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
import torch
from conftest import flat_settings, parallel_corpus, picture_corpus, sparse_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from test_negatives import with_negatives
from test_training_options import BASE, Gradients, close

from babelmix.batches import BatchPlan, strategy
from babelmix.batches.renderings import NONE, OtherRenderings
from babelmix.corpus import Corpus
from babelmix.encoders import load_encoder
from babelmix.encoders.dual import make_dual
from babelmix.errors import TrainingError
from babelmix.evaluation import audit
from babelmix.training import ResolvedSettings, TrainingData, resolve, train
from babelmix.training.consistency import SIDES, StepRenderings, of_passages, of_queries
from babelmix.training.losses import CachedColumnLoss, loss_of

COLUMN = {"queries": "query", "passages": "passage"}


def holed() -> Corpus:
    """The toy corpus with hard negatives, in which every fourth item is in one language only."""
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    keep = lambda row: row["lang"] == "de" or int(row["item"].lstrip("qpi")) % 4
    tables = [[row for row in t.to_pylist() if keep(row)] for t in (corpus.queries, corpus.passages)]
    pairs = [[tuple(row.values())[:2] for row in t.to_pylist()] for t in (corpus.qrels, corpus.negatives)]
    return Corpus.from_rows(*tables, pairs[0], negatives=pairs[1], name="holed")


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), keep=st.sampled_from([0.3, 0.8]), side=st.sampled_from(["queries", "passages"]))
def test_another_rendering_is_of_the_same_item_and_in_another_language(seed: int, keep: float, side: str) -> None:
    corpus = sparse_corpus(np.random.default_rng(seed), 12, ("de", "en", "fr"), keep)
    table = getattr(corpus, side).to_pylist()
    rows = np.arange(len(table))
    drawn = OtherRenderings(corpus, side).draw(rows, seed)
    for row, found in zip(rows, drawn, strict=True):
        others = [o for o in table if o["item"] == table[row]["item"] and o["lang"] != table[row]["lang"]]
        assert (found == NONE) == (not others)
        if others:
            assert table[found]["item"] == table[row]["item"]
            assert table[found]["lang"] != table[row]["lang"]
    whole = OtherRenderings(corpus, side).draw(rows, seed)
    # With little coverage a corpus may have no more rows than the first part.
    parts = [
        OtherRenderings(corpus, side).draw(part, seed, first=first, of=len(rows))
        for first, part in ((0, rows[:4]), (4, rows[4:]))
        if len(part)
    ]
    assert np.concatenate(parts).tolist() == whole.tolist()


def test_the_languages_of_renderings_are_uniform() -> None:
    corpus = parallel_corpus()
    langs = corpus.passages["lang"].to_pylist()
    rows = np.array([i for i, lang in enumerate(langs) if lang == "de"])
    others = OtherRenderings(corpus, "passages")
    counts = Counter(langs[row] for key in range(60) for row in others.draw(rows, key))
    assert set(counts) == {"en", "fr", "ja"}
    assert all(abs(count - 800) < 5 * 800**0.5 for count in counts.values())


def test_the_languages_of_renderings_follow_the_plan_s_weights() -> None:
    corpus = parallel_corpus()
    langs = corpus.passages["lang"].to_pylist()
    rows = np.array([i for i, lang in enumerate(langs) if lang == "de"])
    others = OtherRenderings(corpus, "passages", {"ja": 1.0, "fr": 2.0, "de": 9.0, "en": 5.0})
    counts = Counter(langs[row] for key in range(60) for row in others.draw(rows, key))
    assert set(counts) == {"en", "fr", "ja"}
    for lang, share in {"en": 5 / 8, "fr": 2 / 8, "ja": 1 / 8}.items():
        assert abs(counts[lang] - 2400 * share) < 5 * (2400 * share) ** 0.5
    # Of a corpus whose languages differ in size, the plan's temperature says by how much.
    small = [row for row in corpus.queries.to_pylist() if row["lang"] != "ja" or int(row["item"][1:]) < 4]
    pairs = [(f"i{i}", f"i{i}") for i in range(40)]
    data = TrainingData(Corpus.from_rows(small, corpus.passages.to_pylist(), pairs, name="toy"))
    by_text = {row["text"]: row["lang"] for row in corpus.passages.to_pylist()}
    found = {}
    for temperature in (0.0, 1.0):
        plan = BatchPlan(data.index, strategy("mono"), 4, language_temperature=temperature)
        steps = StepRenderings(data, plan, "passages")
        rendered = [row for step in range(300) for row in steps[step] if by_text[row["passage"]] == "de"]
        found[temperature] = sum(by_text[row["other_passage"]] == "ja" for row in rendered) / len(rendered)
    # Of en, fr and ja: one in three, or 4 in 84.
    assert abs(found[0.0] - 1 / 3) < 0.1
    assert abs(found[1.0] - 4 / 84) < 0.05


def slow_symmetric_kl(p: np.ndarray, q: np.ndarray) -> float:
    return float(sum(a * np.log(a / b) + b * np.log(b / a) for a, b in zip(p, q, strict=True)))


def test_the_terms_are_divergences_of_whole_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = 3 * torch.randn(5, 9, generator=generator, dtype=torch.float64)
    others, own = 3 * torch.randn(5, 9, generator=generator, dtype=torch.float64), torch.tensor([2, 3, 4, 5, 6])
    answers = others[:, 0]
    for row in range(5):
        p = scipy.special.softmax(scores[row].numpy())
        changed = scores[row].numpy().copy()
        changed[own[row]] = answers[row]
        assert of_passages(scores, answers, own)[row] == pytest.approx(
            slow_symmetric_kl(p, scipy.special.softmax(changed))
        )
        assert of_queries(scores, others)[row] == pytest.approx(
            slow_symmetric_kl(p, scipy.special.softmax(others[row].numpy()))
        )
    # Two renderings with one score cost nothing; gradients pull their scores towards each other.
    assert of_passages(scores, scores.gather(1, own[:, None])[:, 0], own).abs().max() < 1e-12
    a, b = scores.clone().requires_grad_(), answers.clone().requires_grad_()
    of_passages(a, b, own).sum().backward()
    mine = a.grad.gather(1, own[:, None])[:, 0]
    apart = (scores.gather(1, own[:, None])[:, 0] - answers).sign()
    assert torch.equal(mine.sign(), apart)
    assert torch.equal(b.grad.sign(), -apart)


def slow_loss(encoder: Any, rows: list[dict[str, Any]], given: ResolvedSettings) -> float:
    """From the definition, row by row."""

    def unit(column: str) -> np.ndarray:
        encode = encoder.encode_query if "query" in column else encoder.encode_document
        return encode([row[column] for row in rows], normalize_embeddings=True).astype(np.float64)

    query, passages = unit("query"), np.concatenate([unit(c) for c in ("passage", "negative") if c in rows[0]])
    loss = 0.0
    for i, row in enumerate(rows):
        scores = passages @ query[i] / given.loss.temperature
        p = scipy.special.softmax(scores)
        loss -= np.log(p[i])
        for side, there in zip(SIDES[given.loss.consistency_of], row["label"], strict=True):
            other = unit(f"other_{COLUMN[side]}")[i]
            if side == "passages":
                changed = scores.copy()
                changed[i] = query[i] @ other / given.loss.temperature
            else:
                changed = passages @ other / given.loss.temperature
            loss += given.loss.consistency * there * slow_symmetric_kl(p, scipy.special.softmax(changed))
    return loss / len(rows)


@pytest.mark.parametrize("spec", ["mono", "cross"])
@pytest.mark.parametrize("of", ["passages", "queries", "both"])
@pytest.mark.parametrize("mini_batch_size", [0, 3])
def test_the_loss_is_that_of_its_formula(tiny_bert: Path, spec: str, of: str, mini_batch_size: int) -> None:
    encoder = load_encoder(str(tiny_bert)).eval()
    corpus = holed()
    data = TrainingData(corpus)
    asked = flat_settings(
        strategy=spec,
        batch_size=8,
        temperature=0.2,
        consistency=0.7,
        consistency_of=of,
        mini_batch_size=mini_batch_size,
    )
    given = resolve(asked, data, encoder)
    rows = StepRenderings(data, BatchPlan(data.index, strategy("mixed" if spec == "mono" else spec), 8), of)[0]
    assert spec == "cross" or {there for row in rows for there in row["label"]} == {0.0, 1.0}
    loss = loss_of(encoder, given, data)
    loss.terms.columns = tuple(name for name in rows[0] if name != "label")
    features = [encoder.preprocess([row[column] for row in rows]) for column in loss.terms.columns]
    with torch.no_grad():
        found = float(loss(features, torch.tensor([row["label"] for row in rows])))
    assert isinstance(loss, CachedColumnLoss) == bool(mini_batch_size)
    assert found == pytest.approx(slow_loss(encoder, rows, given), abs=1e-4)


@pytest.mark.slow
def test_gradcache_has_the_gradients_of_the_plain_loss(tiny_bert: Path, tmp_path: Path) -> None:
    spies = []
    for change in ({}, {"mini_batch_size": 3}, {"consistency": 0.0, "consistency_of": "passages"}):
        encoder, spy = load_encoder(str(tiny_bert)), Gradients()
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        given = {"steps": 1, "strategy": "cross", "consistency": 2.0, "consistency_of": "both", **change}
        train(encoder, holed(), flat_settings(**BASE | given), tmp_path / "m", callbacks=[spy])
        spies.append(spy.first)
    assert close(spies[0], spies[1], 1e-5)
    assert not close(spies[0], spies[2], 1e-3)


def test_it_brings_the_renderings_of_an_answer_together(tiny_static, tmp_path: Path) -> None:
    corpus, distance = parallel_corpus(), {}
    for weight in (0.0, 5.0):
        encoder = copy.deepcopy(tiny_static)
        given = flat_settings(strategy="mono", steps=60, batch_size=8, learning_rate=0.02, consistency=weight)
        train(encoder, corpus, given, tmp_path / f"{weight}")
        distance[weight] = audit(encoder, corpus, name="m", store=False).macro("bias/rank distance")
    assert distance[5.0] < 0.7 * distance[0.0]


@pytest.mark.slow
def test_a_run_with_it_resumes_to_the_same_weights(tiny_bert: Path, tmp_path: Path, monkeypatch) -> None:
    given = flat_settings(**BASE | {"steps": 6, "checkpoint_every": 3, "consistency": 1.0})
    straight, resumed = load_encoder(str(tiny_bert)), load_encoder(str(tiny_bert))
    train(straight, holed(), given, tmp_path / "a")
    original, seen = StepRenderings.__getitem__, []

    def killed_at_four(self, step):
        seen.append(step)
        if seen.count(4) == 1 and step == 4:
            raise KeyboardInterrupt
        return original(self, step)

    monkeypatch.setattr(StepRenderings, "__getitem__", killed_at_four)
    with pytest.raises(KeyboardInterrupt):
        train(load_encoder(str(tiny_bert)), holed(), given, tmp_path / "b")
    train(resumed, holed(), given, tmp_path / "b")
    assert seen == [0, 1, 2, 3, 4, 3, 4, 5]
    for a, b in zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_what_does_not_fit_is_refused(tiny_static, tmp_path: Path) -> None:
    given = {"strategy": "mono", "steps": 2, "batch_size": 8, "consistency": 1.0}
    for change, corpus, message in (({}, picture_corpus(), "consistency is for texts"),):
        encoder = (
            make_dual("tiny-clip", ["red", "blue"], dimension=16) if corpus.has_images else copy.deepcopy(tiny_static)
        )
        with pytest.raises(TrainingError, match=message):
            train(encoder, corpus, flat_settings(**given | change), tmp_path / "m")
    with pytest.raises(TrainingError, match=r"loss\.consistency: for babelmix's own loss alone"):
        train(
            copy.deepcopy(tiny_static), parallel_corpus(), flat_settings(**given), tmp_path / "m",
            loss=lambda encoder: MultipleNegativesRankingLoss(encoder),
        )  # fmt: skip


def test_the_command_line_has_it(babelmix, tmp_path: Path) -> None:
    parallel_corpus().save(tmp_path / "toy")
    code, out, err = babelmix(
        "train", "-c", str(tmp_path / "toy"), "--model", "static", "--steps", "2", "--json", "--out", str(tmp_path / "m"),
        "--consistency", "0.5", "--consistency-of", "both",
    )  # fmt: skip
    assert code == 0, err
    assert '"consistency": 0.5' in out
    assert '"consistency_of": "both"' in out
