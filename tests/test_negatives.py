"""Hard negatives in batches, by brute force."""

from __future__ import annotations

import itertools

import numpy as np
from conftest import parallel_corpus, sparse_corpus
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_batches import check_batch

from babelmix.batches import BatchPlan, CorpusIndex, Mixture, largest_batch, strategy
from babelmix.corpus import Corpus


def with_negatives(corpus: Corpus, rng: np.random.Generator, share: float = 0.7) -> Corpus:
    """The corpus with one to three random passages judged wrong for some of its queries."""
    queries, passages = ({*table["item"].to_pylist()} for table in (corpus.queries, corpus.passages))
    relevant = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    pairs = [
        (query, passage)
        for query in sorted(queries)
        if rng.random() < share
        for passage in rng.choice(sorted(passages), size=int(rng.integers(1, 4)), replace=False).tolist()
        if (query, passage) not in relevant
    ]
    rows = [table.to_pylist() for table in (corpus.queries, corpus.passages)]
    qrels = [tuple(row.values()) for row in corpus.qrels.to_pylist()]
    return Corpus.from_rows(*rows, qrels, name=corpus.name, negatives=pairs)


def check_negatives(corpus: Corpus, batch) -> tuple[int, int]:
    """What must hold of a batch's negatives; how many are their query's own, and how many rows have own ones that fit."""
    queries, passages = corpus.queries.to_pylist(), corpus.passages.to_pylist()
    relevant = set(zip(corpus.qrels["query_item"].to_pylist(), corpus.qrels["passage_item"].to_pylist(), strict=True))
    judged = set(
        zip(corpus.negatives["query_item"].to_pylist(), corpus.negatives["passage_item"].to_pylist(), strict=True)
    )
    langs: dict[str, set[str]] = {}
    texts: dict[str, set[str]] = {}
    for row in passages:
        langs.setdefault(row["item"], set()).add(row["lang"])
        texts.setdefault(row["item"], set()).add(row["text"].strip())
    items = {queries[q]["item"] for q in batch.query_rows}
    answers = {passages[p]["item"] for p in batch.passage_rows}

    def harmless(passage: str) -> bool:
        copies = {other for other, found in texts.items() if found & texts[passage]}
        return not copies & answers and not any((item, copy) in relevant for item in items for copy in copies)

    own = fitting = 0
    for query, answer, negative in zip(batch.query_rows, batch.passage_rows, batch.negative_rows, strict=True):
        item, lang, found = queries[query]["item"], passages[answer]["lang"], passages[negative]
        assert found["lang"] == lang
        assert harmless(found["item"])
        own += (item, found["item"]) in judged
        fitting += any(lang in langs[p] and harmless(p) for q, p in judged if q == item)
    return own, fitting


@given(seed=st.integers(0, 10_000), spec=st.sampled_from(["mono", "cross", "hybrid", "mixed"]))
@example(seed=389, spec="mono")
@settings(max_examples=25, deadline=None)
def test_a_negative_is_in_its_answers_language_and_nobodys_answer(seed: int, spec: str) -> None:
    rng = np.random.default_rng(seed)
    corpus = with_negatives(sparse_corpus(rng, 40, ("de", "en", "fr"), 0.8), rng)
    index = CorpusIndex(corpus, hard_negatives=True)
    # Now and then a language has fewer than five distinct items.
    plan = BatchPlan(index, strategy(spec), largest_batch(index, strategy(spec), limit=5), seed=seed)
    for step in range(3):
        batch = plan[step]
        check_batch(corpus, batch, spec)
        own, fitting = check_negatives(corpus, batch)
        # Classes also join what copies of copies join, so a few harmless ones may be passed over.
        assert own <= fitting
        again = plan[step]
        assert np.array_equal(again.negative_rows, batch.negative_rows)


def test_own_negatives_are_taken_wherever_they_fit() -> None:
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0), share=1.0)
    plan = BatchPlan(CorpusIndex(corpus, hard_negatives=True), strategy("hybrid"), 8)
    totals = np.sum([check_negatives(corpus, plan[step]) for step in range(20)], axis=0)
    assert totals[0] == totals[1] > 100


def test_the_pairs_are_the_same_with_and_without_negatives() -> None:
    corpus = with_negatives(parallel_corpus(), np.random.default_rng(0))
    with_them, without = (
        BatchPlan(CorpusIndex(corpus, hard_negatives=hard), strategy("hybrid"), 8) for hard in (True, False)
    )
    for step in range(6):
        assert np.array_equal(with_them[step].passage_rows, without[step].passage_rows)
        assert without[step].negative_rows is None
    plain = BatchPlan(CorpusIndex(parallel_corpus(), hard_negatives=True), strategy("hybrid"), 8)
    assert plain[0].negative_rows is None


def test_negatives_are_shared_by_ranks_and_found_in_a_mixture() -> None:
    rng = np.random.default_rng(1)
    sources = {"with": with_negatives(parallel_corpus(30), rng), "without": parallel_corpus(20)}
    mixture = Mixture({name: CorpusIndex(corpus, hard_negatives=True) for name, corpus in sources.items()})
    plan = BatchPlan(mixture, strategy("hybrid"), 8, world_size=2)
    seen = set()
    for step in range(12):
        batch = plan[step]
        seen.add(batch.source)
        if batch.source == "without":
            assert batch.negative_rows is None
            continue
        check_negatives(sources["with"], mixture.local(batch))
        parts = [batch.slice(rank, 2).negative_rows for rank in (0, 1)]
        assert np.array_equal(np.concatenate(parts), batch.negative_rows)
    assert seen == {"with", "without"}


def test_a_batch_of_everything_shares_what_negatives_there_are() -> None:
    corpus = parallel_corpus(8)
    rows = [table.to_pylist() for table in (corpus.queries, corpus.passages)]
    qrels = [tuple(row.values()) for row in corpus.qrels.to_pylist()]
    judged = Corpus.from_rows(*rows, qrels, name="small", negatives=[("i0", "i1")])
    index = CorpusIndex(judged, hard_negatives=True)
    for step in range(6):
        assert BatchPlan(index, strategy("mono"), 8)[step].negative_rows is None
        assert BatchPlan(index, strategy("mono"), 7)[step].negative_rows is not None
    # Only German has a ninth passage: rows in German have it, and the others share it.
    rows[1].append({"item": "extra", "lang": "de", "text": "beiseite", "group": "extra"})
    judged = Corpus.from_rows(*rows, qrels, name="small", negatives=[("i0", "extra")])
    plan = BatchPlan(CorpusIndex(judged, hard_negatives=True), strategy("cross"), 8)
    seen = set()
    for batch in itertools.islice(plan.batches(), 30):
        german = [rows[1][passage]["lang"] == "de" for passage in batch.passage_rows]
        found = [] if batch.negative_rows is None else batch.negative_rows.tolist()
        assert found == ([len(rows[1]) - 1] * 8 if any(german) else [])
        seen |= {any(german) and not all(german)}
    assert True in seen
