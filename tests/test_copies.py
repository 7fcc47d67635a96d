"""Copies of right answers and passages that are no candidates: exact against slow references and the field's own evaluators."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from conftest import picture_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.copies import COPIES, copies_of_answers, count_copies, with_copies
from babelmix.errors import ConfigError, CorpusError
from babelmix.evaluation import RankTable, measures, rank_table
from babelmix.evaluation.bias import per_query
from babelmix.evaluation.judged_lists import Judge
from babelmix.evaluation.run import Audit

LANGS = ("de", "en", "ja")


def drawn(rng: np.random.Generator, *, excluded: int = 0, texts: int = 6) -> Corpus:
    """A corpus of few texts, so that many are copies, with graded qrels and some pairs excluded."""
    queries = [
        {"item": f"q{i}", "lang": str(rng.choice(LANGS)), "text": f"query {i}", "group": f"g{i % 3}"} for i in range(9)
    ]
    passages = [
        {"item": f"p{rng.integers(12)}", "lang": str(rng.choice(LANGS)), "text": f"text {rng.integers(texts)}"}
        for _ in range(24)
    ]
    items = sorted({row["item"] for row in passages})
    pairs = [(f"q{i}", item) for i in range(9) for item in items]
    order = rng.permutation(len(pairs))
    qrels = [(*pairs[i], int(rng.integers(1, 4))) for i in order[:14]]
    out = [pairs[i] for i in order[14 : 14 + excluded]]
    return Corpus.from_rows(queries, passages, qrels, excluded=out)


def slow_copies(corpus: Corpus) -> dict[tuple[int, int], int]:
    """Grade by query row and passage row of a copy: everything compared with everything."""
    grade = {(row["query_item"], row["passage_item"]): row["grade"] for row in corpus.qrels.to_pylist()}
    out = {tuple(row.values()) for row in corpus.excluded.to_pylist()}
    found: dict[tuple[int, int], int] = {}
    queries, passages = corpus.queries.to_pylist(), corpus.passages.to_pylist()
    for q, query in enumerate(queries):
        for p, passage in enumerate(passages):
            pair = query["item"], passage["item"]
            if pair in grade or pair in out:
                continue
            same = [
                grade[query["item"], other["item"]]
                for other in passages
                if (query["item"], other["item"]) in grade and _content(other) == _content(passage)
            ]
            if same:
                found[q, p] = max(same)
    return found


def _content(row: dict) -> tuple:
    return row["text"], row.get("digest")


@given(seed=st.integers(0, 10_000), excluded=st.sampled_from([0, 8]))
@settings(max_examples=40, deadline=None)
def test_copies_are_those_of_a_slow_reference(seed: int, excluded: int) -> None:
    corpus = drawn(np.random.default_rng(seed), excluded=excluded)
    expected = slow_copies(corpus)
    assert {(q, p): g for q, p, g in copies_of_answers(corpus).iter_rows()} == expected
    assert count_copies(corpus) == {
        "queries": len({q for q, _ in expected}), "passages": len({p for _, p in expected}), "pairs": len(expected),
    }  # fmt: skip


def test_copies_are_compared_as_encoders_read_them() -> None:
    queries = [{"item": "q", "lang": "vi", "text": "q"}]
    forms = [unicodedata.normalize(form, "phở bò") for form in ("NFC", "NFD")]
    passages = [{"item": f"p{i}", "lang": "vi", "text": text} for i, text in enumerate([*forms, "pho bo"])]
    for answer, copy in (("p0", 1), ("p1", 0)):
        corpus = Corpus.from_rows(queries, passages, [("q", answer)])
        assert copies_of_answers(corpus).rows() == [(0, copy, 1)]
        assert count_copies(corpus) == {"queries": 1, "passages": 1, "pairs": 1}


def test_copies_of_pictures_are_equal_pictures() -> None:
    corpus = picture_corpus(6)
    assert count_copies(corpus)["pairs"] == 0
    rows = corpus.passages.to_pylist()
    again = [*rows, rows[0] | {"item": "again", "group": "again"}]
    more = Corpus.from_rows(
        corpus.queries.to_pylist(), [row | {"image": row["image"]["bytes"]} for row in again],
        [tuple(row.values()) for row in corpus.qrels.to_pylist()],
    )  # fmt: skip
    assert {(q, p): g for q, p, g in copies_of_answers(more).iter_rows()} == slow_copies(more)
    assert count_copies(more)["passages"] == 1


def test_what_is_counted_follows_the_rows(tmp_path) -> None:
    queries = [{"item": name, "lang": "en", "text": name} for name in "ab"]
    passages = [{"item": "p", "lang": "en", "text": "same"}, {"item": "r", "lang": "de", "text": "same"}]
    corpus = with_copies(Corpus.from_rows(queries, passages, [("a", "p"), ("b", "r")]))
    assert corpus.meta["copies"] == {"queries": 2, "passages": 2, "pairs": 2}
    assert "copies" not in corpus.only_langs(["en"]).meta
    assert "copies" not in with_copies(corpus.only_langs(["en"])).meta
    corpus.save(tmp_path / "c")
    assert open_corpus(str(tmp_path / "c")).meta == corpus.meta


# --- ranks


def embedded(corpus: Corpus, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in which equal contents are equal."""
    rng = np.random.default_rng(seed)
    contents = [_content(row) for row in corpus.passages.to_pylist()]
    vectors = {content: rng.normal(size=5) for content in dict.fromkeys(contents)}
    queries = rng.normal(size=(corpus.queries.num_rows, 5)).astype(np.float32)
    return queries, np.array([vectors[content] for content in contents], dtype=np.float32)


