"""A ranking metric and a bias metric from outside the package: in audits, reports, tests and early stopping."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import parallel_corpus

from babelmix import extend
from babelmix.errors import AuditError, ConfigError
from babelmix.evaluation import Audit, RankTable, audit, measure_info, measures
from babelmix.evaluation.bias import BIAS_METRICS, BiasValues
from babelmix.evaluation.metrics import METRICS, RankedLists
from babelmix.experiment import compare_loaded, write_audit_report
from babelmix.experiment.keys import Compare
from babelmix.training import TrainingSettings


def precision(lists: RankedLists, k: int | None) -> np.ndarray:
    assert k is not None
    return lists.sum(lists.ranks < k) / k


def worst_language(table: RankTable) -> np.ndarray:
    values = np.full(len(table.query_lang), np.nan)
    np.fmax.at(values, table.pair_query, table.rank_in_all())
    return values


@pytest.fixture(autouse=True)
def own() -> Iterator[None]:
    extend.metric("P", needs_cutoff=True, title="precision")(precision)
    extend.bias_metric("worst rank", better="lower", title="rank of the last answer", short="last")(worst_language)
    yield
    METRICS.unregister("P")
    BIAS_METRICS.unregister("worst rank")


def test_own_metrics_are_in_an_audit_with_intervals_in_its_report_and_in_tests(tiny_static, tmp_path: Path) -> None:
    corpus = parallel_corpus(20)
    done = audit(tiny_static, corpus, name="one", store=False, metrics="P@5")
    done.save(tmp_path)
    write_audit_report(done, tmp_path / "report.html")
    ranks = done.table.rank_in_all().reshape(-1, 4)
    assert done.measures["multi/P@5"].values == pytest.approx((ranks < 5).sum(axis=1) / 5)
    assert done.measures["bias/worst rank"].values.tolist() == ranks.max(axis=1).tolist()
    found = json.loads((tmp_path / "metrics.json").read_text())
    for name in ("multi/P@5", "bias/worst rank"):
        macro = found["macro"][name]
        assert macro["value"] == pytest.approx(done.macro(name))
        assert macro["low"] < macro["value"] < macro["high"]
    page = (tmp_path / "report.html").read_text()
    assert "rank of the last answer" in page
    assert "P@5" in page
    again = Audit.load(tmp_path, ["P@5"])
    other = audit(tiny_static, corpus.named("toy"), name="two", store=False, metrics="P@5")
    tests = compare_loaded({"one": again, "two": other}, tests=["multi/P@5", "bias/worst rank"]).comparisons
    assert [(one.measure, one.difference.value) for one in tests] == [("multi/P@5", 0), ("bias/worst rank", 0)]


def test_own_metrics_can_be_tested_in_an_experiment_and_end_training() -> None:
    asked = Compare(metrics=["mAP", "P@5"], tests=["multi/P@5", "bias/worst rank"])
    assert asked.tests == ["multi/P@5", "bias/worst rank"]
    for name in asked.tests:
        assert TrainingSettings(schedule={"stop_on": name}).schedule.stop_on == name
    assert measure_info("bias/worst rank").lower_is_better
    extend.bias_metric("worst rank", better=None)(worst_language)
    with pytest.raises(ValueError, match="neither more nor less"):
        TrainingSettings(schedule={"stop_on": "bias/worst rank"})


def test_a_name_is_refused_if_it_cannot_be_written_or_is_taken() -> None:
    for name in ("mAP", "5P", "P@5", "a b", ""):
        with pytest.raises(ConfigError):
            extend.metric(name)(precision)
    for name in ("rank distance", "a/b", "a@5", "a,b", " ", "languages"):
        with pytest.raises(ConfigError):
            extend.bias_metric(name, better=None)(worst_language)
    with pytest.raises(ConfigError, match="P@K"):
        measure_info("multi/P")


def test_values_of_a_wrong_shape_are_refused_with_the_name(table: RankTable) -> None:
    extend.metric("short")(lambda lists, k: np.zeros(1))
    extend.bias_metric("short", better=None)(lambda table: np.zeros(1))
    try:
        with pytest.raises(AuditError, match=r"bias metric 'short' .* shape \(1,\) for 6 queries"):
            measures(table, "mAP")
        with pytest.raises(AuditError, match=r"shape \(1,\) for \d lists"):
            measures(table, "short")
    finally:
        METRICS.unregister("short")
        BIAS_METRICS.unregister("short")


def test_a_bias_metric_may_say_which_queries_have_values(table: RankTable) -> None:
    extend.bias_metric("some", better=None)(lambda table: BiasValues(np.array([1, 4]), np.array([0.5, 1.5])))
    try:
        found = measures(table, "mAP")["bias/some"]
        assert dict(zip(found.cells, found.cell_values().tolist(), strict=True)) == {"de": 1.5, "en": 0.5}
    finally:
        BIAS_METRICS.unregister("some")


def test_a_metric_without_any_value_is_left_out(table: RankTable) -> None:
    extend.bias_metric("none", better=None)(lambda table: np.full(len(table.query_lang), np.nan))
    try:
        assert "bias/none" not in measures(table, "mAP")
    finally:
        BIAS_METRICS.unregister("none")
