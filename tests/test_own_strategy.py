"""A strategy with an argument from outside the package, and what every strategy promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus, sparse_corpus

from babelmix import extend
from babelmix.batches import (
    STRATEGIES,
    BatchPlan,
    CorpusIndex,
    DrawRequest,
    Mixture,
    PairIndex,
    PlanFacts,
    RegularIndex,
    RowIndex,
    Strategy,
    largest_batch,
    strategy,
)  # fmt: skip
from babelmix.batches.strategies import WithTextText
from babelmix.corpus import Corpus
from babelmix.errors import ConfigError, PlanError
from babelmix.experiment import Experiment
from babelmix.training import TrainingSettings, train

LANGS = ("de", "en", "fr", "ja")


@dataclass(frozen=True)
class Pivot(Strategy):
    """One side of every row is in one language."""

    lang: str = "en"

    @classmethod
    def parse(cls, arguments: str | None) -> Pivot:
        return cls() if arguments is None else cls(arguments.strip())

    def __str__(self) -> str:
        return f"pivot({self.lang})"

    def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
        yield DrawRequest("cross", "different", "batches of a pivot", query_langs=(self.lang,))
        yield DrawRequest("cross", "different", "batches of a pivot", passage_langs=(self.lang,))

    def request(self, facts: PlanFacts, step: int) -> DrawRequest:
        queries, passages = self.requests(facts)
        return queries if facts.chance(step, "side of the pivot") < 0.5 else passages


@pytest.fixture(autouse=True)
def pivot() -> Iterator[None]:
    extend.strategy("pivot")(Pivot)
    yield
    STRATEGIES.unregister("pivot")


def ready_pairs() -> RowIndex:
    rows = [(str(i), a, b) for i in range(20) for a in LANGS for b in LANGS]
    return RowIndex(*map(list, zip(*rows, strict=True)))


def langs_of(index: PairIndex, corpus: Corpus | None, batch) -> list[tuple[str, str]]:
    """The languages of both sides of each row."""
    if isinstance(index, RegularIndex):
        sides = [[index.langs[n] for n in index.locate(rows)[1]] for rows in (batch.query_rows, batch.passage_rows)]
    elif isinstance(index, RowIndex):
        sides = [
            [index.langs[column[row]] for row in rows]
            for column, rows in ((index.query_lang, batch.query_rows), (index.passage_lang, batch.passage_rows))
        ]
    else:
        assert corpus is not None
        sides = [
            table["lang"].take(rows).to_pylist()
            for table, rows in ((corpus.queries, batch.query_rows), (corpus.passages, batch.passage_rows))
        ]
    return list(zip(*sides, strict=True))


SPARSE = sparse_corpus(np.random.default_rng(1), 60, LANGS, 0.7)
INDEXES: dict[str, tuple[PairIndex, Corpus | None]] = {
    "sparse corpus": (CorpusIndex(SPARSE), SPARSE),
    "ready pairs": (ready_pairs(), None),
    "regular": (RegularIndex(50, LANGS), None),
}


@pytest.mark.parametrize("kind", INDEXES)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_one_side_of_a_pivot_is_always_its_language(kind: str, temperature: float) -> None:
    index, corpus = INDEXES[kind]
    plan = BatchPlan(index, "pivot(de)", 8, seed=1, language_temperature=temperature)
    others, sides = set(), set()
    for step in range(60):
        pairs = langs_of(index, corpus, plan[step])
        side = 0 if all(query == "de" for query, _ in pairs) else 1
        assert {pair[side] for pair in pairs} == {"de"}
        assert "de" not in {pair[1 - side] for pair in pairs}
        sides.add(side)
        others |= {pair[1 - side] for pair in pairs}
    assert sides == {0, 1}
    assert others == {"en", "fr", "ja"}


def test_the_languages_beside_a_pivot_are_uniform() -> None:
    corpus = parallel_corpus(40)
    plan = BatchPlan(corpus, "pivot(de)", 8)
    found = [pair for step in range(300) for pair in langs_of(plan.index, corpus, plan[step])]
    for lang in ("en", "fr", "ja"):
        assert sum(lang in pair for pair in found) == pytest.approx(800, abs=5 * (2400 * 2 / 9) ** 0.5)


def test_a_pivot_has_every_cluster_with_such_a_pair_and_no_other() -> None:
    sides = {"a": ("de", "en"), "b": ("de", "de"), "c": ("de en", "de"), "d": ("en", "fr")}
    queries, passages = (
        [{"item": i, "lang": lang, "text": f"{i} {lang}"} for i, both in sides.items() for lang in both[side].split()]
        for side in (0, 1)
    )
    corpus = Corpus.from_rows(queries, passages, [(i, i) for i in sides])
    plan = BatchPlan(corpus, "pivot(de)", 1)
    german_queries, german_passages = (plan.pool(request) for request in plan.strategy.requests(plan.facts))
    assert (len(german_queries), len(german_passages)) == (1, 1)
    with pytest.raises(PlanError, match=r"^batches of a pivot: 1 distinct items are fewer than a batch of 2"):
        BatchPlan(corpus, "pivot(de)", 2)


def test_a_pivot_in_several_sources_leaves_out_those_without_it() -> None:
    parts = {"a": CorpusIndex(parallel_corpus(40)), "b": CorpusIndex(parallel_corpus(40, ("en", "fr")))}
    plan = BatchPlan(Mixture(parts), strategy("hybrid(0.5, pivot(de))"), 8)
    sources = {(plan[step].kind, plan[step].source) for step in range(80)}
    assert sources == {("mono", "a"), ("mono", "b"), ("cross", "a")}
    with pytest.raises(PlanError, match="the source 'b' can fill no pivot"):
        BatchPlan(Mixture(parts), "pivot(de)", 8)


def test_what_a_pivot_cannot_have_is_refused() -> None:
    with pytest.raises(PlanError, match=r"pivot\(xx\) needs the language 'xx'; the languages are de, en, fr, ja"):
        BatchPlan(parallel_corpus(), "pivot(xx)", 8)
    with pytest.raises(PlanError, match="colours: pictures have no language"):
        BatchPlan(picture_corpus(), "pivot(de)", 8)


def test_settings_training_and_experiments_know_it(tiny_static, tmp_path: Path) -> None:
    settings = TrainingSettings(strategy="pivot(de)", steps=2, batch_size=8)
    result = train(tiny_static, parallel_corpus(), settings, tmp_path / "m")
    assert len(result.losses) == 2
    compared = {"strategies": ["pivot", "pivot(de)", "hybrid"], "against": "pivot(en)"}
    experiment = Experiment(name="x", data={"corpus": "emoji"}, compare=compared)
    assert experiment.compare.against == "pivot"
    assert experiment.run_settings("pivot(de)", 0).strategy == "pivot(de)"


def test_names_of_own_strategies_are_checked() -> None:
    assert Pivot.name == "pivot"
    assert strategy("pivot") == strategy("pivot( en )") != strategy("pivot(de)")
    with pytest.raises(ConfigError, match="the batch strategy 'mono' is part of babelmix"):
        extend.strategy("mono")(Pivot)
    with pytest.raises(ConfigError, match=r"cannot be called 'pivot\(de\)'"):
        extend.strategy("pivot(de)")(Pivot)
    with pytest.raises(ConfigError, match="must be a subclass"):
        extend.strategy("other")(dict)


def test_a_request_that_was_not_listed_is_checked_when_it_is_drawn() -> None:
    @dataclass(frozen=True)
    class Late(Pivot):
        size: int = 41

        def requests(self, facts: PlanFacts) -> Iterator[DrawRequest]:
            return iter(())

        def request(self, facts: PlanFacts, step: int) -> DrawRequest:
            return DrawRequest("mono", "same", "late batches", lang="de", size=self.size)

    plan = BatchPlan(parallel_corpus(40), Late(), 8)
    with pytest.raises(PlanError, match="late batches in de: 40 distinct items are fewer than a batch of 41"):
        plan[0]
    for size in (0, 7):
        with pytest.raises(PlanError, match=f"late batches: {size} items cannot be shared by 2 ranks"):
            BatchPlan(parallel_corpus(40), Late(size=size), 8, world_size=2)[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pool": "sam"}, "there is no pool 'sam'; name one of same, different"),
        ({"pool": "different", "lang": "de"}, "lang is for the pool 'same', not for 'different'"),
        ({"pool": "same", "k": 2}, "k is for the pool 'renderings', not for 'same'"),
        ({"pool": "different", "query_langs": "de"}, "query_langs is a tuple of language tags"),
        ({"pool": "different", "passage_langs": ()}, "passage_langs is a tuple of language tags"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(given: dict, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        DrawRequest(kind="cross", what="batches", **given)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hybrid", "hybrid(0.5)"),
        ("hybrid", "hybrid( .50 )"),
        ("hybrid(0)", "hybrid(-0.0)"),
        ("hybrid(0.5 , cross)", "hybrid(0.5..0.5 at 0.3)"),
        ("hybrid(1..0  at  0.30)", "hybrid(1.0..0 at 0.3)"),
        ("hybrid(0.25,one_to_k( 3 ))", "hybrid(.25, one_to_k(3))"),
        ("one_to_k(04)", "one_to_k(4)"),
        (" mono", "mono "),
    ],
)
def test_spellings_of_one_strategy_are_equal(one: str, other: str) -> None:
    assert strategy(one) == strategy(other)
    assert hash(strategy(one)) == hash(strategy(other))
    assert str(strategy(one)) == str(strategy(other))


@pytest.mark.parametrize(
    "spec", ["hybrid(0.1234567891)", "hybrid(0.3333333..1e-9 at 0.00000012345)", "one_to_k", "english"]
)
def test_the_canonical_spelling_reads_as_the_same_strategy(spec: str) -> None:
    assert strategy(str(strategy(spec))) == strategy(spec)


def test_different_strategies_differ() -> None:
    specs = [
        "english",
        "mixed",
        "mono",
        "cross",
        "paired",
        "text_text",
        "one_to_k",
        "one_to_k(1)",
        "hybrid(0)",
        "hybrid(1)",
    ]
    specs += ["hybrid(1..0)", "hybrid(1..0 at 0.5)", "hybrid(0.5, paired)", "hybrid(0.5, one_to_k)", "hybrid(0.5)"]
    assert len({strategy(spec) for spec in specs}) == len({str(strategy(spec)) for spec in specs}) == len(specs)


def test_properties_of_strategies() -> None:
    several = {
        spec for spec in ("mono", "hybrid", "one_to_k(2)", "hybrid(0.5, one_to_k)") if strategy(spec).several_queries
    }
    assert several == {"one_to_k(2)", "hybrid(0.5, one_to_k)"}
    alone = {
        spec for spec in ("cross", "paired", "text_text", "hybrid(0.1, text_text)") if strategy(spec).draws_text_only
    }
    assert alone == {"text_text", "hybrid(0.1, text_text)"}
    assert strategy("mixed").alpha is None
    with_captions = WithTextText(strategy("one_to_k"), 0.25)
    assert (with_captions.several_queries, with_captions.draws_text_only) == (True, True)
    assert not WithTextText(strategy("mono"), 0.0).draws_text_only
    assert str(with_captions) == "one_to_k with 0.25 text_text"
    assert TrainingSettings(strategy="hybrid(0.5, one_to_k)").several_queries
    assert not TrainingSettings(strategy="cross").several_queries


@pytest.mark.parametrize(
    "spec", ["nonsense", "Hybrid", "hybrid(0.5", "", "()", "mono mono", "mono\n(", None, 3, ["mono"]]
)
def test_any_nonsense_is_answered_with_the_names(spec: object) -> None:
    with pytest.raises(
        ConfigError, match=r"there is no batch strategy .*; name one of english, mixed, mono, cross, hybrid"
    ):
        strategy(spec)  # type: ignore[arg-type]


def test_a_plan_takes_a_corpus_and_a_spelling() -> None:
    corpus = parallel_corpus(40)
    one, other = (
        BatchPlan(corpus, "hybrid(0.25)", 8, seed=3),
        BatchPlan(CorpusIndex(corpus), strategy("hybrid(.25)"), 8, seed=3),
    )
    for step in range(10):
        assert np.array_equal(one[step].query_rows, other[step].query_rows)
        assert np.array_equal(one[step].passage_rows, other[step].passage_rows)
    assert largest_batch(corpus, "mono") == 40
    with pytest.raises(PlanError, match="a plan draws from a Corpus or an index such as RegularIndex, not from list"):
        BatchPlan([corpus], "mono", 8)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="there is no batch strategy 'hybrd'"):
        BatchPlan(corpus, "hybrd", 8)


def test_the_old_name_of_clusters_of_warns() -> None:
    from babelmix import batches

    with pytest.warns(DeprecationWarning, match=r"babelmix.batches.classes_of is now called clusters_of"):
        assert batches.classes_of is batches.clusters_of
    with pytest.raises(AttributeError, match="nothing"):
        _ = batches.nothing
