"""`one_to_k` batches of texts: each item once, with its queries in all languages."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import flat_settings, parallel_corpus, picture_corpus, sparse_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from test_negatives import with_negatives
from test_training_options import BASE, Gradients, close, load

from babelmix.batches import BatchPlan, CorpusIndex, Mixture, RegularIndex, largest_batch, strategy
from babelmix.corpus import Corpus
from babelmix.errors import ConfigError, PlanError, TrainingError
from babelmix.training import StepTexts, TrainingData, train


def check_one_to_k(corpus: Corpus, batch, k: int | None = None) -> None:
    """Everything that must hold of one, from the corpus alone."""
    queries, passages = corpus.queries.to_pylist(), corpus.passages.to_pylist()
    qrels = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    langs, all_of_them = corpus.langs, k is None
    k = k or len(langs)
    assert len(batch.query_rows) == k * len(batch.passage_rows)
    items = []
    for place, row in enumerate(batch.passage_rows):
        own = [queries[q] for q in batch.query_rows[place * k : (place + 1) * k]]
        if all_of_them:
            assert [query["lang"] for query in own] == list(langs)
        assert len({query["lang"] for query in own}) == k
        assert len({query["item"] for query in own}) == 1
        items.append((own[0]["item"], passages[row]["item"]))
        assert items[-1] in qrels
    for q, p in items:
        assert [passage for _, passage in items if (q, passage) in qrels] == [p]
    assert len({q for q, _ in items}) == len({p for _, p in items}) == len(items)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    items=st.integers(4, 25),
    keep=st.sampled_from([0.6, 1.0]),
    ranks=st.sampled_from([1, 2]),
    k=st.sampled_from([None, 1, 2, 3]),
)
def test_batches_obey_their_definition_or_there_is_a_clear_error(
    seed: int, items: int, keep: float, ranks: int, k: int | None
) -> None:
    corpus = sparse_corpus(np.random.default_rng(seed), items, ("de", "en", "fr"), keep)
    if corpus.qrels.num_rows == 0:
        return
    index = CorpusIndex(corpus)
    spec = "one_to_k" if k is None else f"one_to_k({k})"
    try:
        size = largest_batch(index, strategy(spec)) // ranks * ranks
        plan = BatchPlan(index, strategy(spec), size, seed=seed, world_size=ranks, language_temperature=0.5)
    except PlanError as error:
        assert f"batches of items with queries in {k or 'all'} languages" in str(error)
        return
    for step in (0, 5, 2, 5):
        batch = plan[step]
        check_one_to_k(corpus, batch, k)
        parts = [batch.slice(rank, ranks) for rank in range(ranks)]
        assert [row for part in parts for row in part.query_rows] == batch.query_rows.tolist()
        assert [row for part in parts for row in part.passage_rows] == batch.passage_rows.tolist()


def test_passages_are_in_any_language_and_negatives_in_theirs() -> None:
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    langs = corpus.passages["lang"].to_pylist()
    plan = BatchPlan(CorpusIndex(corpus, hard_negatives=True), strategy("one_to_k"), 32)
    seen = []
    for step in range(50):
        batch = plan[step]
        check_one_to_k(corpus, batch)
        assert [langs[row] for row in batch.negative_rows] == [langs[row] for row in batch.passage_rows]
        seen += [langs[row] for row in batch.passage_rows]
    assert all(abs(seen.count(lang) - 100) < 5 * 75**0.5 for lang in corpus.langs)


def uneven_corpus() -> Corpus:
    """Every item in de and en, every second in fr, every fourth in ja."""
    whole = parallel_corpus(64)
    there = {"de": 1, "en": 1, "fr": 2, "ja": 4}
    sides = (
        [row for row in t.to_pylist() if int(row["item"][1:]) % there[row["lang"]] == 0]
        for t in (whole.queries, whole.passages)
    )
    return Corpus.from_rows(*sides, [(f"i{i}", f"i{i}") for i in range(64)], name="uneven")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_k_languages_are_drawn_by_weight_one_after_another(temperature: float) -> None:
    corpus = uneven_corpus()
    langs, rows = corpus.langs, corpus.queries["lang"].to_pylist()
    plan = BatchPlan(CorpusIndex(corpus), strategy("one_to_k(2)"), 32, language_temperature=temperature)
    weights = dict(zip(langs, (64.0, 64.0, 32.0, 16.0) if temperature else (1.0,) * 4, strict=True))
    drawn: dict[frozenset[str], Counter] = {}
    for step in range(320):
        batch = plan[step]
        assert len(batch.passage_rows) == 16
        check_one_to_k(corpus, batch, 2)
        for first, second in batch.query_rows.reshape(-1, 2):
            item = corpus.queries["item"][int(first)].as_py()
            has = frozenset(lang for lang in langs if int(item[1:]) % {"fr": 2, "ja": 4}.get(lang, 1) == 0)
            drawn.setdefault(has, Counter())[rows[first], rows[second]] += 1
    assert len(drawn) == 3
    for has, counts in drawn.items():
        total, whole = counts.total(), sum(weights[lang] for lang in has)
        for a in has:
            for b in has - {a}:
                share = weights[a] / whole * weights[b] / (whole - weights[a])
                assert abs(counts[a, b] - total * share) < 4.5 * (total * share) ** 0.5 + 1


def test_k_is_spelt_alone_or_in_a_hybrid_and_checked() -> None:
    assert str(strategy("one_to_k(2)")) == "one_to_k(2)"
    assert str(strategy("hybrid(0.5, one_to_k( 3 ))")) == "hybrid(0.5, one_to_k(3))"
    index = CorpusIndex(parallel_corpus())
    kinds = {
        (batch.kind, len(batch.query_rows))
        for batch in map(BatchPlan(index, strategy("hybrid(0.5, one_to_k(3))"), 12).__getitem__, range(20))
    }
    assert kinds == {("mono", 12), ("one_to_k", 12)}
    for spec in ("one_to_k(x)", "one_to_k(1.5)", "one_to_k()", "hybrid(0.5, one_to_k(y))", "mono(0.5)"):
        with pytest.raises(ConfigError, match="does not take"):
            strategy(spec)
    with pytest.raises(ConfigError, match="cannot be 'hybrid"):
        strategy("hybrid(0.5, hybrid(0.5))")
    with pytest.raises(PlanError, match="at least one language"):
        strategy("one_to_k(0)")
    with pytest.raises(PlanError, match="queries in 4 languages at most"):
        BatchPlan(index, strategy("one_to_k(5)"), 8)
    pictures = picture_corpus(8)
    with pytest.raises(PlanError, match="queries in 2 languages at most"):
        BatchPlan(CorpusIndex(pictures, text_only=["de", "fr"]), strategy("one_to_k(3)"), 8)
    langs = pictures.queries["lang"].to_pylist()
    batch = BatchPlan(CorpusIndex(pictures, text_only=["de", "fr"]), strategy("one_to_k(2)"), 8)[0]
    assert {frozenset(langs[row] for row in pair) for pair in batch.query_rows.reshape(-1, 2)} == {
        frozenset({"en", "ja"})
    }


@pytest.mark.parametrize("index", [
    RegularIndex(100, ["de", "en"]),
    Mixture({"a": CorpusIndex(parallel_corpus()), "b": CorpusIndex(parallel_corpus(20))}),
])  # fmt: skip
def test_an_index_that_does_not_know_items_is_refused(index) -> None:
    with pytest.raises(PlanError, match="of one corpus"):
        BatchPlan(index, strategy("one_to_k"), 8)


def test_a_row_has_its_query_in_every_language() -> None:
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    data = TrainingData(corpus)
    plan = BatchPlan(data.index, strategy("one_to_k"), 12)
    queries, passages = corpus.queries["text"].to_pylist(), corpus.passages["text"].to_pylist()
    batch, rows = plan[3], StepTexts(data, plan)[3]
    assert [list(row) for row in rows] == [["query", "passage", "negative", "query2", "query3", "query4"]] * 3
    for place, row in enumerate(rows):
        own = [queries[q] for q in batch.query_rows[4 * place : 4 * place + 4]]
        assert [row[name] for name in ("query", "query2", "query3", "query4")] == own
        assert row["passage"] == passages[batch.passage_rows[place]]


@pytest.mark.slow
@pytest.mark.parametrize("consistency", [0.0, 1.5])
def test_the_loss_is_info_nce_of_each_query_with_and_without_gradcache(
    tiny_bert: Path, tmp_path: Path, consistency: float
) -> None:
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    given = BASE | {"strategy": "one_to_k", "steps": 1, "batch_size": 16, "temperature": 0.1}
    encoder = load(tiny_bert).eval()
    data = TrainingData(corpus)
    rows = StepTexts(data, BatchPlan(data.index, strategy("one_to_k"), 16))[0]
    unit = lambda texts: encoder.encode(texts, normalize_embeddings=True)
    candidates = unit([row["passage"] for row in rows] + [row["negative"] for row in rows])
    losses = []
    for place, row in enumerate(rows):
        for name in ("query", "query2", "query3", "query4"):
            scores = unit([row[name]])[0] @ candidates.T / 0.1
            losses.append(np.log(np.exp(scores).sum()) - scores[place])
    spies = []
    for size in (0, 3):
        spy = Gradients()
        settings = flat_settings(**given | {"mini_batch_size": size, "consistency": consistency})
        result = train(load(tiny_bert), corpus, settings, tmp_path / "m", callbacks=[spy])
        spies.append(spy.first)
        if consistency:
            assert result.losses[0][1] > np.mean(losses) + 1e-3
        else:
            assert result.losses[0][1] == pytest.approx(np.mean(losses), abs=1e-4)
    assert close(spies[0], spies[1], 1e-5)


def test_prompts_reach_every_query(tiny_bert: Path, tmp_path: Path, monkeypatch) -> None:
    from sentence_transformers.base.data_collator import BaseDataCollator

    seen = {}
    original = BaseDataCollator._get_prompt_for_column

    def spying(self, prompts, column):
        seen[column] = original(self, prompts, column)
        return seen[column]

    monkeypatch.setattr(BaseDataCollator, "_get_prompt_for_column", spying)
    given = BASE | {
        "strategy": "hybrid(0.5, one_to_k)",
        "query_prompt": "q: ",
        "passage_prompt": "p: ",
        "consistency": 1.0,
    }
    train(load(tiny_bert), parallel_corpus(), flat_settings(**given | {"consistency_of": "both"}), tmp_path / "m")
    documents = {"passage", "other_passage"}
    assert set(seen) == {"query", "query2", "query3", "query4", "other_query", *documents}
    assert {seen[column] for column in documents} == {"p: "}
    assert {seen[column] for column in set(seen) - documents} == {"q: "}


@pytest.mark.parametrize("spec", ["one_to_k", "hybrid(0.5, one_to_k(2))"])
def test_the_command_line_trains_texts_on_it(babelmix, tmp_path: Path, spec: str) -> None:
    parallel_corpus().save(tmp_path / "toy")
    code, out, err = babelmix(
        "train", "-c", str(tmp_path / "toy"), "--model", "static", "--strategy", spec, "--steps", "40", "--batch-size", "16",
        "--json", "--out", str(tmp_path / "m"),
    )  # fmt: skip
    assert code == 0, err
    losses = [loss for _, loss in json.loads(out)["losses"]]
    assert all(torch.isfinite(torch.tensor(losses)))
    assert np.mean(losses[-8:]) < np.mean(losses[:8])


def test_what_does_not_fit_is_refused(tiny_static, tmp_path: Path) -> None:
    given = flat_settings(strategy="one_to_k", steps=2, batch_size=8, distil_from="start", distil_text="itself")
    with pytest.raises(TrainingError, match=r"one_to_k batches have several queries .* leave distillation\.reads out"):
        train(tiny_static, parallel_corpus(), given, tmp_path / "m")
