"""The scoring pass against plain comparison of all scores: ties, chunks, files on disk, and values that are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import parallel_corpus, sparse_corpus
from hypothesis import given, settings
from hypothesis import strategies as st

from babelmix.corpus import Corpus
from babelmix.errors import AuditError
from babelmix.evaluation import RankTable, rank_table, scoring
from babelmix.evaluation.chunks import Chunk, read


def whole_numbers(rng: np.random.Generator, corpus: Corpus, dimension: int = 4) -> list[np.ndarray]:
    """Dot products that no order of summation changes, many of them equal; some vectors are zero, some are copies."""
    made = []
    for table in (corpus.queries, corpus.passages):
        vectors = rng.integers(-2, 3, size=(table.num_rows, dimension)).astype(np.float32)
        vectors[rng.random(len(vectors)) < 0.15] = 0.0
        copied = rng.random(len(vectors)) < 0.2
        vectors[copied] = vectors[rng.integers(0, len(vectors), size=int(copied.sum()))]
        made.append(vectors)
    return made


def check(table: RankTable, corpus: Corpus, queries: np.ndarray, passages: np.ndarray) -> None:
    """Every count from the full matrix of scores, ties to the lower row."""
    scores = queries.astype(np.float64) @ passages.astype(np.float64).T
    # Ranks by a stable sort of the falling scores.
    order = np.argsort(-scores, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None].repeat(len(order), 0), axis=1)
    langs = np.array(corpus.passages["lang"].to_pylist())
    of_lang = np.array([langs == lang for lang in table.passage_langs])
    before = rank[table.pair_query] < rank[table.pair_query, table.pair_passage][:, None]
    assert np.array_equal(table.outranking_counts, (before[:, None, :] & of_lang[None]).sum(axis=2))
    for c, k in enumerate(table.cutoffs):
        first = order[:, :k]
        assert np.array_equal(table.top[:, c], of_lang[:, first].sum(axis=2).T), k


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    items=st.integers(1, 14),
    langs=st.sampled_from([("en",), ("de", "en"), ("de", "en", "fr", "ja")]),
    keep=st.sampled_from([0.4, 0.8, 1.0]),
    chunk=st.sampled_from([None, 1, 2, 3, 7, 64, 1000]),
    kind=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_table_equals_sorting(seed: int, items: int, langs: tuple[str, ...], keep: float, chunk, kind) -> None:
    rng = np.random.default_rng(seed)
    corpus = sparse_corpus(rng, items, langs, keep)
    if corpus.qrels.num_rows == 0:
        return
    queries, passages = whole_numbers(rng, corpus)
    table = rank_table(
        corpus,
        queries.astype(kind),
        passages.astype(kind),
        similarity="dot",
        cutoffs=(1, 2, 5, 200),
        chunk=chunk,
        memory=1,
    )
    check(table, corpus, queries, passages)


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [None, 700, 4096])
def test_many_queries_and_long_runs_of_one_language(chunk: int | None) -> None:
    """Several blocks of queries, and more passages of a language than eight-bit counts could hold."""
    rng = np.random.default_rng(1)
    rows = [{"item": f"i{i % 300}", "lang": "en" if i % 10 else "de", "text": f"{i}"} for i in range(6000)]
    asked = [{"item": f"i{i}", "lang": "de", "text": f"q{i}"} for i in range(270)]
    corpus = Corpus.from_rows(asked, rows, [(f"i{i}", f"i{i}") for i in range(270)])
    queries, passages = whole_numbers(rng, corpus, dimension=3)
    table = rank_table(corpus, queries, passages, similarity="dot", cutoffs=(1, 20, 500), chunk=chunk)
    check(table, corpus, queries, passages)
    assert table.outranking_counts.max() > 255 * 8


def test_queries_of_very_different_numbers_of_relevant_passages() -> None:
    rng = np.random.default_rng(2)
    counts = [0, 40, 1, 0, 7, 1]
    passages_of = [(f"p{q}", n) for q, n in enumerate(counts) if n]
    rows = [
        {"item": item, "lang": ("de", "en", "fr")[i % 3], "text": f"{i}"} for item, n in passages_of for i in range(n)
    ]
    asked = [{"item": f"q{q}", "lang": "en", "text": f"q{q}"} for q in range(len(counts))]
    corpus = Corpus.from_rows(asked, rows, [(f"q{item[1:]}", item) for item, _ in passages_of])
    queries, passages = whole_numbers(rng, corpus)
    for chunk in (None, 5):
        table = rank_table(corpus, queries, passages, similarity="dot", chunk=chunk)
        assert np.bincount(table.pair_query, minlength=6).tolist() == counts
        check(table, corpus, queries, passages)


def same(one: RankTable, other: RankTable) -> bool:
    return np.array_equal(one.outranking_counts, other.outranking_counts) and np.array_equal(one.top, other.top)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [3, 16, 100])
def test_chunks_do_not_change_the_table(dimension: int) -> None:
    """Of rounded scores too, and with copies among the passages: equal vectors tie in whichever chunks they are."""
    rng = np.random.default_rng(dimension)
    corpus = parallel_corpus(70)
    queries, passages = (rng.standard_normal((280, dimension)).astype(np.float32) for _ in range(2))
    passages[rng.integers(0, 280, size=90)] = passages[5]
    whole = rank_table(corpus, queries, passages)
    for chunk in (1, 2, 9, 64, 100, 279):
        assert same(rank_table(corpus, queries, passages, chunk=chunk), whole), chunk
    for memory in (1, 1 << 20):
        assert same(rank_table(corpus, queries, passages, memory=memory), whole)


@pytest.mark.parametrize("dimension", [3, 24, 384, 1000])
@pytest.mark.parametrize("onednn", [True, False])
def test_a_score_depends_on_its_two_vectors_alone(dimension: int, onednn: bool, monkeypatch) -> None:
    """What counting ties and chunks rests on: neither place nor size of a padded product changes a score's last bit."""
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
    rng = np.random.default_rng(dimension)
    queries, passages = (torch.from_numpy(rng.standard_normal((n, dimension), np.float32)) for n in (256, 1024))
    with scoring._single_threaded(1) as threads:

        def product(left: torch.Tensor, right: torch.Tensor) -> np.ndarray:
            return threads.submit(lambda: scoring._product(left, scoring._factor(right))).result()

        whole = product(queries, passages)
        assert np.allclose(whole, queries.numpy() @ passages.numpy().T, atol=1e-3)
        for rows in (16, 48, 256):
            for first, end in ((0, 64), (64, 256), (320, 1024)):
                assert np.array_equal(product(queries[:rows], passages[first:end]), whole[:rows, first:end])
        order = rng.permutation(1024)
        assert np.array_equal(product(queries, passages[order]), whole[:, order])


