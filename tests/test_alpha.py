"""An alpha that changes over the run, against its definition."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from conftest import parallel_corpus, picture_corpus
from hypothesis import given
from hypothesis import strategies as st
from test_batches import check_batch
from test_training import pairs_dataset

from babelmix.batches import BatchPlan, CorpusIndex, Mixture, batch_sampler, largest_batch, strategy
from babelmix.batches.keyed import derive_key, uniform
from babelmix.batches.strategies import Alpha
from babelmix.errors import ConfigError, PlanError
from babelmix.experiment.report import _alpha_of

SPECS = ("hybrid(1..0)", "hybrid(0..1)", "hybrid(0.9..0.2)", "hybrid(1..0 at 0.3)", "hybrid(0.25..0.75 at 0.5)")


def slow_alpha(spec: str, step: int, steps: int) -> float:
    """From the words of the documentation."""
    words = spec.removeprefix("hybrid(").removesuffix(")").replace("..", " ").replace(" at", "").split()
    start, end = float(words[0]), float(words[1])
    if len(words) == 3:
        first = round(float(words[2]) * steps)
        return ([start] * first + [end] * (steps - first))[step]
    return float(np.linspace(start, end, steps)[step])


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("world_size", [1, 2])
def test_batches_obey_their_definition_at_every_step(spec: str, world_size: int) -> None:
    corpus = parallel_corpus(40)
    plan = BatchPlan(CorpusIndex(corpus), strategy(spec), 8, seed=3, world_size=world_size, steps=60)
    for step in range(60):
        batch = plan[step]
        check_batch(corpus, batch, spec)
        mono = uniform(derive_key(3, "kind", step)) < slow_alpha(spec, step, 60)
        assert batch.kind == ("mono" if mono else "cross")
        assert {batch.slice(rank, world_size).kind for rank in range(world_size)} == {batch.kind}


@pytest.mark.parametrize("spec", SPECS)
def test_a_plan_is_pure_and_resumes_anywhere(spec: str) -> None:
    corpus = parallel_corpus(40)

    def plan() -> BatchPlan:
        return BatchPlan(CorpusIndex(corpus), strategy(spec), 8, seed=1, steps=30)

    def rows(batch) -> tuple[str, list[int], list[int]]:
        return batch.kind, batch.query_rows.tolist(), batch.passage_rows.tolist()

    first, again = plan(), plan()
    forward = [rows(first[step]) for step in range(40)]
    assert [rows(again[step]) for step in reversed(range(40))] == forward[::-1]
    assert [rows(batch) for batch in itertools.islice(plan().batches(first=17), 23)] == forward[17:]
    # A step of a kind is that of the constant strategy: nothing but the kind depends on the schedule.
    for step, row in enumerate(forward):
        assert row == rows(BatchPlan(CorpusIndex(corpus), strategy(row[0]), 8, seed=1)[step])


@given(start=st.floats(0, 1), end=st.floats(0, 1), at=st.none() | st.floats(0.01, 0.99), steps=st.integers(1, 500))
def test_alpha_goes_from_start_to_end(start: float, end: float, at: float | None, steps: int) -> None:
    alpha = Alpha(start, end, at)
    values = [alpha.of(step, steps) for step in range(steps)]
    low, high = sorted((start, end))
    assert all(low - 1e-12 <= value <= high + 1e-12 for value in values)
    differences = np.diff(values) * np.sign(end - start)
    assert (differences >= -1e-12).all()
    if at is None:
        assert values[0] == start
        if steps > 1:
            assert values[-1] == end
            assert np.allclose(differences, abs(end - start) / (steps - 1))
    else:
        assert values.count(start) >= round(at * steps)
        assert set(values) <= {start, end}
    assert alpha.of(steps + 5, steps) == end


def test_a_constant_alpha_needs_no_length_and_changes_no_plan() -> None:
    index = CorpusIndex(parallel_corpus(40))
    plans = [BatchPlan(index, strategy(spec), 8) for spec in ("hybrid(0.4)", "hybrid(0.4..0.4)")]
    assert [plans[0][step].kind for step in range(50)] == [plans[1][step].kind for step in range(50)]
    assert str(strategy("hybrid(0.4..0.4)")) == "hybrid(0.4)"


def test_names() -> None:
    for spec in (*SPECS, "hybrid(1..0, paired)", "hybrid(1..0 at 0.5, text_text)"):
        assert str(strategy(spec)) == spec
        assert str(strategy(str(strategy(spec)))) == spec


def test_only_constant_mixtures_of_mono_and_cross_are_points_of_the_alpha_curve() -> None:
    points = {"hybrid(0.25)": 0.25, "hybrid(.250)": 0.25, "hybrid": 0.5, "hybrid(1)": 1.0, "mono": 1.0, "cross": 0.0}
    others = (
        "hybrid(1..0)",
        "hybrid(1..0 at 0.5)",
        "hybrid(0.5, paired)",
        "hybrid(0.5, one_to_k)",
        "mixed",
        "one_to_k",
    )
    assert {name: _alpha_of(name) for name in (*points, *others)} == points | dict.fromkeys(others)


def test_a_schedule_asks_for_what_it_draws_and_for_the_length_of_the_run() -> None:
    index = CorpusIndex(parallel_corpus(10, ("en",)))
    with pytest.raises(PlanError, match=r"the alpha of hybrid\(1..0.5\) changes over the run: say how many steps"):
        BatchPlan(index, strategy("hybrid(1..0.5)"), 4)
    with pytest.raises(PlanError, match="need two languages"):
        BatchPlan(index, strategy("hybrid(1..0.5)"), 4, steps=10)
    with pytest.raises(PlanError, match="at least one step, not 0"):
        BatchPlan(index, strategy("mono"), 4, steps=0)
    # Whether batches can be filled does not depend on the length.
    assert largest_batch(CorpusIndex(parallel_corpus(10)), strategy("hybrid(1..0)")) == 10


@pytest.mark.parametrize("spec", ["hybrid(1..2)", "hybrid(-0.1..0)", "hybrid(nan..0)", "hybrid(1..0 at 1)"])
def test_impossible_schedules_are_refused(spec: str) -> None:
    with pytest.raises(PlanError, match="between 0 and 1"):
        strategy(spec)


@pytest.mark.parametrize("spec", ["hybrid(1..)", "hybrid(..)", "hybrid(1..0..1)", "hybrid(1..0 at)", "mono(1..0)"])
def test_what_is_no_schedule_is_refused(spec: str) -> None:
    with pytest.raises(ConfigError, match="does not take"):
        strategy(spec)


def test_other_indexes_and_samplers_take_schedules_too() -> None:
    mixture = Mixture({"a": CorpusIndex(parallel_corpus(40)), "b": CorpusIndex(parallel_corpus(24))})
    kinds = [BatchPlan(mixture, strategy("hybrid(1..0 at 0.5)"), 8, steps=10)[step].kind for step in range(10)]
    assert kinds == ["mono"] * 5 + ["cross"] * 5
    pictures = BatchPlan(CorpusIndex(picture_corpus()), strategy("hybrid(0..1 at 0.5, paired)"), 8, steps=10)
    assert [pictures[step].kind for step in range(10)] == ["paired"] * 5 + ["mono"] * 5
    dataset = pairs_dataset(12)
    langs = [(row["query_lang"], row["passage_lang"]) for row in dataset]
    batches = list(batch_sampler(dataset, "hybrid(1..0 at 0.5)", steps=20)(dataset, 8))[:20]
    assert [all(langs[row][0] == langs[row][1] for row in rows) for rows in batches] == [True] * 10 + [False] * 10


def test_the_command_line_takes_a_schedule(babelmix, tmp_path) -> None:
    corpus = tmp_path / "toy"
    parallel_corpus().save(corpus)
    arguments = ("train", "-c", str(corpus), "--model", "static", "--steps", "4", "--batch-size", "8", "--json")
    code, out, err = babelmix(*arguments, "--strategy", "hybrid(1..0)", "--out", str(tmp_path / "m"))
    assert code == 0, err
    assert json.loads(out)["settings"]["strategy"] == "hybrid(1..0)"
    code, _, err = babelmix(*arguments, "--strategy", "hybrid(1..7)", "--out", str(tmp_path / "n"))
    assert code == 1
    assert "between 0 and 1" in err
