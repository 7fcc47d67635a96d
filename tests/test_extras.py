"""What each extra installs, and how a missing package is named."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import babelmix as bm
from babelmix.errors import EXTRA_OF, MissingExtraError, missing_extra

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOR_DEVELOPERS = {"dev", "docs", "benchmarks"}
Run = Callable[..., tuple[int, str, str]]


def distribution(requirement: str) -> str:
    """The name of the distribution in a requirement, in lower case and with hyphens."""
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()  # type: ignore[index]


BASE = {distribution(line) for line in PROJECT["dependencies"]}
EXTRAS = {
    extra: {distribution(line) for line in lines}
    for extra, lines in PROJECT["optional-dependencies"].items()
    if extra not in FOR_DEVELOPERS
}


def imported() -> Iterator[tuple[str, str]]:
    """Every package that a module of babelmix imports, with the module: by a statement or by `require`."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", None) == "require":
                names = [word.value for word in node.args[:1] if isinstance(word, ast.Constant)]
            yield from ((name.split(".")[0], str(file.relative_to(ROOT))) for name in names)


def test_every_imported_package_is_installed_by_the_base_or_by_an_extra() -> None:
    own = {*sys.stdlib_module_names, "babelmix", "__future__"}
    names = {name: file for name, file in imported() if name not in own}
    assert len(names) > 40
    owners = packages_distributions()
    lost = {
        name: file
        for name, file in names.items()
        if name not in EXTRA_OF and not {distribution(owner) for owner in owners.get(name, ())} & BASE
    }
    assert lost == {}


def test_a_missing_package_is_named_with_an_extra_that_installs_it() -> None:
    owners = packages_distributions()
    for package, extra in EXTRA_OF.items():
        assert extra in EXTRAS, package
        assert {distribution(owner) for owner in owners[package]} & EXTRAS[extra], package
    named = {distribution(owner) for package in EXTRA_OF for owner in owners[package]}
    by_any = set().union(*EXTRAS.values()) - {"babelmix"}
    # protobuf is imported by sentencepiece and transformers alone.
    assert by_any - named == {"protobuf"}


def test_searching_needs_neither_torch_nor_tables() -> None:
    heavy = {"torch", "sentence-transformers", "transformers", "datasets", "scipy", "polars", "pyarrow", "openvino"}
    assert not heavy & (BASE | EXTRAS["search"])
    assert not heavy - {"openvino"} - EXTRAS["train"] - EXTRAS["data"]


def test_the_extras_in_the_documents_are_those_of_the_project() -> None:
    named = set()
    for file in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile", *ROOT.glob("src/**/*.py")):
        for extras in re.findall(r"(?:babelmix|'\.)\[([a-z]+(?:,[a-z]+)*)\]'", file.read_text(encoding="utf-8")):
            named.update(extras.split(","))
    assert {"train", "search", "offline", "fast"} <= named <= set(PROJECT["optional-dependencies"])


def test_a_command_names_the_extra_of_a_missing_package(babelmix: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("babelmix.cli._run", lambda: importlib.import_module("a_missing_package"))
    with pytest.raises(ModuleNotFoundError, match="a_missing_package"):  # a package of no extra
        babelmix("data", "x")
    monkeypatch.setitem(EXTRA_OF, "a_missing_package", "data")
    code, out, err = babelmix("data", "x")
    assert (code, out) == (1, "")
    assert err == "error: This command needs the package 'a_missing_package': run  pip install 'babelmix[data]'\n"


def test_the_front_door_names_the_extra_of_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_new_home.py").write_text("import a_missing_package\n", encoding="utf-8")
    monkeypatch.setattr(bm, "__path__", [*bm.__path__, str(tmp_path)])
    monkeypatch.setitem(bm._HOMES, "a_new_name", "a_new_home")
    with pytest.raises(ModuleNotFoundError, match="a_missing_package"):
        _ = bm.a_new_name
    monkeypatch.setitem(EXTRA_OF, "a_missing_package", "train")
    with pytest.raises(MissingExtraError, match=r"^babelmix\.a_new_name needs .*'babelmix\[train\]'$"):
        _ = bm.a_new_name


def test_an_unknown_package_has_no_extra() -> None:
    assert missing_extra(ModuleNotFoundError("No module named 'x'", name="x"), "This") is None
    assert missing_extra(ModuleNotFoundError("no name"), "This") is None
    found = missing_extra(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), "This")
    assert str(found) == "This needs the package 'torch': run  pip install 'babelmix[train]'"