@pytest.mark.parametrize("chunk", [None, 1, 30])
def test_equal_passages_stand_in_row_order(chunk: int | None) -> None:
    corpus = parallel_corpus(20)
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((80, 24)).astype(np.float32)
    passages = np.repeat(rng.standard_normal((1, 24)).astype(np.float32), 80, axis=0)
    table = rank_table(corpus, queries, passages, chunk=chunk)
    assert np.array_equal(table.rank_in_all(), table.pair_passage)
    assert table.top[:, 1].sum(axis=1).tolist() == [5] * 80


def test_zero_vectors_tie_with_what_is_orthogonal() -> None:
    corpus = parallel_corpus(2, langs=("en",))
    queries = np.array([[1, 0], [0, 0]], dtype=np.float32)
    passages = np.array([[0, 0], [0, 3]], dtype=np.float32)
    for similarity in ("cosine", "dot"):
        # The zero passage and the orthogonal one both score 0, and so does everything for the zero query.
        assert rank_table(corpus, queries, passages, similarity=similarity).rank_in_all().tolist() == [0, 1]


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_files_on_disk_give_the_same_table(tmp_path: Path, kind: type) -> None:
    rng = np.random.default_rng(3)
    corpus = parallel_corpus(50)
    arrays = [rng.standard_normal((200, 12)).astype(kind) for _ in range(2)]
    for name, array in zip("qp", arrays, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    mapped = [np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "qp"]
    expected = rank_table(corpus, *(a.astype(np.float32) for a in arrays))
    for chunk in (None, 33):
        assert same(rank_table(corpus, *mapped, chunk=chunk), expected)


def test_scores_known_beforehand_are_held_against_the_products(monkeypatch) -> None:
    """Should the product round a pair differently from what was computed ahead, the product's own score counts."""
    corpus = parallel_corpus(30)
    rng = np.random.default_rng(4)
    queries, passages = whole_numbers(rng, corpus)
    honest = scoring._Scoring._own_scores
    passes = []

    def slightly_off(self, threads):
        return honest(self, threads) + np.float32(0.5)

    def counted(self, *args):
        passes.append(1)
        return once(self, *args)

    once = scoring._Scoring._pass
    monkeypatch.setattr(scoring._Scoring, "_pass", counted)
    expected = rank_table(corpus, queries, passages, similarity="dot", chunk=50)
    assert len(passes) == 1
    monkeypatch.setattr(scoring._Scoring, "_own_scores", slightly_off)
    assert same(rank_table(corpus, queries, passages, similarity="dot", chunk=50), expected)
    assert len(passes) == 3
    check(expected, corpus, queries, passages)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunk", [None, 10])
def test_values_that_are_not_finite_are_refused_by_row(value: float, chunk: int | None) -> None:
    corpus = parallel_corpus(20)
    rng = np.random.default_rng(0)
    for side, at in (("query", 41), ("passage", 57)):
        vectors = {name: rng.standard_normal((80, 4)).astype(np.float32) for name in ("query", "passage")}
        vectors[side][at, 2] = value
        for similarity in ("cosine", "dot"):
            with pytest.raises(AuditError, match=f"{side} row {at + 1} is not finite"):
                rank_table(corpus, vectors["query"], vectors["passage"], similarity=similarity, chunk=chunk)


def test_float64_beyond_float32_is_refused() -> None:
    corpus = parallel_corpus(5)
    vectors = np.ones((20, 3))
    vectors[4, 0] = 1e300
    with pytest.raises(AuditError, match="passage row 5 is not finite"):
        rank_table(corpus, np.ones((20, 3)), vectors)


def test_dot_products_beyond_float32_are_refused() -> None:
    corpus = parallel_corpus(5)
    large = np.full((20, 3), 1e20, dtype=np.float32)
    for other in (large, -large):
        with pytest.raises(AuditError, match="exceed float32"):
            rank_table(corpus, large, other, similarity="dot")
    assert rank_table(corpus, large, large).outranking_counts.shape == (80, 4)


@pytest.mark.parametrize("scale", [1e-35, 1e-20, 1e20, 1e37])
def test_cosine_does_not_depend_on_the_length(scale: float) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 8)).astype(np.float32)
    unit = read(vectors * np.float32(scale), np.arange(50), "query", "cosine")
    assert np.allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-6)
    assert np.allclose(unit, read(vectors, np.arange(50), "query", "cosine"), atol=1e-5)


