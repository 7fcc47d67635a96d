"""An audit as tables, sentences and numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from babelmix.evaluation import Audit, RankTable
from babelmix.evaluation.audit_facts import AuditFacts
from babelmix.evaluation.audit_tables import legend, pool_table
from babelmix.experiment import compare_loaded

FACTS = {
    "encoder": "x", "corpus": "toy", "queries": 6, "left_out": {"empty documents": 1200}, "excluded": 2,
    "copies": {"queries": 1, "passages": 3, "pairs": 4, "count_as": "relevant"},
}  # fmt: skip


@pytest.fixture
def done(table: RankTable) -> Audit:
    return Audit.of(replace(table, top=table.top[:, [0, 1]], cutoffs=(10, 20), about=FACTS), ["mAP", "R@1"])


def test_an_audit_prints_its_tables_its_legend_and_its_finding(done: Audit) -> None:
    tables = {table.title: table for table in done.tables()}
    assert list(tables) == ["Three settings", "Language bias", "What the pool holds", ""]
    assert list(tables["Three settings"].head) == ["metric", "monolingual", "cross-lingual", "multilingual"]
    assert [row[0] for row in tables["Three settings"].rows] == ["mAP", "R@1"]
    languages = tables[""]
    assert list(languages.head) == [
        "query language",
        "mono mAP",
        "cross mAP",
        "multi mAP",
        "rank dist.",
        "own lang.@10",
    ]
    assert languages.rows[2][:2] == ["fr", ""]
    text = str(done)
    assert languages.note == legend(done.estimates)
    for words in ("rank distance", "copies of right answers, counted as relevant", "own lang.@10", "1,200"):
        assert words in text
    assert "x retrieves with mAP " in text
    assert repr(done) == f"<Audit of x on toy: {len(done.measures)} measures>"


def test_the_numbers_of_an_audit_are_a_frame_with_a_row_each(done: Audit) -> None:
    frame = done.to_frame()
    assert frame.columns == ["measure", "cell", "value", "low", "high"]
    assert frame.height == sum(1 + len(cells) for _, cells in done.estimates.values())
    macro = frame.filter((frame["measure"] == "multi/mAP") & frame["cell"].is_null())
    assert macro["value"].item() == done.macro("multi/mAP")
    assert done.as_json() == done.summary()
    assert done.to_csv().splitlines()[0] == "measure,cell,value,low,high"


def test_the_headline_is_one_row(done: Audit) -> None:
    (row,) = done.headline().rows
    assert row[0] == "x"
    assert row[3] == f"{done.macro('multi/mAP'):.3f}"
    assert done.to_markdown().splitlines()[0] == "|  | mono mAP | cross mAP | multi mAP | rank dist. | own lang.@10 |"
    assert r"\toprule" in done.to_latex()


def test_a_pool_without_anything_to_say_has_no_table() -> None:
    assert pool_table(AuditFacts()) is None
    assert pool_table(AuditFacts(left_out="nothing")) is None  # type: ignore[arg-type]


def test_a_comparison_prints_the_headline_the_tests_and_how_many_differ(done: Audit, tmp_path: Path) -> None:
    other = replace(done.table, outranking_counts=done.table.outranking_counts + 1)
    compared = compare_loaded({"a": done, "b": Audit.of(other, ["mAP", "R@1"]), "c": done})
    first, *tests = compared.tables()
    assert [row[0] for row in first.rows] == ["a", "b", "c"]
    assert [table.title for table in tests] == ["a - b", "a - c", "b - c"]
    assert [bool(table.note) for table in compared.tables()] == [False, False, False, True]
    assert compared.headline().rows == first.rows
    assert re.fullmatch(r"3 audits of toy: \d+ of 12 differences are significant .*", compared.lines()[-1])
    frame = compared.to_frame()
    assert frame["audit"].unique(maintain_order=True).to_list() == ["a", "b", "c"]
    report = compared.save(tmp_path)
    assert report == tmp_path / "report.html"
    assert report.is_file()
    assert (tmp_path / "comparison.json").is_file()
    assert sorted(file.name for file in tmp_path.glob("*.tex")) == [
        "headline.tex", "intervals.tex", "tests.tex",
    ]  # fmt: skip
    assert (tmp_path / "tests.tex").read_text() == compared.to_latex("tests") + "\n"
    assert compared.to_latex("tests").count("a - b") == 4
    assert "[" in compared.to_markdown("intervals").splitlines()[2]
    own = compare_loaded({"a": done, "b": done}, tests="bias/languages@10")
    assert own.headline().head[-1] == "languages@10"
    assert np.isfinite(frame["value"].to_numpy()).all()
