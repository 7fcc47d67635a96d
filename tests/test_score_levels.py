"""How comparable scores are between languages: against loops over all pairs, and by laws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus, sparse_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.corpus import Corpus
from babelmix.evaluation import rank_table
from babelmix.evaluation.score_levels import QUANTILES, score_levels


def vectors_of(corpus: Corpus, seed: int, dimension: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Random, but with few values, so that scores are often equal."""
    rng = np.random.default_rng(seed)
    sides = (corpus.queries, corpus.passages)
    return tuple(rng.integers(-2, 3, size=(table.num_rows, dimension)).astype(np.float32) for table in sides)


def found_in(corpus: Corpus, queries: np.ndarray, passages: np.ndarray, **options):
    table = rank_table(corpus, queries, passages, similarity="dot")
    return score_levels(table, corpus, queries, passages, similarity="dot", **options)


def slow(corpus: Corpus, queries: np.ndarray, passages: np.ndarray) -> dict:
    """All pairs, one after another; every cell counts the same."""
    rows = corpus.queries.to_pylist(), corpus.passages.to_pylist()
    qrels = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    cells = {
        (a, b): ([], []) for a in sorted({r["lang"] for r in rows[0]}) for b in sorted({r["lang"] for r in rows[1]})
    }
    for i, query in enumerate(rows[0]):
        for j, passage in enumerate(rows[1]):
            relevant = (query["item"], passage["item"]) in qrels
            cells[query["lang"], passage["lang"]][relevant].append(float(queries[i] @ passages[j]))

    def weighed(names, sort):
        some = [cells[name][sort] for name in names if cells[name][sort]]
        return [(value, 1 / len(part) / len(some)) for part in some for value in part]

    def mean(pairs):
        return sum(value * weight for value, weight in pairs)

    def variance(pairs):
        return sum((value - mean(pairs)) ** 2 * weight for value, weight in pairs)

    def auc(names):
        names = [name for name in names if cells[name][0] and cells[name][1]]
        if not names:
            return None
        return sum(
            v * w * ((high > low) + (high == low) / 2) for low, v in weighed(names, 0) for high, w in weighed(names, 1)
        )

    def uneven(parts):
        means = [mean(weighed(names, 0)) for names in parts if weighed(names, 0)]
        within = np.mean([variance(weighed(names, 0)) for names in parts if weighed(names, 0)]) ** 0.5
        return within, np.std(means) / within

    side = int(len({b for _, b in cells}) > 1)
    langs = {lang: [name for name in cells if name[side] == lang] for lang in sorted({name[side] for name in cells})}
    return {
        "cells": cells, "langs": langs, "weighed": weighed, "mean": mean, "variance": variance, "auc": auc,
        "uneven": uneven(list(langs.values())), "uneven_pairs": uneven([[name] for name in cells])[1],
    }  # fmt: skip


