"""What would help, and the drawn queries: both against a slow reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus

from babelmix.corpus import Corpus
from babelmix.encoders.debias import debiased
from babelmix.encoders.kinds import make_encoder
from babelmix.evaluation import audit, remedies, samples
from babelmix.evaluation.drawn import drawn_queries
from babelmix.evaluation.scoring import rank_table
from babelmix.search import calibration

SHARE, MAP, DISTANCE = "bias/same-language share@10", "multi/mAP", "bias/rank distance"


def biased_vectors(corpus: Corpus, seed: int = 0, dimension: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of an item and a language, with noise."""
    rng = np.random.default_rng(seed)
    items = {item: rng.normal(size=dimension) for item in sorted(set(corpus.passages["item"].to_pylist()))}
    langs = {lang: 2.5 * rng.normal(size=dimension) for lang in sorted(corpus.langs)}
    sides = [
        np.array(
            [items[i] + langs[lang] + 0.4 * rng.normal(size=dimension) for i, lang in zip(*pair, strict=True)],
            dtype=np.float32,
        )
        for pair in (
            [side[name].to_pylist() for name in ("item", "lang")] for side in (corpus.queries, corpus.passages)
        )
    ]
    return sides[0], sides[1]


def slow(corpus: Corpus, scores: np.ndarray) -> dict[str, float]:
    """The three measures of a matrix of scores."""
    langs, items = corpus.passages["lang"].to_pylist(), corpus.passages["item"].to_pylist()
    asked = list(zip(corpus.queries["lang"].to_pylist(), corpus.queries["item"].to_pylist(), strict=True))
    found: dict[str, dict[str, list[float]]] = {SHARE: {}, MAP: {}, DISTANCE: {}}
    for row, (lang, item) in enumerate(asked):
        order = np.argsort(-scores[row], kind="stable").tolist()
        first = [langs[i] for i in order[:10]]
        ranks = [place for place, i in enumerate(order) if items[i] == item]
        found[SHARE].setdefault(lang, []).append(first.count(lang) / 10)
        found[MAP].setdefault(lang, []).append(float(np.mean([(n + 1) / (rank + 1) for n, rank in enumerate(ranks)])))
        found[DISTANCE].setdefault(lang, []).append(max(ranks) - min(ranks))
    return {name: float(np.mean([np.mean(cell) for cell in cells.values()])) for name, cells in found.items()}


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_both_remedies_are_those_of_a_slow_reference(similarity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Several chunks, the last one smaller than the number of first answers.
    monkeypatch.setattr(remedies, "_CHUNK", 39)
    corpus = parallel_corpus(30)
    queries, passages = biased_vectors(corpus)
    table = rank_table(corpus, queries, passages, similarity=similarity)
    found = remedies.remedies(table, corpus, queries, passages, similarity=similarity, limit=10_000)
    assert found is not None
    assert found["queries"] == corpus.queries.num_rows
    assert found["left_out"] == {}

    def unit(some: np.ndarray) -> np.ndarray:
        return some / np.linalg.norm(some, axis=1, keepdims=True) if similarity == "cosine" else some

    q, p = unit(queries.astype(np.float64)), unit(passages.astype(np.float64))
    plain = q @ p.T
    langs = [np.array(side["lang"].to_pylist()) for side in (corpus.queries, corpus.passages)]
    balanced = np.empty_like(plain)
    for lang in corpus.langs:
        here = plain[:, langs[1] == lang]
        balanced[:, langs[1] == lang] = (here - here.mean(axis=1, keepdims=True)) / here.std(axis=1, keepdims=True)
    # Removal: the means of kinds and languages span what is taken away.
    means = np.array(
        [[side[of == lang].mean(axis=0) for side, of in zip((q, p), langs, strict=True)] for lang in corpus.langs]
    )
    kinds = means.mean(axis=0)
    both = np.linalg.qr(kinds.T)[0]
    apart = (means - kinds).reshape(-1, q.shape[1])
    apart = apart - apart @ both @ both.T
    basis = np.concatenate([both, np.linalg.svd(apart, full_matrices=False)[2][: len(corpus.langs) - 1].T], axis=1)
    away = np.eye(q.shape[1]) - basis @ basis.T
    removal = unit(q @ away) @ unit(p @ away).T
    for name, scores in (("now", plain), ("removal", removal), ("balanced", balanced)):
        expected = slow(corpus, scores)
        assert {key: one["value"] for key, one in found["systems"][name].items()} == pytest.approx(
            expected, abs=1e-6
        ), name
    values = {name: one[SHARE]["value"] for name, one in found["systems"].items()}
    assert values["now"] > 0.9 > 0.6 > values["removal"]


def test_removal_is_what_debias_does() -> None:
    corpus = parallel_corpus(40)
    encoder = make_encoder("static", corpus.passages["text"].to_pylist(), dimension=24, seed=0)
    found = audit(encoder, corpus, store=False).table.about.remedies
    assert found is not None
    texts = {}
    for lang, text in zip(*(corpus.passages[name].to_pylist() for name in ("lang", "text")), strict=True):
        texts.setdefault(lang, []).append(text)
    asked = {}
    for lang, text in zip(*(corpus.queries[name].to_pylist() for name in ("lang", "text")), strict=True):
        asked.setdefault(lang, []).append(text)
    real = audit(debiased(encoder, texts, queries=asked), corpus, store=False)
    for name in (SHARE, MAP):
        assert found["systems"]["removal"][name]["value"] == pytest.approx(real.macro(name), abs=0.02)


def test_the_numbers_of_the_policy_are_those_of_an_index() -> None:
    assert (remedies.SAMPLE, remedies.MIN_ROWS) == (calibration.SAMPLE, calibration.MIN_ROWS)


def test_what_cannot_be_tried_says_why() -> None:
    few = parallel_corpus(10)
    queries, passages = biased_vectors(few)
    found = remedies.remedies(rank_table(few, queries, passages), few, queries, passages, similarity="cosine")
    assert found is not None
    assert set(found["systems"]) == {"now", "balanced"}
    assert found["left_out"] == {
        "removal": "it is fitted on 20 texts of each language or more, and there are 10 in de"
    }
    alone = parallel_corpus(10).only_langs(["de"])
    queries, passages = biased_vectors(alone)
    table = rank_table(alone, queries, passages)
    assert remedies.remedies(table, alone, queries, passages, similarity="cosine") is None


def test_the_drawn_queries_are_a_few_of_each_language_and_depend_on_the_corpus_alone() -> None:
    corpus = parallel_corpus(40)
    tables = [rank_table(corpus, *biased_vectors(corpus, seed)) for seed in (0, 1)]
    rows = [drawn_queries(table, 42) for table in tables]
    assert rows[0].tolist() == rows[1].tolist() == sorted(set(rows[0].tolist()))
    assert np.bincount(tables[0].query_lang[rows[0]]).tolist() == [10, 10, 10, 10]
    assert rows[0].tolist() != list(range(40))


def test_samples_have_the_first_answers_and_the_places_of_the_right_ones() -> None:
    corpus = parallel_corpus(40)
    queries, passages = biased_vectors(corpus)
    table = samples.with_samples(rank_table(corpus, queries, passages), corpus)
    assert table.about.samples is not None
    found = [samples.SampledQuery.of(one) for one in table.about.samples]
    assert [one.as_json() for one in found] == table.about.samples
    assert len({one.lang for one in found}) == len(found) == 3
    asked = list(zip(*(corpus.queries[name].to_pylist() for name in ("item", "lang", "text")), strict=True))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries, passages)]
    langs, items = (corpus.passages[name].to_pylist() for name in ("lang", "item"))
    for one in found:
        row = asked.index((one.item, one.lang, one.text))
        order = np.argsort(-(unit[1] @ unit[0][row]), kind="stable").tolist()
        assert [(a.item, a.lang, a.right) for a in one.answers] == [
            (items[i], langs[i], items[i] == one.item) for i in order[:10]
        ]
        right = [place for place, i in enumerate(order) if items[i] == one.item]
        assert [(p.lang, p.place) for p in one.right] == [(langs[order[place]], place + 1) for place in right]
        for place, shown in zip(right, one.right, strict=True):
            before = [langs[i] for i in order[:place]]
            assert shown.before == {lang: before.count(lang) for lang in sorted(set(before))}


def test_an_audit_keeps_samples_and_remedies_and_is_still_recognised(tmp_path) -> None:
    corpus = parallel_corpus(30)
    encoder = make_encoder("static", corpus.passages["text"].to_pylist(), dimension=24, seed=0)
    done = audit(encoder, corpus, store=False)
    done.save(tmp_path)
    again = type(done).load(tmp_path)
    assert again.table.about.samples == done.table.about.samples
    assert again.table.about.remedies == done.table.about.remedies
    assert replace(again.table.about, samples=None, remedies=None, calibration=None, tokens=None).agree_with(
        again.table.about.as_json()
    )


def test_long_texts_are_cut_and_pictures_have_no_samples() -> None:
    assert samples.shortened("a" * 200) == "a" * (samples.LENGTH - 1) + "…"
    assert samples.shortened(" a\n b ") == "a b"
    pictures = picture_corpus(6)
    vectors = np.eye(pictures.queries.num_rows, dtype=np.float32)[:, : pictures.queries.num_rows]
    table = rank_table(pictures, vectors, vectors[: pictures.passages.num_rows])
    assert samples.with_samples(table, pictures) is table
