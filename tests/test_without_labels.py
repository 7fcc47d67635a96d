"""Audits of corpora without qrels: what needs no labels is measured, and nothing is said about quality."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from babelmix.corpus import Corpus
from babelmix.errors import AuditError
from babelmix.evaluation import Audit, audit
from babelmix.evaluation.agreement import PERSISTENCE, rank_biased_overlap
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.lists import audit_lists
from babelmix.evaluation.systems import Answer, ScoreMatrix
from babelmix.experiment import write_audit_report
from babelmix.experiment.audits import compare_loaded

LANGS = ("de", "en", "fr")


def log(items: int = 12, answers: int = 30, missing: int = 0) -> Corpus:
    """Queries in three languages and passages in three, without qrels."""
    queries = [{"item": f"q{i}", "lang": lang, "text": f"{i} {lang}"} for i in range(items) for lang in LANGS]
    passages = [{"item": f"p{i}", "lang": lang, "text": f"text {i} {lang}"} for i in range(answers) for lang in LANGS]
    return Corpus.from_rows(queries[missing:], passages, [], name="log")


def audited(corpus: Corpus, seed: int = 0) -> Audit:
    shape = corpus.queries.num_rows, corpus.passages.num_rows
    return audit(ScoreMatrix("random", np.random.default_rng(seed).normal(size=shape).astype(np.float32)), corpus)


def first_items(corpus: Corpus, seed: int = 0) -> list[list[str]]:
    """The items of the twenty first answers to each query, sorted plainly."""
    shape = corpus.queries.num_rows, corpus.passages.num_rows
    scores = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    names = corpus.passages["item"].to_pylist()
    return [[names[row] for row in np.argsort(-line, kind="stable")[:20]] for line in scores]


def slow_overlap(one: list[str], other: list[str]) -> float:
    """Rank-biased overlap, equation 32 of Webber, Moffat and Zobel (2010), term by term."""
    one, other = list(dict.fromkeys(one)), list(dict.fromkeys(other))
    short, long = sorted((one, other), key=len)
    s, n, p = len(short), len(long), PERSISTENCE
    x = [len(set(short[:d]) & set(long[:d])) for d in range(n + 1)]
    first = sum(x[d] / d * p**d for d in range(1, n + 1))
    second = sum(x[s] * (d - s) / (s * d) * p**d for d in range(s + 1, n + 1))
    return (1 - p) / p * (first + second) + ((x[n] - x[s]) / n + x[s] / s) * p**n


@pytest.mark.parametrize("missing", [0, 1])
def test_overlaps_equal_a_slow_reference(missing):
    corpus = log(missing=missing)
    found, lists = audited(corpus), first_items(corpus)
    item = corpus.queries["item"].to_pylist()
    pairs = [(a, b) for a, b in combinations(range(len(item)), 2) if item[a] == item[b]]
    for name, slow in {
        "bias/answer overlap@1": lambda a, b: float(a[0] == b[0]),
        "bias/answer overlap@10": lambda a, b: len({*a[:10]} & {*b[:10]}) / len({*a[:10]} | {*b[:10]}),
        "bias/rank-biased overlap": slow_overlap,
    }.items():
        values = [[slow(lists[a], lists[b]) for a, b in pairs if row in (a, b)] for row in range(len(item))]
        assert found.measures[name].values == pytest.approx([np.mean(one) for one in values], abs=1e-9), name


def test_rank_biased_overlap_of_lists_with_different_numbers_of_items():
    queries = [{"item": "q", "lang": lang, "text": lang} for lang in ("de", "en")]
    passages = [{"item": item, "lang": lang, "text": item + lang} for item in "abcd" for lang in ("de", "en")]
    corpus = Corpus.from_rows(queries, passages, [], name="log")
    scores = np.array([[8, 7, 6, 5, 4, 3, 2, 1], [5, 4, 6, 1, 7, 2, 8, 3]], dtype=np.float32)
    table = audit(ScoreMatrix("two", scores), corpus).table
    cut = replace(table, first_item=table.first_item[:, :5].copy())
    expected = slow_overlap(["a", "b", "c"], ["d", "c", "b", "a"])
    assert 0.2 < expected < 0.8
    assert rank_biased_overlap(cut)[1] == pytest.approx([expected] * 2)


def test_an_audit_without_labels_has_what_needs_none_and_says_so(tmp_path: Path):
    corpus = log()
    found = audited(corpus)
    assert {name.partition("/")[0] for name in found.measures} == {"bias"}
    assert {f"bias/{name}" for name in ("same-language share@10", "same-language excess@10", "languages@10")} <= set(
        found.measures
    )
    line = " ".join(found.lines())
    assert "without labels" in line
    assert "nothing here says whether an answer is right" in line
    assert "mAP" not in line
    assert found.table.about.labels == "none: queries and passages without qrels"
    assert list(found.headline().head) == [
        "", "own lang.@10", "same-language excess@10", "languages@10", "overlap@10",
    ]  # fmt: skip
    found.save(tmp_path)
    again = Audit.load(tmp_path)
    assert (
        again.measures["bias/answer overlap@10"].values.tolist()
        == found.measures["bias/answer overlap@10"].values.tolist()
    )
    write_audit_report(found, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "nothing here says whether an answer is right" in text
    assert "Left out, “Which languages crowd the answer out?”: there are no relevance judgements." in text


def test_audits_without_labels_are_compared_by_what_they_have(tmp_path: Path):
    corpus = log()
    compared = compare_loaded({"one": audited(corpus), "two": audited(corpus, 1)})
    assert [test.measure for test in compared.comparisons] == [
        "bias/same-language share@10", "bias/same-language excess@10", "bias/languages@10", "bias/answer overlap@10",
    ]  # fmt: skip
    compared.save(tmp_path)
    assert (tmp_path / "report.html").is_file()


def test_the_number_of_languages_among_the_first_answers():
    corpus = log()
    found = audited(corpus)
    table = found.table
    langs = np.array(corpus.passages["lang"].to_pylist())
    slow = [len(set(langs[row])) for row in table.first[:, :5]]
    assert found.measures["bias/languages@5"].values.tolist() == slow
    assert "bias/languages@1" not in found.measures


def test_a_part_that_lost_its_qrels_is_not_taken_for_a_corpus_without():
    rows = [{"item": lang, "lang": lang, "text": lang} for lang in ("de", "en")]
    corpus = Corpus.from_rows(rows, rows, [("de", "en")], name="apart")
    with pytest.raises(AuditError, match="apart: no passage is relevant to any query"):
        audit(ScoreMatrix("one", np.zeros((1, 1), dtype=np.float32)), corpus.only_langs("de"))


def test_the_overlap_needs_translations_of_a_question():
    rows = [{"item": str(i), "lang": LANGS[i % 3], "text": str(i)} for i in range(9)]
    found = audited(Corpus.from_rows(rows, rows, [], name="each once"))
    assert not [name for name in found.measures if "overlap" in name]


def test_the_overlap_of_ranked_lists_is_that_of_exact_scores():
    corpus = log()
    scores = (
        np.random.default_rng(0).normal(size=(corpus.queries.num_rows, corpus.passages.num_rows)).astype(np.float32)
    )
    items, langs = (corpus.passages[name].to_pylist() for name in ("item", "lang"))

    class Lists:
        name, depth = "lists", None

        def facts(self, corpus, *, copies="wrong"):
            return AuditFacts(encoder=self.name, corpus=corpus.name)

        def retrieve(self, queries, k):
            for row, line in enumerate(scores):
                cut = 3 if row == 0 else 10
                yield [Answer(items[one], langs[one]) for one in np.argsort(-line, kind="stable")[:cut]]

    found = audit_lists({"lists": Lists()}, corpus, k=10)["lists"]
    overlap = found.measures["bias/answer overlap@10"]
    exact = audit(ScoreMatrix("exact", scores), corpus).measures["bias/answer overlap@10"]
    assert overlap.values[3:] == pytest.approx(exact.values[3:])
    bounds = found.bounds["bias/answer overlap@10"]
    # One list has three answers only, and is compared with two others.
    assert bounds.low.values[:3].tolist() == [0, 0, 0]
    assert bounds.high.values[:3].tolist() == [1, 1, 1]
    assert bounds.low.values[3:].tolist() == bounds.high.values[3:].tolist() == overlap.values[3:].tolist()