def check_quantile(pairs: list[tuple[float, float]], share: float, found: float) -> None:
    below = sum(weight for value, weight in pairs if value < found)
    upto = sum(weight for value, weight in pairs if value <= found)
    assert below - 1e-6 <= share <= upto + 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_without_a_sample_it_is_what_loops_over_all_pairs_give(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corpus = sparse_corpus(rng, 9, ("de", "en", "fr")[: 2 + seed % 2], 0.7)
    vectors = vectors_of(corpus, seed)
    found, known = found_in(corpus, *vectors, sample=10_000, limit=10**9), slow(corpus, *vectors)
    assert found is not None
    assert found["side"] == "passages"
    assert (found["std"], found["uneven"]) == pytest.approx(known["uneven"], rel=1e-6)
    assert found["uneven_pairs"] == pytest.approx(known["uneven_pairs"], rel=1e-6)
    aucs = [value for names in known["langs"].values() if (value := known["auc"](names)) is not None]
    assert found["auc"]["each_language"] == pytest.approx(np.mean(aucs), rel=1e-6)
    aucs = [value for name in known["cells"] if (value := known["auc"]([name])) is not None]
    assert found["auc"]["each_pair"] == pytest.approx(np.mean(aucs), rel=1e-6)
    assert found["auc"]["one_threshold"] == pytest.approx(known["auc"](list(known["cells"])), rel=1e-6)
    levels = []
    for lang, names in known["langs"].items():
        told = found["langs"][lang]
        assert told["auc"] == pytest.approx(known["auc"](names), rel=1e-6)
        levels.append(told["irrelevant"]["quantiles"][-1])
        for sort, name in enumerate(("irrelevant", "relevant")):
            pairs = known["weighed"](names, sort)
            assert told[name]["pairs"] == len(pairs)
            assert told[name]["mean"] == pytest.approx(known["mean"](pairs), rel=1e-6, abs=1e-6)
            assert told[name]["std"] == pytest.approx(known["variance"](pairs) ** 0.5, rel=1e-6)
            for share, quantile in zip(QUANTILES, told[name]["quantiles"], strict=True):
                check_quantile(pairs, share, quantile)
    for lang, level in zip(known["langs"], levels, strict=True):
        assert found["langs"][lang]["shift"] == pytest.approx((level - np.mean(levels)) / found["std"], abs=1e-9)
    everything = known["weighed"](list(known["cells"]), 0)
    threshold = min(v for v, _ in everything if sum(w for other, w in everything if other <= v) >= 0.99 - 1e-9)
    for lang, names in known["langs"].items():
        above = sum(weight for value, weight in known["weighed"](names, 0) if value > threshold)
        assert found["langs"][lang]["passing"] == pytest.approx(above, abs=1e-9)
    for name, (irrelevant, relevant) in known["cells"].items():
        told = found["pairs"][" > ".join(name)]
        assert told["irrelevant"] == pytest.approx(np.mean(irrelevant), abs=1e-6)
        assert told["relevant"] == (pytest.approx(np.mean(relevant), abs=1e-6) if relevant else None)


def test_a_sample_estimates_the_whole_and_has_no_relevant_pair_among_the_irrelevant() -> None:
    corpus = parallel_corpus(60, ("de", "en"))
    queries, passages = vectors_of(corpus, 0, 8)
    # A relevant pair scores above all others.
    items = [int(item[1:]) for item in corpus.queries["item"].to_pylist()]
    queries, passages = (np.hstack([side, 100 * np.eye(60, dtype=np.float32)[items]]) for side in (queries, passages))
    whole = found_in(corpus, queries, passages, sample=10_000)
    some = found_in(corpus, queries, passages, sample=150)
    assert whole is not None
    assert some is not None
    for part in ("one_threshold", "each_language", "each_pair"):
        assert whole["auc"][part] == pytest.approx(1, abs=1e-9)
        assert some["auc"][part] == pytest.approx(1, abs=1e-9)
    for lang in ("de", "en"):
        assert whole["langs"][lang]["irrelevant"]["pairs"] == 2 * 60 * 59
        assert some["langs"][lang]["irrelevant"]["pairs"] == 2 * 150
        assert some["langs"][lang]["relevant"]["pairs"] == 2 * 60
        found, known = (one["langs"][lang]["irrelevant"] for one in (some, whole))
        assert found["mean"] == pytest.approx(known["mean"], abs=4 * known["std"] / 300**0.5)
        assert found["std"] == pytest.approx(known["std"], rel=0.2)
    assert some == found_in(corpus, queries, passages, sample=150)
    assert some != found_in(corpus, queries, passages, sample=150, seed=1)
    least = found_in(corpus, queries, passages, limit=40)
    assert least is not None
    assert least["sample"] == 10
    assert least["langs"]["en"]["relevant"]["pairs"] == 20


@settings(max_examples=12, deadline=None)
@given(shift=st.integers(0, 5), seed=st.integers(0, 20))
def test_a_language_whose_scores_are_higher_is_seen(shift: int, seed: int) -> None:
    corpus = parallel_corpus(12, ("de", "en", "fr"))
    queries, passages = vectors_of(corpus, seed)
    langs = np.array(corpus.passages["lang"].to_pylist())
    raised = np.where(langs == "en", shift, 0).astype(np.float32)
    queries = np.hstack([queries, np.ones((len(queries), 1), dtype=np.float32)])
    flat, steep = (
        found_in(corpus, queries, np.hstack([passages, column[:, None]]), sample=10_000)
        for column in (np.zeros_like(raised), raised)
    )
    assert flat is not None
    assert steep is not None
    assert steep["std"] == pytest.approx(flat["std"], rel=1e-5)
    for part in ("each_language", "each_pair"):
        assert steep["auc"][part] == pytest.approx(flat["auc"][part], abs=1e-9)
    change = steep["langs"]["en"]["irrelevant"]["mean"] - flat["langs"]["en"]["irrelevant"]["mean"]
    assert change == pytest.approx(shift, abs=1e-5)
    gained = steep["langs"]["en"]["shift"] - flat["langs"]["en"]["shift"]
    assert gained == pytest.approx(2 / 3 * shift / flat["std"], abs=1e-5)


def test_pictures_are_compared_by_the_language_of_the_query_and_one_language_not_at_all() -> None:
    corpus = picture_corpus(12)
    found = found_in(corpus, *vectors_of(corpus, 0))
    assert found is not None
    assert found["side"] == "queries"
    assert list(found["langs"]) == ["de", "en", "fr", "ja"]
    assert list(found["pairs"]) == ["de > zxx", "en > zxx", "fr > zxx", "ja > zxx"]
    alone = parallel_corpus(12, ("de",))
    assert found_in(alone, *vectors_of(alone, 0)) is None
    single = parallel_corpus(1, ("de", "en"))
    assert found_in(single, *vectors_of(single, 0)) is None


def test_scores_that_do_not_vary_are_even() -> None:
    corpus = parallel_corpus(6, ("de", "en"))
    same = (np.ones((table.num_rows, 3), dtype=np.float32) for table in (corpus.queries, corpus.passages))
    found = found_in(corpus, *same)
    assert found is not None
    assert found["std"] == pytest.approx(0, abs=1e-9)
    assert (found["uneven"], found["uneven_pairs"]) == (0.0, 0.0)
    assert list(found["auc"].values()) == pytest.approx([0.5, 0.5, 0.5])
    assert {lang["shift"] for lang in found["langs"].values()} == {0.0}


def test_table_json_and_report_tell_it(babelmix, tiny_static, tmp_path: Path) -> None:
    parallel_corpus(12).save(tmp_path / "toy")
    tiny_static.save(str(tmp_path / "m"), create_model_card=False)
    words = ["audit", str(tmp_path / "m"), "-c", str(tmp_path / "toy"), "--out", str(tmp_path / "a")]
    code, out, err = babelmix(*words)
    assert code == 0, err
    title = "Do scores mean the same in every language?"
    assert title not in out
    told = json.loads((tmp_path / "a" / "metrics.json").read_text(encoding="utf-8"))["about"]["calibration"]
    report = (tmp_path / "a" / "report.html").read_text(encoding="utf-8")
    assert title in report
    for lang in told["langs"].values():
        assert f"{lang['shift']:+.2f}" in report
    assert f"{told['uneven']:.2f} standard deviations" in " ".join(out.split())
    assert f"{told['uneven']:.2f} standard deviations" in report
    assert json.loads(babelmix(*words, "--json")[1])["about"]["calibration"] == told


def test_the_former_names_still_work() -> None:
    from babelmix.evaluation import calibration

    with pytest.warns(DeprecationWarning, match=r"is now babelmix\.evaluation\.score_levels\.score_levels"):
        assert calibration.score_calibration is score_levels
    with pytest.warns(DeprecationWarning, match=r"score_levels\.QUANTILES"):
        assert calibration.QUANTILES is QUANTILES
    with pytest.raises(AttributeError):
        _ = calibration.nothing
