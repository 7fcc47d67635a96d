"""Every Python example of docs/batches.md runs as it stands, and the names in all documents exist."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    file for file in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")] if not file.name.lower().startswith("change")
)
GUIDE = (ROOT / "docs" / "batches.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^### (.+?)\n.*?^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
BLOCKS = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def run(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    monkeypatch.chdir(folder)
    names = {"__name__": "example"}
    exec(compile(code, "docs/batches.md", "exec"), names)
    return names


def test_the_guide_has_the_three_ways() -> None:
    assert [title for title, _ in EXAMPLES] == [
        "babelmix's trainer", "A stock sentence-transformers trainer", "A plain PyTorch `DataLoader`",
    ]  # fmt: skip
    assert [code for _, code in EXAMPLES] == BLOCKS[:3]
    assert GUIDE.count("```") == 2 * len(BLOCKS)


def test_our_trainer(tmp_path, monkeypatch) -> None:
    names = run(BLOCKS[0], tmp_path, monkeypatch)
    assert names["model"].result.losses[-1][0] == 20
    assert (tmp_path / "model" / "modules.json").is_file()


@pytest.mark.filterwarnings("ignore:.pin_memory.")  # There may be no GPU to pin for.
def test_a_stock_trainer(tmp_path, monkeypatch) -> None:
    names = run(BLOCKS[1], tmp_path, monkeypatch)
    assert names["trainer"].state.global_step == 8
    assert type(names["trainer"].get_train_dataloader().batch_sampler).__name__ == "PlanBatchSampler"


def test_a_plain_loader(tmp_path, monkeypatch, capsys) -> None:
    names = run(BLOCKS[2], tmp_path, monkeypatch)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    for step, line in enumerate(lines):
        queries, passages = names["Steps"]()[step]
        assert line == f"{queries} {passages}"
        assert len(set(queries)) == len(set(passages)) == 4


@pytest.mark.parametrize("number", range(3, len(BLOCKS)))
def test_the_rest(number: int, tmp_path, monkeypatch) -> None:
    names = run(BLOCKS[number], tmp_path, monkeypatch)
    assert isinstance(names["plan"][0].query_rows.tolist(), list)


def named(text: str) -> set[str]:
    """The dotted names of babelmix in a document: in the text, in imports, and those of the front door."""
    names = set(re.findall(r"`(babelmix(?:\.\w+)+)", text)) - {"babelmix.plugins"}
    for module, imported in re.findall(r"^from (babelmix[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
        names |= {f"{module}.{name.strip()}" for name in imported.split(",")}
    return names | {f"babelmix.{name}" for name in re.findall(r"\bbm\.(\w+)", text)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_every_name_in_a_document_exists_and_is_not_deprecated(document: Path) -> None:
    for name in named(document.read_text(encoding="utf-8")):
        parts = name.split(".")
        found: Any = importlib.import_module(parts[0])
        for number, part in enumerate(parts[1:], 2):
            try:
                found = getattr(found, part)
            except AttributeError:
                found = importlib.import_module(".".join(parts[:number]))
        assert found is not None, name


def test_every_bundled_experiment_has_a_line() -> None:
    from babelmix.experiment.bundled import names

    text = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    assert [name for name in names() if f"`{name}`" not in text] == []