def slow_counts(corpus: Corpus, sides: tuple[np.ndarray, np.ndarray], copies: str) -> dict[tuple[int, int], list[int]]:
    """By query row and relevant passage row, how many candidates of each language stand before it."""
    queries, passages = corpus.queries.to_pylist(), corpus.passages.to_pylist()
    relevant = {(row["query_item"], row["passage_item"]) for row in corpus.qrels.to_pylist()}
    out = {tuple(row.values()) for row in corpus.excluded.to_pylist()}
    copied = slow_copies(corpus)
    langs = sorted({row["lang"] for row in passages})
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides]
    counts: dict[tuple[int, int], list[int]] = {}
    for q, query in enumerate(queries):
        pool = [
            p
            for p, row in enumerate(passages)
            if (query["item"], row["item"]) not in out and not (copies == "excluded" and (q, p) in copied)
        ]
        scores = unit[0][q] @ unit[1].T
        order = sorted(pool, key=lambda p: (-scores[p], p))
        for place, p in enumerate(order):
            pair = query["item"], passages[p]["item"]
            if pair in relevant or (copies == "relevant" and (q, p) in copied):
                before = [passages[other]["lang"] for other in order[:place]]
                counts[q, p] = [before.count(lang) for lang in langs]
    return counts


@pytest.mark.parametrize("copies", COPIES)
@pytest.mark.parametrize("chunk", [None, 7])
@pytest.mark.parametrize("excluded", [0, 20])
def test_ranks_without_excluded_passages(copies, chunk: int | None, excluded: int) -> None:
    for seed in range(4):
        corpus = drawn(np.random.default_rng(seed), excluded=excluded)
        sides = embedded(corpus, seed)
        table = rank_table(corpus, *sides, chunk=chunk, copies=copies)
        found = zip(table.pair_query.tolist(), table.pair_passage.tolist(), strict=True)
        assert dict(zip(found, table.outranking_counts.tolist(), strict=True)) == slow_counts(corpus, sides, copies)
        out = {tuple(row.values()) for row in corpus.excluded.to_pylist()}
        for q, query in enumerate(corpus.queries["item"].to_pylist()):
            gone = sum((query, item) in out for item in corpus.passages["item"].to_pylist())
            gone += sum(q == other for other, _ in slow_copies(corpus)) if copies == "excluded" else 0
            pool = table.pools(np.array([q]))[0].sum()
            assert pool == corpus.passages.num_rows - gone
            assert table.top[q, -1].sum() == min(pool, table.cutoffs[-1])


def test_metrics_are_those_of_mteb_where_identical_ids_are_ignored() -> None:
    evaluator = pytest.importorskip("mteb._evaluators.retrieval_evaluator").RetrievalEvaluator
    rng = np.random.default_rng(1)
    names = [f"d{i}" for i in range(40)]
    # As in ArguAna: queries are documents of the pool.
    asked = names[:15]
    qrels = {
        name: {str(d): int(rng.integers(1, 3)) for d in rng.choice(names[15:], 3, replace=False)} for name in asked
    }
    queries = [{"item": name, "lang": "en", "text": f"text {name}"} for name in asked]
    passages = [{"item": name, "lang": "en", "text": f"text {name}"} for name in names]
    vectors = rng.normal(size=(40, 8)).astype(np.float32)
    scores = (vectors[:15] / np.linalg.norm(vectors[:15], axis=1)[:, None]) @ (
        vectors / np.linalg.norm(vectors, axis=1)[:, None]
    ).T
    pairs = [(query, passage, grade) for query, found in qrels.items() for passage, grade in found.items()]
    for ignored in (True, False):
        corpus = Corpus.from_rows(
            queries, passages, pairs, excluded=[(name, name) for name in asked] if ignored else []
        )
        mine = measures(rank_table(corpus, vectors[:15], vectors), ["mAP", "nDCG@10", "R@10"])
        results = {q: {d: float(scores[i, j]) for j, d in enumerate(names)} for i, q in enumerate(asked)}
        theirs = evaluator.evaluate(None, qrels, results, [10, 40], ignore_identical_ids=ignored).all_scores
        for own, other in (("mAP", "map_cut_40"), ("nDCG@10", "ndcg_cut_10"), ("R@10", "recall_10")):
            expected = [theirs[query][other] for query in asked]
            assert mine[f"mono/{own}"].values == pytest.approx(expected, abs=1e-6)


