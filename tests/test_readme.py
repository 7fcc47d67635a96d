"""The README says in four lines what babelmix is; the commands, options and targets that it shows exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

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
