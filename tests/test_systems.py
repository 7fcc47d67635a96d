"""Systems: what is audited gives a rank table or ranked lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from conftest import parallel_corpus, sparse_corpus

from babelmix.corpus import Corpus
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation import audit, measures, rank_table
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.lists import audit_lists, checked_metrics
from babelmix.evaluation.systems import (
    SYSTEMS,
    Answer,
    EncoderSystem,
    ExactSystem,
    ListSystem,
    ScoreMatrix,
    System,
)


class Lists:
    """Ranked lists from a matrix of scores, one list at a time."""

    def __init__(self, corpus: Corpus, scores: np.ndarray, depth: int | None = None) -> None:
        self.name, self.depth = "lists", depth
        self.corpus, self.scores = corpus, scores
        self.asked: list[int] = []

    def facts(self, corpus: Corpus, *, copies: Any = "wrong") -> AuditFacts:
        return AuditFacts(encoder=self.name, corpus=corpus.name)

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        rows = self.corpus.passages.select(["item", "lang"]).to_pylist()
        for scores, wanted in zip(self.scores, k, strict=True):
            self.asked.append(wanted)
            best = np.argsort(-scores, kind="stable")[:wanted]
            yield [Answer(rows[i]["item"], rows[i]["lang"], float(scores[i])) for i in best]


@pytest.fixture
def scored() -> tuple[Corpus, np.ndarray]:
    rng = np.random.default_rng(3)
    corpus = sparse_corpus(rng, 30, ("de", "en", "it"), 0.8)
    return corpus, rng.integers(0, 40, (corpus.queries.num_rows, corpus.passages.num_rows)).astype(np.float32)


def test_the_kinds_keep_to_the_protocols(tiny_static) -> None:
    for made in (EncoderSystem(tiny_static), ScoreMatrix("x", np.zeros((1, 1), dtype=np.float32))):
        assert isinstance(made, ExactSystem)
        assert not isinstance(made, ListSystem)
    lists: System = Lists(parallel_corpus(2), np.zeros((1, 1)))
    assert isinstance(lists, ListSystem)
    assert not isinstance(lists, ExactSystem)
    assert SYSTEMS["encoder"] is EncoderSystem
    assert SYSTEMS["scores"] is ScoreMatrix


def test_a_matrix_of_scores_has_the_ranks_of_its_scores(scored) -> None:
    corpus, scores = scored
    made: list[int] = []

    def compute() -> np.ndarray:
        made.append(1)
        return scores

    system = ScoreMatrix("reader", compute, "full", {"k": 3})
    facts = system.facts(corpus)
    assert made == []
    assert list(facts.as_json()) == ["encoder", "corpus", "fingerprint", "mode", "queries", "passages", "settings"]
    table = system.rank(corpus)
    assert table.about == facts
    order = np.argsort(-scores, axis=1, kind="stable").argsort(axis=1)
    assert table.rank_in_all().tolist() == order[table.pair_query, table.pair_passage].tolist()
    assert audit(system, corpus, metrics="mAP").macro("multi/mAP") == measures(table, "mAP")["multi/mAP"].macro()
    with pytest.raises(AuditError, match=r"reader: the scores have the shape .*, but sparse needs"):
        ScoreMatrix("reader", scores.T).rank(corpus)


def test_lists_as_long_as_the_pool_have_the_metrics_of_the_scores(scored) -> None:
    corpus, scores = scored
    k = corpus.passages.num_rows
    exact = measures(ScoreMatrix("x", scores).rank(corpus), [f"mAP@{k}", "nDCG@10", "MRR@5"])
    system = Lists(corpus, scores)
    found = audit_lists({"x": system}, corpus, k=k, metrics=[f"mAP@{k}", "nDCG@10", "MRR@5"])["x"]
    for name in (f"multi/mAP@{k}", "multi/nDCG@10", "multi/MRR@5", "bias/same-language share@10"):
        assert found.measures[name].cells == exact[name].cells
        assert found.measures[name].values == pytest.approx(exact[name].values)
        assert found.measures[name].lower_is_better is exact[name].lower_is_better
    assert set(system.asked) == {k}
    macro, cells = found.estimates()["multi/nDCG@10"]
    assert macro.low <= macro.value <= macro.high
    assert set(cells) == {"de", "en", "it"}


def test_what_is_beyond_the_list_counts_as_the_rank_behind_it(scored) -> None:
    corpus, scores = scored
    found = audit_lists({"x": Lists(corpus, scores)}, corpus, k=12)["x"]
    exact = measures(ScoreMatrix("x", scores).rank(corpus), ["mAP@12", "nDCG@10"])
    assert found.measures["multi/mAP@12"].values == pytest.approx(exact["multi/mAP@12"].values)
    assert found.measures["multi/nDCG@10"].values == pytest.approx(exact["multi/nDCG@10"].values)
    # All relevant passages beyond the list: neither language is before the other.
    none = audit_lists({"x": Lists(corpus, np.zeros((len(scores), 0)))}, corpus, k=12)["x"]
    assert set(none.measures["bias/same-language preference@12"].values) == {0.5}
    assert set(none.measures["bias/languages@10"].values) == {0.0}


def test_excluded_passages_are_passed_over_and_leave_no_gap() -> None:
    plain = parallel_corpus(15, ("de", "en"))
    names = sorted(set(plain.passages["item"].to_pylist()))
    excluded = [(names[0], names[1])]
    queries, passages = plain.queries.to_pylist(), plain.passages.to_pylist()
    corpus = Corpus.from_rows(queries, passages, [(name, name) for name in names], name="toy", excluded=excluded)
    rng = np.random.default_rng(0)
    scores = rng.random((corpus.queries.num_rows, corpus.passages.num_rows)).astype(np.float32)
    system, bounded = Lists(corpus, scores), Lists(corpus, scores, depth=11)
    found = audit_lists({"x": system, "bounded": bounded}, corpus, k=10)
    assert sorted(set(system.asked)) == [10, 12]
    assert sorted(set(bounded.asked)) == [10, 11]
    exact = measures(rank_table(corpus, scores, np.eye(scores.shape[1], dtype=np.float32), similarity="dot"), "mAP@10")
    assert found["x"].measures["multi/mAP@10"].values == pytest.approx(exact["multi/mAP@10"].values)


def test_systems_take_turns() -> None:
    corpus = parallel_corpus(3, ("de",))
    seen: list[str] = []

    class Noted(Lists):
        def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
            for one in super().retrieve(queries, k):
                seen.append(self.name)
                yield one

    systems = {name: Noted(corpus, np.eye(3)) for name in "ab"}
    for name, system in systems.items():
        system.name = name
    audit_lists(systems, corpus, k=10)
    assert seen == ["a", "b"] * 3


def test_what_cannot_be_judged_is_refused_before_anything_is_asked(scored) -> None:
    corpus, scores = scored
    system = Lists(corpus, scores, depth=20)
    for options, error, message in [
        ({"k": 9}, AuditError, "first 10 answers at least"),
        ({"k": 21}, AuditError, "lists: gives at most 20 answers"),
        ({"k": 10, "queries": corpus.queries.slice(0, 0)}, AuditError, "no queries"),
        ({"k": 10, "metrics": "mAP@11"}, ConfigError, "only the first 10 answers are known"),
        ({"k": 10, "metrics": []}, ConfigError, "the list is empty"),
        ({"k": 10, "metrics": "x@5"}, ConfigError, "no metric"),
    ]:
        with pytest.raises(error, match=message):
            audit_lists({"lists": system}, corpus, **options)
    with pytest.raises(AuditError, match="name a system"):
        audit_lists({}, corpus)
    assert system.asked == []
    assert checked_metrics(None, 50) == ["mAP@50", "nDCG@10"]
    with pytest.raises(ConfigError, match="only the first 50 answers are known"):
        checked_metrics("mAP", 50, cut=True)


def test_a_system_that_does_not_answer_all_queries_is_named(scored) -> None:
    corpus, scores = scored

    class Short(Lists):
        def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
            return iter(list(super().retrieve(queries, k))[:2])

    with pytest.raises(AuditError, match=rf"short: answered 2 of {len(scores)} queries"):
        audit_lists({"short": Short(corpus, scores)}, corpus, k=10)


def test_lists_are_not_audited_as_exact_scores(scored) -> None:
    corpus, scores = scored
    with pytest.raises(AuditError, match="audit_lists"):
        audit(Lists(corpus, scores), corpus)


def test_the_page_on_audits_shows_a_system_that_works(scored) -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "audit.md").read_text(encoding="utf-8")
    (block,) = [code for code in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "ScoreMatrix" in code]
    corpus, scores = scored
    names: dict[str, Any] = {"scores": scores, "corpus": corpus}
    exec(block, names)
    assert names["found"].table.about.encoder == "my-reranker"