def test_a_table_with_excluded_passages_is_kept(tmp_path) -> None:
    corpus = drawn(np.random.default_rng(5), excluded=20)
    table = rank_table(corpus, *embedded(corpus, 5))
    table.save(tmp_path)
    again = RankTable.load(tmp_path)
    assert again.excluded is not None
    assert np.array_equal(again.excluded, table.excluded)
    assert {n: v.macro() for n, v in measures(again).items()} == {n: v.macro() for n, v in measures(table).items()}
    plain = rank_table(replace(corpus, excluded=None), *embedded(corpus, 5))
    assert plain.excluded is None
    plain.save(tmp_path)
    assert RankTable.load(tmp_path).excluded is None


def test_a_query_whose_whole_pool_is_excluded_has_no_first_answers() -> None:
    queries = [{"item": name, "lang": "en", "text": name} for name in "ab"]
    passages = [{"item": name, "lang": "en", "text": name} for name in "pr"]
    corpus = Corpus.from_rows(queries, passages, [("a", "p")], excluded=[("b", "p"), ("b", "r")])
    table = rank_table(corpus, np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32))
    assert table.top[:, -1].tolist() == [[2], [0]]
    found = per_query(table)["same-language share@10"]
    assert found.query.tolist() == [0]
    assert found.values.tolist() == [1.0]
    assert Audit.of(table).summary()["language_share@10"] == [[1.0]]


def test_copies_count_as_something_known() -> None:
    corpus = drawn(np.random.default_rng(0))
    with pytest.raises(ConfigError, match="count as wrong, relevant or excluded, not 'right'"):
        rank_table(corpus, *embedded(corpus, 0), copies="right")  # type: ignore[arg-type]


# --- the table of excluded pairs


def test_excluded_pairs_are_part_of_a_corpus(tmp_path) -> None:
    corpus = drawn(np.random.default_rng(2), excluded=9)
    plain = replace(corpus, excluded=None)
    as_negatives = replace(plain, negatives=corpus.excluded)
    assert len({corpus.fingerprint(), plain.fingerprint(), as_negatives.fingerprint()}) == 3
    for format in ("parquet", "arrow"):
        corpus.save(tmp_path / format, format=format)
        again = Corpus.load(tmp_path / format)
        assert again.excluded.equals(corpus.excluded)
        assert again.fingerprint() == corpus.fingerprint()
    back = corpus.reversed()
    assert {tuple(row.values())[::-1] for row in back.excluded.to_pylist()} == {
        tuple(row.values()) for row in corpus.excluded.to_pylist()
    }
    some = corpus.only_langs(["en"])
    kept = defaultdict(set)
    for side in ("queries", "passages"):
        kept[side] = set(getattr(some, side)["item"].to_pylist())
    both = [
        p
        for p in corpus.excluded.to_pylist()
        if p["query_item"] in kept["queries"] and p["passage_item"] in kept["passages"]
    ]
    assert some.excluded.to_pylist() == both
    assert "9 excluded pairs" in repr(corpus)


def test_bad_excluded_pairs() -> None:
    queries, passages = [{"item": "q", "lang": "en", "text": "q"}], [{"item": "p", "lang": "en", "text": "p"}]
    for pairs, message in (
        ([("q", "p")], "excluded, row 1: the pair 'q', 'p' is also in qrels"),
        ([("q", "z")], "excluded, row 1, column 'passage_item': item 'z' has no row"),
    ):
        with pytest.raises(CorpusError, match=message):
            Corpus.from_rows(queries, passages, [("q", "p")], excluded=pairs)


def test_many_copies_are_counted_without_being_listed() -> None:
    rows = 3000
    queries = [{"item": f"q{i}", "lang": "en", "text": f"q{i}"} for i in range(rows)]
    passages = [{"item": f"p{i}", "lang": "en", "text": "yes"} for i in range(rows)]
    corpus = Corpus.from_rows(queries, passages, [(f"q{i}", f"p{i}") for i in range(rows)])
    assert count_copies(corpus) == {"queries": rows, "passages": rows, "pairs": rows * (rows - 1)}
    assert pl.DataFrame(count_copies(corpus)).height == 1


def test_an_audit_through_an_index_passes_over_excluded_passages() -> None:
    queries = [{"item": name, "lang": "en", "text": name} for name in "ab"]
    passages = [{"item": item, "lang": lang, "text": f"{item} {lang}"} for item in "apr" for lang in ("de", "en")]
    corpus = Corpus.from_rows(queries, passages, [("a", "p"), ("b", "r")], excluded=[("a", "a")])
    judge = Judge(corpus)
    assert judge.excluded_rows().tolist() == [2, 0]
    names = [(row["item"], row["lang"]) for row in passages]
    answers = judge.answers("x", [0] * 6 + [1] * 6, *map(list, zip(*(names * 2), strict=True)))
    lists = judge.judge(answers, 10)
    assert lists.depth.tolist() == [4, 6]
    assert lists.grade.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 1, 1]
    assert lists.pool.sum(axis=1).tolist() == [4, 6]
