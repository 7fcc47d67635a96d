"""Groups of queries: those of the corpus, or the queries that common relevant passages join."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_readers import write

import babelmix as bm
from babelmix.corpus import Corpus, open_corpus
from babelmix.corpus.query_groups import QueryGroups, groups_of_corpus, groups_of_queries
from babelmix.corpus.readers._mteb_rows import _groups
from babelmix.evaluation import Audit, estimates, rank_table
from babelmix.evaluation.judged_lists import Judge
from babelmix.evaluation.measures import measures
from babelmix.evaluation.systems import Run


def corpus_of(
    pairs: list[tuple[str, str]], groups: dict[str, str] | None = None, langs: tuple[str, ...] = ("de", "en")
) -> Corpus:
    """Queries and passages in several languages; each item is a group unless `groups` says otherwise."""
    sides = [
        [
            {"item": item, "lang": lang, "text": f"{item} {lang}"} | ({"group": groups[item]} if groups else {})
            for item in sorted({pair[side] for pair in pairs})
            for lang in langs
        ]
        for side in (0, 1)
    ]
    return Corpus.from_rows(sides[0], sides[1], pairs)


def joined_slowly(corpus: Corpus) -> dict[str, frozenset[str]]:
    """The query items that share relevant passages with each query item, directly or through others."""
    answers: dict[str, set[str]] = {}
    for pair in corpus.qrels.to_pylist():
        answers.setdefault(pair["query_item"], set()).add(pair["passage_item"])
    found = {}
    for item in answers:
        together, before = {item}, 0
        while len(together) != before:
            before = len(together)
            passages = set().union(*(answers[one] for one in together))
            together = {one for one in answers if answers[one] & passages}
        found[item] = frozenset(together)
    return found


@pytest.mark.parametrize("seed", range(6))
def test_groups_are_the_connected_parts_of_the_qrels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawn = {(f"q{a}", f"p{b}") for a, b in zip(rng.integers(0, 60, 50), rng.integers(0, 90, 50), strict=True)}
    corpus = corpus_of(sorted(drawn))
    found, slow = groups_of_corpus(corpus), joined_slowly(corpus)
    assert found.items == len(slow)
    assert found.joined == len(set(slow.values()))
    assert found.largest == max(map(len, slow.values())) / len(slow)
    assert not found.fell_back
    items = corpus.queries["item"].to_pylist()
    same = found.number[:, None] == found.number[None, :]
    assert (same == np.array([[slow[a] == slow[b] for b in items] for a in items])).all()
    # What lists are judged by, and what the ranks of an encoder give, are the same.
    assert Judge(corpus).groups.number.tolist() == found.number.tolist()
    vectors = rng.standard_normal((len(items) + corpus.passages.num_rows, 8))
    table = rank_table(corpus, vectors[: len(items)], vectors[len(items) :])
    assert table.groups.number.tolist() == found.number.tolist()
    assert measures(table)["multi/mAP"].group.tolist() == found.number[np.unique(table.pair_query)].tolist()


def test_named_groups_stay_as_they_are() -> None:
    pairs = [("q1", "p1"), ("q2", "p1"), ("q3", "p3"), ("q4", "p4")]
    named = corpus_of(pairs, {"q1": "a", "q2": "b", "q3": "b", "q4": "a", "p1": "a", "p3": "b", "p4": "a"}, ("en",))
    found = groups_of_corpus(named)
    assert found.number.tolist() == [0, 1, 1, 0]
    assert found.note() is None
    # A corpus without shared passages has the groups that it always had, in the same order.
    alone = groups_of_corpus(corpus_of([("b", "1"), ("a", "2"), ("c", "3")]))
    assert alone.number.tolist() == [0, 0, 1, 1, 2, 2]
    assert (alone.note(), alone.joined, alone.items) == (None, 3, 3)


def test_one_named_group_says_that_intervals_have_no_width() -> None:
    pairs = [("a", "1"), ("b", "2")]
    assert "all 2 query items are in one group" in str(
        groups_of_corpus(corpus_of(pairs, dict.fromkeys("ab12", "x"))).note()
    )
    assert groups_of_corpus(corpus_of([("a", "1")], dict.fromkeys("a1", "x"))).note() is None
    assert groups_of_corpus(corpus_of(pairs, {"a": "x", "b": "y", "1": "x", "2": "y"})).note() is None


def test_a_task_of_mteb_whose_qrels_join_nearly_all_names_no_groups() -> None:
    pairs = [(f"q{n}", "everywhere") for n in range(9)] + [("q9", "p9")]
    queries, passages = (list(dict.fromkeys(pair[side] for pair in pairs)) for side in (0, 1))
    asked, found = _groups(queries, passages, pairs)
    assert asked == {item: item for item in queries}
    assert found == {item: item for item in passages}
    asked, _ = _groups(queries[4:], passages, pairs[8:])
    assert len(set(asked.values())) == 6


def test_a_part_of_the_queries() -> None:
    corpus = corpus_of(
        [("a", "1"), ("b", "1"), ("b", "2"), ("c", "2"), *((f"x{n}", f"y{n}") for n in range(9))], langs=("en",)
    )
    assert groups_of_corpus(corpus).joined == 10
    asked = corpus.queries.filter(np.array([item != "b" for item in corpus.queries["item"].to_pylist()]))
    assert groups_of_corpus(corpus, asked).note() is None


def test_one_group_of_nearly_all_says_so_and_counts_queries() -> None:
    corpus = corpus_of([(f"q{n}", "everywhere") for n in range(9)] + [("q9", "p9")])
    found = groups_of_corpus(corpus)
    assert (found.joined, found.fell_back) == (2, True)
    assert found.largest == 0.9
    assert found.number.tolist() == [n for n in range(10) for _ in ("de", "en")]
    assert "the qrels join 90% of its 10 query items into one group" in str(found.note())
    assert "too narrow" in str(found.note())


def test_groups_of_nothing() -> None:
    nothing = np.zeros(0, dtype=np.int64)
    names = np.zeros(0, dtype=object)
    assert len(groups_of_queries(names, names, nothing, nothing).number) == 0
    two = np.array(["a", "b"], dtype=object)
    found = groups_of_queries(two, two, nothing, nothing)
    assert (found.number.tolist(), found.note()) == ([0, 1], None)
    assert QueryGroups(nothing).note() is None


def test_a_beir_folder_without_groups_has_wider_intervals(tmp_path) -> None:
    """Twenty passages with five queries each, all right or all wrong: a hundred queries, but twenty independent facts."""
    rng = np.random.default_rng(0)
    asked = [(f"q{n}-{k}", f"p{n}") for n in range(20) for k in range(5)]
    write(tmp_path, "queries.jsonl", "".join(json.dumps({"_id": q, "text": q, "lang": "en"}) + "\n" for q, _ in asked))
    texts = [f"p{n}" for n in range(20)]
    write(tmp_path, "corpus.jsonl", "".join(json.dumps({"_id": p, "text": p, "lang": "en"}) + "\n" for p in texts))
    write(tmp_path, "qrels/test.tsv", "".join(f"{q}\t{p}\t1\n" for q, p in asked))
    corpus = open_corpus(f"beir={tmp_path}")
    meaning = rng.standard_normal((20, 16))
    passages = meaning.copy()
    passages[10:] = meaning[10:][::-1]
    table = rank_table(corpus, np.repeat(meaning, 5, axis=0), passages)
    audit = Audit.of(table)
    assert audit.summary()["groups"] == 20
    assert any("count the 20 groups" in note for note in audit.notes())
    wide = audit.estimates["multi/mAP"][0]
    alone = {name: one for name, one in measures(table).items() if name == "multi/mAP"}
    object.__setattr__(alone["multi/mAP"], "group", np.arange(100))
    narrow = estimates(alone)["multi/mAP"][0]
    assert wide.value == narrow.value
    assert wide.high - wide.low > 1.6 * (narrow.high - narrow.low)
    assert "count the 20 groups" in "".join(bm.inspect_corpus(f"beir={tmp_path}").lines())
    answers = {q: [f"p{(n + 1) % 20}", f"p{n}"] for n in range(20) for q in [f"q{n}-{k}" for k in range(5)]}
    lines = [f"{q} Q0 {p} {rank} {-rank} r" for q, found in answers.items() for rank, p in enumerate(found, 1)]
    write(tmp_path, "results.trec", "\n".join(lines))
    judged = bm.audit(Run(tmp_path / "results.trec"), f"beir={tmp_path}")
    assert any("count the 20 groups" in note for note in judged.notes)
