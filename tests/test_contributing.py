"""Every example of CONTRIBUTING.md runs: the plugin is a file, used from Python and from the command line."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import word_bert

from babelmix import extend
from babelmix._registry import Registry

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```", re.MULTILINE | re.DOTALL)
SECTIONS = {
    title: BLOCK.findall(text)
    for title, text in re.findall(r"^### (An? .+?)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
}


def registries() -> list[Registry]:
    ours = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "babelmix"]
    found = [value for module in ours for value in vars(module).values() if isinstance(value, Registry)]
    return list({id(registry): registry for registry in found}.values())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a corpus and an encoder; whatever an example registers or imports is gone afterwards."""
    shutil.copy(ROOT / "docs" / "shop.csv", tmp_path / "my.csv")
    words = sorted(set(re.findall(r"\w+", (tmp_path / "my.csv").read_text(encoding="utf-8"))))
    word_bert(tmp_path / "my-model", words)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    modules = set(sys.modules)
    kept = [(registry, set(registry)) for registry in registries()]
    yield tmp_path
    for registry, names in kept:
        for name in set(registry) - names:
            registry.unregister(name)
    for name in set(sys.modules) - modules:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.mark.parametrize("title", SECTIONS)
def test_an_example_runs(title: str, place: Path, babelmix: Callable[..., tuple[int, str, str]]) -> None:
    plugins = []
    names: dict = {"__name__": "example"}
    for kind, code in SECTIONS[title]:
        if file := re.match(r"# (my_\w+\.py)", code):
            (place / file[1]).write_text(code, encoding="utf-8")
            plugins.append(file[1].removesuffix(".py"))
        elif kind == "python":
            assert "assert" in code or "check_" in code
            exec(compile(code, f"CONTRIBUTING.md, {title}", "exec"), names)
        else:
            for line in code.splitlines():
                program, *words = shlex.split(line)
                assert program == "babelmix"
                status, _, err = babelmix(*words)
                assert status == 0, f"{line}: {err}"
    assert plugins
    assert set(plugins) <= set(sys.modules)


def test_every_function_of_extend_has_an_example() -> None:
    for name in extend.__all__:
        if name != "load_plugin":
            assert any(f"@extend.{name}(" in code or f"extend.{name}(" in code for blocks in SECTIONS.values()
                       for _, code in blocks), name  # fmt: skip
            assert f"`extend.{name}`" in PAGE, name


def test_what_the_tables_name_exists() -> None:
    rows = re.findall(r"^\| [\w ]+ \| `(\w+/.*?)` \| `(\w+)` in `(.*?)` \| `(.*?)` \| (.*?) \|$", PAGE, re.MULTILINE)
    assert len(rows) >= 5
    for new, registry, file, test, document in rows:
        assert (ROOT / "src" / "babelmix" / new).parent.is_dir(), new
        assert re.search(
            rf"^{registry}\b", (ROOT / "src" / "babelmix" / file).read_text(encoding="utf-8"), re.MULTILINE
        )
        assert (ROOT / test).is_file(), test
        assert (ROOT / document).is_file(), document
    for name in re.findall(r"`extend\.(\w+)`", PAGE):
        assert name in extend.__all__, name
