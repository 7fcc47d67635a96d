"""Tables and results of functions: what they print and export."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from babelmix._tables import Result, Table
from babelmix.errors import ArgumentError

TABLE = Table(["language", "mAP"], [["de|at", "50 %"], ["x_y\n", ".5 ± .1"]], note="mAP: a mean", title="On a_b")


class Found(Result):
    def tables(self) -> list[Table]:
        return [TABLE]

    def to_frame(self) -> pl.DataFrame:
        return pl.DataFrame({"lang": ["de", "fr"], "mAP": [0.5, 0.25]})

    def as_json(self) -> dict[str, Any]:
        return {"mAP": [0.5, 0.25]}

    def lines(self) -> list[str]:
        return ["One sentence \x1b[31m."]

    def places(self) -> dict[str, str]:
        return {"report": "a/" + 150 * "b"}


def test_a_result_prints_its_table_the_note_the_sentences_and_the_place() -> None:
    lines = [line.rstrip() for line in str(Found()).splitlines()]
    assert lines[0] == "On a_b"
    assert lines[2].split() == ["language", "mAP"]
    assert "de|at" in lines[4]
    assert "50 %" in lines[4]
    assert lines.index("mAP: a mean") < lines.index("One sentence \\x1b[31m.") < len(lines) - 1
    # A path is not broken, however long it is.
    assert lines[-1] == "report: a/" + 150 * "b"


def test_markdown_keeps_its_columns() -> None:
    assert Found().to_markdown().splitlines() == [
        "| language | mAP |", "| --- | ---: |", "| de\\|at | 50 % |", "| x_y  | .5 ± .1 |",
    ]  # fmt: skip


def test_latex_is_escaped() -> None:
    made = Found().to_latex()
    assert made.startswith("\\begin{tabular}{lr}\n\\toprule\nlanguage & mAP \\\\\n\\midrule\n")
    assert "de|at & 50 \\% \\\\" in made
    assert "x\\_y  & .5 $\\pm$ .1 \\\\" in made
    assert made.endswith("\\bottomrule\n\\end{tabular}")


def test_latex_has_the_minus_of_numbers_and_leaves_hyphens() -> None:
    made = Table(["e5-small - b", "x"], [["-0.3 [-.4, -1]", "2019-20"]]).to_latex()
    assert "e5-small - b & x" in made
    assert "$-$0.3 [$-$.4, $-$1] & 2019-20" in made


def test_a_table_that_is_not_there_is_refused() -> None:
    with pytest.raises(ArgumentError, match="table: there is no table 'tests'; there are headline"):
        Found().to_latex("tests")


def test_csv_is_given_and_written(tmp_path: Path) -> None:
    assert Found().to_csv(tmp_path / "found.csv") == "lang,mAP\nde,0.5\nfr,0.25\n"
    assert (tmp_path / "found.csv").read_text(encoding="utf-8") == "lang,mAP\nde,0.5\nfr,0.25\n"


def test_a_notebook_gets_escaped_html() -> None:
    shown = Found()._repr_html_()
    assert "<th>language</th>" in shown
    assert "<td>.5 ± .1</td>" in shown
    assert Table(["<b>"], [["<i>"]]).to_html() == (
        "<table><thead><tr><th>&lt;b&gt;</th></tr></thead><tbody><tr><td>&lt;i&gt;</td></tr></tbody></table>"
    )


def test_nothing_slow_is_imported_by_it() -> None:
    import sys

    code = "import sys, babelmix._tables, babelmix._registry; print(sorted({'polars', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
