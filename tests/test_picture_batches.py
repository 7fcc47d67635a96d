"""Batches of pictures with captions, against their definitions."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus, png
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.batches import BatchPlan, CorpusIndex, Mixture, strategy
from babelmix.batches.strategies import TextText, WithTextText
from babelmix.corpus import Corpus
from babelmix.errors import ConfigError, PlanError


def rows_of(corpus: Corpus, batch):
    """Items and languages of a batch's captions, second captions, and items of its pictures."""
    queries = corpus.queries.select(["item", "lang"]).to_pylist()
    pictures = corpus.passages["item"].to_pylist()
    first = [(queries[r]["item"], queries[r]["lang"]) for r in batch.query_rows]
    second = [
        (queries[r]["item"], queries[r]["lang"]) for r in (batch.second_rows if batch.second_rows is not None else [])
    ]
    return first, second, [pictures[r] for r in batch.passage_rows]


def distinct(items) -> bool:
    return len(set(items)) == len(items)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["mono", "cross", "mixed", "english", "hybrid(0.3)"]), st.integers(0, 5), st.integers(0, 40))
def test_one_caption_a_picture(spec: str, seed: int, step: int) -> None:
    corpus = picture_corpus()
    batch = BatchPlan(CorpusIndex(corpus), strategy(spec), 12, seed=seed)[step]
    captions, second, pictures = rows_of(corpus, batch)
    assert [item for item, _ in captions] == pictures
    assert not second
    assert distinct(pictures)
    langs = {lang for _, lang in captions}
    assert (len(langs) == 1) == (batch.kind == "mono")
    if spec == "english":
        assert langs == {"en"}


def test_cross_draws_a_language_for_each_picture_uniformly() -> None:
    corpus = picture_corpus()
    plan = BatchPlan(CorpusIndex(corpus), strategy("cross"), 20)
    counts = Counter(lang for step in range(200) for _, lang in rows_of(corpus, plan[step])[0])
    assert sum(counts.values()) == 4000
    assert all(abs(count - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5 for count in counts.values())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5), st.integers(0, 40))
def test_two_captions_a_picture_are_in_different_languages(seed: int, step: int) -> None:
    corpus = picture_corpus(captions=2)
    batch = BatchPlan(CorpusIndex(corpus), strategy("paired"), 20, seed=seed)[step]
    first, second, pictures = rows_of(corpus, batch)
    assert batch.kind == "paired"
    assert len(pictures) == 10  # as many captions as a batch of 20 pictures with one each
    assert [item for item, _ in first] == [item for item, _ in second] == pictures
    assert all(a != b for (_, a), (_, b) in zip(first, second, strict=True))
    assert distinct(pictures)


def test_the_ordered_pairs_of_languages_are_uniform() -> None:
    corpus = picture_corpus()
    plan = BatchPlan(CorpusIndex(corpus), strategy("paired"), 40)
    counts: Counter[tuple[str, str]] = Counter()
    for step in range(180):
        first, second, _ = rows_of(corpus, plan[step])
        counts.update((a, b) for (_, a), (_, b) in zip(first, second, strict=True))
    assert len(counts) == 12
    assert all(abs(count - 300) < 5 * 300**0.5 for count in counts.values())


def test_captions_without_pictures_are_translations_of_each_other() -> None:
    corpus = picture_corpus()
    index = CorpusIndex(corpus, text_only=["ja"])
    plan = BatchPlan(index, strategy("text_text"), 20)
    seen = set()
    for step in range(20):
        first, second, pictures = rows_of(corpus, plan[step])
        assert not pictures
        assert [item for item, _ in first] == [item for item, _ in second]
        assert all(a != b for (_, a), (_, b) in zip(first, second, strict=True))
        seen |= {lang for _, lang in first}
    assert seen == {"de", "en", "fr", "ja"}


@pytest.mark.parametrize("spec", ["mono", "cross", "paired", "one_to_k", "hybrid(0.5, paired)"])
def test_a_language_for_captions_only_never_stands_beside_a_picture(spec: str) -> None:
    corpus = picture_corpus()
    plan = BatchPlan(CorpusIndex(corpus, text_only=["ja", "fr"]), strategy(spec), 12)
    for step in range(25):
        first, second, pictures = rows_of(corpus, plan[step])
        assert pictures
        assert {lang for _, lang in first + second} <= {"de", "en"}


def test_one_to_k_has_every_language_of_each_picture_side_by_side() -> None:
    corpus = picture_corpus(captions=3)
    plan = BatchPlan(CorpusIndex(corpus), strategy("one_to_k"), 20)
    picked = set()
    for step in range(10):
        first, _, pictures = rows_of(corpus, plan[step])
        assert len(pictures) == 5
        assert distinct(pictures)
        assert first == [(item, lang) for item in pictures for lang in ("de", "en", "fr", "ja")]
        picked |= set(plan[step].query_rows.tolist())
    assert len(picked) > 20 * 4  # any of several captions of a language


