"""The results of an experiment as tables, sentences, numbers and files, without running one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from babelmix.evaluation import Audit, RankTable, compare_all, measure_info
from babelmix.experiment import Entry, Experiment, Results
from babelmix.experiment.report import headline_table


@pytest.fixture
def results(table: RankTable) -> Results:
    """Two strategies over two seeds, the start, and a reference that was tested on a smaller pool."""

    def done(corpus: str, more: int = 0) -> Audit:
        about = {"encoder": "x", "corpus": corpus}
        counts = table.outranking_counts + more
        return Audit.of(
            replace(
                table, outranking_counts=counts, top=table.top[:, [0, 1]], cutoffs=(10, 20), about=about,
                passage_langs=("de", "en", "it"),
            ),
            ["mAP"],
        )  # fmt: skip

    experiment = Experiment.model_validate(
        {"name": "x", "data": {"corpus": "toy"},
         "compare": {"strategies": ["mono", "cross"], "against": "mono", "seeds": [0, 1], "metrics": ["mAP"]}}
    )  # fmt: skip

    def on(corpus: str) -> Results:
        entries = [
            Entry.of("reference", "reference", [done(f"{corpus}, 2 groups")]),
            Entry.of("start", "start", [done(corpus)]),
            Entry.of("mono", "strategy", [done(corpus), done(corpus, 1)]),
            Entry.of("cross", "strategy", [done(corpus), done(corpus, 2)]),
        ]
        systems = {one.name: [a.measures for a in one.audits] for one in entries[2:]}
        tests = {"cross": compare_all(systems, ["multi/mAP", "bias/rank distance"], against="mono")}
        return Results(experiment, entries, tests, 12.0, {})

    return replace(on("toy"), benchmarks={"other": on("other")})


def test_each_corpus_has_a_table_and_a_sentence(results: Results) -> None:
    tables = results.tables()
    assert [table.title for table in tables] == ["on toy", "on other"]
    assert [row[0] for row in tables[0].rows] == ["reference *", "start", "mono", "cross"]
    assert list(tables[0].emphasised) == [2]
    assert tables[0].note.startswith("* tested on toy, 2 groups: a smaller pool")
    assert "± is the standard deviation over seeds" in tables[1].note
    assert "mAP within a language (mono)" in tables[1].note
    place = list(tables[0].head).index("multi mAP")
    assert "±" in tables[0].rows[2][place]
    assert "±" not in tables[0].rows[1][place]
    assert [line.split(",")[0] for line in results.lines()] == ["On toy", "On other"]
    assert results.headline().title == ""
    assert "mono batches reach" in str(results)


def test_a_measure_that_an_entry_does_not_have_is_an_empty_cell(results: Results) -> None:
    start = results.entries[1]
    means = {name: mean for name, mean in start.means.items() if name != "multi/mAP"}
    some = replace(results, entries=[results.entries[0], replace(start, means=means), *results.entries[2:]])
    table = some.headline()
    assert table.rows[1][list(table.head).index("multi mAP")] == ""


def test_each_tested_measure_has_a_column_on_the_terminal_in_the_report_and_in_latex(results: Results) -> None:
    name = "bias/languages@10"
    compare = results.experiment.compare.model_copy(update={"tests": ["multi/mAP", name]})
    more = replace(results, experiment=results.experiment.model_copy(update={"compare": compare}))
    info = measure_info(name)
    assert list(more.headline().head) == [*results.headline().head, info.short]
    assert list(headline_table(more).head)[-1] == info.title
    assert info.shown(more.entries[2].means[name].value) in more.headline().rows[2][-1]
    assert info.short in more.to_latex()


def test_the_tests_and_the_intervals_are_tables_too(results: Results, tmp_path: Path) -> None:
    assert results.to_latex() == results.to_latex("headline")
    tests = results.to_latex("tests")
    (first, *_) = results.tests["cross"]
    assert f"{first.p:.4f} & {first.p_holm:.4f} " in tests
    assert [line.split(" & ")[:2] for line in tests.splitlines() if line.startswith("mono - cross")] == [
        ["mono - cross", "toy"], ["mono - cross", "toy"], ["mono - cross", "other"], ["mono - cross", "other"],
    ]  # fmt: skip
    assert "tested on" not in results.benchmarks["other"].to_markdown("tests")
    mean = results.entries[2].means["multi/mAP"]
    assert f"[{mean.low:.3f}, {mean.high:.3f}]" in results.to_markdown("intervals")
    results.save(tmp_path)
    written = {file.stem: file.read_text() for file in (tmp_path / "tables").iterdir()}
    assert set(written) == {"headline", "intervals", "tests", "headline-other", "intervals-other"}
    assert written["tests"] == tests + "\n"
    assert written["intervals-other"] == results.benchmarks["other"].to_latex("intervals") + "\n"


def test_the_tests_against_the_start_stand_last_and_in_the_finding(results: Results, tmp_path: Path) -> None:
    systems = {one.name: [a.measures for a in one.audits] for one in results.entries[1:3]}
    tests = compare_all(systems, ["multi/mAP", "bias/rank distance"], against="mono")
    (line,) = replace(results, benchmarks={}, start_tests=tests).lines()
    assert re.search(r"Against the untrained start, mono is (not significantly different|worse) in everything\.", line)
    more = replace(results, start_tests=tests)
    rows = [row[:2] for row in more.exports()["tests"].rows]
    assert rows[-2:] == [["mono - start", "toy"], ["mono - start", "toy"]]
    assert len(more.as_json()["start_tests"]) == 2
    page = unescape(more.save(tmp_path).read_text())
    assert "Does training help?" in page
    assert "Does training help on other?" not in page
    assert "The table has the p-values of all 2 tests that Holm's correction counts." in page


def test_a_start_that_no_strategy_improves_is_said(results: Results) -> None:
    # The strategies of these results are the start and worse than it.
    assert "No strategy has a better mean than the start in monolingual mAP, " in results.lines()[0]
    *others, start = [entry for entry in results.entries if entry.kind != "start"] + [results.entries[1]]
    worse = {name: replace(mean, value=mean.value / 2) for name, mean in start.means.items() if name.endswith("/mAP")}
    better = replace(results, entries=[*others, replace(start, means=worse)])
    assert "No strategy" not in better.lines()[0]


def test_the_numbers_are_a_frame(results: Results) -> None:
    frame = results.to_frame()
    assert frame.columns == ["corpus", "entry", "kind", "measure", "value", "low", "high", "seed_deviation"]
    row = frame.filter((frame["entry"] == "mono") & (frame["corpus"] == "other") & (frame["measure"] == "multi/mAP"))
    assert row["value"].item() == results.benchmarks["other"].entries[2].means["multi/mAP"].value


def test_saving_writes_the_numbers_the_figure_and_the_report(results: Results, tmp_path: Path) -> None:
    report = results.save(tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == results.as_json()
    assert (tmp_path / "headline.svg").is_file()
    page = report.read_text()
    assert "On other" in page
    assert "Are the differences real?" in page
    assert "the chart needs 4 strategies with a constant alpha" in page
    assert "compare.strategies has 2" in page
    # Both corpora share one correction.
    shown = re.findall(r"The table has (\d+) of the (\d+) tests that Holm", unescape(page))
    assert shown == [("2", "4"), ("2", "4")]


def test_an_experiment_without_a_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="metrics"):
        Experiment.model_validate({"name": "x", "data": {"corpus": "toy"}, "compare": {"metrics": []}})
