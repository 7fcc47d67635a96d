"""The project holds to its own rules."""

from __future__ import annotations

import ast
import importlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "src" / "babelmix").rglob("*.py"))
LEVELS = {
    "errors": -1, "_cluster": 0, "_components": 0, "_files": 0, "_interrupts": 0, "_lazy": 0, "_lists": 0,
    "_processes": 0, "_registry": 0,
    "_settings": 0, "_terminal": 0, "_vectors": 0,
    "_checksums": 1, "_progress": 1, "_resumable": 1, "_tables": 1, "_cache": 2,
    "corpus": 3, "encoders": 4, "batches": 4, "evaluation": 5, "training": 6, "experiment": 7, "search": 7,
    "checks": 8, "extend": 9, "api": 9, "audit": 10, "cli": 10, "testing": 10,
}  # fmt: skip


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT / "src")))
def test_imports_point_downward(file: Path) -> None:
    here = file.relative_to(ROOT / "src" / "babelmix").parts[0].removesuffix(".py")
    if here not in LEVELS:
        return
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if not name.startswith("babelmix.") or room(name) == here:
                continue
            assert LEVELS[room(name)] < LEVELS[here], f"{file.name} imports {name}"


@pytest.mark.parametrize("file", SOURCES, ids=lambda f: str(f.relative_to(ROOT / "src")))
def test_files_are_short(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 430


@pytest.mark.parametrize("name", ["corpus", "encoders", "batches", "evaluation", "training", "experiment", "search"])
def test_public_names_exist_and_are_sorted(name: str) -> None:
    module = importlib.import_module(f"babelmix.{name}")
    for public in module.__all__:
        assert getattr(module, public).__doc__ or isinstance(getattr(module, public), (str, dict)), public
    upper, other = [n for n in module.__all__ if n.isupper()], [n for n in module.__all__ if not n.isupper()]
    assert module.__all__ == sorted(upper) + sorted(other, key=lambda n: (n[0].islower(), n))
    with pytest.raises(AttributeError):
        _ = module.not_there


def test_nothing_of_the_machine_is_written_down() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        file = ROOT / name
        if file.suffix in (".svg", ".png", ".safetensors") or not file.is_file() or file.name == Path(__file__).name:
            continue
        text = file.read_text(encoding="utf-8")
        for forbidden in ("/work/", "/root/", "/home/", "index-url"):
            assert forbidden not in text, f"{name} mentions {forbidden}"
