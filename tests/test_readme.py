"""The README says in four lines what babelmix is, and what it shows runs as it stands, with a small encoder in place of E5."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from conftest import word_bert

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for _, block in BLOCKS for line in block.splitlines() if line.startswith("babelmix ")]


def test_the_first_screen_is_four_lines_a_table_and_two_commands() -> None:
    lines = PAGE.splitlines()
    assert lines[0] == "# babelmix"
    assert re.findall(r"\*\*(.+?)\*\*", "".join(lines[2:6])) == [
        "What it is",
        "For whom",
        "What it finds",
        "How to start",
    ]
    assert all(line.startswith("- ") and len(line) <= 130 for line in lines[2:6])
    assert lines[7] == "<!-- audit -->"
    first = next(number for number, line in enumerate(lines) if line.startswith("```"))
    assert lines[first + 3] == "```"
    assert first + 3 < 20


def test_the_table_that_is_shown_is_a_corpus(tmp_path: Path) -> None:
    from babelmix.corpus import load_corpus

    (table,) = [block for kind, block in BLOCKS if kind == "csv"]
    (tmp_path / "my.csv").write_text(table, encoding="utf-8")
    corpus = load_corpus(tmp_path / "my.csv")
    assert corpus.langs == ("de", "en")
    assert corpus.qrels.num_rows == 2


def test_an_audit_by_one_command_and_by_ten_lines_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, babelmix: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "docs" / "shop.csv", "my.csv")
    words = sorted(set(re.findall(r"\w+", Path("my.csv").read_text(encoding="utf-8"))))
    model = str(word_bert(tmp_path / "words", words))
    (code,) = [block for kind, block in BLOCKS if kind == "python"]
    assert len(code.splitlines()) <= 10
    exec(compile(code.replace("e5-small-offline", model), "README.md", "exec"), {"__name__": "example"})
    assert Path("before/report.html").is_file()
    by_lines = json.loads(Path("before/metrics.json").read_text(encoding="utf-8"))
    (command,) = [line for line in COMMANDS if line == "babelmix audit e5-small-offline --corpus my.csv --out before"]
    status, _, err = babelmix(*shlex.split(command.replace("e5-small-offline", model))[1:-1], "again")
    assert status == 0, err
    by_command = json.loads(Path("again/metrics.json").read_text(encoding="utf-8"))
    assert by_command["macro"] == by_lines["macro"]


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_has_the_options_that_are_shown(line: str) -> None:
    from babelmix.cli.app import app

    _, name, *words = shlex.split(line)
    options = {option for one in typer.main.get_command(app).commands[name].params for option in one.opts}
    assert {word for word in words if word.startswith("-")} <= options


def test_make_has_the_targets_that_are_shown() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([\w-]+)", PAGE, re.MULTILINE))
    assert {"install", "demo", "test", "test-all", "docs"} <= named <= targets
