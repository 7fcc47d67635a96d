"""Graded relevance: qrels with grades, and nDCG from them, against the field's library."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from conftest import parallel_corpus

from babelmix.corpus import Corpus, open_corpus
from babelmix.errors import CorpusError, ReaderError
from babelmix.evaluation import Audit, RankTable, measures, rank_table
from babelmix.evaluation.metrics import RankedLists, ndcg
from babelmix.evaluation.ranks import relevant_pairs


def graded_corpus(seed: int = 0, items: int = 30) -> Corpus:
    """Every query has its own item with the highest grade and some others with lower ones."""
    rng = np.random.default_rng(seed)
    plain = parallel_corpus(items)
    qrels = []
    for i in range(items):
        others = rng.choice([j for j in range(items) if j != i], size=4, replace=False)
        qrels += [(f"i{i}", f"i{i}", 3), *((f"i{i}", f"i{j}", int(rng.integers(1, 4))) for j in others)]
    return Corpus.from_rows(plain.queries.to_pylist(), plain.passages.to_pylist(), qrels, name="graded")


def vectors(corpus: Corpus, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((t.num_rows, 6)).astype(np.float32) for t in (corpus.queries, corpus.passages)]


def test_ndcg_with_grades_equals_pytrec_eval() -> None:
    import pytrec_eval

    corpus = graded_corpus()
    queries, passages = vectors(corpus)
    found = measures(rank_table(corpus, queries, passages, similarity="dot"), ("nDCG", "nDCG@10", "nDCG@3", "mAP"))
    grades = {
        (q, p): g for q, p, g in zip(*(corpus.qrels[c].to_pylist() for c in corpus.qrels.column_names), strict=True)
    }
    items = corpus.passages["item"].to_pylist()
    qrels, run = {}, {}
    for q, item in enumerate(corpus.queries["item"].to_pylist()):
        qrels[f"q{q}"] = {f"d{d}": grades[item, other] for d, other in enumerate(items) if (item, other) in grades}
        run[f"q{q}"] = {f"d{d}": float(queries[q] @ passages[d]) for d in range(len(items))}
    evaluated = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg", "ndcg_cut.3,10", "map"}).evaluate(run)
    for name, theirs in (("nDCG", "ndcg"), ("nDCG@10", "ndcg_cut_10"), ("nDCG@3", "ndcg_cut_3"), ("mAP", "map")):
        expected = [evaluated[f"q{q}"][theirs] for q in range(len(queries))]
        assert found[f"multi/{name}"].values == pytest.approx(expected, abs=1e-6)


def test_ndcg_by_hand() -> None:
    # One list: grade 1 at rank 0, grade 3 at rank 2; another: grade 2 at rank 1.
    lists = RankedLists(np.array([0, 2, 1]), np.array([0, 2]), np.array([1, 3, 2]))
    best = 3 / np.log2(2) + 1 / np.log2(3)
    assert ndcg(lists) == pytest.approx([(1 / np.log2(2) + 3 / np.log2(4)) / best, 1 / np.log2(3)])
    assert ndcg(lists, 2) == pytest.approx([1 / best, 1 / np.log2(3)])
    assert ndcg(lists, 1) == pytest.approx([1 / 3, 0.0])


def test_grades_survive_saving_and_reversing(tmp_path) -> None:
    corpus = graded_corpus()
    corpus.save(tmp_path / "corpus")
    loaded = Corpus.load(tmp_path / "corpus")
    assert loaded.qrels.equals(corpus.qrels)
    assert loaded.fingerprint() == corpus.fingerprint()
    assert corpus.is_graded
    assert not parallel_corpus().is_graded
    assert corpus.reversed().reversed().qrels.equals(corpus.qrels)
    assert corpus.only_langs(["de"]).is_graded
    table = rank_table(corpus, *vectors(corpus))
    assert table.pair_grade.tolist() == relevant_pairs(corpus)[2].tolist()
    assert set(table.pair_grade) == {1, 2, 3}
    Audit.of(table).save(tmp_path / "audit")
    assert np.array_equal(RankTable.load(tmp_path / "audit").pair_grade, table.pair_grade)


def test_grades_are_part_of_what_a_corpus_is() -> None:
    rows = [{"item": "a", "lang": "de", "text": "x"}]
    plain, one, two = (Corpus.from_rows(rows, rows, [pair]) for pair in (("a", "a"), ("a", "a", 1), ("a", "a", 2)))
    assert plain.fingerprint() == one.fingerprint()
    assert one.fingerprint() != two.fingerprint()


@pytest.mark.parametrize("grade", [0, -1, None])
def test_a_grade_below_one_is_refused(grade: int | None) -> None:
    plain = parallel_corpus(3)
    pairs = {"query_item": ["i0", "i1"], "passage_item": ["i0", "i1"], "grade": [2, grade]}
    with pytest.raises(CorpusError, match="qrels, row 2, column 'grade'"):
        Corpus(plain.queries, plain.passages, pa.table(pairs))


def test_a_grade_that_is_no_number_is_refused() -> None:
    plain = parallel_corpus(3)
    with pytest.raises(CorpusError, match="whole number"):
        Corpus(
            plain.queries, plain.passages, pa.table({"query_item": ["i0"], "passage_item": ["i0"], "grade": ["high"]})
        )


def test_a_beir_folder_with_grades(tmp_path) -> None:
    queries = [
        {"_id": "q-de", "item": "q", "text": "Frage", "lang": "de"},
        {"_id": "q-en", "item": "q", "text": "question", "lang": "en"},
    ]
    passages = [{"_id": name, "text": f"text {name}", "lang": "en"} for name in "abc"]
    for name, rows in (("queries", queries), ("corpus", passages)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "qrels").mkdir()
    lines = ["query-id\tcorpus-id\tscore", "q-de\ta\t1", "q-en\ta\t2", "q-en\tb\t1", "q-de\tc\t0"]
    (tmp_path / "qrels" / "test.tsv").write_text("\n".join(lines))
    corpus = open_corpus(f"beir={tmp_path}")
    assert corpus.qrels.to_pylist() == [
        {"query_item": "q", "passage_item": "a", "grade": 2},
        {"query_item": "q", "passage_item": "b", "grade": 1},
    ]
    (tmp_path / "qrels" / "test.tsv").write_text("q-de\ta\t0.5")
    with pytest.raises(ReaderError, match=r"test.tsv, row 1, field 'score': '0.5' is not a whole number"):
        open_corpus(f"beir={tmp_path}")