def test_a_share_of_the_steps_has_no_pictures_whatever_the_strategy() -> None:
    index = CorpusIndex(picture_corpus())
    kinds = {
        spec: [
            BatchPlan(index, WithTextText(strategy(spec), 0.25), 12)[step].kind == "text_text" for step in range(400)
        ]
        for spec in ("mono", "cross", "paired")
    }
    assert kinds["mono"] == kinds["cross"] == kinds["paired"]
    assert abs(sum(kinds["mono"]) - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5
    # The other steps are those of the strategy alone.
    alone, beside = (
        BatchPlan(index, strategy("cross"), 12),
        BatchPlan(index, WithTextText(strategy("cross"), 0.25), 12),
    )
    for step in np.flatnonzero(~np.array(kinds["cross"]))[:20]:
        assert np.array_equal(alone[int(step)].query_rows, beside[int(step)].query_rows)


@pytest.mark.parametrize("spec", ["mono", "cross", "paired", "text_text", "one_to_k"])
def test_ranks_share_a_batch_without_overlap(spec: str) -> None:
    plan = BatchPlan(CorpusIndex(picture_corpus()), strategy(spec), 16, world_size=2)
    batch = plan[3]
    for name in ("query_rows", "passage_rows", "second_rows"):
        whole = getattr(batch, name)
        if whole is not None:
            parts = [getattr(batch.slice(rank, 2), name) for rank in (0, 1)]
            assert np.array_equal(np.concatenate(parts), whole)


def test_equal_pictures_are_never_in_one_batch() -> None:
    rows = [{"item": f"i{i}", "lang": "en", "text": f"word {i}"} for i in range(6)]
    pictures = [{"item": f"i{i}", "lang": "zxx", "image": png((40 * (i // 2), 0, 0))} for i in range(6)]
    corpus = Corpus.from_rows(rows, pictures, [(f"i{i}", f"i{i}") for i in range(6)])
    plan = BatchPlan(CorpusIndex(corpus), strategy("mono"), 3)
    for step in range(10):
        digests = corpus.passages["digest"].to_pylist()
        assert distinct([digests[row] for row in plan[step].passage_rows])
    with pytest.raises(PlanError, match="3 distinct items"):
        BatchPlan(CorpusIndex(corpus), strategy("mono"), 4)


def test_what_is_for_pictures_is_refused_for_texts() -> None:
    for spec in ("paired", "text_text", "hybrid(0.5, paired)"):
        with pytest.raises(PlanError, match="pictures with captions"):
            BatchPlan(CorpusIndex(parallel_corpus()), strategy(spec), 8)
    with pytest.raises(PlanError, match="has no pictures"):
        CorpusIndex(parallel_corpus(), text_only=["de"])
    with pytest.raises(PlanError, match="has no xx"):
        CorpusIndex(picture_corpus(), text_only=["xx"])
    with pytest.raises(PlanError, match="text_only names every language"):
        CorpusIndex(picture_corpus(), ["de", "fr"], text_only=["fr", "de"])
    with pytest.raises(PlanError, match="queries are pictures"):
        CorpusIndex(picture_corpus().reversed())
    both = Mixture({"a": CorpusIndex(picture_corpus()), "b": CorpusIndex(picture_corpus(20))})
    with pytest.raises(PlanError, match="one corpus of pictures"):
        BatchPlan(both, strategy("paired"), 8)
    assert BatchPlan(both, strategy("hybrid"), 8)[0].source in ("a", "b")


@pytest.mark.parametrize("spec", ["hybrid(0.5, mono)", "hybrid(0.5, nothing)", "hybrid(paired)", "mono(0.5, paired)"])
def test_other_batches_must_be_cross_lingual(spec: str) -> None:
    with pytest.raises(ConfigError):
        strategy(spec)


def test_names_of_hybrids() -> None:
    assert str(strategy("hybrid(0.25, paired)")) == "hybrid(0.25, paired)"
    assert str(strategy("hybrid(0.5,text_text)")) == "hybrid(0.5, text_text)"
    with pytest.raises(PlanError, match="share of steps"):
        WithTextText(strategy("mono"), 1.0)


def test_several_ranks_share_the_batch_of_one() -> None:
    index = CorpusIndex(picture_corpus())
    alone, two = (BatchPlan(index, strategy("one_to_k"), 8, world_size=ranks)[3] for ranks in (1, 2))
    assert alone.passage_rows.tolist() == two.passage_rows.tolist()
    assert alone.query_rows.tolist() == two.query_rows.tolist()


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_translations_weigh_languages_by_their_captions_and_one_caption_is_one(temperature: float) -> None:
    whole = picture_corpus(12, ("de", "en", "fr"))
    rows = whole.queries.to_pylist()
    # French has a caption beside one picture alone.
    kept = [n for n, row in enumerate(rows) if row["lang"] != "fr" or row["item"] == "i0"]
    corpus = replace(whole, queries=whole.queries.take(kept))
    plan = BatchPlan(CorpusIndex(corpus), WithTextText(strategy("cross"), 0.5), 2, language_temperature=temperature)
    found = plan.pool(TextText().request(plan.facts, 0))._weights
    expected = np.array([12, 12, 1]) ** temperature
    assert np.allclose(found / found.sum(), expected / expected.sum())
