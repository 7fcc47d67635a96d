"""The field's measures of ranked lists: those of the exact ranks where the list is long enough, and bounds that hold them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pytest
from conftest import parallel_corpus, sparse_corpus
from test_field_measures import LANGS, Case

from babelmix.evaluation import ListAudit, audit_lists, measure_info, measures
from babelmix.evaluation.lists import measure_names
from babelmix.evaluation.systems import Answer

CELLS = [f"first answer {right} {which}-language" for right in ("right", "wrong") for which in ("same", "other")]
SAME_NAMES = [
    "TLR@10", "TLR@20", "same-language recall@10", "cross-language recall@10", "Comp@10", "Comp@20", "language-aware nDCG@10",
    *CELLS,
]  # fmt: skip


class Ranked:
    """The ranking of a case as a system of ranked lists, cut after some answers."""

    name, depth = "ranked", None

    def __init__(self, case: Case, answers: int) -> None:
        items = case.corpus.passages["item"].to_pylist()
        self.lists = [[Answer(items[p], case.lang[p]) for p in ranking[:answers]] for ranking in case.ranked]

    def facts(self, corpus, *, copies="wrong"):
        raise NotImplementedError

    def retrieve(self, queries: pa.Table, k: Sequence[int]) -> Iterator[Sequence[Answer]]:
        yield from (found[:n] for found, n in zip(self.lists, k, strict=True))


def audited(case: Case, answers: int, k: int) -> ListAudit:
    return audit_lists({"ranked": Ranked(case, answers)}, case.corpus, k=k)["ranked"]


CASES = [Case(parallel_corpus(20, LANGS), 2), Case(parallel_corpus(24, ("de", "en")), 3, 3.0)]


@pytest.mark.parametrize("case", CASES)
def test_whole_rankings_have_the_values_of_the_rank_table_exactly(case: Case) -> None:
    exact, found = measures(case.table, ["mAP"]), audited(case, 100, len(case.lang))
    for name in SAME_NAMES:
        one, bounds = found.measures[f"bias/{name}"], found.bounds[f"bias/{name}"]
        assert one.values == pytest.approx(exact[f"bias/{name}"].values), name
        assert one.cells == exact[f"bias/{name}"].cells
        assert bounds.exact, name
        assert one.lower_is_better == exact[f"bias/{name}"].lower_is_better
    wins = found.measures[f"bias/own version wins@{len(case.lang)}"]
    assert wins.values.tolist() == exact["bias/own version wins"].values.tolist()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("answers", [1, 4, 12])
def test_bounds_of_short_lists_hold_the_exact_values(case: Case, answers: int) -> None:
    exact, found = measures(case.table, ["mAP"]), audited(case, answers, 20)
    for name in [*SAME_NAMES, "own version wins"]:
        own = name if "@" in name or name in CELLS else f"{name}@20"
        one, bounds = found.measures[f"bias/{own}"], found.bounds[f"bias/{own}"]
        values = exact[f"bias/{name}"].values
        assert len(one.values) == len(values)
        for low, value in ((bounds.low.values, values), (values, bounds.high.values), (bounds.low.values, one.values)):
            assert (low <= value + 1e-12).all(), name
    assert not found.bounds["bias/TLR@20"].exact
    assert all(found.bounds[f"bias/{cell}"].exact for cell in CELLS)


def test_a_list_that_shows_no_version_tells_nothing_of_who_wins() -> None:
    case = CASES[0]
    empty = audited(case, 0, 10)
    wins, bounds = empty.measures["bias/own version wins@10"], empty.bounds["bias/own version wins@10"]
    assert set(wins.values.tolist()) == {1 / 3}
    assert bounds.macro() == (0.0, 1.0)
    assert all(empty.measures[f"bias/{cell}"].macro() == 0 for cell in CELLS)


def test_peer_of_lists_is_that_of_the_table_where_languages_have_several_passages() -> None:
    case = Case(sparse_corpus(np.random.default_rng(5), 24, LANGS, 0.85), 1)
    found, exact = audited(case, 100, 30), measures(case.table, ["mAP"])["bias/official PEER@20"]
    assert found.measures["bias/official PEER@20"].values == pytest.approx(exact.values)
    assert not [name for name in audited(CASES[0], 100, 30).measures if "PEER" in name]


def test_measures_with_a_larger_k_than_the_lists_are_left_out() -> None:
    found = audited(CASES[0], 10, 10).measures
    assert "bias/TLR@10" in found
    assert not {"bias/TLR@20", "bias/Comp@20", "bias/official PEER@20"} & set(found)
    assert {name for name in found if name.startswith("bias/")} <= set(measure_names([], 10))
    assert measure_info("bias/own version wins@10").title == "own version wins@10"
    assert measure_info("bias/TLR@10").source.startswith("SHIFT")
