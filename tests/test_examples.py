"""The examples in the docstrings of `src` run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
import socket
from pathlib import Path

import pytest

from babelmix._registry import Registry

SOURCE = Path(__file__).resolve().parents[1] / "src"
MODULES = sorted(
    ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
    for file in SOURCE.rglob("*.py")
    if ">>> " in file.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", ["babelmix", "babelmix.extend", "babelmix.testing"])
def test_every_function_that_a_user_calls_has_an_example(module: str) -> None:
    loaded = importlib.import_module(module)
    promised = getattr(loaded, "__all__", [name for name in vars(loaded) if not name.startswith("_")])
    functions = [getattr(loaded, name) for name in promised if inspect.isfunction(getattr(loaded, name))]
    assert functions
    without = [function.__name__ for function in functions if ">>> " not in (function.__doc__ or "")]
    # `serve` runs until it is stopped; `first_line` is a helper that `babelmix.extend` imports.
    assert [name for name in without if name not in ("serve", "first_line")] == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings_print_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("an example needs the network")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(socket.socket, "connect", refused)
    added: list[tuple[Registry[object], str]] = []
    original = Registry.register

    def register(self: Registry[object], name: str, value: object) -> None:
        original(self, name, value)
        added.append((self, name))

    monkeypatch.setattr(Registry, "register", register)
    module = importlib.import_module(name)
    examples = [test for test in doctest.DocTestFinder().find(module, name) if test.examples]
    assert examples, f"{name}: the examples are in no docstring that Python reads as one"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    told = io.StringIO()
    for example in examples:
        runner.run(example, out=told.write)
    for registry, registered in added:
        registry.unregister(registered)
    if told.getvalue():
        pytest.fail(told.getvalue(), pytrace=False)