def test_what_a_row_becomes_does_not_depend_on_the_others() -> None:
    vectors = np.random.default_rng(0).standard_normal((60, 100)).astype(np.float32)
    vectors[7] = 0.0
    together = read(vectors, np.arange(60), "query", "cosine")
    scattered = np.array([3, 7, 8, 59])
    assert np.array_equal(read(vectors, scattered, "query", "cosine"), together[scattered])
    for row in (3, 7):
        assert np.array_equal(read(vectors, np.array([row]), "query", "cosine")[0], together[row])
    assert not together[7].any()
    assert np.array_equal(vectors[3], np.random.default_rng(0).standard_normal((60, 100)).astype(np.float32)[3])


def test_layout_of_a_chunk() -> None:
    lang = np.array([4, 1, 4, 1, 1, 2])
    chunk = Chunk.of(lang, 100)
    assert chunk.langs.tolist() == [1, 2, 4]
    assert len(chunk.row_at) == 64
    assert chunk.row_at[:3].tolist() == [101, 103, 104]
    assert chunk.row_at[8:9].tolist() == [105]
    assert chunk.row_at[16:18].tolist() == [100, 102]
    assert (chunk.row_at >= 0).sum() == 6
    assert np.array_equal(chunk.row_at[chunk.column_of], np.arange(100, 106))
    assert np.array_equal(chunk.lang_at[chunk.column_of], lang)
    assert chunk.runs.tolist() == [0, 1, 2]
    assert chunk.hold(np.array([99, 100, 105, 106])).tolist() == [False, True, True, False]
    mask = np.zeros((2, 64), dtype=bool)
    mask[0, [0, 2, 8]] = mask[1, 16:18] = True
    assert chunk.by_language(chunk.add_up(mask)).tolist() == [[2, 1, 0], [0, 0, 2]]


def test_settings_of_the_process_are_left_as_they_were() -> None:
    corpus = parallel_corpus(10)
    rng = np.random.default_rng(0)
    queries, passages = (rng.standard_normal((40, 64)).astype(np.float32) for _ in range(2))
    expected = rank_table(corpus, queries, passages)
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("medium")
        assert same(rank_table(corpus, queries, passages), expected)
        with pytest.raises(AuditError):
            rank_table(corpus, queries, passages * np.float32(np.nan))
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(precision)
    assert torch.get_num_threads() == threads


def test_embeddings_without_dimensions_are_refused() -> None:
    corpus = parallel_corpus(3)
    with pytest.raises(AuditError, match="embeddings of shape"):
        rank_table(corpus, np.ones((12, 0), np.float32), np.ones((12, 0), np.float32))


def test_the_bound_on_memory_keeps_workers_and_chunks_few(monkeypatch) -> None:
    corpus = parallel_corpus(100)
    vectors = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32)
    seen = []
    run = scoring._Scoring.run
    monkeypatch.setattr(scoring._Scoring, "run", lambda self, n: seen.append((n, self.chunk)) or run(self, n))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    for memory in (1, 6 * 4 * 16 * 100, 4 << 20, 1 << 30):
        rank_table(corpus, vectors, vectors, memory=memory)
    assert seen[0] == (1, 64)
    assert seen[1] == (1, 100)
    assert seen[2][1] == seen[3][1] == 400
    assert seen[2][0] == (4 * 2**20 - 2 * 4 * 16 * (400 + 4 * 8 + 64)) // (2 * 4 * 256 * (400 + 4 * 8 + 64))
    assert 1 < seen[2][0] < seen[3][0] == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cutoffs": ()}, "cut-offs"),
        ({"cutoffs": (0, 3)}, "cut-offs"),
        ({"chunk": 0}, "chunk"),
        ({"chunk": -1}, "chunk"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict, message: str) -> None:
    corpus = parallel_corpus(3)
    with pytest.raises(AuditError, match=message):
        rank_table(corpus, np.ones((12, 2), np.float32), np.ones((12, 2), np.float32), **options)
